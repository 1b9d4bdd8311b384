/* What others ask of a plan, cell by cell. */
#include "job/plan.h"
#include "job/plan_memory.h"
#include <math.h>
#include <stdio.h>

enum { BASELINE_ANCHORS = 6 }; /* as many as SCOPE's first stage takes */

/* What every prompt holds beside its texts: the template and the outcome lines, in bytes. Only the relation
 * to the texts matters. */
enum { TEMPLATE_BYTES = 1500, EXAMPLE_BYTES = 60 };

void sg_plan_cell_anchors(const struct sg_plan *p, int64_t cell, struct sg_cell_anchor *out, int32_t max,
                          int32_t *n) {
    const struct sg_cell_anchor *row = p->ranked + cell / p->n_models * p->top_k;
    int64_t model = cell % p->n_models;
    int32_t found = 0, want = max < p->job.prompt.anchors ? max : (int32_t)p->job.prompt.anchors;
    for (int32_t i = 0; i < p->top_k && found < want && row[i].anchor >= 0; i++)
        if (p->anchor_outcomes[row[i].anchor * p->n_models + model].known) out[found++] = row[i];
    *n = found;
}

int64_t sg_plan_cell_weight(const struct sg_plan *p, int64_t cell) {
    const struct sg__plan_memory *m = p->memory;
    const struct sg_cell_anchor *row = p->ranked + cell / p->n_models * p->top_k;
    int64_t model = cell % p->n_models, bytes = TEMPLATE_BYTES + p->queries[cell / p->n_models].prompt.n;
    int32_t found = 0;
    for (int32_t i = 0; i < p->top_k && found < p->job.prompt.anchors && row[i].anchor >= 0; i++)
        if (p->anchor_outcomes[row[i].anchor * p->n_models + model].known) {
            bytes += EXAMPLE_BYTES + m->anchor_bytes[row[i].anchor];
            found++;
        }
    return bytes;
}

/* The mean over the group, without the cell's own calibration anchor and its twins; over all anchors where
 * that leaves none. */
static void category_means(const struct sg_plan *p, int64_t cell, double *correct, double *length) {
    const struct sg__plan_memory *m = p->memory;
    const int64_t row = cell / p->n_models, model = cell % p->n_models;
    const int32_t own = row < p->n_queries ? -1 : p->calibration[row - p->n_queries];
    *correct = *length = NAN;
    for (int32_t group = m->query_group[row];; group = 0) {
        const int64_t at = group * p->n_models + model;
        int64_t n = m->group_count[at];
        double c = m->group_correct[at], l = m->group_length[at];
        for (int32_t a = own; a >= 0; a = m->twin[a] == own ? -1 : m->twin[a]) {
            const struct sg_outcome *o = &p->anchor_outcomes[a * p->n_models + model];
            if (!o->known || (group && m->anchor_group[a] != group)) continue;
            n--;
            c -= o->score;
            l -= o->completion_tokens;
        }
        if (n > 0) {
            *correct = fmin(fmax(c / (double)n, 0), 1); /* graded sums are rounded */
            *length = l / (double)n;
        }
        if (n > 0 || !group) return;
    }
}

const struct sg_outcome *sg_plan_cell_truth(const struct sg_plan *p, int64_t cell) {
    const int64_t row = cell / p->n_models - p->n_queries;
    const struct sg_outcome *o = NULL;
    if (row >= 0)
        o = &p->anchor_outcomes[p->calibration[row] * p->n_models + cell % p->n_models];
    else if (p->truth)
        o = &p->truth[cell];
    return o && o->known ? o : NULL;
}

bool sg_plan_calibration_lacks(const struct sg_plan *p, char text[SG_CALIBRATION_TEXT]) {
    const int64_t asked = p->job.calibration.anchors;
    const long long possible = p->n_calibratable, all = p->n_anchors;
    const bool file = p->job.prompt.similarity.method == SG_SIM_FILE;
    if (asked == 0 || all == 0 || p->n_calibration == (asked == SG_JOB_ALL || asked > all ? all : asked))
        return false;
    const char *what = file ? "outcomes and a record of their own in the similarity file" : "outcomes";
    if (p->n_calibration < possible)
        (void)snprintf(
            text, SG_CALIBRATION_TEXT,
            "%lld of the %lld anchors that have %s; prompts of the others lack outcomes of some model",
            (long long)p->n_calibration, possible, what);
    else
        (void)snprintf(text, SG_CALIBRATION_TEXT, "%lld of %lld anchors: no others have %s", possible, all,
                       what);
    return true;
}

double sg_plan_row_similarity(const struct sg_plan *p, int64_t row) {
    const struct sg_cell_anchor *ranked = p->ranked + row * p->top_k;
    double sum = 0;
    int64_t n = 0;
    for (int64_t m = 0; m < p->n_models; m++)
        for (int32_t i = 0, found = 0; i < p->top_k && found < p->job.prompt.anchors && ranked[i].anchor >= 0;
             i++) {
            if (!p->anchor_outcomes[ranked[i].anchor * p->n_models + m].known) continue;
            sum += (double)ranked[i].similarity;
            found++;
            n++;
        }
    return n ? sum / (double)n : (double)NAN;
}

void sg_plan_cell_baselines(const struct sg_plan *p, int64_t cell, double *knn_correct, double *knn_length,
                            double *anchor_correct, double *anchor_length) {
    int64_t query = cell / p->n_models, model = cell % p->n_models;
    const struct sg_cell_anchor *row = p->ranked + query * p->top_k;
    double weights = 0, correct = 0, length = 0, plain_correct = 0, plain_length = 0;
    int32_t found = 0;
    for (int32_t i = 0; i < p->top_k && found < BASELINE_ANCHORS && row[i].anchor >= 0; i++) {
        const struct sg_outcome *o = &p->anchor_outcomes[row[i].anchor * p->n_models + model];
        if (!o->known) continue;
        double w = (double)row[i].similarity * row[i].similarity;
        weights += w;
        correct += w * o->score;
        length += w * o->completion_tokens;
        plain_correct += o->score;
        plain_length += o->completion_tokens;
        found++;
    }
    /* a query that shares no word with any anchor still has neighbours, all equally far */
    *knn_correct = !found ? NAN : weights > 0 ? correct / weights : plain_correct / found;
    *knn_length = !found ? NAN : weights > 0 ? length / weights : plain_length / found;
    category_means(p, cell, anchor_correct, anchor_length);
}
