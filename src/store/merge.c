#include "store/merge.h"

#include "cell/estimate.h"
#include "store/results_writer.h"
#include "store/segment_reader.h"
#include "store/spread.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a cell lies: file -1 when nowhere. */
struct place {
    int64_t file, record;
};

/* The run's own segments, then those of its prefill group. */
struct segments {
    struct sg__segment_reader own, group;
};

static int64_t n_files(const struct segments *set) {
    return set->own.n_files + set->group.n_files;
}
static const struct sg__segment_file *file_at(const struct segments *set, int64_t file) {
    const int64_t n = set->own.n_files;
    return file < n ? &set->own.files[file] : &set->group.files[file - n];
}

/* Equal but for cost (prices may change between two runs) and for texts that one of them did not keep. */
static bool same_f64(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}
static bool same_cell(const struct sg_cell *a, const struct sg_cell *b) {
    if (a->query != b->query || a->model != b->model || a->valid != b->valid ||
        a->votes_yes != b->votes_yes || a->votes_no != b->votes_no ||
        a->votes_unparsed != b->votes_unparsed || a->prompt_tokens != b->prompt_tokens ||
        a->output_tokens != b->output_tokens || a->n_samples != b->n_samples ||
        !same_f64(a->p_correct, b->p_correct) || !same_f64(a->length_mean, b->length_mean) ||
        !same_f64(a->length_sd, b->length_sd))
        return false;
    for (int32_t i = 0; i < a->n_samples; i++) {
        const struct sg_cell_sample *x = &a->samples[i], *y = &b->samples[i];
        if (x->correct != y->correct || x->finish != y->finish || x->tokens != y->tokens ||
            x->length != y->length || !same_f64((double)x->p_yes, (double)y->p_yes))
            return false;
        if (x->text && y->text &&
            (x->text_bytes != y->text_bytes || memcmp(x->text, y->text, (size_t)x->text_bytes) != 0))
            return false;
    }
    return true;
}

static enum sg_status take(const struct segments *set, struct place p, struct sg__cell_buf *buf,
                           struct sg_cell *out, struct sg_err *err) {
    const struct sg__segment_file *f = file_at(set, p.file);
    struct sg_digest fp;
    return sg__segment_take(&f->view, p.record, f->path, buf, &fp, out, err);
}

/* Reads the cell's record and checks that it has the fingerprint of its plan. Of a group's cell it keeps only
 * the samples of the results. */
static enum sg_status take_checked(const struct segments *set, struct place p, const struct sg_results *r,
                                   const struct sg_merge_group *group, struct sg__cell_buf *buf, int64_t cell,
                                   struct sg_cell *out, struct sg_err *err) {
    const struct sg__segment_file *f = file_at(set, p.file);
    const bool shared = p.file >= set->own.n_files;
    const struct sg_digest *want = shared ? group->cell_fingerprint : r->origin.fingerprint;
    struct sg_digest fp;
    enum sg_status st = sg__segment_take(&f->view, p.record, f->path, buf, &fp, out, err);
    if (st != SG_OK) return st;
    if (want && !sg_digest_equal(fp, want[cell]))
        return sg_fail(err, SG_E_CORRUPT,
                       "%s: cell %" PRId64
                       " was computed from other inputs than the plan's (its fingerprint differs)",
                       f->path, cell);
    if (!shared || out->status != SG_OK) return SG_OK;
    if (out->n_samples != group->n_samples)
        return sg_fail(err, SG_E_CORRUPT,
                       "%s: cell %" PRId64 " has %d samples, expected %" PRId64 ", all of its prefill group",
                       f->path, cell, out->n_samples, group->n_samples);
    out->samples += group->first;
    out->n_samples = (int32_t)r->n_samples;
    if (out->model >= 0 && out->model < r->n_models) sg_cell_estimate(out, sg_results_price(r, out->model));
    return SG_OK;
}

/* Chooses between two copies of one cell. */
static enum sg_status resolve(const struct segments *set, struct place *kept, struct place other,
                              struct sg__cell_buf bufs[2], struct sg_err *err) {
    struct sg_cell a, b;
    const struct sg__segment_file *fa = file_at(set, kept->file), *fb = file_at(set, other.file);
    const struct sg__segment_entry ea = sg__segment_entry_at(&fa->view, kept->record);
    const struct sg__segment_entry eb = sg__segment_entry_at(&fb->view, other.record);
    if (ea.checksum == eb.checksum && ea.bytes == eb.bytes) return SG_OK;
    if (ea.status != SG_OK ||
        eb.status != SG_OK) { /* a failure may come from the machine: copies need not agree */
        if (ea.status != SG_OK && eb.status == SG_OK) *kept = other;
        return SG_OK;
    }
    if (kept->file < set->own.n_files && other.file >= set->own.n_files) return SG_OK;
    enum sg_status st = take(set, *kept, &bufs[0], &a, err);
    if (st == SG_OK) st = take(set, other, &bufs[1], &b, err);
    if (st != SG_OK) return st;
    if (!same_cell(&a, &b))
        return sg_fail(err, SG_E_CORRUPT,
                       "cell %" PRId64
                       " differs between %s and %s although both are of this run; move one of them away",
                       ea.cell, fa->path, fb->path);
    return SG_OK;
}

