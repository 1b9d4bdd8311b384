/* scope-grid pilot JOB: how many samples a cell of the job needs, measured on a few of its cells. */
#include "cmd/cmd.h"
#include "run/night.h"
#include "run/runner.h"
#include "sweep/pilot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_pilot(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "usage: scope-grid pilot JOB [OPTIONS], or mpirun -n RANKS scope-grid pilot JOB [OPTIONS]\n\n"
    "Draws 16 samples of each of some cells of the job, in a folder beside its output.dir, and says how much "
    "a cell's\n"
    "p_correct, share of yes votes and length vary with the number of samples, which number meets the "
    "tolerances with\n"
    "each kind of draws (sampling.draws), and what the whole job then takes. The same command goes on where "
    "it was.";

struct options {
    struct sg_run_options grid;
    struct sg_opt_list set;
    const char *dir, *device;
    int64_t cells;
    double tolerance[SG_PILOT_VALUES]; /* 0: none */
    double usd_per_hour;
    bool json;
    char device_override[80];
};

static enum sg_status read_options(int argc, char **argv, struct options *o, bool *help, struct sg_err *err) {
    const struct sg_opt opts[] = {
        {"tolerance-p", SG_OPT_F64, &o->tolerance[SG_PILOT_P], 1e-6, 1, "T",
         "standard error of a cell's p_correct that is wanted (default 0.02)"},
        {"tolerance-length", SG_OPT_F64, &o->tolerance[SG_PILOT_LENGTH], 1e-6, 10, "T",
         "error of a cell's length that two in three cells are to stay below, relative to the length "
         "(default "
         "0.10)"},
        {"tolerance-bill", SG_OPT_F64, &o->tolerance[SG_PILOT_BILL], 1e-6, 10, "T",
         "standard error of the sum of a model's lengths over the job's queries, relative to it (default: "
         "any)"},
        {"cells", SG_OPT_I64, &o->cells, 1, 1000000, "N",
         "cells at least: whole rows of the grid, of 8 queries or more (default 64)"},
        {"usd-per-hour", SG_OPT_F64, &o->usd_per_hour, 0, 1e9, "USD",
         "what the machines that compute cost, for the price of the job"},
        {"dir", SG_OPT_STR, &o->dir, 0, 0, "DIR", "the pilot's folder (default: output.dir with -pilot)"},
        {"set", SG_OPT_LIST, &o->set, 0, 0, "A.B=VALUE",
         "override a key of the job; may stand several times"},
        {"device", SG_OPT_STR, &o->device, 0, 0, "NAME",
         "what computes: cpu, cuda, auto, ... (default: the job's engine.device)"},
        {"fresh", SG_OPT_FLAG, &o->grid.fresh, 0, 0, NULL, "discard what the folder holds of another pilot"},
        {"quiet", SG_OPT_FLAG, &o->grid.quiet, 0, 0, NULL, "no progress on stderr"},
        {"json", SG_OPT_FLAG, &o->json, 0, 0, NULL, "print one JSON object"},
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, &o->grid.job_path, 1, 1},
        help, err);
    if (st != SG_OK || *help) return st;
    if (o->device) {
        if (strlen(o->device) > 64)
            return sg_fail(err, SG_E_USAGE, "pilot: --device %s: no such device", o->device);
        snprintf(o->device_override, sizeof o->device_override, "engine.device=%s", o->device);
        SG_TRY(SG_GROW(&o->set.items, &o->set.cap, o->set.n + 1, "options", err));
        o->set.items[o->set.n++] = o->device_override;
    }
    o->grid.overrides = o->set.items;
    o->grid.n_overrides = o->set.n;
out:
    return st;
}

/* ---- what it says --------------------------------------------------------------------------------------- */

static const char *const kinds[] = {"independent", "stratified"}, *const names[] = {"p_correct", "votes",
                                                                                    "length", "bill"};

/* The least n that meets all tolerances. */
static int64_t need_all(const struct sg_pilot *p, const struct options *o, bool stratified) {
    int64_t most = 1;
    for (int v = 0; v < SG_PILOT_VALUES; v++) {
        if (o->tolerance[v] <= 0) continue;
        const int64_t n = sg_pilot_need(p, (enum sg_pilot_value)v, stratified, o->tolerance[v]);
        if (n > most) most = n;
    }
    return most;
}

static void print_text(const struct sg_pilot *p, const struct options *o, const char *dir) {
    printf("%lld cells of %lld queries x %lld models, 16 samples each, in %s\n", (long long)p->cells,
           (long long)p->pick.n_queries, (long long)p->pick.n_models, dir);
    printf("error                       n = 1       2       4       8   enough\n");
    for (int v = 0; v < SG_PILOT_VALUES; v++)
        for (int kind = 0; kind < 2; kind++) {
            const enum sg_pilot_value value = (enum sg_pilot_value)v;
            printf("  %-10s %-12s", kind ? "" : names[v], kinds[kind]);
            for (int64_t n = 1; n <= SG_PILOT_SAMPLES; n *= 2)
                printf(" %7.4f", sqrt(sg_pilot_variance(p, value, kind, n)));
            if (o->tolerance[v] > 0)
                printf("   %lld for %g", (long long)sg_pilot_need(p, value, kind, o->tolerance[v]),
                       o->tolerance[v]);
            putchar('\n');
        }
    printf("Standard errors, that of votes of their share; length: what the error of two in three cells is "
           "below, "
           "relative to\nthe cell's length; bill: of the sum of a model's lengths over %lld queries. The "
           "job's %lld "
           "cells then take\n",
           (long long)p->pick.all_queries, (long long)(p->pick.all_queries * p->pick.n_models));
    for (int kind = 0; kind < 2; kind++) {
        const int64_t n = need_all(p, o, kind);
        const double hours = sg_pilot_seconds(p, n) / 3600;
        printf("  %-12s draws, sampling.samples %lld: %.4g tokens, prompts included", kinds[kind],
               (long long)n, sg_pilot_tokens(p, n));
        if (!isnan(hours)) printf("; at most %.3g hours on what computed this", hours);
        if (!isnan(hours) && o->usd_per_hour > 0) printf(", %.4g USD", hours * o->usd_per_hour);
        putchar('\n');
    }
}

