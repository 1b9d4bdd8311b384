/* prompt - the SCOPE prompt of one cell, as spans. A template is text with {{placeholders}}:
 *
 *     main     {{num_anchors}} {{target_model}} {{examples}} {{target_question}}
 *     example  {{index}} {{anchor_question}} {{completion_tokens}} {{yes_no}}
 *
 * The example is written once for each anchor, most similar first, where {{examples}} stands. Values are put
 * in as they are, in one pass: a question that contains "{{target_model}}" keeps it. The whole is wrapped as
 * the model was trained: <|im_start|>user\n ... <|im_end|>\n<|im_start|>assistant\n. Wrapper and template are
 * trusted; questions and the model's name are not (see tokenizer.h). */
#ifndef SG_TEXT_PROMPT_H
#define SG_TEXT_PROMPT_H

#include "base/mem.h"
#include "base/status.h"
#include "text/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_prompt; /* a template taken apart; read-only after open, owned by the caller */

/* A template's text and what to call it in errors. Zeroed: the built-in one. */
struct sg_prompt_source {
    const char *text; /* NUL-terminated UTF-8; NULL = built in */
    const char *where;
};

/* An unknown or unclosed placeholder is SG_E_INPUT with file and line; so is a main text without
 * {{target_question}} or {{examples}}, or an example without {{anchor_question}}. */
enum sg_status sg_prompt_open(const struct sg_prompt_source *main_text,
                              const struct sg_prompt_source *example, struct sg_prompt **out,
                              struct sg_err *err);
void sg_prompt_close(struct sg_prompt *p); /* NULL accepted */

struct sg_prompt_anchor {
    const char *question; /* UTF-8 */
    size_t len;           /* bytes */
    int64_t completion_tokens;
    bool correct;
};
struct sg_prompt_cell {
    const char *question, *model; /* UTF-8 */
    size_t question_len, model_len;
    const struct sg_prompt_anchor *anchors; /* [n_anchors], most similar first */
    int32_t n_anchors;
    int64_t
        anchor_chars; /* longer anchor questions are cut to so many code points and get "..."; 0 = uncut */
};

/* Zeroed is empty; reused by build; owns everything. The spans point into text. */
struct sg_prompt_text {
    struct sg_buf text; /* the whole prompt */
    struct sg_span *spans;
    size_t n_spans, cap_spans;
};
enum sg_status sg_prompt_build(const struct sg_prompt *p, const struct sg_prompt_cell *cell,
                               struct sg_prompt_text *out, struct sg_err *err);
void sg_prompt_text_free(struct sg_prompt_text *t);

#endif
