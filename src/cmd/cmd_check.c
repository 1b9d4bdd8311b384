/* scope-grid check RESULTS.h5|RUNDIR|--model DIR: checks that files are complete, undamaged and consistent, or
 * that a checkpoint is one that this program computes. */
#include "base/file.h"
#include "cell/estimate.h"
#include "cmd/check_model.h"
#include "cmd/cmd.h"
#include "store/spread.h"
#include "rundir/rundir.h"
#include "store/h5_checksum.h"
#include "store/results_cell.h"
#include "store/segment.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sg_status sg_cmd_check(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "usage: scope-grid check RESULTS.h5|RUNDIR [--json]\n"
    "       scope-grid check --model DIR [--device NAME] [--json]\n\n"
    "Reads everything and verifies it. A results file: seal, digest, ranges, that aggregates are those of "
    "the "
    "samples and\n"
    "texts those of the digest, missing and failed cells, the fingerprints that say what each cell was "
    "computed from.\n"
    "A run's folder: also every segment, that all cells are of this run's plan, and that DONE, run.json and "
    "results.h5\n"
    "speak of one run. A checkpoint: whether this program computes it, and if not, why, and what mends it: "
    "files, "
    "configuration,\n"
    "names, shapes, dtypes and values of the weights, tokenizer, special tokens, chat template, memory.\n\n"
    "Exit codes: 0 whole, 10 sound but with missing or failed cells, 5 damaged, 6 parts of different runs, 3 "
    "not ours.\n"
    "Of a checkpoint: 0 yes, 3 damaged or incomplete, 4 of a kind that this program does not compute.";

enum { MAX_SHOWN = 20 };

struct check {
    const char *path;
    bool is_run;
    enum sg_status worst; /* of the problems; SG_OK: none */
    int64_t n_problems;
    struct sg_buf problems; /* JSON strings with commas between */
    struct sg_buf lines;    /* the same for people */
    /* what was found */
    int64_t calibration;                               /* of total */
    int64_t total, present, failed, missing, unparsed; /* unparsed: computed, and no sample had a verdict */
    int64_t segments_cells;                            /* in closed segments; -1: not looked at */
    int64_t n_nights, taken_over;
    bool has_results, sealed, has_origin, has_texts, is_done;
    struct sg_digest digest;
    char night[128];
};

static enum sg_status problem(struct check *c, struct sg_err *err, enum sg_status kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Notes a problem; an error only when memory is out. */
static enum sg_status problem(struct check *c, struct sg_err *err, enum sg_status kind, const char *fmt,
                              ...) {
    enum sg_status st = SG_OK;
    struct sg_err line = {0};
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sg_fail(&line, kind, "%s", text); /* one line of valid UTF-8 */
    /* the worst kind: damage, then mismatch, then missing cells */
    if (c->worst == SG_OK || kind == SG_E_CORRUPT || (kind != SG_E_PARTIAL && c->worst == SG_E_PARTIAL))
        c->worst = kind;
    if (++c->n_problems > MAX_SHOWN) return SG_OK;
    if (c->problems.len) SG_TRY(sg_buf_str(&c->problems, ", ", err));
    SG_TRY(sg_json_quote(&c->problems, line.text, strlen(line.text), err));
    SG_TRY(sg_buf_printf(&c->lines, err, "  %s: %s\n", sg_status_name(kind), line.text));
out:
    return st;
}

/* Turns the error of a failed call into a problem, unless the machine caused it (SG_E_IO, SG_E_NOMEM). */
static enum sg_status absorb(struct check *c, enum sg_status st, struct sg_err *err) {
    if (st == SG_OK || st == SG_E_NOMEM || st == SG_E_IO) return st;
    struct sg_err why = *err;
    memset(err, 0, sizeof *err);
    return problem(c, err, st, "%s", why.text);
}

/* ---- a results file --------------------------------------------------------------------------------- */

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}
static bool share(double p) {
    return isnan(p) || (p >= 0 && p <= 1);
}
static bool amount(double x) {
    return isnan(x) || (x >= 0 && isfinite(x));
}

