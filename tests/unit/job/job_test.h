/* job_test - a small job with its data in a temporary folder, for the tests of src/job: two models, two
 * queries, four anchors in two categories, one outcome missing nowhere. Tests change one file and see what
 * follows. */
#ifndef SG_JOB_TEST_H
#define SG_JOB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "job/plan.h"
#include "support/tmpdir.h"

static const char *const WORLD_JOB =
    "{\"name\": \"small\", \"model\": {\"path\": \"ckpt\"}, \"queries\": \"queries.jsonl\",\n"
    " \"anchors\": \"anchors.jsonl\", \"outcomes\": \"outcomes.jsonl\", \"portfolio\": \"portfolio.json\",\n"
    " \"prompt\": {\"anchors\": 2, \"similarity\": {\"top_k\": 3}}, \"calibration\": {\"anchors\": 0}}\n";
static const char *const WORLD_PORTFOLIO =
    "[\n"
    " {\"id\": \"lab/cheap\", \"name\": \"Cheap\", \"input\": 0.5, \"output\": 1},\n"
    " {\"id\": \"lab/dear\", \"input\": 15, \"output\": 75}\n"
    "]\n";
static const char *const WORLD_QUERIES =
    "{\"id\": \"q0\", \"prompt\": \"How many red apples are in the basket?\", \"category\": \"count\"}\n"
    "{\"id\": \"q1\", \"question\": \"Solve x + 2 = 5 for x\", \"gt\": 3}\n";
static const char *const WORLD_ANCHORS =
    "{\"id\": \"a0\", \"prompt\": \"How many apples has Ann?\", \"category\": \"count\"}\n"
    "{\"id\": \"a1\", \"prompt\": \"Solve y + 1 = 9 for y\", \"category\": \"algebra\"}\n"
    "{\"id\": \"a2\", \"prompt\": \"How many pears are red?\", \"category\": \"count\"}\n"
    "{\"id\": \"a3\", \"prompt\": \"Solve z - 4 = 0\", \"category\": \"algebra\"}\n";
static const char *const WORLD_OUTCOMES =
    "{\"id\": \"a0\", \"model_name\": \"lab/cheap\", \"is_correct\": true, \"usage_completion_tokens\": "
    "100}\n"
    "{\"id\": \"a1\", \"model_name\": \"lab/cheap\", \"is_correct\": false, \"usage_completion_tokens\": "
    "200}\n"
    "{\"id\": \"a2\", \"model_name\": \"lab/cheap\", \"is_correct\": 1, \"usage_completion_tokens\": 300}\n"
    "{\"id\": \"a3\", \"model_name\": \"Cheap\", \"is_correct\": 0, \"usage_completion_tokens\": 400}\n"
    "{\"id\": \"a0\", \"model_name\": \"lab/dear\", \"is_correct\": true, \"usage_completion_tokens\": 10}\n"
    "{\"id\": \"a1\", \"model_name\": \"lab/dear\", \"is_correct\": true, \"usage_completion_tokens\": 20}\n"
    "{\"id\": \"a2\", \"model_name\": \"lab/dear\", \"is_correct\": false, \"usage_completion_tokens\": 30}\n"
    "{\"id\": \"a3\", \"model_name\": \"lab/dear\", \"is_correct\": true, \"usage_completion_tokens\": 40}\n"
    "{\"id\": \"q0\", \"model_name\": \"lab/dear\", \"is_correct\": true, \"usage_completion_tokens\": 7, "
    "\"usage_prompt_tokens\": 11}\n"
    "{\"id\": \"elsewhere\", \"model_name\": \"lab/dear\", \"is_correct\": true, "
    "\"usage_completion_tokens\": 7}\n";

static inline void world_put(void) {
    tmp_put("job.json", WORLD_JOB);
    tmp_put("portfolio.json", WORLD_PORTFOLIO);
    tmp_put("queries.jsonl", WORLD_QUERIES);
    tmp_put("anchors.jsonl", WORLD_ANCHORS);
    tmp_put("outcomes.jsonl", WORLD_OUTCOMES);
}

/* cmocka setup: a fresh world for each test. */
static inline int world_setup(void **state) {
    if (tmpdir_make(state) != 0) return -1;
    world_put();
    return 0;
}

/* A copy of `text` with the first `from` replaced by `to`; in one of a few static buffers. */
static inline const char *edited(const char *text, const char *from, const char *to) {
    enum { ROOM = 8192 };
    static char buffers[4][ROOM];
    static int next;
    char *out = buffers[next++ % 4];
    const char *at = strstr(text, from);
    assert_non_null(at);
    size_t head = (size_t)(at - text), middle = strlen(to), tail = strlen(at + strlen(from)) + 1;
    assert_true(head + middle + tail <= ROOM);
    memcpy(out, text, head);
    memcpy(out + head, to, middle);
    memcpy(out + head + middle, at + strlen(from), tail);
    return out;
}

static inline enum sg_status world_plan(const char *const *set, size_t n_set, const struct sg_plan_inputs *in,
                                        struct sg_plan *out, struct sg_err *err) {
    static const struct sg_plan_inputs plain = {.model_digest = {1, 2}, .numerics = "test 1"};
    struct sg_job job = {0};
    enum sg_status st = sg_job_read(tmp_path("job.json"), set, n_set, &job, err);
    if (st == SG_OK) st = sg_plan_build(&job, in ? in : &plain, out, err);
    sg_job_free(&job);
    return st;
}

/* The plan of the world as it is on disk; must succeed. */
static inline void world_plan_ok(const char *const *set, size_t n_set, struct sg_plan *out) {
    struct sg_err err = {0};
    if (world_plan(set, n_set, NULL, out, &err) != SG_OK) fail_msg("%s", err.text);
}

/* Planning must fail with exactly "<tmpdir>/" + text. */
static inline void world_plan_fails(const char *text) {
    struct sg_err err = {0};
    struct sg_plan p = {0};
    char want[1200];
    snprintf(want, sizeof want, "%s/%s", tmpdir, text);
    assert_int_equal(world_plan(NULL, 0, NULL, &p, &err), SG_E_INPUT);
    assert_string_equal(err.text, want);
    assert_null(p.memory);
}

#endif
