#include "advised.h"

#include "policies.h"

enum sg_status sg_advised_find(const struct sg_analysis *a, const char *option, struct sg_advised *out,
                               struct sg_err *err) {
    const struct sg_advice *advice = a->opt.advice;
    SG_ASSERT(a->opt.n_budgets + a->opt.n_targets == 1);
    if (!advice || !advice->present)
        return sg_fail(
            err, SG_E_INPUT,
            "%s: %s holds outcomes neither of anchors nor of queries, so no policy is advised; run "
            "the grid with anchors",
            option, a->data->path);
    const bool is_target = a->opt.n_targets > 0;
    const double asked = is_target ? a->opt.targets[0] : a->opt.budgets[0];
    const char *limits = advice->cap ? " within --at-most" : "";
    double best;
    const struct sg_advice_step *step = sg__advised_step(advice, is_target, asked, &best);
    for (size_t i = 0; step && i < a->n_policies; i++)
        if (a->policies[i].is_target == is_target && a->policies[i].asked == asked) {
            *out = (struct sg_advised){.policy = &a->policies[i], .step = step};
            return SG_OK;
        }
    return is_target
               ? sg_fail(err, SG_E_INPUT,
                         "%s: nothing that is advised%s reaches --target-accuracy %.9g, %.4g at most; ask "
                         "for less",
                         option, limits, asked, best)
               : sg_fail(err, SG_E_INPUT, "%s: no model fits --budget %.9g USD a query%s; give more%s",
                         option, asked, limits, advice->cap ? ", raise a share or --portfolio-size" : "");
}