/* A score that is known just where `correct` is. */
static bool score(int8_t correct, double x) {
    return correct < 0 ? isnan(x) : x >= 0 && x <= 1;
}

/* What is wrong with the cell's own columns; NULL: nothing. */
static const char *bad_cell(const struct sg_results *r, int64_t i) {
    if (r->valid[i] > 1) return "valid is neither 0 nor 1";
    if (r->status[i] < -1 || r->status[i] >= SG_STATUS_COUNT) return "status is no known code";
    if (r->valid[i] && r->status[i] != SG_OK) return "valid although its status says that it is not";
    if (r->valid[i] != !isnan(r->p_correct[i])) return "p_correct and valid do not agree";
    if (r->valid[i] != !isnan(r->length_mean[i])) return "length_mean and valid do not agree";
    if (!share(r->p_correct[i])) return "p_correct is no probability";
    if (!amount(r->length_mean[i]) || !amount(r->length_sd[i])) return "a length is negative or infinite";
    if (!amount(r->cost[i])) return "cost is negative or infinite";
    if (r->votes_yes[i] < 0 || r->votes_no[i] < 0 || r->votes_unparsed[i] < 0)
        return "a count of votes is negative";
    if (r->output_tokens[i] < 0 || r->prompt_tokens[i] < -1) return "a count of tokens is negative";
    if (r->prompt_source[i] > SG_PROMPT_COUNTED) return "prompt_source is no known code";
    if (r->true_correct && (r->true_correct[i] < -1 || r->true_correct[i] > 1))
        return "true_correct is no known code";
    if (r->true_score && !score(r->true_correct[i], r->true_score[i]))
        return "true_score is not from 0 to 1, or not known just where true_correct is";
    if (r->true_correct && (!amount(r->true_length[i]) || !amount(r->true_cost[i])))
        return "a true length or cost is negative or infinite";
    if (isinf(r->similarity[i / r->n_models])) return "similarity is infinite";
    if (!share(r->knn_correct[i]) || !share(r->anchor_correct[i]))
        return "a baseline's correctness is no probability";
    for (int64_t k = i * r->n_samples; k < (i + 1) * r->n_samples; k++) {
        if (r->sample_correct[k] < -1 || r->sample_correct[k] > 1) return "sample_correct is no known code";
        if (!share((double)r->sample_p_yes[k])) return "sample_p_yes is no probability";
        if (r->sample_tokens[k] < 0 || r->sample_length[k] < -1) return "a sample's tokens are negative";
        if (k - i * r->n_samples >= sg_results_cell_samples(r, i) &&
            (r->sample_correct[k] != -1 || r->sample_length[k] != -1 || r->sample_tokens[k]))
            return "it has more samples than votes";
    }
    return NULL;
}

/* Compares the aggregates with those of the samples. */
static const char *bad_aggregates(const struct sg_results *r, int64_t i, struct sg_cell *cell) {
    sg_cell_estimate(cell, sg_results_price(r, cell->model));
    if (cell->valid != (r->valid[i] != 0) || cell->votes_yes != r->votes_yes[i] ||
        cell->votes_no != r->votes_no[i] || cell->votes_unparsed != r->votes_unparsed[i])
        return "votes are not those of its samples";
    if (!same(cell->p_correct, r->p_correct[i])) return "p_correct is not the mean of its samples";
    if (!same(cell->length_mean, r->length_mean[i]) || !same(cell->length_sd, r->length_sd[i]))
        return "length_mean or length_sd is not that of its samples";
    if (cell->output_tokens != r->output_tokens[i]) return "output_tokens is not the sum of its samples";
    if (!same(cell->cost, r->cost[i])) return "cost is not that of its tokens at the model's prices";
    return NULL;
}

