/* job_fields - job_fields.inc as a table; shared by job.c and job_schema.c only. */
#ifndef SG_JOB_FIELDS_H
#define SG_JOB_FIELDS_H

#include "base/mem.h"
#include "base/status.h"
#include "job/job.h"
#include <stdbool.h>
#include <stddef.h>

enum sg__field_kind {
    SG__STRING,
    SG__PATH,
    SG__INTEGER,
    SG__COUNT, /* an integer, or "all" */
    SG__SEED,
    SG__REAL,
    SG__BOOLEAN,
    SG__SIMILARITY,   /* enum sg_similarity_method */
    SG__MISSING,      /* enum sg_missing */
    SG__WEIGHT_TYPE,  /* enum sg_weight_type */
    SG__COMPUTE_TYPE, /* enum sg_compute_type */
    SG__DRAWS,        /* enum sg_draws */
};
enum { SG__REQUIRED = 1, SG__ABOVE = 2 };

struct sg__field {
    const char *path;
    bool section; /* of the members below only `sentence` counts then */
    enum sg__field_kind kind;
    size_t offset; /* in struct sg_job */
    unsigned flags;
    const char *def; /* JSON, or NULL */
    double min, max;
    const char *unit;     /* or NULL */
    const char *sentence; /* one line for people */
};
extern const struct sg__field sg__fields[];
extern const size_t sg__n_fields;
enum { SG__MAX_FIELDS = 64 };

/* The words an enum field takes, in the order of its values; *n = 0 for other kinds. */
const char *const *sg__field_words(enum sg__field_kind kind, size_t *n);

/* The key of field f inside the section `prefix` ("" for the root): its last component when f is a direct
 * member, else NULL. */
const char *sg__field_key(const struct sg__field *f, const char *prefix);

/* Appends a number as JSON. */
enum sg_status sg__put_number(struct sg_buf *b, double v, struct sg_err *err);

#endif