static void put_number(const char *before, double v) {
    if (isfinite(v))
        printf("%s%.9g", before, v);
    else
        printf("%snull", before);
}

static void print_json(const struct sg_pilot *p, const struct options *o) {
    printf("{\"cells\": %lld, \"queries\": %lld, \"models\": %lld, \"samples\": %d, \"grid_cells\": %lld",
           (long long)p->cells, (long long)p->pick.n_queries, (long long)p->pick.n_models,
           2 * SG_PILOT_SAMPLES, (long long)(p->pick.all_queries * p->pick.n_models));
    put_number(", \"prompt_tokens\": ", p->prompt_tokens);
    put_number(", \"output_tokens_a_sample\": ", p->output_tokens);
    for (int kind = 0; kind < 2; kind++) {
        const int64_t all = need_all(p, o, kind);
        printf(", \"%s\": {\"samples\": %lld", kinds[kind], (long long)all);
        put_number(", \"tokens\": ", sg_pilot_tokens(p, all));
        put_number(", \"seconds_at_most\": ", sg_pilot_seconds(p, all));
        if (o->usd_per_hour > 0)
            put_number(", \"usd_at_most\": ", sg_pilot_seconds(p, all) / 3600 * o->usd_per_hour);
        for (int v = 0; v < SG_PILOT_VALUES; v++) {
            const enum sg_pilot_value value = (enum sg_pilot_value)v;
            printf(", \"%s\": {\"%s\": {", names[v],
                   v == SG_PILOT_LENGTH ? "two_in_three_below" : "standard_error");
            for (int64_t n = 1; n <= SG_PILOT_SAMPLES; n *= 2) {
                printf("%s\"%lld\": ", n > 1 ? ", " : "", (long long)n);
                put_number("", sqrt(sg_pilot_variance(p, value, kind, n)));
            }
            putchar('}');
            if (o->tolerance[v] > 0) {
                put_number(", \"tolerance\": ", o->tolerance[v]);
                printf(", \"samples\": %lld", (long long)sg_pilot_need(p, value, kind, o->tolerance[v]));
            }
            putchar('}');
        }
        putchar('}');
    }
    printf("}\n");
}

/* The pilot's folder, the caller's to free. */
static enum sg_status folder(const struct options *o, char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_job job = {0};
    struct sg_buf b = {0};
    if (o->dir) {
        *out = strdup(o->dir);
        return *out ? SG_OK : sg_fail(err, SG_E_NOMEM, "no memory for the pilot's folder");
    }
    SG_TRY(sg_job_read(o->grid.job_path, o->grid.overrides, o->grid.n_overrides, &job, err));
    SG_TRY(sg_night_expand(&job, NULL, err));
    SG_TRY(sg_buf_printf(&b, err, "%s-pilot", job.output.dir));
    *out = b.data;
    b.data = NULL;
out:
    sg_buf_free(&b);
    sg_job_free(&job);
    return st;
}

enum sg_status sg_cmd_pilot(int argc, char **argv, struct sg_err *err) {
    struct options o = {.grid = {.segment_seconds = -1, .shuffle_leases = -1},
                        .cells = 64,
                        .tolerance = {[SG_PILOT_P] = 0.02, [SG_PILOT_LENGTH] = 0.10}};
    struct sg_comm *comm = NULL;
    struct sg_runner *runner = NULL;
    struct sg_pilot p;
    char *dir = NULL;
    bool help = false;
    for (int i = 1; i < argc; i++) help = help || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    enum sg_status st = SG_OK;
    if (help) { /* the same on all ranks: no agreement needed */
        st = read_options(argc, argv, &o, &help, err);
        goto out;
    }
    SG_TRY(sg_comm_open(&comm, err));
    st = read_options(argc, argv, &o, &help, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    if (sg_comm_rank(comm) == 0) st = folder(&o, &dir, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    st = sg_runner_new(&runner, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    const struct sg_compute_maker maker = sg_runner_maker(runner);
    SG_TRY(sg_pilot_run(comm, &o.grid, dir, o.cells, &maker, &p, err));
    if (sg_comm_rank(comm) != 0) goto out;
    if (o.json)
        print_json(&p, &o);
    else
        print_text(&p, &o, dir);
out:
    if (comm) sg_cmd_speak(comm, st, err);
    free(dir);
    free(o.set.items);
    sg_runner_free(runner);
    sg_comm_close(comm);
    return st;
}
