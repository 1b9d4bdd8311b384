/* policy_json - the advice as a rule for traffic outside the grid: category -> model. */
#ifndef SG_ANALYSIS_OUTPUT_POLICY_JSON_H
#define SG_ANALYSIS_OUTPUT_POLICY_JSON_H

#include "analysis/advised.h"
#include "analysis/provider_ids.h"

/* Writes DIR/policy.json, which appears whole; DIR is made. advised NULL: removes one that an older run left. What is
 * advised stands there when it needs no estimate of a query: one model, a mix, a table; in place of a routing stands the
 * best table for the same budget, else (none fits it) the mix or one model, and `note` says so; SG_E_INPUT when caps
 * allow none of them. A category of traffic that the grid lacks gets `default`: of a table the best one model for the
 * budget; where a cap forbids that the mix, or where it has none the shares of what is advised. */
enum sg_status sg_policy_json_write(const struct sg_analysis *a, const struct sg_advised *advised,
                                    const struct sg_provider_ids *ids, const char *dir, struct sg_err *err);

#endif