/* A file without standard errors has NaN for them. */
static const char *bad_errors(const struct sg_results *r, int64_t i, const struct sg_spread *pool) {
    double p, length;
    if (isnan(r->p_se[i]) && isnan(r->length_se[i])) return NULL;
    sg_results_errors(r, i, pool, &p, &length);
    return same(p, r->p_se[i]) && same(length, r->length_se[i])
               ? NULL
               : "p_se or length_se is not that of its samples";
}

/* What is wrong with the anchors' outcomes, and with calibration as one of them; NULL: nothing. */
static const char *bad_anchors(const struct sg_results *r) {
    const struct sg_anchor_outcomes *a = &r->anchors;
    for (int64_t i = 0; i < a->n * r->n_models; i++) {
        if (a->correct[i] < -1 || a->correct[i] > 1) return "anchors/correct is no known code";
        if (a->score && !score(a->correct[i], a->score[i]))
            return "anchors/score is not from 0 to 1, or not known just where anchors/correct is";
        if (a->completion_tokens[i] < -1 || a->prompt_tokens[i] < -1)
            return "a count of tokens of anchors is negative";
    }
    for (int64_t c = 0, i = 0; r->calibration && c < r->calibration->n_queries; c++) {
        while (i < a->n && strcmp(a->id[i], r->calibration->query[c]) != 0) i++; /* in the same order */
        if (i == a->n) return "a row of calibration is no anchor, or stands out of order";
        for (int64_t m = 0; m < r->n_models; m++)
            if (r->calibration->true_correct[c * r->n_models + m] != a->correct[i * r->n_models + m] ||
                !same(sg_results_true_score(r->calibration, c * r->n_models + m),
                      sg_results_anchor_score(r, i * r->n_models + m)))
                return "the truth of calibration is not the anchors' outcome";
    }
    return NULL;
}

static enum sg_status check_cells(struct check *c, const char *path, const struct sg_results *r,
                                  const struct sg_results_texts *texts, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_cell_buf buf = {0};
    const int64_t n = sg_results_n_cells(r);
    const struct sg_spread pool = sg_results_spread(r);
    for (int64_t m = 0; m < r->n_models; m++)
        if (!amount(r->price_input[m]) || !amount(r->price_output[m]) || !amount(r->price_request[m]))
            SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: model %s: a price is negative or infinite", path,
                           r->model[m]));
    const char *bad = bad_anchors(r);
    if (bad) SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: %s", path, bad));
    for (int64_t i = 0; i < n; i++) {
        int64_t at;
        const struct sg_results *part = sg_results_part(r, i, &at);
        const char *wrong = bad_cell(part, at);
        const int32_t status = part->status[at];
        c->present += part->valid[at] == 1;
        c->missing += status < 0;
        c->failed += status > 0;
        c->unparsed += status == 0 && !part->valid[at];
        if (!wrong && status == SG_OK && r->n_samples) {
            struct sg_cell cell;
            st = sg_results_cell(r, texts, i, r->n_samples, &buf, &cell, err);
            if (st != SG_OK) {
                sg_err_at(err, "%s", path);
                SG_TRY(absorb(c, st, err));
                continue;
            }
            wrong = bad_aggregates(part, at, &cell);
            if (!wrong) wrong = bad_errors(part, at, &pool);
        }
        if (!wrong && r->origin.night && (r->origin.night[i] < 0) != (status < 0))
            wrong = "its night and its status do not agree on whether it was computed";
        if (wrong)
            SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: %s %s, model %s: %s", path, sg_results_row_kind(r, i),
                           sg_results_row_id(r, i), r->model[i % r->n_models], wrong));
    }
    if (c->failed != r->n_failures)
        SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: %lld cells failed, %lld have a reason", path,
                       (long long)c->failed, (long long)r->n_failures));
out:
    sg_cell_buf_free(&buf);
    return st;
}

