/* advised - the one policy that requests and policy.json are made of. */
#ifndef SG_ANALYSIS_ADVISED_H
#define SG_ANALYSIS_ADVISED_H

#include "analysis.h"

struct sg_advised {
    const struct sg_asked_policy
        *policy; /* borrowed from the analysis: who answers which query, as policies.csv has it */
    const struct sg_advice_step *step; /* borrowed from the advice: what it is and what it is worth */
};
/* The advice at the one budget or target of the analysis' options; `option` names the option that needs it. SG_E_INPUT:
 * nothing is advised (there are no outcomes), nothing fits the budget or reaches the target. */
enum sg_status sg_advised_find(const struct sg_analysis *a, const char *option, struct sg_advised *out,
                               struct sg_err *err);

#endif
