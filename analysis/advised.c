#include "advised.h"

/* The step that a target's policy was made of: the cheapest that reaches it. */
static const struct sg_advice_step *step_of(const struct sg_advice *advice, bool is_target, double asked) {
    for (int32_t i = 0; i < advice->n_steps; i++) {
        const struct sg_advice_step *s = &advice->step[i];
        if (s->value && (is_target ? s->accuracy.value >= asked : s->budget == asked)) return s;
    }
    return NULL;
}

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
    const struct sg_advice_step *step = step_of(advice, is_target, asked);
    for (size_t i = 0; step && i < a->n_policies; i++)
        if (a->policies[i].is_target == is_target && a->policies[i].asked == asked) {
            *out = (struct sg_advised){.policy = &a->policies[i], .step = step};
            return SG_OK;
        }
    return is_target ? sg_fail(err, SG_E_INPUT,
                               "%s: nothing that is advised reaches --target-accuracy %.9g; ask for less",
                               option, asked)
                     : sg_fail(err, SG_E_INPUT, "%s: no model fits --budget %.9g USD a query; give more",
                               option, asked);
}
