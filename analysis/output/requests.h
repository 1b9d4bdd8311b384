/* requests - batch request files of a policy: what the batch interface of OpenAI takes and `vllm run-batch` reads. */
#ifndef SG_ANALYSIS_OUTPUT_REQUESTS_H
#define SG_ANALYSIS_OUTPUT_REQUESTS_H

#include "analysis/advised.h"
#include "analysis/provider_ids.h"

enum { SG_REQUESTS_PER_FILE = 50000, SG_REQUESTS_FILE_BYTES = 200000000 }; /* what OpenAI takes */

struct sg_requests_spec {
    const char *dir;              /* to be made; may be there when it is empty */
    const char *queries;          /* the file that the job read them from */
    const char *body;             /* JSON object of further members of every body; NULL: none */
    int64_t per_file, file_bytes; /* 0: the limits above */
};
/* What was written. */
struct sg_requests_done {
    int64_t requests, files;
    int32_t models;
    double bill;           /* USD, as estimated */
    bool prompts_verified; /* false: the results hold no hashes of the prompts */
};
/* Writes DIR/MODEL-0001.jsonl and on, a request a query in the order of the queries' file, and DIR/manifest.json. DIR
 * appears whole or not at all. Every query of the dataset must stand in the file with the text that was estimated;
 * r->origin must have been read. SG_E_INPUT with file and line: another text, an id that the results lack; SG_E_INPUT:
 * a query that the file lacks, a DIR that holds something. */
enum sg_status sg_requests_write(const struct sg_analysis *a, const struct sg_advised *advised,
                                 const struct sg_provider_ids *ids, const struct sg_requests_spec *spec,
                                 struct sg_requests_done *done, struct sg_err *err);

#endif
