#include "job/plan.h"

#include "base/file.h"
#include "base/utf8.h"
#include "job/calibration.h"
#include "job/cell_list.h"
#include "job/plan_memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEMPLATE_BYTES = 1 << 20 };

/* --- memory ---------------------------------------------------------------------------------------- */

/* Counts and then hands out: the same calls with block = NULL only add up. */
struct carver {
    char *block;
    size_t used;
    bool overflow;
};

static void *carve(struct carver *c, int64_t n, size_t size) {
    size_t bytes, end;
    if (!sg_mul_size((size_t)n, size, &bytes) || !sg_add_size(c->used, bytes, &end) ||
        !sg_add_size(end, 15, &end)) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->block ? c->block + c->used : NULL;
    c->used = end & ~(size_t)15;
    return p;
}

static void carve_all(struct carver *c, struct sg_plan *p) {
    p->queries = carve(c, p->n_rows, sizeof *p->queries);
    p->anchors = carve(c, p->n_anchors, sizeof *p->anchors);
    p->calibration = carve(c, p->n_calibration, sizeof *p->calibration);
    p->models = carve(c, p->n_models, sizeof *p->models);
    p->params = carve(c, p->n_params, sizeof *p->params);
    p->anchor_outcomes = carve(c, p->n_anchors * p->n_models, sizeof *p->anchor_outcomes);
    p->truth = carve(c, p->n_queries * p->n_models, sizeof *p->truth);
    p->ranked = carve(c, p->n_rows * p->top_k, sizeof *p->ranked);
    p->cell_fingerprint = carve(c, p->n_cells, sizeof *p->cell_fingerprint);
    if (p->job.sampling.cells) p->listed = carve(c, p->n_cells, sizeof *p->listed);
}

enum sg_status sg__plan_alloc(struct sg_plan *p, struct sg_err *err) {
    struct sg__plan_memory *m = NULL;
    struct carver c = {0};
    /* each axis fits 31 bits, so these products fit 63 */
    p->n_rows = p->n_queries + p->n_calibration;
    if (p->n_rows > INT32_MAX)
        return sg_fail(err, SG_E_UNSUPPORTED, "plan: more than %d queries and calibration anchors",
                       INT32_MAX);
    SG_ASSERT(p->n_anchors <= INT32_MAX && p->n_models <= INT32_MAX);
    p->n_cells = p->n_rows * p->n_models;
    enum sg_status st = SG_NEW(&m, 1, "plan", err);
    if (st != SG_OK) return st;
    p->memory = m;
    carve_all(&c, p);
    if (c.overflow)
        return sg_fail(err, SG_E_NOMEM, "plan: %lld queries x %lld models do not fit the address space",
                       (long long)p->n_rows, (long long)p->n_models);
    st = sg_new(&m->block, c.used, 1, "plan", err);
    if (st != SG_OK) return st;
    c = (struct carver){.block = m->block};
    carve_all(&c, p);
    return SG_OK;
}

void sg_plan_free(struct sg_plan *p) {
    if (!p) return;
    struct sg__plan_memory *m = p->memory;
    if (m) {
        free(m->block);
        free(m->anchor_bytes);
        free(m->query_group);
        free(m->unknown);
        free(m->anchor_group);
        free(m->twin);
        free(m->group_count);
        free(m->group_correct);
        free(m->group_length);
        free(m);
    }
    sg_job_free(&p->job);
    sg_arena_free(&p->strings);
    memset(p, 0, sizeof *p);
}

/* --- what follows from the arrays -------------------------------------------------------------------- */

/* Sums over the anchors of each group, per model. */
static enum sg_status group_sums(const struct sg_plan *p, struct sg__plan_memory *m, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = m->n_groups * p->n_models;
    SG_TRY(SG_NEW(&m->group_count, n, "anchor means", err));
    SG_TRY(SG_NEW(&m->group_correct, n, "anchor means", err));
    SG_TRY(SG_NEW(&m->group_length, n, "anchor means", err));
    for (int64_t a = 0; a < p->n_anchors; a++)
        for (int64_t j = 0; j < p->n_models; j++) {
            const struct sg_outcome *o = &p->anchor_outcomes[a * p->n_models + j];
            if (!o->known) continue;
            for (int pass = 0; pass < 2; pass++) { /* in all anchors, and in its category */
                int64_t at = (pass ? m->anchor_group[a] : 0) * p->n_models + j;
                m->group_count[at]++;
                m->group_correct[at] += o->score;
                m->group_length[at] += o->completion_tokens;
            }
        }
out:
    return st;
}

