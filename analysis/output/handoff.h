/* handoff - what others are given of the advice: batch request files, policy.json. */
#ifndef SG_ANALYSIS_OUTPUT_HANDOFF_H
#define SG_ANALYSIS_OUTPUT_HANDOFF_H

#include "requests.h"

#include <stdio.h>

struct sg_handoff_spec {
    struct sg_requests_spec requests; /* dir NULL: none */
    bool policy_json;
    const char *prices, *pool; /* as given: the first that is a file may have provider ids; NULL: not given */
};
struct sg_handoff_done {
    struct sg_requests_done requests;
    int32_t m, n_named;
    const char *named_by; /* borrowed; NULL: no file */
};
/* Before anything is computed. SG_E_USAGE: options that need another one; not one ask, where `asks` counts the budgets and
 * targets that were given. */
enum sg_status sg_handoff_check(const struct sg_handoff_spec *spec, size_t asks, struct sg_err *err);
/* Writes what is asked for; policy.json into `dir`, where it removes an older one that is not asked for. */
enum sg_status sg_handoff_write(const struct sg_analysis *a, const struct sg_handoff_spec *spec,
                                const char *dir, struct sg_handoff_done *done, struct sg_err *err);
void sg_handoff_say(const struct sg_handoff_spec *spec, const struct sg_handoff_done *done, FILE *to);

#endif
