/* Protects: a station that keeps its model loads it once for runs that agree in model and engine, and again
 * when they do not, or when the files are others; what is computed with a kept
 * model is what a new one gives; a station that does not keep gives everything back after a run. */
#include "run/runner.h"
#include "model/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct sg_model;
void __real_sg_model_close(struct sg_model *m);
void __wrap_sg_model_close(struct sg_model *m);
static int closed; /* models */
void __wrap_sg_model_close(struct sg_model *m) {
    closed += m != NULL;
    __real_sg_model_close(m);
}

struct seen {
    int64_t n;
    double p, length;
    int64_t tokens;
};
static enum sg_status take(void *ctx, int64_t index, const struct sg_cell *cell, struct sg_err *err) {
    struct seen *s = ctx;
    (void)index;
    (void)err;
    assert_int_equal(cell->status, SG_OK);
    s->n++;
    s->p = cell->p_correct;
    s->length = cell->length_mean;
    s->tokens = cell->output_tokens;
    return SG_OK;
}

static struct sg_digest files;

/* One run of one cell; returns how many models were closed from its beginning to its end. */
static int run(struct sg_runner *s, const char *set, struct seen *seen) {
    struct sg_err err = {0};
    struct sg_job job = {0};
    struct sg_plan plan = {0};
    struct sg_compute_facts facts = {0};
    struct sg_compute compute = {0};
    const char *const all[] = {"sampling.samples=2", "sampling.max_new_tokens=96", "engine.threads=1",
                               "engine.device=cpu", set};
    const int before = closed;
    const struct sg_compute_maker maker = sg_runner_maker(s);
    memset(seen, 0, sizeof *seen);
    if (sg_job_read("../jobs/demo/job.json", all, set ? 5 : 4, &job, &err) != SG_OK) fail_msg("%s", err.text);
    const struct sg_compute_place place = {.threads = 1, .model = &files, .sharers = 1};
    if (maker.probe(maker.ctx, &job, &place, &facts, &err) != SG_OK) fail_msg("%s", err.text);
    assert_true(sg_digest_equal(facts.model, files));
    assert_non_null(strstr(facts.numerics, "cpu numerics"));
    assert_true(strlen(facts.device.name) > 2);
    const struct sg_plan_inputs in = {.model_digest = facts.model, .numerics = facts.numerics};
    const struct sg_cell_sink sink = {seen, take};
    if (sg_plan_build(&job, &in, &plan, &err) != SG_OK ||
        maker.open(maker.ctx, &plan, &sink, &compute, &err) != SG_OK ||
        compute.submit(compute.ctx, 11, 0, &err) != SG_OK)
        fail_msg("%s", err.text);
    while (compute.pending(compute.ctx) > 0)
        if (compute.step(compute.ctx, &err) != SG_OK) fail_msg("%s", err.text);
    assert_int_equal(seen->n, 1);
    maker.close(maker.ctx);
    sg_plan_free(&plan);
    sg_job_free(&job);
    return closed - before;
}

static void same(const struct seen *a, const struct seen *b) {
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(&a->p, &b->p, sizeof a->p);
    assert_memory_equal(&a->length, &b->length, sizeof a->length);
}

static void a_kept_model(void **state) {
    (void)state;
    struct sg_runner *s = NULL;
    struct seen first, again, other, one;
    assert_int_equal(sg_runner_new(&s, NULL), SG_OK);
    sg_runner_keep(s);
    assert_int_equal(run(s, NULL, &first), 0);
    assert_int_equal(run(s, NULL, &again), 0);
    same(&first, &again);
    assert_int_equal(run(s, "sampling.temperature=1.5", &other), 0);
    assert_true(other.tokens != first.tokens || other.length < first.length || other.length > first.length);
    assert_int_equal(run(s, "prompt.anchors=2", &other), 0);
    assert_int_equal(run(s, "engine.max_batch_tokens=100", &other), 1); /* another engine */
    same(&first, &other);
    files.lo ^= 1; /* as if the files had changed */
    assert_int_equal(run(s, "engine.max_batch_tokens=100", &other), 1);
    files.lo ^= 1;
    const int before = closed;
    sg_runner_free(s);
    assert_int_equal(closed - before, 1);

    assert_int_equal(sg_runner_new(&s, NULL), SG_OK); /* one that does not keep */
    assert_int_equal(run(s, NULL, &one), 1);
    assert_int_equal(run(s, NULL, &other), 1);
    same(&first, &one);
    same(&first, &other);
    sg_runner_free(s);
}

int main(void) {
    struct sg_err err = {0};
    if (sg_model_digest("../jobs/demo/model", 1, &files, &err) != SG_OK) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_kept_model)};
    return cmocka_run_group_tests_name("station", tests, NULL, NULL);
}