/* m->twin, for the calibration anchors' own baselines. */
static enum sg_status find_twins(const struct sg_plan *p, struct sg__plan_memory *m, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids texts = {0};
    int64_t old;
    if (!p->n_calibration) return SG_OK;
    SG_TRY(SG_NEW(&m->twin, p->n_anchors, "anchors", err));
    for (int64_t a = 0; a < p->n_anchors; a++) {
        const struct sg_text *t = &p->anchors[a].prompt;
        SG_TRY(sg_ids_add(&texts, t->s, (size_t)t->n, a, &old, err));
        m->twin[a] = (int32_t)a;
        if (old < 0) continue;
        m->twin[a] = m->twin[old];
        m->twin[old] = (int32_t)a;
    }
out:
    sg_ids_free(&texts);
    return st;
}

static bool any_graded(const struct sg_outcome *o, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (o[i].known && o[i].score > 0 && o[i].score < 1) return true;
    return false;
}

enum sg_status sg__plan_derive(struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__plan_memory *m = p->memory;
    struct sg_ids categories = {0};
    size_t chars = (size_t)p->job.prompt.anchor_chars;
    int64_t old;
    SG_TRY(SG_NEW(&m->anchor_group, p->n_anchors, "anchor groups", err));
    SG_TRY(SG_NEW(&m->anchor_bytes, p->n_anchors, "anchors", err));
    SG_TRY(SG_NEW(&m->query_group, p->n_rows, "query groups", err));
    m->n_groups = 1;
    for (int64_t a = 0; a < p->n_anchors; a++) {
        const struct sg_query *q = &p->anchors[a];
        m->anchor_bytes[a] =
            chars ? (int64_t)sg_utf8_prefix(q->prompt.s, (size_t)q->prompt.n, chars) : q->prompt.n;
        SG_TRY(sg_ids_add(&categories, q->category, strlen(q->category), m->n_groups, &old, err));
        m->anchor_group[a] = (int32_t)(old >= 0 ? old : m->n_groups++);
    }
    for (int64_t q = 0; q < p->n_rows; q++) {
        int64_t g = sg_ids_get(&categories, p->queries[q].category, strlen(p->queries[q].category));
        m->query_group[q] = g < 0 ? 0 : (int32_t)g;
    }
    p->graded = any_graded(p->anchor_outcomes, p->n_anchors * p->n_models) ||
                (p->truth && any_graded(p->truth, p->n_queries * p->n_models));
    SG_TRY(group_sums(p, m, err));
    SG_TRY(find_twins(p, m, err));
out:
    sg_ids_free(&categories);
    return st;
}

/* --- building ---------------------------------------------------------------------------------------- */

struct sources {
    struct sg__questions queries, anchors;
    struct sg__portfolio models;
};

static void sources_free(struct sources *s) {
    sg__questions_free(&s->queries);
    sg__questions_free(&s->anchors);
    sg__portfolio_free(&s->models);
}

static enum sg_status read_sources(const struct sg_job *job, struct sg_arena *strings, struct sources *s,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__records r = {.fd = -1};
    SG_TRY(sg__records_open(job->portfolio, &r, err));
    SG_TRY(sg__portfolio_read(&r, strings, &s->models, err));
    sg__records_close(&r);
    SG_TRY(sg__records_open(job->queries, &r, err));
    SG_TRY(sg__questions_read(&r, "queries", false, strings, &s->queries, err));
    sg__records_close(&r);
    SG_TRY(sg__records_open(job->anchors, &r, err));
    SG_TRY(sg__questions_read(&r, "anchors", job->prompt.anchors == 0, strings, &s->anchors, err));
out:
    sg__records_close(&r);
    return st;
}

