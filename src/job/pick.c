#include "job/pick.h"

#include "job/corpus.h"
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct sg_query *q) {
    return sg_hash64(q->id, strlen(q->id));
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum sg_status put(struct sg_buf *b, const char *key, const char *s, size_t n, struct sg_err *err) {
    enum sg_status st = sg_buf_str(b, key, err);
    return st == SG_OK ? sg_json_quote(b, s, n, err) : st;
}

static enum sg_status put_query(struct sg_buf *b, const struct sg_query *q, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(put(b, "{\"id\": ", q->id, strlen(q->id), err));
    SG_TRY(put(b, ", \"prompt\": ", q->prompt.s, (size_t)q->prompt.n, err));
    if (q->category[0]) SG_TRY(put(b, ", \"category\": ", q->category, strlen(q->category), err));
    st = sg_buf_str(b, "}\n", err);
out:
    return st;
}

enum sg_status sg_queries_pick(const struct sg_job *job, int64_t cells, int64_t min_queries,
                               struct sg_buf *jsonl, struct sg_pick *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__records r = {.fd = -1};
    struct sg_arena strings = {0};
    struct sg__portfolio models = {0};
    struct sg__questions queries = {0};
    uint64_t *order = NULL;
    SG_TRY(sg__records_open(job->portfolio, &r, err));
    SG_TRY(sg__portfolio_read(&r, &strings, &models, err));
    sg__records_close(&r);
    SG_TRY(sg__records_open(job->queries, &r, err));
    SG_TRY(sg__questions_read(&r, "queries", false, &strings, &queries, err));
    int64_t n = (cells + models.n - 1) / models.n;
    if (n < min_queries) n = min_queries;
    if (n > queries.n) n = queries.n;
    SG_TRY(SG_NEW(&order, queries.n, "hashes of queries", err));
    for (int64_t i = 0; i < queries.n; i++) order[i] = hash_of(&queries.items[i]);
    qsort(order, (size_t)queries.n, sizeof *order, by_value);
    int64_t picked = 0;
    for (int64_t i = 0; i < queries.n && picked < n; i++)
        if (hash_of(&queries.items[i]) <= order[n - 1]) {
            SG_TRY(put_query(jsonl, &queries.items[i], err));
            picked++;
        }
    *out = (struct sg_pick){.n_queries = picked, .n_models = models.n, .all_queries = queries.n};
out:
    free(order);
    sg__records_close(&r);
    sg__questions_free(&queries);
    sg__portfolio_free(&models);
    sg_arena_free(&strings);
    return st;
}
