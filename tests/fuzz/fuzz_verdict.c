/* Any bytes as an estimator's answer: the default parser, its tracker fed in pieces of every size (both must
 * agree), and the reference parser. The first byte says how the text is cut into tokens. */
#include "text/verdict.h"
#include "tests/reference/verdict_reference.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!n) return 0;
    const char *text = (const char *)data + 1;
    const size_t step = 1 + data[0] % 9;
    n--;
    struct sg_err err = {0};
    struct sg_verdict whole, tracked;
    struct sg_tracker t = {0};
    int32_t token;
    sg_verdict_parse(text, n, &whole);
    for (size_t i = 0; i < n; i += step) {
        bool complete;
        if (sg_tracker_feed(&t, text + i, n - i < step ? n - i : step, &complete, &err)) abort();
    }
    sg_tracker_verdict(&t, &tracked, &token);
    if (whole.parsed != tracked.parsed || whole.correct != tracked.correct ||
        whole.length != tracked.length || whole.answer != tracked.answer || whole.closed != tracked.closed)
        abort();
    if (whole.parsed && (whole.length < 0 || whole.length > SG_VERDICT_MAX_LENGTH || whole.answer >= n ||
                         (size_t)token != whole.answer / step))
        abort();
    sg_tracker_free(&t);
    struct sg_reference_verdict r = {0};
    if (sg_verdict_reference(text, n, &r, &err)) abort();
    sg_reference_verdict_free(&r);
    return 0;
}
