/* Any bytes as a job file: an error or a job, and a job's canonical text makes the same job again. */
#include "job/job.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sg_job job = {0}, again = {0};
    struct sg_err err = {0};
    if (sg_job_from_text((const char *)data, size, "fuzz.json", &job, &err) == SG_OK) {
        if (sg_job_from_text(job.text, strlen(job.text), "fuzz.json", &again, &err) != SG_OK) abort();
        if (strcmp(job.text, again.text) != 0) abort();
    } else if (!err.text[0] || strchr(err.text, '\n')) {
        abort(); /* every refusal is one line that says something */
    }
    sg_job_free(&job);
    sg_job_free(&again);
    return 0;
}
