/* Protects: anchors are ranked by the tf-idf cosine that anchors.h defines, judged by a slow, plain
 * computation of the same formula; ties, self-exclusion and short lists as documented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "cell/anchors.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sg_doc doc(const char *id, const char *s) {
    return (struct sg_doc){.id = id, .s = s, .n = (int64_t)strlen(s)};
}

/* --- the plain computation --------------------------------------------------------------------------- */

enum { MAX_WORDS = 400, MAX_WORD = 40 };
struct words {
    char w[MAX_WORDS][MAX_WORD];
    int count[MAX_WORDS], n;
};

/* The k nearest anchors of each query. */
static enum sg_status rank_all(const struct sg_doc *queries, int64_t n_queries, const struct sg_doc *anchors,
                               int64_t n_anchors, int32_t k, struct sg_cell_anchor *out, struct sg_err *err) {
    struct sg_tfidf *t = NULL;
    enum sg_status st = sg_tfidf_new(anchors, n_anchors, &t, err);
    for (int64_t q = 0; q < n_queries && st == SG_OK; q++)
        st = sg_tfidf_rank(t, &queries[q], k, out + q * k, err);
    sg_tfidf_free(t);
    return st;
}

static void add_word(struct words *t, const char *w) {
    int i = 0;
    while (i < t->n && strcmp(t->w[i], w) != 0) i++;
    if (i == t->n) {
        assert_true(t->n < MAX_WORDS);
        strcpy(t->w[t->n], w);
        t->count[t->n++] = 0;
    }
    t->count[i]++;
}

static void split(const struct sg_doc *d, struct words *t) {
    char w[MAX_WORD];
    size_t n = 0;
    memset(t, 0, sizeof *t);
    for (int64_t i = 0; i <= d->n; i++) {
        unsigned char c = i < d->n ? (unsigned char)d->s[i] : ' ';
        if (c >= 'A' && c <= 'Z') c = (unsigned char)(c + 32);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c >= 128) {
            assert_true(n + 1 < sizeof w);
            w[n++] = (char)c;
            continue;
        }
        w[n] = 0;
        if (n) add_word(t, w);
        n = 0;
        if (c > ' ' && c != 127) add_word(t, (char[]){(char)c, 0});
    }
}

static int count_of(const struct words *t, const char *w) {
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->w[i], w)) return t->count[i];
    return 0;
}

static double idf(const struct words *anchors, int64_t n, const char *w) {
    int df = 0;
    for (int64_t a = 0; a < n; a++) df += count_of(&anchors[a], w) > 0;
    return df ? log((1.0 + (double)n) / (1.0 + df)) + 1 : 0; /* 0: a word that no anchor has is left out */
}

static double plain_cosine(const struct words *anchors, int64_t n, const struct words *q,
                           const struct words *a) {
    double dot = 0, qq = 0, aa = 0;
    for (int i = 0; i < q->n; i++) {
        double f = idf(anchors, n, q->w[i]), x = (1 + log(q->count[i])) * f;
        int c = count_of(a, q->w[i]);
        qq += x * x;
        if (c) dot += x * (1 + log(c)) * f;
    }
    for (int i = 0; i < a->n; i++) {
        double y = (1 + log(a->count[i])) * idf(anchors, n, a->w[i]);
        aa += y * y;
    }
    return qq > 0 && aa > 0 ? dot / sqrt(qq) / sqrt(aa) : 0;
}

/* --- tests ------------------------------------------------------------------------------------------- */

/* Random texts out of few words, so that counts, shared words and near-ties are common. */
static void rankings_equal_the_plain_computation(void **state) {
    (void)state;
    static const char *const word[] = {"apple", "Pear", "x",  "+", "==", "def", "f(", "\xC3\xA9t\xC3\xA9",
                                       "12",    "_a",   "  ", "\n"};
    enum { Q = 23, A = 41, K = 7, LEN = 400 };
    static char text[Q + A][LEN], id[Q + A][8];
    static struct words split_q, split_a[A];
    struct sg_doc d[Q + A];
    struct sg_cell_anchor out[Q * K];
    for (int i = 0; i < Q + A; i++) {
        int len = (int)(sg_random64(1, (uint64_t)i) % 30);
        for (int k = 0; k < len; k++) {
            strcat(text[i], word[sg_random64(2, (uint64_t)(i * 100 + k)) % (sizeof word / sizeof word[0])]);
            if (k % 3) strcat(text[i], " ");
        }
        snprintf(id[i], sizeof id[i], "d%d", i);
        d[i] = doc(id[i], text[i]);
    }
    for (int a = 0; a < A; a++) split(&d[Q + a], &split_a[a]);
    assert_int_equal(rank_all(d, Q, d + Q, A, K, out, NULL), SG_OK);
    int positive = 0;
    for (int q = 0; q < Q; q++) {
        double score[A];
        int above[A], usable = 0;
        split(&d[q], &split_q);
        for (int a = 0; a < A; a++) score[a] = plain_cosine(split_a, A, &split_q, &split_a[a]);
        for (int a = 0; a < A; a++) { /* how many usable anchors are clearly better */
            above[a] = 0;
            usable += !sg_anchor_is_query(&d[q], &d[Q + a]);
            for (int b = 0; b < A; b++)
                above[a] += score[b] > score[a] + 1e-6 && !sg_anchor_is_query(&d[q], &d[Q + b]);
        }
        for (int k = 0; k < K && k < usable; k++) {
            int a = out[q * K + k].anchor;
            assert_in_range(a, 0, A - 1);
            assert_true(fabs((double)out[q * K + k].similarity - score[a]) < 1e-6);
            assert_true(above[a] <= k); /* no better one was left out */
            for (int j = 0; j < k; j++) assert_int_not_equal(out[q * K + j].anchor, a);
            positive += score[a] > 0.05;
        }
    }
    assert_true(positive > Q * K / 2);
}

