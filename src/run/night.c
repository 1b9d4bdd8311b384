#include "run/night.h"
#include "base/clock.h"

#include "base/json.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#define NIGHT "{night}"

enum sg_status sg_night_name(const char *name, char out[SG_NIGHT_NAME], struct sg_err *err) {
    if (!name) {
        char now[SG_CLOCK_UTC];
        sg_clock_utc(now);
        snprintf(out, SG_NIGHT_NAME, "%.10s", now); /* the date */
        return SG_OK;
    }
    if (!*name || *name == '.' || strlen(name) >= SG_NIGHT_NAME || strpbrk(name, "/{}\n") ||
        !sg_utf8_valid(name, strlen(name), NULL))
        return sg_fail(
            err, SG_E_USAGE,
            "--night %s: expected a name of 1 to %d bytes that can be a folder's, without a leading dot",
            name, SG_NIGHT_NAME - 1);
    memcpy(out, name, strlen(name) + 1);
    return SG_OK;
}

/* Replaces every {night} in text; *out is the caller's. */
static enum sg_status replace(const char *text, const char *night, char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    for (const char *at; (at = strstr(text, NIGHT)); text = at + strlen(NIGHT)) {
        SG_TRY(sg_buf_add(&b, text, (size_t)(at - text), err));
        SG_TRY(sg_buf_str(&b, night, err));
    }
    SG_TRY(sg_buf_str(&b, text, err));
    *out = b.data;
    return SG_OK;
out:
    sg_buf_free(&b);
    return st;
}

/* Sets output.dir in the job's text and reads the job from it again: the other ranks and the results get that
 * text. */
static enum sg_status set_dir(struct sg_job *job, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_job new = {0};
    cJSON *doc = NULL;
    char *text = NULL;
    SG_TRY(sg_json_parse(job->text, strlen(job->text), job->path, 1, &doc, err));
    cJSON *output = cJSON_GetObjectItemCaseSensitive(doc, "output");
    SG_ASSERT(output); /* the canonical text has all sections */
    cJSON *value = cJSON_CreateString(dir);
    if (!value || !cJSON_ReplaceItemInObjectCaseSensitive(output, "dir", value) ||
        !(text = cJSON_PrintUnformatted(doc))) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for the job");
        goto out;
    }
    SG_TRY(sg_job_from_text(text, strlen(text), job->path, &new, err));
    sg_job_free(job);
    *job = new;
out:
    cJSON_Delete(doc);
    free(text);
    return st;
}

enum sg_status sg_night_expand(struct sg_job *job, const char *night, struct sg_err *err) {
    char *dir = NULL;
    if (!strstr(job->output.dir, NIGHT)) return SG_OK;
    enum sg_status st = replace(job->output.dir, night, &dir, err);
    if (st == SG_OK) st = set_dir(job, dir, err);
    free(dir);
    return st;
}
