#include "doc.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *put(struct sg__doc *d, cJSON *to, const char *key, cJSON *item) {
    if (item && to && (key ? cJSON_AddItemToObject(to, key, item) : cJSON_AddItemToArray(to, item)))
        return item;
    cJSON_Delete(item);
    d->failed = true;
    return NULL;
}

void sg__doc_open(struct sg__doc *d) {
    *d = (struct sg__doc){.root = cJSON_CreateObject()};
    d->failed = !d->root;
}

void sg__doc_close(struct sg__doc *d) {
    cJSON_Delete(d->root);
    d->root = NULL;
}

cJSON *sg__doc_object(struct sg__doc *d, cJSON *to, const char *key) {
    return put(d, to, key, cJSON_CreateObject());
}

cJSON *sg__doc_array(struct sg__doc *d, cJSON *to, const char *key) {
    return put(d, to, key, cJSON_CreateArray());
}

void sg__doc_text(struct sg__doc *d, cJSON *to, const char *key, const char *s) {
    put(d, to, key, s && *s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

void sg__doc_number(struct sg__doc *d, cJSON *to, const char *key, double x) {
    char text[32];
    snprintf(text, sizeof text, "%.12g", x);
    put(d, to, key, isfinite(x) ? cJSON_CreateNumber(strtod(text, NULL)) : cJSON_CreateNull());
}

void sg__doc_bool(struct sg__doc *d, cJSON *to, const char *key, bool x) {
    put(d, to, key, cJSON_CreateBool(x));
}

void sg__doc_value(struct sg__doc *d, cJSON *to, const char *key, const struct sg_value *v, double scale) {
    cJSON *at = sg__doc_object(d, to, key);
    sg__doc_number(d, at, "value", v->value * scale);
    sg__doc_number(d, at, "low", v->low * scale);
    sg__doc_number(d, at, "high", v->high * scale);
}

void sg__doc_results(struct sg__doc *d, cJSON *to, const struct sg_analysis *a) {
    const struct sg_results *r = a->data->r;
    const struct sg_advice *advice = a->opt.advice;
    char digest[SG_DIGEST_HEX];
    sg_digest_hex(r->digest, digest);
    sg__doc_text(d, to, "name", r->name);
    sg__doc_text(d, to, "digest", digest);
    sg__doc_text(d, to, "fingerprint", r->fingerprint);
    sg__doc_text(d, to, "finished_at", r->finished_at);
    sg__doc_text(d, to, "estimate", sg_estimate_name[advice->estimate]);
    sg__doc_number(d, to, "queries", (double)a->data->n);
    sg__doc_number(d, to, "anchors", (double)r->anchors.n);
    sg__doc_number(d, to, "calibration_anchors", (double)advice->n_calibration);
    sg__doc_bool(d, to, "queries_with_truth", advice->decision.truth);
    sg__doc_bool(d, to, "graded", sg_results_graded(r)); /* accuracy is then the mean score */
}

enum sg_status sg__doc_write(const struct sg__doc *d, const char *path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *text = d->failed ? NULL : cJSON_Print(d->root);
    if (!text) return sg_fail(err, SG_E_NOMEM, "%s: out of memory", path);
    SG_TRY(sg_buf_printf(&b, err, "%s\n", text));
    SG_TRY(sg_file_write_atomic(path, b.data, b.len, err));
out:
    cJSON_free(text);
    sg_buf_free(&b);
    return st;
}
