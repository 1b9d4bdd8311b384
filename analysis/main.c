/* scope-frontier - what a results file says about cost and accuracy. */
#include "analysis_run.h"
#include "compare.h"
#include "analysis/output/handoff.h"
#include "analysis/output/output.h"
#include "analysis/output/plots.h"
#include "tests/reference/route_reference.h"
#include "sweep_index.h"

#include "base/file.h"
#include "base/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: scope-frontier RESULTS.h5 [RESULTS2.h5 ...] [options] [-o DIR]\n"
    "       scope-frontier route-reference --selection F --similarity F --anchors F --portfolio F [-o "
    "curve.json]\n"
    "\n"
    "Reads what scope-grid wrote and says what it is worth: the exact cost-accuracy frontier as estimated, "
    "as\n"
    "realised (cross-fitted against the truth) and as an oracle would have it, single models and baselines, "
    "policies\n"
    "for the budgets and targets you ask for, the quality of the estimates and the value of each model. "
    "Prints a table\n"
    "and writes frontier.h5, CSV files, report.html and plots to DIR. Costs are mean USD a query.\n"
    "Several files are compared side by side: the same grid with other settings, or two nights of one "
    "portfolio.\n"
    "The index.json of a sweep stands for the results of its points.";

enum { MAX_FILES = 64 };

struct args {
    const char *files[MAX_FILES];
    struct sg_opt_list queries, budgets, targets, lambdas, at_most;
    const char *pool, *prices, *dir, *estimate, *incumbent, *margin, *volume;
    int64_t alphas, reps, seed, threads, portfolio;
    bool baselines, batch, blind, csv_raw, cells_csv, no_plots;
    struct sg_handoff_spec handoff;
};

static enum sg_status number(const char *text, const char *option, double min, double max, double *out,
                             struct sg_err *err) {
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end || errno == ERANGE || !(*out >= min && *out <= max))
        return sg_fail(err, SG_E_USAGE, "--%s %s: expected a number from %g to %g", option, text, min, max);
    return SG_OK;
}

static enum sg_status estimate_named(const char *name, int *out, struct sg_err *err) {
    *out = -1;
    for (int k = 0; name && k < SG_ESTIMATES; k++)
        if (!strcmp(name, sg_estimate_name[k])) *out = k;
    if (name && *out < 0)
        return sg_fail(err, SG_E_USAGE, "--estimate %s: expected scope, anchored or combined", name);
    return SG_OK;
}

static enum sg_status numbers(const struct sg_opt_list *l, const char *option, double min, double max,
                              double **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *x = NULL;
    SG_TRY(SG_NEW(&x, l->n, "options", err));
    for (size_t i = 0; i < l->n; i++) SG_TRY(number(l->items[i], option, min, max, &x[i], err));
    *out = x;
    x = NULL;
out:
    free(x);
    return st;
}

#define DROP(column) (free(column), (column) = NULL)

/* As if nobody had measured the queries; the outcomes of the anchors stay. */
static void drop_truth(struct sg_results *r) {
    DROP(r->true_correct);
    DROP(r->true_score);
    DROP(r->true_length);
    DROP(r->true_cost);
}

static struct sg_dataset_spec spec_of(const struct args *a) {
    return (struct sg_dataset_spec){.pool = a->pool,
                                    .queries = a->queries.items,
                                    .n_queries = a->queries.n,
                                    .prices = a->prices,
                                    .batch = a->batch};
}

/* Reads a file and applies --blind, --pool, --queries and --prices. */
static enum sg_status open_file(const struct args *a, const char *file, unsigned parts, struct sg_results *r,
                                struct sg_dataset *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset_spec spec = spec_of(a);
    SG_TRY(sg_results_read(file, parts, r, err));
    if (a->blind) drop_truth(r);
    SG_TRY(sg_dataset_open(r, file, &spec, d, err));
out:
    return st;
}

/* Frees the samples, half of a results file in memory: after their noise nothing needs them. */
static void drop_samples(struct sg_results *r) {
    DROP(r->sample_correct);
    DROP(r->sample_length);
    DROP(r->sample_p_yes);
    DROP(r->sample_tokens);
    DROP(r->sample_finish);
}

