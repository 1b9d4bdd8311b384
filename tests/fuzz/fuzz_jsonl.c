/* Any bytes as a data file or a packed plan; the first byte says which. Outcomes and similarities are read
 * against a small fixed grid. */
#include "job/corpus.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char QUESTIONS[] =
    "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"question\":\"y\",\"category\":\"c\"}\n";
static const char PORTFOLIO[] =
    "[{\"id\":\"m\",\"name\":\"n\",\"input\":1,\"output\":2},{\"id\":\"k\",\"input\":0,\"output\":0}]";
enum { N = 2, TOP = 2 };

struct grid {
    struct sg_arena strings;
    struct sg__questions questions;
    struct sg__portfolio models;
};

static void must(enum sg_status st) {
    if (st != SG_OK) abort();
}

static void grid_make(struct grid *g) {
    struct sg__records r;
    must(sg__records_memory("q", QUESTIONS, sizeof QUESTIONS - 1, &r, NULL));
    must(sg__questions_read(&r, "queries", false, &g->strings, &g->questions, NULL));
    sg__records_close(&r);
    must(sg__records_memory("p", PORTFOLIO, sizeof PORTFOLIO - 1, &r, NULL));
    must(sg__portfolio_read(&r, &g->strings, &g->models, NULL));
    sg__records_close(&r);
}

static enum sg_status read_as(unsigned kind, struct sg__records *r, struct grid *g, struct sg_arena *strings,
                              struct sg_err *err) {
    struct sg_outcome truth[N * N] = {0}, anchors[N * N] = {0};
    struct sg_cell_anchor ranked[N * TOP];
    struct sg__questions q = {0};
    struct sg__portfolio p = {0};
    struct sg__outcomes o = {.correct_at = 0.5, .truth = truth, .anchor_outcomes = anchors};
    enum sg_status st;
    switch (kind) {
    case 0:
        st = sg__questions_read(r, "queries", false, strings, &q, err);
        sg__questions_free(&q);
        return st;
    case 1:
        st = sg__portfolio_read(r, strings, &p, err);
        sg__portfolio_free(&p);
        return st;
    case 2:
        st = sg__outcomes_read(r, &g->questions, &g->questions, &g->models, strings, &o, err);
        sg__outcomes_free(&o);
        for (int i = 0; i < N * N; i++)
            if (!(truth[i].score >= 0 && truth[i].score <= 1) || truth[i].correct != (truth[i].score >= 0.5))
                abort();
        return st;
    default:
        return sg__similarity_read(r, &g->questions, &g->questions, TOP, ranked, NULL, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grid g = {0};
    struct sg_arena strings = {0};
    struct sg__records r = {.fd = -1};
    struct sg_err err = {0};
    enum sg_status st;
    if (size < 1) return 0;
    if (data[0] % 5 == 4) { /* a packed plan whose digest fits: the reader's bounds alone stand */
        struct sg_plan plan = {0};
        struct sg_digest d;
        char *bytes = malloc(size - 1 + sizeof d);
        if (!bytes) return 0;
        memcpy(bytes, data + 1, size - 1);
        d = sg_digest_bytes(bytes, size - 1);
        memcpy(bytes + size - 1, &d, sizeof d);
        st = sg_plan_unpack(bytes, size - 1 + sizeof d, &plan, &err);
        sg_plan_free(&plan);
        free(bytes);
    } else {
        grid_make(&g);
        must(sg__records_memory("fuzz", data + 1, size - 1, &r, NULL));
        st = read_as(data[0] % 5, &r, &g, &strings, &err);
    }
    if (st != SG_OK && (!err.text[0] || strchr(err.text, '\n'))) abort();
    sg__records_close(&r);
    sg__questions_free(&g.questions);
    sg__portfolio_free(&g.models);
    sg_arena_free(&g.strings);
    sg_arena_free(&strings);
    return 0;
}
