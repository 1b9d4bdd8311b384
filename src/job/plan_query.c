/* What others ask of a plan, cell by cell. */
#include "job/plan.h"
#include "job/plan_memory.h"
#include <math.h>

enum { BASELINE_ANCHORS = 6 }; /* spec/scope.md, stage I */

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

void sg_plan_cell_baselines(const struct sg_plan *p, int64_t cell, double *knn_correct, double *knn_length,
                            double *anchor_correct, double *anchor_length) {
    const struct sg__plan_memory *m = p->memory;
    int64_t query = cell / p->n_models, model = cell % p->n_models;
    const struct sg_cell_anchor *row = p->ranked + query * p->top_k;
    double weights = 0, correct = 0, length = 0, plain_correct = 0, plain_length = 0;
    int32_t found = 0;
    for (int32_t i = 0; i < p->top_k && found < BASELINE_ANCHORS && row[i].anchor >= 0; i++) {
        const struct sg_outcome *o = &p->anchor_outcomes[row[i].anchor * p->n_models + model];
        if (!o->known) continue;
        double w = (double)row[i].similarity * row[i].similarity;
        weights += w;
        correct += w * o->correct;
        length += w * o->completion_tokens;
        plain_correct += o->correct;
        plain_length += o->completion_tokens;
        found++;
    }
    /* a query that shares no word with any anchor still has neighbours, all equally far */
    *knn_correct = !found ? NAN : weights > 0 ? correct / weights : plain_correct / found;
    *knn_length = !found ? NAN : weights > 0 ? length / weights : plain_length / found;
    int64_t at = m->query_group[query] * p->n_models + model;
    *anchor_correct = m->group_correct[at];
    *anchor_length = m->group_length[at];
}
