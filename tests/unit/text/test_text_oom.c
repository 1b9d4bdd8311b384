/* Protects: when any allocation fails, opening a tokenizer, encoding, decoding, building prompts and
 * following verdicts end with "out of memory", give everything back and leave outputs untouched. */
#include "text_test.h"

#include "support/oom.h"
#include "text/prompt.h"
#include "text/verdict.h"
#include "tests/reference/verdict_reference.h"

static struct sg_buf seeds[3]; /* small tokenizers, the fuzzer's */
static int seed;

static enum sg_status tokenizer_once(struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_tokenizer *tok = NULL;
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    struct sg_buf text = {0}, long_word = {0};
    for (int i = 0; i < 100; i++) SG_TRY(sg_buf_str(&long_word, "the", err));
    st = sg_tokenizer_parse(seeds[seed].data, seeds[seed].len, "seed.json", &tok, err);
    if (st != SG_OK) assert_null(tok);
    if (st != SG_OK) goto out;
    SG_TRY(sg_encoder_new(tok, &enc, err));
    const char *s = "<|im_start|>the e\xCC\x81\xCC\xA3 yes <b>x\xC3\xA9!";
    const struct sg_span spans[] = {
        {s, strlen(s), true}, {s, strlen(s), false}, {long_word.data, long_word.len, false}};
    st = sg_tokenizer_encode(tok, enc, spans, 3, &ids, err);
    if (st != SG_OK) assert_int_equal(ids.len, 0);
    if (st != SG_OK) goto out;
    SG_TRY(sg_tokenizer_decode(tok, ids.data, ids.len, false, &text, err));
    ids.len = 0;
    SG_TRY(sg_tokenizer_answer_ids(tok, "e", &ids, err));
out:
    sg_buf_free(&long_word);
    sg_buf_free(&text);
    sg_token_ids_free(&ids);
    sg_encoder_free(enc);
    sg_tokenizer_close(tok);
    return st;
}

static enum sg_status prompt_once(struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_prompt *p = NULL;
    struct sg_prompt_text t = {0};
    const struct sg_prompt_anchor anchor = {"a", 1, 5, true};
    const struct sg_prompt_cell cell = {"q", "m", 1, 1, &anchor, 1, 0};
    SG_TRY(sg_prompt_open(NULL, NULL, &p, err));
    SG_TRY(sg_prompt_build(p, &cell, &t, err));
out:
    sg_prompt_text_free(&t);
    sg_prompt_close(p);
    return st;
}

static enum sg_status verdict_once(struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_tracker t = {0};
    struct sg_reference_verdict r = {0};
    const char *s = "**Analysis** `x` Predicted Performance: {len: 5, correct = no}";
    for (size_t i = 0; i < strlen(s); i++) {
        bool complete;
        SG_TRY(sg_tracker_feed(&t, s + i, 1, &complete, err));
    }
    SG_TRY(sg_verdict_reference(s, strlen(s), &r, err));
out:
    sg_tracker_free(&t);
    sg_reference_verdict_free(&r);
    return st;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const char *const names[] = {"qwen", "gpt2", "template"};
    for (seed = 0; seed < 3; seed++) {
        char path[100];
        snprintf(path, sizeof path, "fuzz/corpus/fuzz_tokenizer/%s", names[seed]);
        CHECK_OK(sg_file_read(path, 1 << 20, &seeds[seed], &err));
        oom_each(names[seed], tokenizer_once, 20);
        sg_buf_free(&seeds[seed]);
    }
    oom_each("prompt", prompt_once, 6);
    oom_each("verdict", verdict_once, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