/* Read, not mapped: the file may be cut while we look at it. */
static enum sg_status see_seal(struct check *c, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char seal[SG_H5_CHECKSUM_BYTES];
    uint64_t size = 0;
    int fd = -1;
    SG_TRY(sg_file_open_regular(path, &fd, &size, err));
    c->sealed = false;
    if (size < sizeof seal) goto out;
    SG_TRY(sg_fd_read_at(fd, seal, sizeof seal, size - sizeof seal, path, err));
    c->sealed = !memcmp(seal, "SGH5SEAL", 8);
out:
    if (fd >= 0) close(fd);
    return st;
}

/* plan NULL: the file alone. */
static enum sg_status check_results(struct check *c, const char *path, const struct sg_plan *plan,
                                    struct sg_err *err) {
    struct sg_results r = {0};
    struct sg_results_texts *texts = NULL;
    char hex[SG_DIGEST_HEX];
    enum sg_status st = sg_results_read(path, SG_RESULTS_VERIFY, &r, err);
    if (st != SG_OK) {
        st = plan ? absorb(c, st, err) : st; /* of a file alone the error is the verdict */
        goto out;
    }
    c->has_results = true;
    SG_TRY(see_seal(c, path, err));
    c->total = sg_results_n_cells(&r);
    c->calibration = c->total - r.n_queries * r.n_models;
    c->digest = r.digest;
    c->has_texts = r.text_digest != NULL;
    c->has_origin = r.origin.fingerprint != NULL;
    c->n_nights = r.origin.n_nights;
    c->taken_over = r.origin.taken_over;
    if (c->n_nights) snprintf(c->night, sizeof c->night, "%s", r.origin.nights[c->n_nights - 1]);
    if (c->has_texts) {
        st = absorb(c, sg_results_texts_open(path, &texts, err), err);
        if (st != SG_OK) goto out;
    }
    SG_TRY(check_cells(c, path, &r, texts, err));
    if (!plan) goto out;
    sg_digest_hex(plan->fingerprint, hex);
    if (!r.fingerprint || strcmp(r.fingerprint, hex) != 0)
        SG_TRY(problem(c, err, SG_E_MISMATCH, "%s: is of the run %s, the folder's plan of %s", path,
                       r.fingerprint ? r.fingerprint : "(unknown)", hex));
    else if (c->total != plan->n_cells)
        SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: has %lld cells, its plan %lld", path, (long long)c->total,
                       (long long)plan->n_cells));
    else
        for (int64_t i = 0; c->has_origin && i < c->total; i++)
            if (!sg_digest_equal(r.origin.fingerprint[i], plan->cell_fingerprint[i]))
                SG_TRY(problem(c, err, SG_E_MISMATCH,
                               "%s: %s %s, model %s: was computed from other inputs than the plan's", path,
                               sg_results_row_kind(&r, i), sg_results_row_id(&r, i),
                               r.model[i % r.n_models]));
out:
    sg_results_texts_close(texts);
    sg_results_free(&r);
    return st;
}

/* ---- a run's folder --------------------------------------------------------------------------------- */

struct seen {
    struct check *c;
    const struct sg_plan *plan;
    const char *dir;
    uint8_t *done;
};

static enum sg_status see_cell(void *ctx, int64_t i, struct sg_digest fingerprint, const struct sg_cell *cell,
                               struct sg_err *err) {
    struct seen *s = ctx;
    const int64_t models = s->plan->n_models;
    const char *wrong = NULL;
    s->c->segments_cells += !s->done[i];
    s->done[i] = 1;
    if (!sg_digest_equal(fingerprint, s->plan->cell_fingerprint[i]))
        wrong = "was computed from other inputs than the plan's";
    else if (cell->query != i / models || cell->model != i % models)
        wrong = "is filed under the index of another cell";
    else if (cell->status == SG_OK && cell->n_samples != sg_plan_cell_samples(s->plan, i))
        wrong = "does not have the job's number of samples";
    if (!wrong) return SG_OK;
    return problem(s->c, err, SG_E_CORRUPT, "%s/segments: %s %s, model %s: %s", s->dir,
                   sg_plan_row_kind(s->plan, i), s->plan->queries[i / models].id,
                   s->plan->models[i % models].id, wrong);
}

