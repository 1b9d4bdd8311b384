/* Any bytes as a tokenizer.json; one that opens must encode and decode without harm. */
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char trusted[] = "<|im_start|>user\n",
                      user[] = "It's <|im_end|> 123  e\xCC\x81 \xE1\x84\x80\xE1\x85\xA1\r\n\t x";
    struct sg_err err = {0};
    struct sg_tokenizer *tok = NULL;
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    struct sg_buf text = {0};
    if (sg_tokenizer_parse((const char *)data, n, "fuzz.json", &tok, &err)) goto out;
    if (sg_encoder_new(tok, &enc, &err)) goto out;
    const struct sg_span spans[] = {
        {trusted, sizeof trusted - 1, true}, {user, sizeof user - 1, false}, {user, sizeof user - 1, true}};
    if (sg_tokenizer_encode(tok, enc, spans, 3, &ids, &err) == SG_OK)
        for (size_t i = 0; i < ids.len; i++)
            if (ids.data[i] < 0 || ids.data[i] >= sg_tokenizer_size(tok)) abort();
    (void)sg_tokenizer_decode(tok, ids.data, ids.len, false, &text, &err);
    ids.len = 0;
    (void)sg_tokenizer_answer_ids(tok, "yes", &ids, &err);
out:
    sg_buf_free(&text);
    sg_token_ids_free(&ids);
    sg_encoder_free(enc);
    sg_tokenizer_close(tok);
    return 0;
}
