/* limits - what a buyer limits or compares with, as the command line and files have it. */
#ifndef SG_ANALYSIS_LIMITS_H
#define SG_ANALYSIS_LIMITS_H

#include "dataset.h"

/* The dataset's model of that id. SG_E_INPUT names `option` and the nearest id. */
enum sg_status sg_limits_model(const struct sg_dataset *d, const char *option, const char *id, int32_t *out,
                               struct sg_err *err);

/* Caps of the form MODEL=SHARE, share from 0 to 1 or in percent with its sign: *cap [m], 1 for models that
 * none names, the caller's; NULL where n is 0. Caps that leave queries without a model are SG_E_INPUT. */
enum sg_status sg_limits_caps(const struct sg_dataset *d, const char *const *text, size_t n, double **cap,
                              struct sg_err *err);

#endif
