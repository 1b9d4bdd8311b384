/* Protects: ids and decoded text are HuggingFace's, for the demo's tokenizer and small ones that use every
 * feature of the file format we accept (tests/data/text/make_cases.py made the cases); and, where the big
 * reference data is, for the Qwen3 tokenizer. `plain` proves that untrusted text never gives an added token.
 */
#include "text_test.h"

struct run {
    struct sg_tokenizer *tok;
    struct sg_encoder *enc;
    char name[100];
    size_t cases, with_control;
};

static void open_group(struct run *run, const struct record *r, const char *own_path) {
    sg_encoder_free(run->enc);
    sg_tokenizer_close(run->tok);
    run->tok = NULL;
    run->enc = NULL;
    snprintf(run->name, sizeof run->name, "%s", r->name.data ? r->name.data : "");
    if (r->tokenizer.len)
        CHECK_OK(sg_tokenizer_parse(r->tokenizer.data, r->tokenizer.len, run->name, &run->tok, &err));
    else
        CHECK_OK(sg_tokenizer_open(own_path, &run->tok, &err));
    CHECK_OK(sg_encoder_new(run->tok, &run->enc, &err));
}

static void one_case(struct run *run, const struct record *r, bool has_plain, size_t line) {
    struct sg_token_ids ids = {0};
    struct sg_buf text = {0};
    char what[200];
    const char *s = r->text.data ? r->text.data : "";
    snprintf(what, sizeof what, "%s, line %zu, trusted", run->name, line);
    struct sg_span span = {s, r->text.len, true};
    encode(run->tok, run->enc, &span, 1, &ids);
    expect_ids(&ids, &r->ids, what);
    for (size_t i = 0; i < ids.len; i++) run->with_control += sg_tokenizer_is_special(run->tok, ids.data[i]);
    CHECK_OK(sg_tokenizer_decode(run->tok, ids.data, ids.len, false, &text, &err));
    if (text.len != r->decoded.len || (text.len && memcmp(text.data, r->decoded.data, text.len) != 0))
        fail_msg("%s, line %zu: decoded \"%s\", expected \"%s\"", run->name, line, text.data,
                 r->decoded.data);
    if (has_plain) {
        snprintf(what, sizeof what, "%s, line %zu, untrusted", run->name, line);
        span.trusted = false;
        encode(run->tok, run->enc, &span, 1, &ids);
        expect_ids(&ids, &r->plain, what);
    }
    /* Cut into spans at any character, the text is the same text. */
    if (r->text.len >= 2) {
        size_t cut = 1 + (size_t)(sg_random64(3, line) % (r->text.len - 1));
        while (cut < r->text.len && ((unsigned char)s[cut] & 0xC0) == 0x80) cut++;
        struct sg_span two[] = {{s, cut, true}, {"", 0, true}, {s + cut, r->text.len - cut, true}};
        encode(run->tok, run->enc, two, 3, &ids);
        expect_ids(&ids, &r->ids, "the same in two spans");
        if (has_plain) {
            two[0].trusted = two[2].trusted = false;
            encode(run->tok, run->enc, two, 3, &ids);
            expect_ids(&ids, &r->plain, "the same in two untrusted spans");
        }
    }
    run->cases++;
    sg_token_ids_free(&ids);
    sg_buf_free(&text);
}

static void run_file(const char *path, const char *own_path, size_t least_cases, bool grouped) {
    struct sg_buf file = {0};
    struct record r = {0};
    struct run run = {0};
    read_gz(path, &file);
    if (!grouped) open_group(&run, &r, own_path);
    size_t line = 0;
    for (char *p = file.data, *end; (end = strchr(p, '\n')); p = end + 1) {
        read_record(p, (size_t)(end - p), &r);
        line++;
        if (r.name.len)
            open_group(&run, &r, own_path);
        else
            one_case(&run, &r, grouped, line);
    }
    assert_true(run.cases >= least_cases);
    assert_true(run.with_control > 20); /* the cases do contain control tokens */
    sg_encoder_free(run.enc);
    sg_tokenizer_close(run.tok);
    free_record(&r);
    sg_buf_free(&file);
}

static void the_committed_cases(void **state) {
    (void)state;
    run_file("data/text/tokenizer-cases.jsonl.gz", "../jobs/demo/model", 3000, true);
}

static void the_qwen3_oracle(void **state) {
    (void)state;
    run_file(SG_SHARED_DIR "/data/oracle/tokenizer-qwen3.jsonl.gz", SG_SHARED_DIR "/data/qwen3-tokenizer",
             500, false);
}

int main(int argc, char **argv) {
    const struct CMUnitTest committed[] = {cmocka_unit_test(the_committed_cases)};
    const struct CMUnitTest oracle[] = {cmocka_unit_test(the_qwen3_oracle)};
    if (argc < 2 || strcmp(argv[1], "qwen3") != 0) return cmocka_run_group_tests(committed, NULL, NULL);
    if (!sg_dir_exists(SG_SHARED_DIR "/data/qwen3-tokenizer")) {
        printf("SKIP: %s/data/qwen3-tokenizer is not here\n", SG_SHARED_DIR);
        return 77;
    }
    return cmocka_run_group_tests(oracle, NULL, NULL);
}
