#include "provider_ids.h"

#include "id_list.h"

#include <stdlib.h>
#include <string.h>

static enum sg_status take(const char *path, const cJSON *e, struct sg_arena *strings, const char **id,
                           const char **as_of, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(e, "provider_id");
    const cJSON *date = cJSON_GetObjectItemCaseSensitive(e, "as_of");
    char *copy;
    if (name && !cJSON_IsNull(name) && !(cJSON_IsString(name) && *name->valuestring))
        return sg_fail(err, SG_E_INPUT, "%s: model \"%s\": provider_id must be a text that is not empty",
                       path, sg_id_list_id(e));
    if (cJSON_IsString(name)) {
        SG_TRY(sg_arena_dup(strings, name->valuestring, strlen(name->valuestring), &copy, err));
        *id = copy;
    }
    if (cJSON_IsString(date)) {
        SG_TRY(sg_arena_dup(strings, date->valuestring, strlen(date->valuestring), &copy, err));
        *as_of = copy;
    }
out:
    return st;
}

enum sg_status sg_provider_ids_read(const char *path, const struct sg_dataset *d, struct sg_provider_ids *out,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_provider_ids p = {0};
    struct sg_buf text = {0};
    cJSON *list = NULL;
    bool json = false;
    SG_TRY(SG_NEW(&p.id, d->m, "names of models", err));
    SG_TRY(SG_NEW(&p.as_of, d->m, "names of models", err));
    if (path) SG_TRY(sg_id_list_read(path, &text, &json, err));
    if (json) SG_TRY(sg_id_list_json(&text, path, &list, err));
    for (const cJSON *e = list ? list->child : NULL; e; e = e->next)
        for (int32_t k = 0; k < d->m && cJSON_IsObject(e); k++)
            if (!strcmp(sg_dataset_model(d, k), sg_id_list_id(e)))
                SG_TRY(take(path, e, &p.strings, &p.id[k], &p.as_of[k], err));
    for (int32_t k = 0; k < d->m; k++) {
        p.n_named += p.id[k] != NULL;
        if (!p.id[k]) p.id[k] = sg_dataset_model(d, k);
        for (int32_t j = 0; j < k; j++) {
            if (strcmp(p.id[j], p.id[k])) continue;
            st = sg_fail(err, SG_E_INPUT, "%s: models \"%s\" and \"%s\" have the same provider_id \"%s\"",
                         path, sg_dataset_model(d, j), sg_dataset_model(d, k), p.id[k]);
            goto out;
        }
    }
    *out = p;
    p = (struct sg_provider_ids){0};
out:
    sg_provider_ids_free(&p);
    cJSON_Delete(list);
    sg_buf_free(&text);
    return st;
}

void sg_provider_ids_free(struct sg_provider_ids *p) {
    if (!p) return;
    free((void *)p->id);
    free((void *)p->as_of);
    sg_arena_free(&p->strings);
    memset(p, 0, sizeof *p);
}
