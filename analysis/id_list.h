/* id_list - files that name things: models with or without prices, queries. In the forms in which the
 * project's inputs come: a JSON array, JSON lines, an object id -> fields, or plain names, one a line. A byte
 * order mark and carriage returns are no part of it. */
#ifndef SG_ANALYSIS_ID_LIST_H
#define SG_ANALYSIS_ID_LIST_H

#include "base/mem.h"
#include "base/status.h"
#include <cjson/cJSON.h>
#include <stdbool.h>

/* Reads a file of at most 64 MiB into *text (the caller's, sg_buf_free) without its byte order mark. *json:
 * its first character is a bracket. */
enum sg_status sg_id_list_read(const char *path, struct sg_buf *text, bool *json, struct sg_err *err);

/* The JSON of such a text as an array (the caller's, cJSON_Delete) of strings and of objects that have an
 * "id"; anything else is SG_E_INPUT naming the place. */
enum sg_status sg_id_list_json(const struct sg_buf *text, const char *path, cJSON **out, struct sg_err *err);

/* The id of an element of that array. */
const char *sg_id_list_id(const cJSON *element);

#endif