static enum sg_status find_cells(const struct segments *set, struct place *place, struct sg__cell_buf bufs[2],
                                 struct sg_err *err) {
    for (int64_t f = 0; f < n_files(set); f++) {
        for (int64_t i = 0; i < file_at(set, f)->view.count; i++) {
            const int64_t cell = sg__segment_entry_at(&file_at(set, f)->view, i).cell;
            const struct place here = {f, i};
            if (place[cell].file < 0) {
                place[cell] = here;
                continue;
            }
            enum sg_status st = resolve(set, &place[cell], here, bufs, err);
            if (st != SG_OK) return st;
        }
    }
    return SG_OK;
}

/* r: the results, or their calibration; i: the cell's place in it. */
static void set_cell(struct sg_results *r, int64_t i, const struct sg_cell *c) {
    r->valid[i] = c->valid;
    r->p_correct[i] = c->p_correct;
    r->votes_yes[i] = c->votes_yes;
    r->votes_no[i] = c->votes_no;
    r->votes_unparsed[i] = c->votes_unparsed;
    r->length_mean[i] = c->length_mean;
    r->length_sd[i] = c->length_sd;
    /* Without measured prompt tokens in the outcomes the estimator's own count is used. */
    if (r->prompt_source[i] != SG_PROMPT_MEASURED && c->prompt_tokens > 0)
        r->prompt_tokens[i] = c->prompt_tokens;
    r->output_tokens[i] = c->output_tokens;
    r->status[i] = c->status;
    const struct sg_price price = sg_results_price(r, c->model);
    const int32_t prompt = r->prompt_tokens[i];
    if (c->valid) r->cost[i] = sg_call_cost(price, prompt, c->length_mean);
    for (int32_t s = 0; s < c->n_samples; s++) {
        const int64_t k = i * r->n_samples + s;
        r->sample_correct[k] = c->samples[s].correct;
        r->sample_length[k] = c->samples[s].length;
        r->sample_p_yes[k] = c->samples[s].p_yes;
        r->sample_tokens[k] = c->samples[s].tokens;
        r->sample_finish[k] = c->samples[s].finish;
    }
    /* Outcomes without measured prompt tokens: the same prompt, so the same count. */
    if (r->true_cost && isnan(r->true_cost[i]) && !isnan(r->true_length[i]) && prompt >= 0)
        r->true_cost[i] = sg_call_cost(price, prompt, r->true_length[i]);
}

static enum sg_status add_failure(struct sg_results *r, int64_t i, const struct sg_cell *c, size_t cap[2],
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *why = c->reason ? c->reason : sg_status_name((enum sg_status)c->status);
    SG_TRY(SG_GROW(&r->failure_cell, &cap[0], r->n_failures + 1, "failures", err));
    SG_TRY(SG_GROW(&r->failure_reason, &cap[1], r->n_failures + 1, "failures", err));
    SG_TRY(sg_arena_dup(&r->strings, why, strlen(why), &r->failure_reason[r->n_failures], err));
    r->failure_cell[r->n_failures++] = i;
out:
    return st;
}

/* The cell's night, of the segment it lies in. Nights are numbered as they come, the run's own is number 0;
 * number[n_files] is -1 for a segment whose night has none yet. */
static enum sg_status set_origin(struct sg_results *r, const struct segments *set, int64_t file, int64_t cell,
                                 int32_t *number, size_t *cap, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_origin *o = &r->origin;
    struct sg_buf since = {0};
    const struct sg__segment_view *v = &file_at(set, file)->view;
    if (number[file] < 0) {
        int32_t k = 0;
        bool listed = !v->since;
        while (k < o->n_nights && strcmp(o->nights[k], v->night) != 0) k++;
        if (k == o->n_nights) {
            SG_TRY(SG_GROW(&o->nights, cap, k + 1, "nights", err));
            SG_TRY(sg_arena_dup(&r->strings, v->night, strlen(v->night), &o->nights[o->n_nights++], err));
        }
        for (int64_t f = 0; f < n_files(set) && !listed; f++)
            listed = number[f] >= 0 && file_at(set, f)->view.since &&
                     !strcmp(file_at(set, f)->view.since, v->since);
        if (!listed) {
            SG_TRY(sg_buf_printf(&since, err, "%s%s%s", o->since ? o->since : "", o->since ? ", " : "",
                                 v->since));
            SG_TRY(sg_arena_dup(&r->strings, since.data, since.len, &o->since, err));
        }
        number[file] = k;
    }
    o->night[cell] = number[file];
    o->taken_over += v->since != NULL;
out:
    sg_buf_free(&since);
    return st;
}