static void two_texts_by_hand(void **state) {
    (void)state;
    /* anchors "b b" and "c": idf of each is ln(3/2) + 1. Query "B c": weights equal, so cosines 1/sqrt(2). */
    struct sg_doc q = doc("q", "B c"), a[2] = {doc("a", "b b"), doc("b", "c")};
    struct sg_cell_anchor out[3];
    assert_int_equal(rank_all(&q, 1, a, 2, 3, out, NULL), SG_OK);
    assert_int_equal(out[0].anchor, 1); /* equal: the higher index first */
    assert_int_equal(out[1].anchor, 0);
    assert_true(fabs((double)out[0].similarity - sqrt(0.5)) < 1e-7);
    assert_true(out[0].similarity == out[1].similarity);
    assert_int_equal(out[2].anchor, -1); /* there are no more */
    assert_true(out[2].similarity == 0);
}

static void an_unknown_word_changes_no_similarity(void **state) {
    (void)state;
    struct sg_doc q[2] = {doc("q", "red apples"), doc("r", "red unheardof apples")};
    struct sg_doc a[3] = {doc("a", "red"), doc("b", "green apples"), doc("c", "pears")};
    struct sg_cell_anchor out[6];
    assert_int_equal(rank_all(q, 2, a, 3, 3, out, NULL), SG_OK);
    assert_memory_equal(out, out + 3, 3 * sizeof *out);
}

/* A query's anchors must not depend on which other queries are asked. */
static void queries_do_not_see_each_other(void **state) {
    (void)state;
    struct sg_doc q[3] = {doc("p", "green green pears pears"), doc("q", "red apples"), doc("r", "x == 1")};
    struct sg_doc a[3] = {doc("a", "red"), doc("b", "green apples"), doc("c", "pears == 2")};
    struct sg_cell_anchor all[6], one[2];
    assert_int_equal(rank_all(q, 3, a, 3, 2, all, NULL), SG_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rank_all(&q[i], 1, a, 3, 2, one, NULL), SG_OK);
        assert_memory_equal(one, all + 2 * i, sizeof one);
    }
}

static void the_query_itself_is_never_its_anchor(void **state) {
    (void)state;
    struct sg_doc q = doc("q", "one two");
    struct sg_doc a[4] = {doc("a", "one two"), doc("q", "one two three"), doc("c", "one Two"),
                          doc("d", "four")};
    struct sg_cell_anchor out[4];
    assert_int_equal(rank_all(&q, 1, a, 4, 4, out, NULL), SG_OK);
    assert_int_equal(out[0].anchor, 2); /* same words, another text and another id */
    assert_int_equal(out[1].anchor, 3);
    assert_int_equal(out[2].anchor, -1);
    assert_int_equal(out[3].anchor, -1);
}

static void selection_is_argsort_reversed(void **state) {
    (void)state;
    static const double score[8] = {0.5, -1, 0.5, 0.25, 0.5, 1e-300, 0, 0.25};
    static const int want[8] = {4, 2, 0, 7, 3, 6, 5, 1}; /* 1e-300 is 0 as float: a tie of 5 and 6 */
    struct sg_doc q = doc("q", "q"), a[8];
    static char id[8][4];
    for (int i = 0; i < 8; i++) {
        snprintf(id[i], sizeof id[i], "a%d", i);
        a[i] = doc(id[i], id[i]);
    }
    for (int k = 0; k <= 8; k++) {
        struct sg_cell_anchor out[8];
        sg_anchors_select(&q, a, 8, score, k, out);
        for (int i = 0; i < k; i++) {
            assert_int_equal(out[i].anchor, want[i]);
            assert_true(out[i].similarity == (float)score[want[i]]);
        }
    }
}

static void dot_products_over_odd_lengths(void **state) {
    (void)state;
    enum { A = 3, MAX = 37 };
    for (int dim = 1; dim <= MAX; dim++) {
        float v[MAX], vectors[A * MAX];
        double score[A];
        for (int j = 0; j < dim; j++) v[j] = sg_uniform(3, (uint32_t)j) - 0.5f;
        for (int j = 0; j < A * dim; j++) vectors[j] = sg_uniform(4, (uint32_t)j) - 0.5f;
        sg_anchors_dot(v, vectors, A, dim, score);
        for (int a = 0; a < A; a++) {
            double want = 0;
            for (int j = 0; j < dim; j++) want += (double)v[j] * vectors[a * dim + j];
            assert_true(fabs(score[a] - want) < 1e-14 * dim);
        }
    }
}

static void empty_texts_and_no_anchors_are_fine(void **state) {
    (void)state;
    struct sg_doc q[2] = {doc("q", ""), doc("r", " \n")}, a = doc("a", " ");
    struct sg_cell_anchor out[2];
    assert_int_equal(rank_all(q, 2, NULL, 0, 1, out, NULL), SG_OK);
    assert_int_equal(out[0].anchor, -1);
    assert_int_equal(rank_all(q, 2, &a, 1, 1, out, NULL), SG_OK);
    assert_int_equal(out[1].anchor, 0);
    assert_true(out[1].similarity == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rankings_equal_the_plain_computation),
        cmocka_unit_test(two_texts_by_hand),
        cmocka_unit_test(an_unknown_word_changes_no_similarity),
        cmocka_unit_test(queries_do_not_see_each_other),
        cmocka_unit_test(the_query_itself_is_never_its_anchor),
        cmocka_unit_test(selection_is_argsort_reversed),
        cmocka_unit_test(dot_products_over_odd_lengths),
        cmocka_unit_test(empty_texts_and_no_anchors_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
