#include "cell/anchors.h"

#include "base/ids.h"
#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sg_anchor_is_query(const struct sg_doc *query, const struct sg_doc *anchor) {
    return !strcmp(query->id, anchor->id) ||
           (query->n == anchor->n && !memcmp(query->s, anchor->s, (size_t)query->n));
}

void sg_anchors_select(const struct sg_doc *query, const struct sg_doc *anchors, int64_t n_anchors,
                       const double *score, int32_t k, struct sg_cell_anchor *out) {
    int32_t n = 0;
    for (int64_t i = 0; i < n_anchors; i++) {
        float s = (float)score[i]; /* what is stored is what is compared: ties are seen as ties */
        if (n == k && (k == 0 || s < out[n - 1].similarity)) continue;
        if (sg_anchor_is_query(query, &anchors[i])) continue;
        int32_t at = n < k ? n++ : k - 1;
        for (; at > 0 && out[at - 1].similarity <= s; at--) out[at] = out[at - 1];
        out[at] = (struct sg_cell_anchor){.anchor = (int32_t)i, .similarity = s};
    }
    for (; n < k; n++) out[n] = (struct sg_cell_anchor){.anchor = -1, .similarity = 0};
}

void sg_anchors_dot(const float *v, const float *vectors, int64_t n_anchors, int32_t dim, double *score) {
    for (int64_t i = 0; i < n_anchors; i++) {
        const float *a = vectors + i * dim;
        double part[4] = {0}; /* four sums, a fixed order that a compiler can vectorise */
        int32_t j = 0;
        for (; j + 4 <= dim; j += 4)
            for (int32_t l = 0; l < 4; l++) part[l] += (double)v[j + l] * a[j + l];
        for (; j < dim; j++) part[0] += (double)v[j] * a[j];
        score[i] = (part[0] + part[1]) + (part[2] + part[3]);
    }
}

/* One distinct token of the current document. */
struct term {
    int32_t id, count;
};

/* Postings: the anchors that hold a token, with its weight in their normalised vectors. */
struct posting {
    int32_t anchor;
    double weight;
};

struct sg_tfidf {
    const struct sg_doc *anchors; /* the caller's */
    int64_t n_anchors;
    double *score;         /* [n_anchors], scratch */
    struct sg_ids ids;     /* token -> id */
    struct sg_arena words; /* the tokens' bytes */
    int64_t n_tokens;
    int64_t *start;           /* [n_tokens + 1] into postings */
    struct posting *postings; /* by token, then by anchor */
    double *idf;              /* [n_tokens] */
    /* the current document */
    struct term *terms;
    size_t n_terms, cap_terms;
    int32_t *seen; /* [cap_seen] by token: 1 + its place in terms, 0 when not in this document */
    size_t cap_seen;
    char *word; /* lowered bytes of the current token */
    size_t cap_word;
};

void sg_tfidf_free(struct sg_tfidf *t) {
    if (!t) return;
    sg_ids_free(&t->ids);
    sg_arena_free(&t->words);
    free(t->start);
    free(t->postings);
    free(t->idf);
    free(t->terms);
    free(t->seen);
    free(t->word);
    free(t->score);
    free(t);
}