static enum sg_status check_run(struct check *c, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan plan = {0};
    struct sg_run_done done = {.total = 0};
    struct seen s = {.c = c, .plan = &plan, .dir = dir};
    struct sg_run_id id;
    char *results = NULL;
    SG_TRY(sg_rundir_read_plan(dir, &plan, err));
    SG_TRY(sg_rundir_read_run(dir, &id, err));
    c->total = plan.n_cells;
    c->calibration = plan.n_calibration * plan.n_models;
    SG_TRY(SG_NEW(&s.done, plan.n_cells, "cells", err));
    c->segments_cells = 0;
    SG_TRY(absorb(c, sg_segments_read(dir, plan.fingerprint, plan.n_cells, see_cell, &s, err), err));
    SG_TRY(absorb(c, sg_rundir_read_done(dir, &c->is_done, &done, err), err));
    SG_TRY(sg_path_join(dir, "results.h5", &results, err));
    if (sg_file_exists(results)) SG_TRY(check_results(c, results, &plan, err));
    if (!c->has_results) c->missing = plan.n_cells - c->segments_cells;
    if (!c->is_done) {
        SG_TRY(problem(c, err, SG_E_PARTIAL, "%s: not done: %lld of %lld cells are finished", dir,
                       (long long)c->segments_cells, (long long)c->total));
        goto out;
    }
    if (!sg_digest_equal(done.fingerprint, plan.fingerprint))
        SG_TRY(problem(c, err, SG_E_MISMATCH, "%s/DONE: belongs to another run than run.json", dir));
    if (!strcmp(id.group, ".")) { /* the run of a prefill group: it has no results file */
        c->missing = 0;
        goto out;
    }
    if (!sg_file_exists(results))
        SG_TRY(problem(c, err, SG_E_CORRUPT,
                       "%s: is DONE but has no results.h5; scope-grid %s writes it anew", dir,
                       *id.group ? "run SWEEP (without DONE)" : "merge"));
    else if (c->has_results && !sg_digest_equal(done.digest, c->digest))
        SG_TRY(problem(c, err, SG_E_CORRUPT, "%s/DONE: states another digest than results.h5 has", dir));
    if (c->segments_cells < c->total && !*id.group) /* a point's lie in the run of its group */
        SG_TRY(problem(c, err, SG_E_CORRUPT, "%s: is DONE, but %lld of %lld cells are in no segment", dir,
                       (long long)(c->total - c->segments_cells), (long long)c->total));
    if (c->has_results && done.failed != c->failed)
        SG_TRY(problem(c, err, SG_E_CORRUPT, "%s/DONE: states %lld failed cells, results.h5 has %lld", dir,
                       (long long)done.failed, (long long)c->failed));
out:
    free(results);
    free(s.done);
    sg_plan_free(&plan);
    return st;
}

/* ---- the verdict ------------------------------------------------------------------------------------ */

