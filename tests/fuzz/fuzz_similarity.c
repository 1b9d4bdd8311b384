/* Any bytes as a similarity file of a grid with four queries and five anchors, one of them a query, too: an error of one
 * line, or rows that hold anchors of the job, nearest first, none twice, none the question itself. */
#include "job/corpus.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUERIES = 4, ANCHORS = 5, TOP = 3 };
static const char queries[] = "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"prompt\":\"y\"}\n"
                              "{\"id\":\"c\",\"prompt\":\"z\"}\n{\"id\":\"d\",\"prompt\":\"w\"}\n";
static const char anchors[] = "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"p\",\"prompt\":\"1\"}\n"
                              "{\"id\":\"q\",\"prompt\":\"2\"}\n{\"id\":\"r\",\"prompt\":\"3\"}\n"
                              "{\"id\":\"s\",\"prompt\":\"4\"}\n";

static void must(enum sg_status st) {
    if (st != SG_OK) abort();
}

static void questions(const char *text, size_t n, const char *what, struct sg_arena *strings,
                      struct sg__questions *out) {
    struct sg__records r;
    must(sg__records_memory(what, text, n, &r, NULL));
    must(sg__questions_read(&r, what, false, strings, out, NULL));
    sg__records_close(&r);
}

/* self: the anchor that is the question itself; -1: none */
static void check(const struct sg_cell_anchor *row, int32_t self) {
    bool seen[ANCHORS] = {false}, ended = false;
    for (int32_t k = 0; k < TOP; k++) {
        const int32_t a = row[k].anchor;
        if (a == -1) { /* a list of fewer */
            ended = true;
            continue;
        }
        if (a < 0 || a >= ANCHORS || a == self) abort();
        if (ended || seen[a] || isnan(row[k].similarity)) abort();
        if (k && row[k].similarity > row[k - 1].similarity) abort();
        seen[a] = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sg_arena strings = {0};
    struct sg__questions q = {0}, a = {0};
    struct sg__records r = {.fd = -1};
    struct sg_err err = {0};
    struct sg_cell_anchor ranked[QUERIES * TOP], of_anchors[ANCHORS * TOP];
    bool have[ANCHORS] = {false};
    struct sg__anchor_rows own = {.ranked = of_anchors, .have = have};
    questions(queries, sizeof queries - 1, "queries", &strings, &q);
    questions(anchors, sizeof anchors - 1, "anchors", &strings, &a);
    for (int with_own = 0; with_own < 2; with_own++) {
        must(sg__records_memory("fuzz", data, size, &r, NULL));
        const enum sg_status st = sg__similarity_read(&r, &q, &a, TOP, ranked, with_own ? &own : NULL, &err);
        sg__records_close(&r);
        if (st != SG_OK && (!err.text[0] || strchr(err.text, '\n'))) abort();
        for (int32_t i = 0; st == SG_OK && i < QUERIES; i++) check(ranked + i * TOP, i == 0 ? 0 : -1);
        for (int32_t i = 0; st == SG_OK && with_own && i < ANCHORS; i++)
            if (have[i]) check(of_anchors + i * TOP, i);
    }
    sg__questions_free(&q);
    sg__questions_free(&a);
    sg_arena_free(&strings);
    return 0;
}
