/* doc - a JSON document for programs: manifest.json, policy.json. A refused allocation sets `failed`; the functions go
 * on, so that callers read like the document; sg__doc_write tells of it. */
#ifndef SG_ANALYSIS_OUTPUT_DOC_H
#define SG_ANALYSIS_OUTPUT_DOC_H

#include "analysis/analysis.h"

#include <cjson/cJSON.h>

struct sg__doc {
    cJSON *root;
    bool failed;
};
void sg__doc_open(struct sg__doc *d);  /* an empty object */
void sg__doc_close(struct sg__doc *d); /* zeroed accepted */
/* Into the object (key) or the array (key NULL) `to`; `to` may be NULL after a failure. */
cJSON *sg__doc_object(struct sg__doc *d, cJSON *to, const char *key);
cJSON *sg__doc_array(struct sg__doc *d, cJSON *to, const char *key);
void sg__doc_text(struct sg__doc *d, cJSON *to, const char *key, const char *s); /* NULL or "": null */
void sg__doc_number(struct sg__doc *d, cJSON *to, const char *key, double x);    /* not finite: null */
void sg__doc_bool(struct sg__doc *d, cJSON *to, const char *key, bool x);
/* {"value", "low", "high"}, each times `scale`. */
void sg__doc_value(struct sg__doc *d, cJSON *to, const char *key, const struct sg_value *v, double scale);
/* The results that a document was made from: name, digest, fingerprint, finished_at, estimate, numbers of rows. */
void sg__doc_results(struct sg__doc *d, cJSON *to, const struct sg_analysis *a);
/* Indented, as a file that appears whole. */
enum sg_status sg__doc_write(const struct sg__doc *d, const char *path, struct sg_err *err);

#endif
