/* Protects: when any allocation fails, reading a job, planning, packing and unpacking end with "out of
 * memory", give everything back and leave the output untouched. */
#include "job_test.h"

#include "support/oom.h"

static struct sg_buf packed; /* of the world */

static enum sg_status job_once(struct sg_err *err) {
    static const char *const set[] = {"sampling.samples=2", "output.dir=x"};
    struct sg_job job = {0};
    enum sg_status st = sg_job_read(tmp_path("job.json"), set, 2, &job, err);
    if (st != SG_OK) assert_null(job.text);
    sg_job_free(&job);
    return st;
}

static enum sg_status schema_once(struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = sg_job_schema(&b, err);
    if (st != SG_OK) assert_int_equal(b.len, 0);
    sg_buf_free(&b);
    return st;
}

static enum sg_status embed(void *ctx, const char *text, int64_t n, float *out, struct sg_err *err) {
    (void)ctx;
    (void)err;
    out[0] = (float)(n % 3);
    out[1] = (float)text[0];
    return SG_OK;
}

static enum sg_status plan_once(struct sg_err *err) {
    struct sg_plan p = {0};
    enum sg_status st = world_plan(NULL, 0, NULL, &p, err);
    if (st != SG_OK) assert_null(p.memory);
    sg_plan_free(&p);
    return st;
}

static enum sg_status plan_by_embedding_once(struct sg_err *err) {
    static const char *const set[] = {"prompt.similarity.method=embedding", "prompt.similarity.model=m",
                                      "prompt.template=t.txt", "calibration.anchors=2"};
    struct sg_plan_inputs in = {.numerics = "x", .embed = embed, .embed_dim = 2};
    struct sg_plan p = {0};
    enum sg_status st = world_plan(set, 4, &in, &p, err);
    sg_plan_free(&p);
    return st;
}

static enum sg_status plan_by_file_once(struct sg_err *err) {
    static const char *const set[] = {"prompt.similarity.method=file", "prompt.similarity.path=sim.json",
                                      "calibration.anchors=all"};
    struct sg_plan p = {0};
    enum sg_status st = world_plan(set, 3, NULL, &p, err);
    sg_plan_free(&p);
    return st;
}

static enum sg_status unpack_once(struct sg_err *err) {
    struct sg_plan p = {0};
    struct sg_buf b = {0};
    enum sg_status st = sg_plan_unpack(packed.data, packed.len, &p, err);
    if (st == SG_OK)
        st = sg_plan_pack(&p, &b, err);
    else
        assert_null(p.memory);
    sg_plan_free(&p);
    sg_buf_free(&b);
    return st;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct sg_plan p = {0};
    tmp_put("t.txt", "template");
    tmp_put("sim.json",
            "[{\"router_id\": \"q0\", \"similar_anchors\": [{\"anchor_id\": \"a0\", \"similarity\": 1}]},"
            "{\"router_id\": \"q1\", \"similar_anchors\": [{\"anchor_id\": \"a1\", \"similarity\": 1}]},"
            "{\"router_id\": \"a3\", \"similar_anchors\": [{\"anchor_id\": \"a1\", \"similarity\": 1}]}]");
    oom_arm(0); /* cJSON's hooks must stand before its first allocation */
    static const char *const all[] = {"calibration.anchors=all"};
    world_plan_ok(all, 1, &p);
    assert_int_equal(sg_plan_pack(&p, &packed, NULL), SG_OK);
    sg_plan_free(&p);
    oom_each("job", job_once, 50);
    oom_each("schema", schema_once, 3);
    oom_each("plan", plan_once, 200);
    oom_each("plan by embedding", plan_by_embedding_once, 200);
    oom_each("plan by file", plan_by_file_once, 200);
    oom_each("unpack and pack", unpack_once, 50);
    tmp_put("portfolio.json", edited(WORLD_PORTFOLIO, "\"name\": \"Cheap\"",
                                     "\"provider_id\": \"Cheap\", \"aliases\": [\"c\"], \"as_of\": "
                                     "\"2026-01-31\""));
    tmp_put("outcomes.jsonl", edited(WORLD_OUTCOMES, "\"elsewhere\", \"model_name\": \"lab/dear\"",
                                     "\"elsewhere\", \"model_name\": \"lab/deer\""));
    oom_each("plan with other names", plan_once, 200);
    sg_buf_free(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, world_setup, tmpdir_remove);
}
