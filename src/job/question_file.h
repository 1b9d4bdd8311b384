/* question_file - a file of queries by itself, as a job reads it. */
#ifndef SG_JOB_QUESTION_FILE_H
#define SG_JOB_QUESTION_FILE_H

#include "base/ids.h"
#include "base/mem.h"
#include "job/plan.h"

struct sg_question_file {
    struct sg_query *items; /* [n] in the order of the file */
    int64_t *lines;         /* [n] where each was read */
    int64_t n;
    struct sg_ids ids; /* id -> its place in items */
    struct sg_arena strings;
};
/* JSON lines or a JSON array of {id, prompt | question, category?}. SG_E_INPUT, with file and line, for what a job
 * refuses too: broken records, an id twice, an empty id or text, no record. The caller frees *out. */
enum sg_status sg_question_file_read(const char *path, struct sg_question_file *out, struct sg_err *err);
void sg_question_file_free(struct sg_question_file *f); /* zeroed accepted */

#endif