static enum sg_status read_outcomes(struct sg_plan *p, const struct sources *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__records r = {.fd = -1};
    struct sg__outcomes o = {
        .correct_at = p->job.prompt.correct_at, .truth = p->truth, .anchor_outcomes = p->anchor_outcomes};
    struct sg__plan_memory *m = p->memory;
    SG_TRY(sg__records_open(p->job.outcomes, &r, err));
    SG_TRY(sg__outcomes_read(&r, &s->queries, &s->anchors, &s->models, &p->strings, &o, err));
    p->unused_outcomes = o.unused;
    p->unknown = m->unknown = o.unknown;
    p->n_unknown = o.n_unknown;
    if (!o.n_truth) p->truth = NULL;
out:
    sg__records_close(&r);
    return st;
}

static enum sg_status read_text_file(const char *path, struct sg_arena *strings, const char **out,
                                     struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *text;
    size_t bad;
    SG_TRY(sg_file_read(path, MAX_TEMPLATE_BYTES, &b, err));
    if (!sg_utf8_valid(b.data, b.len, &bad) || memchr(b.data, 0, b.len)) {
        int64_t line = 1;
        if (sg_utf8_valid(b.data, b.len, NULL)) bad = strlen(b.data);
        for (size_t i = 0; i < bad; i++) line += b.data[i] == '\n';
        st = sg_fail(err, SG_E_INPUT, "%s:%lld: invalid UTF-8, or a NUL byte", path, (long long)line);
        goto out;
    }
    SG_TRY(sg_arena_dup(strings, b.data, b.len, &text, err));
    *out = text;
out:
    sg_buf_free(&b);
    return st;
}

/* mine.txt and, where it exists, mine-example.txt */
static enum sg_status read_template(struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf example = {0};
    const char *path = p->job.prompt.template_path;
    if (!path) return SG_OK;
    SG_TRY(read_text_file(path, &p->strings, &p->template_text, err));
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if (!dot) dot = path + strlen(path);
    SG_TRY(sg_buf_printf(&example, err, "%.*s-example%s", (int)(dot - path), path, dot));
    if (sg_file_exists(example.data))
        SG_TRY(read_text_file(example.data, &p->strings, &p->example_text, err));
out:
    sg_buf_free(&example);
    return st;
}

/* Where outcomes are missing, a name that no entry knows may be the cause. */
static const char *unknown_names(const struct sg_plan *p, char *text, size_t n) {
    text[0] = 0;
    if (p->n_unknown)
        snprintf(text, n, " (the outcomes have %lld of \"%.60s\"%s, which no portfolio entry knows)",
                 (long long)p->unknown->outcomes, p->unknown->name, p->n_unknown > 1 ? " and others" : "");
    return text;
}

/* prompt.missing = "error": the first prompt.anchors of the ranking must have outcomes. "next": some of the
 * ranking must. Looked at model by model only where an anchor lacks one. */
static enum sg_status check_missing(const struct sg_plan *p, struct sg_err *err) {
    bool *complete = NULL;
    int64_t m = 0;
    int32_t lacking = 0;
    char text[160];
    enum sg_status st = sg__complete_anchors(p, &complete, err);
    for (int64_t q = 0; q < p->n_queries && st == SG_OK; q++) {
        if (!sg__row_lacks(p, complete, p->ranked + q * p->top_k, &m, &lacking)) continue;
        if (p->job.prompt.missing == SG_MISSING_ERROR)
            st = sg_fail(err, SG_E_INPUT,
                         "%s: no outcome of model \"%s\" on anchor \"%s\", which query \"%s\" shows; add "
                         "it, or set prompt.missing to \"next\"%s",
                         p->job.outcomes, p->models[m].id, p->anchors[lacking].id, p->queries[q].id,
                         unknown_names(p, text, sizeof text));
        else
            st = sg_fail(err, SG_E_INPUT,
                         "%s: no outcome of model \"%s\" on any of the %d anchors nearest to query "
                         "\"%s\"; add some, or raise prompt.similarity.top_k%s",
                         p->job.outcomes, p->models[m].id, (int)p->top_k, p->queries[q].id,
                         unknown_names(p, text, sizeof text));
    }
    free(complete);
    return st;
}

