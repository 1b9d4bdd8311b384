/* provider_ids - what a provider calls the models: the name that a request must bear. */
#ifndef SG_ANALYSIS_PROVIDER_IDS_H
#define SG_ANALYSIS_PROVIDER_IDS_H

#include "dataset.h"

#include "base/mem.h"

struct sg_provider_ids {
    const char **id;    /* [m] provider_id of the file; the model's own id where the file has none */
    const char **as_of; /* [m] the date of the prices in the file; NULL: it has none */
    int32_t n_named;    /* models whose provider_id the file has */
    struct sg_arena strings;
};
/* Reads provider_id and as_of of the dataset's models from a portfolio or price file (id_list.h). path: NULL, or a list
 * of names without JSON: no model is named. SG_E_INPUT: a provider_id that is no text or empty; two models of the
 * dataset that bear the same one: their answers could not be told apart. The caller frees *out; the dataset outlives it. */
enum sg_status sg_provider_ids_read(const char *path, const struct sg_dataset *d, struct sg_provider_ids *out,
                                    struct sg_err *err);
void sg_provider_ids_free(struct sg_provider_ids *p); /* zeroed accepted */

#endif
