/* sweep_index - reads DIR/index.json, which `scope-grid run SWEEP.json` writes (sweep/sweep.h). */
#ifndef SG_ANALYSIS_SWEEP_INDEX_H
#define SG_ANALYSIS_SWEEP_INDEX_H

#include "base/mem.h"
#include "base/status.h"
#include <stdint.h>

/* Replaces every name in files[0..max) (NULL after the last) that ends in .json by the results of the sweep's
 * finished points, in their order; other names stay. Strings live in the arena. SG_E_INPUT when such a file
 * is no sweep's index, has no finished point, or when there are more than max files in all. */
enum sg_status sg_sweep_expand(const char **files, int32_t max, struct sg_arena *strings, struct sg_err *err);

#endif
