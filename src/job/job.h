/* job - one job file, read strictly, every default written down once (job_fields.inc). Immutable after
 * sg_job_read. Relative paths in the file are resolved against the file's directory. */
#ifndef SG_JOB_H
#define SG_JOB_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

enum sg_similarity_method { SG_SIM_TFIDF, SG_SIM_EMBEDDING, SG_SIM_FILE };
enum sg_missing { SG_MISSING_ERROR, SG_MISSING_NEXT };
enum sg_weight_type { SG_WEIGHT_TYPE_CHECKPOINT, SG_WEIGHT_TYPE_FP8 };
enum sg_draws { SG_DRAWS_INDEPENDENT, SG_DRAWS_STRATIFIED };
enum sg_compute_type { SG_COMPUTE_TYPE_AUTO, SG_COMPUTE_TYPE_BF16, SG_COMPUTE_TYPE_FLOAT32 };

/* A whole number that the job does not give and that has no default of its own. */
enum { SG_JOB_UNSET = -1 };
/* A count that the job gives as "all". */
enum { SG_JOB_ALL = -2 };

struct sg_job {
    char *path; /* the job file, as given */
    char *name;
    char *model_path;
    enum sg_weight_type weight_type;
    enum sg_compute_type compute_type;
    char *queries, *anchors, *outcomes,
        *portfolio; /* resolved paths; outcomes holds truth and anchor outcomes */
    struct {
        char *template_path;  /* NULL: the built-in SCOPE template */
        int64_t anchors;      /* in the prompt */
        int64_t anchor_chars; /* code points an anchor's question is cut to; 0 = uncut */
        enum sg_missing missing;
        double correct_at; /* least score that counts as correct */
        struct {
            enum sg_similarity_method method;
            int64_t top_k;
            char *model; /* embedding: checkpoint directory */
            char *path;  /* file */
        } similarity;
    } prompt;
    struct {
        int64_t samples; /* of the cells that `cells` lists */
        char *cells;     /* file; NULL: all */
        int64_t others;  /* of the other cells; SG_JOB_UNSET: not given */
        enum sg_draws draws;
        double temperature, top_p;
        int64_t top_k, max_new_tokens;
        uint64_t seed;
    } sampling;
    struct {
        int64_t anchors; /* or SG_JOB_ALL */
    } calibration;
    struct {
        char *device;
        int64_t max_batch_tokens; /* SG_JOB_UNSET: sg_engine_batch_tokens */
        int64_t overlap_rows;     /* sg_engine_options.overlap_rows */
        int64_t threads;          /* 0 = cores / ranks on the node */
        int64_t kv_cache_mib;     /* 0 = measured; SG_JOB_UNSET: as the device likes it */
        bool oversubscribe;       /* ranks may share a device */
    } engine;
    struct {
        char *dir;
        bool texts;
    } output;
    char *text; /* the whole job as canonical JSON, defaults and overrides included: goes to /provenance */
    struct sg_arena strings; /* owns every string above */
};

/* Reads and checks a job. overrides: "a.b=value" items of --set, value parsed as JSON, else taken as a
 * string. Unknown, duplicate, mistyped and out-of-range keys are SG_E_INPUT with file and key path. Does not
 * look at the files the job names. */
enum sg_status sg_job_read(const char *path, const char *const *overrides, size_t n_overrides,
                           struct sg_job *out, struct sg_err *err);
/* Rebuilds a job from its canonical text (another rank, a results file). */
enum sg_status sg_job_from_text(const char *text, size_t n, const char *where, struct sg_job *out,
                                struct sg_err *err);
void sg_job_free(struct sg_job *job); /* zeroed accepted */
/* Appends the keys at which two canonical texts differ, with ", " between them; not engine.*, output.dir and name, which
 * change no results. */
enum sg_status sg_job_differences(const char *a, const char *b, struct sg_buf *keys, struct sg_err *err);

/* jobs/job.schema.json as the code has it; a test compares the committed file with this. */
enum sg_status sg_job_schema(struct sg_buf *out, struct sg_err *err);

#endif