/* The files side by side: what each advises, then their cells on what they have in common. The first file, `first`, has
 * been read and analysed. */
static enum sg_status compare(const struct args *a, const struct sg_analysis *first,
                              const struct sg_advice_options *wanted, struct sg_results *r,
                              struct sg_dataset *d, struct sg_comparison *x, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset_spec spec = spec_of(a);
    struct sg_nights nights = {.n_asked = 0};
    struct sg_dataset whole = {0};
    int32_t n = 1;
    SG_TRY(sg_dataset_open(&r[0], a->files[0], &spec, &d[0], err));
    for (; n < MAX_FILES && a->files[n]; n++) {
        SG_TRY(open_file(a, a->files[n], SG_RESULTS_CELLS, &r[n], &d[n], err));
        SG_TRY(sg_dataset_open(&r[n], a->files[n], &spec, &whole, err));
        SG_TRY(sg_nights_add(&nights, first, &whole, wanted, err));
        sg_dataset_free(&whole);
    }
    SG_TRY(sg_compare(d, n, &first->opt, x, err));
    x->nights = nights;
    nights = (struct sg_nights){.n_asked = 0};
out:
    sg_dataset_free(&whole);
    sg_nights_free(&nights);
    return st;
}

static enum sg_status analyse(const struct args *a, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r[MAX_FILES] = {{0}};
    struct sg_dataset d = {0}, cells[MAX_FILES] = {{0}};
    struct sg_analysis x = {0};
    struct sg_comparison c = {0};
    struct sg_handoff_done handed;
    struct sg_sampling_noise noise[SG_SAMPLING_NOISES];
    struct sg_advice advice = {0};
    struct sg_portfolio_sizes sizes = {.n_sizes = 0};
    const struct sg_dataset_spec spec = spec_of(a);
    struct sg_advice_options wanted = {.incumbent = a->incumbent, .seed = (uint64_t)a->seed, .n_grid = 41};
    double *budgets = NULL, *targets = NULL, *lambdas = NULL;
    SG_TRY(numbers(&a->budgets, "budget", 0, 1e9, &budgets, err));
    SG_TRY(numbers(&a->targets, "target-accuracy", 0, 1, &targets, err));
    SG_TRY(numbers(&a->lambdas, "lambda", 0, 1e15, &lambdas, err));
    SG_TRY(estimate_named(a->estimate, &wanted.estimate, err));
    SG_TRY(number(a->margin ? a->margin : "1", "margin", 0, 100, &wanted.margin, err));
    SG_TRY(number(a->volume ? a->volume : "0", "volume", 0, 1e15, &wanted.volume, err));
    wanted.margin /= 100;
    wanted.at_most = a->at_most.items;
    wanted.n_at_most = a->at_most.n;
    wanted.portfolio = (int32_t)a->portfolio;
    wanted.budgets = budgets;
    wanted.n_budgets = a->budgets.n;
    wanted.targets = targets;
    wanted.n_targets = a->targets.n;
    wanted.no_defaults = a->targets.n > 0;
    const struct sg_analysis_options opt = {.advice = &advice,
                                            .sizes = a->portfolio ? &sizes : NULL,
                                            .budgets = budgets,
                                            .n_budgets = a->budgets.n,
                                            .targets = targets,
                                            .n_targets = a->targets.n,
                                            .lambdas = lambdas,
                                            .n_lambdas = a->lambdas.n,
                                            .alphas = a->alphas,
                                            .reps = a->reps,
                                            .seed = (uint64_t)a->seed,
                                            .threads = (int32_t)a->threads,
                                            .n_grid = 101,
                                            .baselines = a->baselines,
                                            .cells_csv = a->cells_csv,
                                            .noise = noise};
    const unsigned origin = a->handoff.requests.dir ? SG_RESULTS_ORIGIN : 0;
    SG_TRY(open_file(a, a->files[0], SG_RESULTS_CELLS | SG_RESULTS_SAMPLES | origin, &r[0], &d, err));
    sg_sampling_noise_usual(&d, noise);
    drop_samples(&r[0]);
    SG_TRY(sg_advise(&d, &wanted, &advice, err));
    if (a->portfolio) SG_TRY(sg_portfolio_sizes(&r[0], a->files[0], &spec, &wanted, &advice, &sizes, err));
    SG_TRY(sg_analysis_run(&d, &opt, &x, err));
    if (a->files[1]) SG_TRY(compare(a, &x, &wanted, r, cells, &c, err));
    SG_TRY(sg_handoff_write(&x, &a->handoff, dir, &handed, err));
    SG_TRY(sg_output(&x, a->files[1] ? &c : NULL, dir, stdout, a->csv_raw, err));
    sg_handoff_say(&a->handoff, &handed, stdout);
    if (!a->no_plots) sg_plots_draw(dir, stdout);
out:
    sg_analysis_free(&x);
    sg_comparison_free(&c);
    sg_portfolio_sizes_free(&sizes);
    sg_advice_free(&advice);
    sg_dataset_free(&d);
    for (int32_t i = 0; i < MAX_FILES; i++) {
        sg_dataset_free(&cells[i]);
        sg_results_free(&r[i]);
    }
    free(budgets);
    free(targets);
    free(lambdas);
    return st;
}

