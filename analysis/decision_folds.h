/* decision_folds - which fold a row belongs to: by a keyed hash of its id, alike in every category. */
#ifndef SG_ANALYSIS_DECISION_FOLDS_H
#define SG_ANALYSIS_DECISION_FOLDS_H

#include "decision.h"

/* A row's place in the order of a seed. */
double sg__unit_key(uint64_t key, uint64_t seed);

/* fold[n], the caller's: each category's rows, in that order, are dealt to the folds in turn. */
enum sg_status sg__deal(const int32_t *category, const uint64_t *key, int64_t n, uint64_t seed, int32_t nc,
                        int32_t folds, uint8_t *fold, struct sg_err *err);

#endif