static enum sg_status print_json(const struct check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(c->digest, hex);
    SG_TRY(sg_buf_str(&b, "{\"path\": ", err));
    SG_TRY(sg_json_quote(&b, c->path, strlen(c->path), err));
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"kind\": \"%s\", \"verdict\": \"%s\", \"cells\": %lld, \"calibration\": %lld, "
                         "\"present\": %lld, \"failed\": "
                         "%lld, \"missing\": %lld, \"unparsed\": %lld, \"digest\": ",
                         c->is_run ? "run" : "results", sg_status_name(c->worst), (long long)c->total,
                         (long long)c->calibration, (long long)c->present, (long long)c->failed,
                         (long long)c->missing, (long long)c->unparsed));
    SG_TRY(sg_buf_printf(&b, err, c->has_results ? "\"%s\"" : "null", hex));
    SG_TRY(sg_buf_printf(
        &b, err, ", \"sealed\": %s, \"fingerprints\": %s, \"texts\": %s, \"taken_over\": %lld, \"night\": ",
        c->sealed ? "true" : "false", c->has_origin ? "true" : "false", c->has_texts ? "true" : "false",
        (long long)c->taken_over));
    if (c->n_nights)
        SG_TRY(sg_json_quote(&b, c->night, strlen(c->night), err));
    else
        SG_TRY(sg_buf_str(&b, "null", err));
    if (c->is_run)
        SG_TRY(sg_buf_printf(&b, err, ", \"done\": %s, \"in_segments\": %lld", c->is_done ? "true" : "false",
                             (long long)c->segments_cells));
    SG_TRY(sg_buf_printf(&b, err, ", \"n_problems\": %lld, \"problems\": [%s]}\n", (long long)c->n_problems,
                         c->problems.data ? c->problems.data : ""));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

static void print_text(const struct check *c) {
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(c->digest, hex);
    char cells[SG_CELLS_TEXT];
    printf("%s: %s, %lld present, %lld failed, %lld missing", c->path,
           sg_cells_text(c->total, c->calibration, cells), (long long)c->present, (long long)c->failed,
           (long long)c->missing);
    if (c->unparsed) printf(", %lld without a verdict", (long long)c->unparsed);
    if (c->is_run) printf("; %lld in segments", (long long)c->segments_cells);
    putchar('\n');
    if (c->has_results) {
        printf("  digest %s, %s%s\n", hex,
               c->sealed ? "sealed" : "no seal (another tool has written the file)",
               c->has_origin ? "" : "; does not say what its cells were computed from");
        if (c->taken_over)
            printf("  night %s, %lld cells taken over from earlier results\n", c->night,
                   (long long)c->taken_over);
    }
    if (c->lines.len) fputs(c->lines.data, stdout);
    if (c->n_problems > MAX_SHOWN) printf("  and %lld more\n", (long long)(c->n_problems - MAX_SHOWN));
}

enum sg_status sg_cmd_check(int argc, char **argv, struct sg_err *err) {
    bool json = false, help;
    const char *path = NULL, *model = NULL, *device = NULL;
    struct check c = {.segments_cells = -1};
    const struct sg_opt opts[] = {
        {"json", SG_OPT_FLAG, &json, 0, 0, NULL, "print one JSON object: verdict, counts, digest, problems"},
        {"model", SG_OPT_STR, &model, 0, 0, "DIR",
         "check a checkpoint: config.json, *.safetensors, tokenizer.json"},
        {"device", SG_OPT_STR, &device, 0, 0, "NAME",
         "with --model: what would compute: cpu, ref, ... (default: the fastest present)"},
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, &path, 0, 1}, &help, err);
    if (st != SG_OK || help) return st;
    if (!path == !model)
        return sg_fail(err, SG_E_USAGE, "check: expected RESULTS.h5, RUNDIR or --model DIR, one of them");
    if (model) return sg__check_model(model, device, json, err);
    c.path = path;
    c.is_run = sg_dir_exists(path);
    SG_TRY(c.is_run ? check_run(&c, path, err) : check_results(&c, path, NULL, err));
    if (c.worst == SG_OK && (c.failed || c.missing))
        SG_TRY(problem(&c, err, SG_E_PARTIAL, "%s: %lld cells failed, %lld are missing", path,
                       (long long)c.failed, (long long)c.missing));
    if (json)
        SG_TRY(print_json(&c, err));
    else
        print_text(&c);
    if (c.worst != SG_OK)
        st = sg_fail(err, c.worst, "%s: %lld problem%s found", path, (long long)c.n_problems,
                     c.n_problems == 1 ? "" : "s");
out:
    sg_buf_free(&c.problems);
    sg_buf_free(&c.lines);
    return st;
}