static enum sg_status frontier(int argc, char **argv, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct args a = {.alphas = 101,
                     .reps = 1000,
                     .seed = 1,
                     .threads = cores > 16  ? 16
                                : cores > 0 ? cores
                                            : 1};
    struct sg_arena strings = {0};
    char *dir = NULL;
    bool help = false;
    const struct sg_opt opts[] = {
        {"output", SG_OPT_STR, &a.dir, 0, 0, "DIR",
         "where to write, also -o; default: the directory of the results file"},
        {"pool", SG_OPT_STR, &a.pool, 0, 0, "FILE|NAMES",
         "models to consider: a file, or ids with commas; default all"},
        {"queries", SG_OPT_LIST, &a.queries, 0, 0, "FILTER",
         "category=A,B | category!=A | id=GLOB | id!=GLOB | @FILE; all given must hold"},
        {"prices", SG_OPT_STR, &a.prices, 0, 0, "FILE",
         "other prices: JSON, id, input, output in USD per million tokens, request in USD per call"},
        {"batch", SG_OPT_FLAG, &a.batch, 0, 0, NULL,
         "with --prices: the prices are batch_input and batch_output of the file"},
        {"blind", SG_OPT_FLAG, &a.blind, 0, 0, NULL,
         "without the outcomes of the queries, to see what the advice would be where they are unknown"},
        {"budget", SG_OPT_LIST, &a.budgets, 0, 0, "USD",
         "the best policy of at most this mean cost a query; repeatable"},
        {"estimate", SG_OPT_STR, &a.estimate, 0, 0, "KIND",
         "scope, anchored or combined; default: the one with the least cross-fitted log loss"},
        {"incumbent", SG_OPT_STR, &a.incumbent, 0, 0, "MODEL|FILE.csv",
         "the model in use now, or the policy (query, model, weight): its bill and half of it are budgets, "
         "and all is compared with it"},
        {"at-most", SG_OPT_LIST, &a.at_most, 0, 0, "MODEL=SHARE",
         "no advised policy gives the model more than this share of the queries, 0.3 or 30%; repeatable"},
        {"portfolio-size", SG_OPT_I64, &a.portfolio, 1, 1000, "K",
         "what is advised at a budget uses the best K models at that budget, and names them"},
        {"margin", SG_OPT_STR, &a.margin, 0, 0, "POINTS",
         "accuracy that the cheapest policy may lose against the incumbent, with 95 %; default 1"},
        {"volume", SG_OPT_STR, &a.volume, 0, 0, "QUERIES", "queries a month: bills are also told a month"},
        {"target-accuracy", SG_OPT_LIST, &a.targets, 0, 0, "A",
         "the cheapest policy of this accuracy, 0 to 1; repeatable"},
        {"lambda", SG_OPT_LIST, &a.lambdas, 0, 0, "L",
         "value the models at this accuracy per USD; repeatable"},
        {"baselines", SG_OPT_FLAG, &a.baselines, 0, 0, NULL,
         "also the k nearest anchors and SCOPE's two-stage router: curves, quality, metrics"},
        {"alphas", SG_OPT_I64, &a.alphas, 2, 10001, "N",
         "with --baselines: steps of the two-stage router's alpha; default 101"},
        {"bootstrap", SG_OPT_I64, &a.reps, 0, 1000000, "N",
         "replicates behind the intervals, 0 for none; default 1000"},
        {"seed", SG_OPT_I64, &a.seed, 0, 9e15, "S", "of the bootstrap and the cross-fit; default 1"},
        {"threads", SG_OPT_I64, &a.threads, 1, 1024, "T",
         "for the bootstrap; results do not depend on it; default: the cores, at most 16"},
        {"requests", SG_OPT_STR, &a.handoff.requests.dir, 0, 0, "DIR",
         "batch request files of what is advised at the one --budget or --target-accuracy, one model a file"},
        {"queries-file", SG_OPT_STR, &a.handoff.requests.queries, 0, 0, "FILE",
         "with --requests: the queries that the job read; ids and prompts are compared with the run's"},
        {"request-body", SG_OPT_STR, &a.handoff.requests.body, 0, 0, "JSON",
         "with --requests: further members of every body, as '{\"max_tokens\": 2048}'; default none"},
        {"policy-json", SG_OPT_FLAG, &a.handoff.policy_json, 0, 0, NULL,
         "also policy.json: what is advised at the one --budget as category -> model, for other queries"},
        {"cells-csv", SG_OPT_FLAG, &a.cells_csv, 0, 0, NULL,
         "also cells.csv: every query with every model, its estimates and what is known"},
        {"csv-raw", SG_OPT_FLAG, &a.csv_raw, 0, 0, NULL,
         "no apostrophe before ids that a spreadsheet would take for formulas"},
        {"no-plots", SG_OPT_FLAG, &a.no_plots, 0, 0, NULL,
         "do not draw PNG and PDF (needs Python with matplotlib and h5py)"},
    };
    SG_TRY(sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, a.files, 1, MAX_FILES},
        &help, err));
    if (help) goto out;
    if (a.batch && !a.prices) {
        st = sg_fail(err, SG_E_USAGE, "--batch needs --prices FILE: results.h5 has no batch prices");
        goto out;
    }
    if (a.margin && !a.incumbent) {
        st = sg_fail(err, SG_E_USAGE,
                     "--margin needs --incumbent: what may the accuracy be that many points below?");
        goto out;
    }
    a.handoff.prices = a.prices;
    a.handoff.pool = a.pool;
    SG_TRY(sg_handoff_check(&a.handoff, a.budgets.n + a.targets.n, err));
    if (a.dir)
        SG_TRY(sg_path_join(".", a.dir, &dir, err));
    else
        SG_TRY(sg_path_dir(a.files[0], &dir, err));
    SG_TRY(sg_sweep_expand(a.files, MAX_FILES, &strings, err));
    SG_TRY(analyse(&a, dir, err));
out:
    free(dir);
    sg_arena_free(&strings);
    free(a.queries.items);
    free(a.budgets.items);
    free(a.targets.items);
    free(a.lambdas.items);
    free(a.at_most.items);
    return st;
}

int main(int argc, char **argv) {
    struct sg_err err = {0};
    static char output[] = "--output", name[] = "scope-frontier";
    enum sg_status st;
    if (argc > 0) argv[0] = name; /* as messages have it, wherever the program lies */
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-o")) argv[i] = output;
    if (argc > 1 && !strcmp(argv[1], "route-reference"))
        st = sg_route_reference_main(argc - 1, argv + 1, &err);
    else
        st = frontier(argc, argv, &err);
    const bool named = !strncmp(err.text, "scope-frontier:", strlen("scope-frontier:"));
    if (st != SG_OK) fprintf(stderr, "%s%s\n", named ? "" : "scope-frontier: ", err.text);
    if (st == SG_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "scope-frontier: stdout: cannot write\n");
        st = SG_E_IO;
    }
    return sg_status_exit_code(st);
}