/* The run's own night becomes the last, the others keep their order. */
static void own_night_last(struct sg_origin *o, int64_t n_cells) {
    const int32_t last = (int32_t)o->n_nights - 1;
    char *own = o->nights[0];
    memmove(o->nights, o->nights + 1, (size_t)last * sizeof *o->nights);
    o->nights[last] = own;
    for (int64_t i = 0; i < n_cells; i++)
        if (o->night[i] >= 0) o->night[i] = o->night[i] ? o->night[i] - 1 : last;
}

static enum sg_status check_cell(const struct sg_results *r, int64_t i, const struct sg_cell *c,
                                 const char *path, struct sg_err *err) {
    if (c->query == i / r->n_models && c->model == i % r->n_models && c->n_samples <= r->n_samples)
        return SG_OK;
    return sg_fail(err, SG_E_CORRUPT,
                   "%s: cell %" PRId64 " is (query %d, model %d) with %d samples; the plan has (%" PRId64
                   ", %" PRId64 ") with at most %" PRId64,
                   path, i, c->query, c->model, c->n_samples, i / r->n_models, i % r->n_models, r->n_samples);
}

enum sg_status sg_merge(const char *run_dir, struct sg_digest fingerprint, const struct sg_merge_group *group,
                        bool texts, struct sg_results *r, struct sg_merge_stats *stats, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n_cells = sg_results_n_cells(r), n_own = r->n_queries * r->n_models;
    struct segments set = {0};
    struct sg__cell_buf bufs[2] = {{0}};
    struct sg_results_writer *w = NULL;
    struct sg_merge_stats count = {.n_cells = n_cells, .n_calibration = n_cells - n_own};
    struct place *place = NULL;
    int32_t *number = NULL; /* [n_files] nights */
    char *path = NULL;
    size_t cap[2] = {(size_t)r->n_failures, (size_t)r->n_failures}, nights = (size_t)r->origin.n_nights;
    SG_TRY(sg__segment_reader_open(run_dir, fingerprint, n_cells, &set.own, err));
    if (group) SG_TRY(sg__segment_reader_open(group->dir, group->fingerprint, n_cells, &set.group, err));
    SG_TRY(SG_NEW(&place, n_cells, "cell places", err));
    SG_TRY(SG_NEW(&number, n_files(&set), "nights of segments", err));
    for (int64_t i = 0; i < n_cells; i++) place[i].file = -1;
    for (int64_t i = 0; i < n_files(&set); i++) number[i] = -1;
    SG_TRY(find_cells(&set, place, bufs, err));

    sg_temp_tidy(run_dir, ".", (const char *const[]){"results.h5", NULL},
                 0); /* of a killed merge; the caller has the lock */
    SG_TRY(sg_path_join(run_dir, "results.h5", &path, err));
    SG_TRY(sg_results_writer_open(path, n_cells, r->n_samples, texts, &w, err));
    r->n_failures = 0;
    for (int64_t i = 0; i < n_cells; i++) {
        struct sg_cell c;
        if (place[i].file < 0) {
            if (r->origin.night) r->origin.night[i] = -1;
            SG_TRY(sg_results_writer_cell(w, NULL, err));
            continue;
        }
        SG_TRY(take_checked(&set, place[i], r, group, &bufs[0], i, &c, err));
        SG_TRY(check_cell(r, i, &c, file_at(&set, place[i].file)->path, err));
        struct sg_results *part = i < n_own ? r : r->calibration;
        const int64_t at = i < n_own ? i : i - n_own;
        set_cell(part, at, &c);
        if (r->origin.night) SG_TRY(set_origin(r, &set, place[i].file, i, number, &nights, err));
        count.n_done++;
        if (!file_at(&set, place[i].file)->view.since) count.prompt_tokens += c.estimator_prompt_tokens;
        count.n_unparsed += c.status == SG_OK && !part->valid[at];
        if (c.status != SG_OK) {
            count.n_failed++;
            SG_TRY(add_failure(r, i, &c, cap, err));
        }
        SG_TRY(sg_results_writer_cell(w, &c, err));
    }
    if (r->origin.night) own_night_last(&r->origin, n_cells);
    sg_results_set_errors(r);
    st = sg_results_writer_close(w, r, err);
    w = NULL;
    if (st == SG_OK && stats) *stats = count;
out:
    sg_results_writer_abandon(w);
    sg__segment_reader_close(&set.own);
    sg__segment_reader_close(&set.group);
    free(bufs[0].samples);
    free(bufs[1].samples);
    free(place);
    free(number);
    free(path);
    return st;
}