/* Ranks the anchors of all queries, then chooses and ranks the calibration anchors. */
static enum sg_status rank_anchors(struct sg_plan *p, const struct sg_plan_inputs *in,
                                   const struct sources *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__ranker *ranker = NULL;
    SG_TRY(sg__ranker_new(p, in, &s->queries, &s->anchors, p->n_calibration > 0, &ranker, err));
    SG_TRY(sg__ranker_queries(ranker, err));
    SG_TRY(check_missing(p, err));
    if (p->n_calibration) SG_TRY(sg__calibration_choose(p, ranker, err));
    p->n_rows = p->n_queries + p->n_calibration;
    p->n_cells = p->n_rows * p->n_models;
out:
    sg__ranker_free(ranker);
    return st;
}

struct sg_sampling_params sg_plan_job_params(const struct sg_job *job) {
    return (struct sg_sampling_params){.temperature = job->sampling.temperature,
                                       .top_p = job->sampling.top_p,
                                       .top_k = job->sampling.top_k,
                                       .seed = job->sampling.seed,
                                       .draws = (int64_t)job->sampling.draws,
                                       .samples = job->sampling.samples};
}

bool sg_plan_same_params(const struct sg_sampling_params *a, const struct sg_sampling_params *b) {
    return a->temperature == b->temperature && a->top_p == b->top_p && a->top_k == b->top_k &&
           a->seed == b->seed && a->draws == b->draws;
}

enum sg_status sg_plan_build(const struct sg_job *job, const struct sg_plan_inputs *in, struct sg_plan *out,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan p = {0};
    struct sources s = {0};
    SG_TRY(sg_job_from_text(job->text, strlen(job->text), job->path, &p.job, err)); /* a copy of its own */
    SG_TRY(read_sources(&p.job, &p.strings, &s, err));
    p.n_queries = s.queries.n;
    p.n_anchors = s.anchors.n;
    p.n_models = s.models.n;
    p.top_k =
        (int32_t)(job->prompt.similarity.top_k < p.n_anchors ? job->prompt.similarity.top_k : p.n_anchors);
    const struct sg_sampling_params own = sg_plan_job_params(job);
    p.n_params = in->n_params > 0 ? in->n_params : 1;
    p.n_calibration = job->calibration.anchors == SG_JOB_ALL || job->calibration.anchors > p.n_anchors
                          ? p.n_anchors
                          : job->calibration.anchors; /* room: may become less */
    SG_TRY(sg__plan_alloc(&p, err));
    memcpy(p.params, in->n_params > 0 ? in->params : &own, (size_t)p.n_params * sizeof own);
    for (int32_t i = 0; i < p.n_params; i++) p.n_samples += p.params[i].samples;
    memcpy(p.queries, s.queries.items, (size_t)p.n_queries * sizeof *p.queries);
    if (p.n_anchors) memcpy(p.anchors, s.anchors.items, (size_t)p.n_anchors * sizeof *p.anchors);
    memcpy(p.models, s.models.items, (size_t)p.n_models * sizeof *p.models);
    p.prices_from = s.models.as_of_first;
    p.prices_to = s.models.as_of_last;
    SG_TRY(read_outcomes(&p, &s, err));
    SG_TRY(read_template(&p, err));
    SG_TRY(rank_anchors(&p, in, &s, err));
    SG_TRY(sg__plan_derive(&p, err));
    if (p.listed) SG_TRY(sg__cell_list_read(&p, in->n_params > 0, err));
    SG_TRY(sg__plan_fingerprint(&p, in, err));
    *out = p;
    memset(&p, 0, sizeof p);
out:
    sources_free(&s);
    sg_plan_free(&p);
    return st;
}

enum sg_status sg_plan_point(const struct sg_plan *p, const struct sg_plan_inputs *in,
                             const struct sg_job *job, struct sg_plan *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan point = *p;
    point.job = *job;
    point.params = NULL;
    point.cell_fingerprint = NULL;
    SG_TRY(SG_NEW(&point.params, 1, "sampling parameters", err));
    SG_TRY(SG_NEW(&point.cell_fingerprint, p->n_cells, "cell fingerprints", err));
    point.params[0] = sg_plan_job_params(job);
    point.n_params = 1;
    point.n_samples = job->sampling.samples;
    SG_TRY(sg__plan_fingerprint(&point, in, err));
    *out = point;
    memset(&point, 0, sizeof point);
out:
    if (st != SG_OK) sg_plan_point_free(&point);
    return st;
}

void sg_plan_point_free(struct sg_plan *point) {
    free(point->params);
    free(point->cell_fingerprint);
    memset(point, 0, sizeof *point);
}
