/* verdict - what an estimator answered. The default parser takes the last well-formed verdict of a text:
 *
 *     Predicted Performance: {len: 512, correct: yes}
 *
 * Well formed allows for how models vary it: letter case, white space, markdown marks (* _ ` #) and quotes,
 * any or no brackets around the whole and around each value, `=` or a full-width colon, a full-width comma, spaces of
 * Unicode (U+00A0, U+2009, U+202F, U+3000), `length`, either order of the two fields, thousands separators (1,024), "300
 * tokens". It does not allow for: a number with sign, fraction or exponent, a length above SG_VERDICT_MAX_LENGTH, an answer
 * other than yes or no as a word of its own (`yes/no`, `yes-ish`), a missing field, or a `{` that is not closed on the
 * answer's line (cut off). Runs of white space and marks count up to 64 characters. What is not well formed is skipped, never
 * guessed from. Texts are bytes; they need not be valid UTF-8. */
#ifndef SG_TEXT_VERDICT_H
#define SG_TEXT_VERDICT_H

#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ten million tokens: no model answers at such length, and one such sample would drown a cell's mean. */
#define SG_VERDICT_MAX_LENGTH 10000000

/* Raise it when any text may get another verdict than before: it is in the fingerprint of every run, so that results of two
 * parsers are never mixed. 2: white space of Unicode, the full-width comma. */
enum { SG_VERDICT_VERSION = 2 };

struct sg_verdict {
    bool parsed;    /* false: the text holds no well-formed verdict, and the rest is zero */
    bool correct;   /* the answer: yes */
    bool closed;    /* a bracket was opened around it and closed: nothing can be added */
    int64_t length; /* predicted completion tokens */
    size_t answer;  /* offset of the first letter of yes or no */
};

void sg_verdict_parse(const char *text, size_t n, struct sg_verdict *out);

/* Follows one sample token by token; zeroed is the beginning. Owns its memory. Its verdict is that
 * of sg_verdict_parse on the text so far, at a cost a token that does not grow with the text. */
struct sg_tracker {
    struct sg_buf text;
    size_t *starts; /* [n_tokens] offset of the first byte of each token */
    size_t n_tokens, cap_starts;
    struct sg_verdict best; /* the last well-formed one so far */
    size_t scanned;         /* no heading begins between `fields` and this offset */
    size_t fields; /* where the fields of the last heading begin; 0 = nothing there may still change */
};

/* Adds the bytes of the next token (may be none). *complete: a verdict has just been closed by its bracket,
 * so that nothing after it needs to be written. */
enum sg_status sg_tracker_feed(struct sg_tracker *t, const char *bytes, size_t n, bool *complete,
                               struct sg_err *err);

/* The verdict of the text so far, and the index of the token that holds the first letter of the answer to
 * `correct:`, or -1 without a verdict. */
void sg_tracker_verdict(const struct sg_tracker *t, struct sg_verdict *out, int32_t *answer_token);

void sg_tracker_reset(struct sg_tracker *t); /* back to the beginning, memory kept */
void sg_tracker_free(struct sg_tracker *t);

#endif
