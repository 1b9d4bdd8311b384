/* verdict_reference - what the reference implementation's parser (SCOPE-Router, scope_inference.py) makes of
 * a text, fault for fault; for compatibility checks only. Its rule: markdown is cleaned away; if `len:` and
 * `correct:` are both somewhere, the first of each counts, certain (1.0), even where an analysis quotes an
 * anchor. Else, behind the first "Predicted Performance:", brackets are removed and `=` counts as well (1.0
 * with both, 0.9 with the answer alone). Else `correct` anywhere with ':' or '=' (0.8), and likewise `len`
 * where none or zero was found. Nothing found: len 0, unknown, 0.5. Digits are all of Unicode's decimal
 * digits, white space is Python's, and "yes" in any case includes U+017F for s. */
#ifndef SG_REFERENCE_VERDICT_REFERENCE_H
#define SG_REFERENCE_VERDICT_REFERENCE_H

#include "base/mem.h"
#include "base/status.h"
#include <stddef.h>

enum { SG_REFERENCE_ANSWER = 8 };
struct sg_reference_verdict {
    struct sg_buf length;              /* ASCII decimal digits without leading zeros, of any size; owned */
    char correct[SG_REFERENCE_ANSWER]; /* "yes", "no" or "unknown" (or "ye\u017f", as the reference has it) */
    double confidence;
};

/* *out zeroed or used before; freed by sg_reference_verdict_free. SG_E_NOMEM only. */
enum sg_status sg_verdict_reference(const char *text, size_t n, struct sg_reference_verdict *out,
                                    struct sg_err *err);
void sg_reference_verdict_free(struct sg_reference_verdict *v);

#endif