static bool is_word(unsigned char c) {
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Counts one token; `learn` adds it to the vocabulary, else an unknown one is passed over. */
static enum sg_status count_token(struct sg_tfidf *t, const char *word, size_t n, bool learn,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t id = sg_ids_get(&t->ids, word, n), old;
    if (id < 0) {
        char *copy;
        if (!learn) return SG_OK;
        if (t->n_tokens == INT32_MAX)
            return sg_fail(err, SG_E_UNSUPPORTED, "anchors: too many different words");
        size_t had = t->cap_seen;
        SG_TRY(sg_arena_dup(&t->words, word, n, &copy, err));
        SG_TRY(SG_GROW(&t->seen, &t->cap_seen, t->n_tokens + 1, "words of anchors", err));
        if (t->cap_seen > had) memset(t->seen + had, 0, (t->cap_seen - had) * sizeof *t->seen);
        SG_TRY(sg_ids_add(&t->ids, copy, n, t->n_tokens, &old, err));
        id = t->n_tokens++;
    }
    if (!t->seen[id]) {
        SG_TRY(SG_GROW(&t->terms, &t->cap_terms, t->n_terms + 1, "words of a question", err));
        t->terms[t->n_terms++] = (struct term){.id = (int32_t)id, .count = 0};
        t->seen[id] = (int32_t)t->n_terms;
    }
    t->terms[t->seen[id] - 1].count++;
out:
    return st;
}

/* t->terms = the distinct tokens of a document in order of first appearance. */
static enum sg_status count_tokens(struct sg_tfidf *t, const struct sg_doc *doc, bool learn,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (size_t i = 0; i < t->n_terms; i++) t->seen[t->terms[i].id] = 0;
    t->n_terms = 0;
    for (int64_t i = 0; i < doc->n;) {
        unsigned char c = (unsigned char)doc->s[i];
        if (c <= 0x20 || c == 0x7f) {
            i++;
            continue;
        }
        int64_t end = i + 1;
        if (is_word(c))
            while (end < doc->n && is_word((unsigned char)doc->s[end])) end++;
        size_t n = (size_t)(end - i);
        SG_TRY(SG_GROW(&t->word, &t->cap_word, n, "a word", err));
        for (size_t j = 0; j < n; j++) {
            char b = doc->s[i + (int64_t)j];
            t->word[j] = b >= 'A' && b <= 'Z' ? (char)(b - 'A' + 'a') : b;
        }
        SG_TRY(count_token(t, t->word, n, learn, err));
        i = end;
    }
out:
    return st;
}

/* Weight of a term before normalisation. */
static double term_weight(const struct sg_tfidf *t, struct term w) {
    return (1 + log((double)w.count)) * t->idf[w.id];
}

/* 1 / length of the vector of t->terms; 0 for an empty one. */
static double inverse_norm(const struct sg_tfidf *t) {
    double sum = 0;
    for (size_t i = 0; i < t->n_terms; i++) {
        double w = term_weight(t, t->terms[i]);
        sum += w * w;
    }
    return sum > 0 ? 1 / sqrt(sum) : 0;
}

/* Two passes over the anchors: the first finds the vocabulary and document frequencies, the second fills
 * the postings; the texts are short, and nothing of the first pass needs to be kept. */
static enum sg_status tfidf_fit(struct sg_tfidf *t, const struct sg_doc *anchors, int64_t n_anchors,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *df = NULL;
    size_t cap_df = 0;
    for (int64_t a = 0; a < n_anchors; a++) {
        SG_TRY(count_tokens(t, &anchors[a], true, err));
        size_t had = cap_df;
        SG_TRY(SG_GROW(&df, &cap_df, t->n_tokens + 1, "words of anchors", err));
        if (cap_df > had) memset(df + had, 0, (cap_df - had) * sizeof *df);
        for (size_t i = 0; i < t->n_terms; i++) df[t->terms[i].id]++;
    }
    SG_TRY(SG_NEW(&t->start, t->n_tokens + 1, "postings", err));
    SG_TRY(SG_NEW(&t->idf, t->n_tokens, "idf", err));
    for (int64_t i = 0; i < t->n_tokens; i++) {
        t->start[i + 1] = t->start[i] + df[i];
        t->idf[i] = log((1 + (double)n_anchors) / (1 + (double)df[i])) + 1;
        df[i] = t->start[i]; /* from here on: where the next posting goes */
    }
    SG_TRY(SG_NEW(&t->postings, t->start[t->n_tokens], "postings", err));
    for (int64_t a = 0; a < n_anchors; a++) {
        SG_TRY(count_tokens(t, &anchors[a], false, err));
        double scale = inverse_norm(t);
        for (size_t i = 0; i < t->n_terms; i++)
            t->postings[df[t->terms[i].id]++] =
                (struct posting){.anchor = (int32_t)a, .weight = term_weight(t, t->terms[i]) * scale};
    }
out:
    free(df);
    return st;
}

enum sg_status sg_tfidf_new(const struct sg_doc *anchors, int64_t n_anchors, struct sg_tfidf **out,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_tfidf *t = NULL;
    SG_TRY(SG_NEW(&t, 1, "tf-idf", err));
    t->anchors = anchors;
    t->n_anchors = n_anchors;
    SG_TRY(SG_NEW(&t->score, n_anchors, "similarities", err));
    SG_TRY(tfidf_fit(t, anchors, n_anchors, err));
    *out = t;
    t = NULL;
out:
    sg_tfidf_free(t);
    return st;
}

enum sg_status sg_tfidf_rank(struct sg_tfidf *t, const struct sg_doc *query, int32_t k,
                             struct sg_cell_anchor *out, struct sg_err *err) {
    enum sg_status st = count_tokens(t, query, false, err);
    if (st != SG_OK) return st;
    const double scale = inverse_norm(t);
    memset(t->score, 0, (size_t)t->n_anchors * sizeof *t->score);
    for (size_t i = 0; i < t->n_terms; i++) {
        const double w = term_weight(t, t->terms[i]) * scale;
        for (int64_t p = t->start[t->terms[i].id]; p < t->start[t->terms[i].id + 1]; p++)
            t->score[t->postings[p].anchor] += w * t->postings[p].weight;
    }
    sg_anchors_select(query, t->anchors, t->n_anchors, t->score, k, out);
    return SG_OK;
}
