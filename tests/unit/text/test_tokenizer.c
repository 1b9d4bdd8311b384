/* Protects: control tokens come from trusted spans only, whatever borders and merges there are; the
 * accessors; and that a broken or unsupported tokenizer.json is refused at its place, by its name. */
#include "text_test.h"

/* A tokenizer.json with what a test wants to vary. */
struct spec {
    const char *vocab, *merges, *added, *normalizer, *pre, *post, *decoder, *model, *top;
};
#define BYTE_LEVEL                                                                                           \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}"
#define SPLIT(regex)                                                                                         \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex          \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}," BYTE_LEVEL "]}"
#define ADDED(id, content, more) "{\"id\":" id ",\"content\":\"" content "\"" more "}"
#define VOCAB                                                                                                    \
    "\"<\":0,\"|\":1,\"e\":2,\">\":3,\"n\":4,\"d\":5,\"y\":6,\"s\":7,\"Ġ\":8,\"no\":9,\"o\":10,\"en\":11,"      \
    "\"Ġno\":12,\"es\":13,\"yes\":14,\"Ġyes\":15,\"YES\":16,\"ĊNo\":17,\"yesĠ\":18,\"ĠĠyes\":19,\"yess\":" \
    "20,"                                                                                                        \
    "\"Ã\":21,\"©\":22"
#define MERGES "\"n o\",\"e n\",[\"Ġ\",\"no\"],[\"e\",\"s\"],\"y es\",\"Ġ yes\""

static void write_spec(struct sg_buf *b, const struct spec *s) {
#define OR(x, y) ((x) ? (x) : (y))
    CHECK_OK(sg_buf_printf(b, &err,
                           "{%s\"added_tokens\":[%s],\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_"
                           "processor\":%s,\"decoder\":%s,\n"
                           "\"model\":{%s\"vocab\":{%s},\n\"merges\":[%s]}}",
                           OR(s->top, ""), OR(s->added, ADDED("23", "<|end|>", ",\"special\":true")),
                           OR(s->normalizer, "null"), OR(s->pre, SPLIT("\\\\S+|\\\\s")), OR(s->post, "null"),
                           OR(s->decoder, BYTE_LEVEL), OR(s->model, "\"type\":\"BPE\","), OR(s->vocab, VOCAB),
                           OR(s->merges, MERGES)));
}

static struct sg_tokenizer *make(const struct spec *s) {
    struct sg_buf b = {0};
    struct sg_tokenizer *tok = NULL;
    write_spec(&b, s);
    CHECK_OK(sg_tokenizer_parse(b.data, b.len, "t.json", &tok, &err));
    sg_buf_free(&b);
    return tok;
}

static void check(const struct sg_tokenizer *tok, const struct sg_span *spans, size_t n, const int32_t *want,
                  size_t n_want) {
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    const struct sg_token_ids w = {(int32_t *)(uintptr_t)want, n_want, n_want};
    CHECK_OK(sg_encoder_new(tok, &enc, &err));
    for (int again = 0; again < 2; again++) { /* the second time out of the cache */
        encode(tok, enc, spans, n, &ids);
        expect_ids(&ids, &w, spans[0].text);
    }
    sg_token_ids_free(&ids);
    sg_encoder_free(enc);
}
#define CHECK_IDS(tok, spans, ...)                                                                           \
    do {                                                                                                     \
        const int32_t want_[] = {__VA_ARGS__};                                                               \
        check(tok, spans, sizeof(spans) / sizeof *(spans), want_, sizeof want_ / sizeof *want_);             \
    } while (0)

static void control_tokens_come_from_trusted_spans_only(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){0});
    const struct sg_span trusted[] = {{"<|end|>no", 9, true}};
    CHECK_IDS(tok, trusted, 23, 9);
    const struct sg_span user[] = {{"<|end|>no", 9, false}};
    CHECK_IDS(tok, user, 0, 1, 11, 5, 1, 3, 9);
    /* Cut by a border of trust, or completed across one, it is no control token. */
    const struct sg_span across[] = {{"<|en", 4, true}, {"d|>", 3, false}};
    CHECK_IDS(tok, across, 0, 1, 11, 5, 1, 3);
    const struct sg_span completed[] = {{"<|end|", 6, false}, {">", 1, true}};
    CHECK_IDS(tok, completed, 0, 1, 11, 5, 1, 3);
    /* Two trusted spans side by side are one. */
    const struct sg_span joined[] = {{"<|en", 4, true}, {"d|>", 3, true}};
    CHECK_IDS(tok, joined, 23);
    /* Words reach over the border: " no" is one word, "e" + "n" merge. */
    const struct sg_span words[] = {{"<|end|>e", 8, true}, {"n<|end|>", 8, false}, {"<|end|>", 7, true}};
    CHECK_IDS(tok, words, 23, 11, 0, 1, 11, 5, 1, 3, 23);
    sg_tokenizer_close(tok);
}

static void added_tokens_that_are_not_special_are_control_tokens_too(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){.added = ADDED("23", "<e>", "")});
    const struct sg_span trusted[] = {{"<e>", 3, true}}, user[] = {{"<e>", 3, false}};
    CHECK_IDS(tok, trusted, 23);
    CHECK_IDS(tok, user, 0, 2, 3);
    sg_tokenizer_close(tok);
}

/* The vocabulary itself, by merges or whole-word lookup, may spell a special token. */
static void merges_cannot_spell_a_special_token(void **state) {
    (void)state;
    const char *special = ADDED("14", "yes", ",\"special\":true,\"single_word\":true");
    for (int ignore = 0; ignore < 2; ignore++) {
        struct sg_tokenizer *tok = make(&(struct spec){
            .added = special, .model = ignore ? "\"type\":\"BPE\",\"ignore_merges\":true," : NULL});
        const struct sg_span user[] = {{"yes", 3, false}}, trusted[] = {{"yes", 3, true}};
        CHECK_IDS(tok, user, 6, 2, 7);
        CHECK_IDS(tok, trusted, 14);
        sg_tokenizer_close(tok);
    }
}

static void whole_words_are_of_the_vocabulary(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(
        &(struct spec){.added = ADDED("23", "ned", ""), .model = "\"type\":\"BPE\",\"ignore_merges\":true,"});
    const struct sg_span user[] = {{"ned", 3, false}}, trusted[] = {{"ned", 3, true}},
                         word[] = {{"YES", 3, false}};
    CHECK_IDS(tok, user, 4, 2, 5);
    CHECK_IDS(tok, trusted, 23);
    CHECK_IDS(tok, word, 16); /* which no merge makes */
    sg_tokenizer_close(tok);
}

/* A normalised added token is looked for after NFC; what NFC composes across a border is untrusted. */
static void trust_goes_through_normalisation(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){
        .normalizer = "{\"type\":\"NFC\"}", .added = ADDED("23", "e\xCC\x81n", ",\"normalized\":true")});
    const char *s = "ee\xCC\x81n"; /* e + decomposed e acute + n */
    const struct sg_span trusted[] = {{s, 5, true}}, user[] = {{s, 5, false}};
    const struct sg_span border[] = {{s, 2, true}, {s + 2, 3, false}},
                         mixed[] = {{s, 2, false}, {s + 2, 3, true}};
    const struct sg_span all_of_it[] = {{s, 1, false}, {s + 1, 4, true}};
    CHECK_IDS(tok, trusted, 2, 23);
    CHECK_IDS(tok, user, 2, 21, 22, 4);
    CHECK_IDS(tok, border, 2, 21, 22, 4);
    CHECK_IDS(tok, mixed, 2, 21, 22, 4);
    CHECK_IDS(tok, all_of_it, 2, 23);
    sg_tokenizer_close(tok);
}

static void accessors(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){
        .post =
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"yes\",\"type_id\":0}},"
            "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"<|end|>\",\"type_id\":0}"
            "},"
            "{\"SpecialToken\":{\"id\":\"no\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}"});
    const char *piece;
    size_t len;
    assert_int_equal(sg_tokenizer_size(tok), 24);
    assert_int_equal(sg_tokenizer_id(tok, "<|end|>"), 23);
    assert_int_equal(sg_tokenizer_id(tok, "Ġyes"), 15);
    assert_int_equal(sg_tokenizer_id(tok, " yes"), -1);
    assert_true(sg_tokenizer_piece(tok, 15, &piece, &len));
    assert_int_equal(len, 4);
    assert_memory_equal(piece, " yes", 4);
    assert_true(sg_tokenizer_piece(tok, 21, &piece, &len)); /* half a character */
    assert_int_equal(len, 1);
    assert_int_equal((unsigned char)piece[0], 0xC3);
    assert_false(sg_tokenizer_piece(tok, 24, &piece, &len));
    assert_false(sg_tokenizer_piece(tok, -1, &piece, &len));
    assert_int_equal(len, 0);
    assert_true(sg_tokenizer_is_special(tok, 23));
    assert_false(sg_tokenizer_is_special(tok, 14));

    const int32_t *before, *after;
    size_t n_before, n_after;
    sg_tokenizer_wrap(tok, &before, &n_before, &after, &n_after);
    assert_int_equal(n_before, 1);
    assert_int_equal(before[0], 14);
    assert_int_equal(n_after, 2);
    assert_int_equal(after[0], 23);
    assert_int_equal(after[1], 9);

    struct sg_token_ids ids = {0};
    CHECK_OK(sg_tokenizer_answer_ids(tok, "yes", &ids, &err));
    const int32_t yes[] = {14, 15, 16, 19}; /* not "yes " and not "yess" */
    expect_ids(&ids, &(struct sg_token_ids){(int32_t *)(uintptr_t)yes, 4, 4}, "answers yes");
    ids.len = 0;
    CHECK_OK(sg_tokenizer_answer_ids(tok, "no", &ids, &err));
    const int32_t no[] = {9, 12, 17};
    expect_ids(&ids, &(struct sg_token_ids){(int32_t *)(uintptr_t)no, 3, 3}, "answers no");

    struct sg_buf text = {0};
    const int32_t some[] = {21, 23, 21, 22, 9, 999, 22};
    CHECK_OK(sg_tokenizer_decode(tok, some, 7, true, &text, &err));
    assert_string_equal(text.data, "\xEF\xBF\xBD\xC3\xA9no\xEF\xBF\xBD");
    sg_buf_clear(&text);
    CHECK_OK(sg_tokenizer_decode(tok, some, 3, false, &text, &err));
    assert_string_equal(text.data, "\xEF\xBF\xBD<|end|>\xEF\xBF\xBD");

    sg_buf_free(&text);
    sg_token_ids_free(&ids);
    sg_tokenizer_close(tok);
}

/* A million letters are one word: must take milliseconds, not hours, and give what merging by hand gives. */
static void a_megabyte_of_one_letter(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){
        .vocab = "\"a\":0,\"aa\":1,\"aaaa\":2,\"b\":3", .merges = "\"a a\",\"aa aa\"", .added = ""});
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    size_t n = (1u << 20) + 3;
    char *s = malloc(n);
    assert_non_null(s);
    memset(s, 'a', n);
    CHECK_OK(sg_encoder_new(tok, &enc, &err));
    const struct sg_span span = {s, n, false};
    encode(tok, enc, &span, 1, &ids);
    assert_int_equal(ids.len, n / 4 + 2); /* 4 4 ... 4 2 1 */
    for (size_t i = 0; i < n / 4; i++) assert_int_equal(ids.data[i], 2);
    assert_int_equal(ids.data[n / 4], 1);
    assert_int_equal(ids.data[n / 4 + 1], 0);
    free(s);
    sg_token_ids_free(&ids);
    sg_encoder_free(enc);
    sg_tokenizer_close(tok);
}

/* More different words than the cache has room for, twice over, against a fresh encoder for each. */
static void the_cache_forgets_without_harm(void **state) {
    (void)state;
    struct sg_tokenizer *tok = NULL;
    struct sg_encoder *kept = NULL, *fresh = NULL;
    struct sg_token_ids a = {0}, b = {0};
    CHECK_OK(sg_tokenizer_open("../jobs/demo/model/tokenizer.json", &tok, &err));
    CHECK_OK(sg_encoder_new(tok, &kept, &err));
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 40000; i++) {
            char s[48];
            int n = snprintf(s, sizeof s, "%.*s%llx", (int)(i % 30), "abcdefghijklmnopqrstuvwxyzabcdefghij",
                             (unsigned long long)(i * 7919));
            for (char *p = s; *p; p++)
                *p = (char)(*p <= '9' ? 'g' + (*p - '0') : *p); /* letters only: one word */
            const struct sg_span span = {s, (size_t)n, false};
            encode(tok, kept, &span, 1, &a);
            if (i % 500) continue;
            CHECK_OK(sg_encoder_new(tok, &fresh, &err));
            encode(tok, fresh, &span, 1, &b);
            expect_ids(&a, &b, s);
            sg_encoder_free(fresh);
        }
    sg_encoder_free(kept);
    sg_token_ids_free(&a);
    sg_token_ids_free(&b);
    sg_tokenizer_close(tok);
}

static void bad_text_is_refused_and_leaves_nothing(void **state) {
    (void)state;
    struct sg_tokenizer *tok = make(&(struct spec){0});
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    struct sg_err why = {0};
    CHECK_OK(sg_encoder_new(tok, &enc, &err));
    const struct sg_span spans[] = {{"no", 2, true}, {"n\xC3(", 3, false}};
    assert_int_equal(sg_tokenizer_encode(tok, enc, spans, 2, &ids, &why), SG_E_INPUT);
    assert_string_equal(why.text, "text is not valid UTF-8 at byte 4");
    assert_int_equal(ids.len, 0);
    const struct sg_span nothing[] = {{"", 0, true}};
    encode(tok, enc, nothing, 1, &ids);
    encode(tok, enc, nothing, 0, &ids);
    assert_int_equal(ids.len, 0);
    sg_token_ids_free(&ids);
    sg_encoder_free(enc);
    sg_tokenizer_close(tok);
}

static void refused_files(void **state) {
    (void)state;
    static const struct {
        struct spec spec;
        enum sg_status status;
        const char *says;
    } cases[] = {
        {{.merges = "\"n x\""},
         SG_E_INPUT,
         "t.json:3:11: a merge names \"x\", which is not in the vocabulary"},
        {{.merges = "\"n n\""},
         SG_E_INPUT,
         "t.json:3:11: a merge names \"nn\", which is not in the vocabulary"},
        {{.merges = "\"n o\",[\"n\"]"},
         SG_E_INPUT,
         "t.json:3:17: expected a merge: \"a b\" or [\"a\", \"b\"]"},
        {{.merges = "\"n o o\""}, SG_E_INPUT, "t.json:3:11: expected a merge: \"a b\" or [\"a\", \"b\"]"},
        {{.vocab = "\"a\":0,\"a\":1"}, SG_E_INPUT, "t.json:2:38: token \"a\" stands twice in the vocabulary"},
        {{.vocab = "\"a\":0,\"b\":0"}, SG_E_INPUT, "t.json:2:38: id 0 belongs to two tokens"},
        {{.vocab = "\"a\":-1"}, SG_E_INPUT, "t.json:2:36: expected a whole number from 0 to 4194303"},
        {{.vocab = "\"a\":1.5"}, SG_E_INPUT, "t.json:2:36: expected a whole number"},
        {{.vocab = "\"a\":4194304"}, SG_E_INPUT, "t.json:2:36: expected a whole number from 0 to 4194303"},
        {{.vocab = "\"a\" 1"}, SG_E_INPUT, "t.json:2:36: expected ':'"},
        {{.model = "\"type\":\"Unigram\","},
         SG_E_UNSUPPORTED,
         "t.json:2:9: model type \"Unigram\" is not supported"},
        {{.model = "\"dropout\":0.1,"},
         SG_E_UNSUPPORTED,
         "t.json:2:20: model.dropout is not supported; expected null"},
        {{.model = "\"end_of_word_suffix\":\"</w>\","},
         SG_E_UNSUPPORTED,
         "t.json:2:31: model.end_of_word_suffix \"</w>\" is not supported"},
        {{.model = "\"unk_token\":\"e\","},
         SG_E_UNSUPPORTED,
         "t.json:2:9: byte 0x00 has no token; unk_token and byte_fallback are not supported"},
        {{.model = "\"byte_fallback\":true,"},
         SG_E_UNSUPPORTED,
         "t.json:2:9: byte 0x00 has no token; unk_token and byte_fallback are not supported"},
        {{.model = "\"novel\":1,"}, SG_E_UNSUPPORTED, "t.json:2:10: model key \"novel\" is not supported"},
        {{.normalizer = "{\"type\":\"Lowercase\"}"},
         SG_E_UNSUPPORTED,
         "t.json:1:77: normalizer \"Lowercase\" is not supported"},
        {{.pre = "{\"type\":\"Metaspace\"}"},
         SG_E_UNSUPPORTED,
         "pre_tokenizer \"Metaspace\" is not supported"},
        {{.pre = "null"}, SG_E_UNSUPPORTED, "t.json: a pre_tokenizer without ByteLevel is not supported"},
        {{.pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"},
         SG_E_UNSUPPORTED,
         "pre_tokenizer ByteLevel add_prefix_space: true is not supported"},
        {{.pre = SPLIT("[a&&b]")}, SG_E_UNSUPPORTED, "the expression's \"&&\" (byte 3) is not supported"},
        {{.pre = SPLIT("(?x:a)")}, SG_E_UNSUPPORTED, "the expression's \"(?x:\" (byte 1) is not supported"},
        {{.pre = SPLIT("\\\\h")}, SG_E_UNSUPPORTED, "the expression's \"\\h\" (byte 1) is not supported"},
        {{.pre = SPLIT("(a")},
         SG_E_UNSUPPORTED,
         "the expression \"(a\" cannot be used: missing closing parenthesis"},
        {{.decoder = "{\"type\":\"WordPiece\"}"}, SG_E_UNSUPPORTED, "decoder \"WordPiece\" is not supported"},
        {{.post = "{\"type\":\"BertProcessing\"}"},
         SG_E_UNSUPPORTED,
         "post_processor \"BertProcessing\" is not supported"},
        {{.added = ADDED("7", "<|end|>", "")}, SG_E_INPUT, "id 7 belongs to two tokens"},
        {{.added = ADDED("99", "yes", "")},
         SG_E_INPUT,
         "t.json: added token \"yes\" has id 99 here and 14 in the vocabulary"},
        {{.added = "{\"id\":30}"}, SG_E_INPUT, "t.json:1:18: an added token needs an id and a content"},
        {{.added = ADDED("30", "x", ",\"fuzzy\":true")},
         SG_E_UNSUPPORTED,
         "added token key \"fuzzy\" is not supported"},
        {{.top = "\"truncation\":{},"},
         SG_E_UNSUPPORTED,
         "t.json:1:15: truncation is not supported; expected null"},
        {{.top = "\"padding\":null,\"other\":1,"},
         SG_E_UNSUPPORTED,
         "t.json:1:17: key \"other\" is not supported"},
        {{.top = "\"version\":\"\\q\","}, SG_E_INPUT, "t.json:1:13: unknown escape in a string"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_buf b = {0};
        struct sg_err why = {0};
        struct sg_tokenizer *tok = NULL;
        write_spec(&b, &cases[i].spec);
        enum sg_status st = sg_tokenizer_parse(b.data, b.len, "t.json", &tok, &why);
        if (st != cases[i].status || !strstr(why.text, cases[i].says) || tok) {
            print_error("case %zu: \"%s\" (%s), expected \"%s\"\n", i, why.text, sg_status_name(st),
                        cases[i].says);
            wrong++;
        }
        sg_buf_free(&b);
    }
    assert_int_equal(wrong, 0);
}

/* Every prefix of a good file is refused, and nothing leaks or is read behind its end (sanitizers). */
static void truncated_files(void **state) {
    (void)state;
    struct sg_buf b = {0};
    write_spec(&b, &(struct spec){.post = "{\"type\":\"ByteLevel\"}", .normalizer = "{\"type\":\"NFC\"}"});
    for (size_t n = 0; n < b.len; n++) {
        struct sg_tokenizer *tok = NULL;
        struct sg_err why = {0};
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, b.data, n);
        assert_int_equal(sg_tokenizer_parse(cut, n, "cut.json", &tok, &why), SG_E_INPUT);
        assert_null(tok);
        assert_memory_equal(why.text, "cut.json:", 9);
        free(cut);
    }
    struct sg_tokenizer *tok = NULL;
    struct sg_err why = {0};
    assert_int_equal(sg_tokenizer_open("data/no-such-folder/tokenizer.json", &tok, &why), SG_E_INPUT);
    assert_non_null(strstr(why.text, "data/no-such-folder/tokenizer.json: cannot open"));
    sg_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_tokens_come_from_trusted_spans_only),
        cmocka_unit_test(added_tokens_that_are_not_special_are_control_tokens_too),
        cmocka_unit_test(merges_cannot_spell_a_special_token),
        cmocka_unit_test(whole_words_are_of_the_vocabulary),
        cmocka_unit_test(trust_goes_through_normalisation),
        cmocka_unit_test(accessors),
        cmocka_unit_test(a_megabyte_of_one_letter),
        cmocka_unit_test(the_cache_forgets_without_harm),
        cmocka_unit_test(bad_text_is_refused_and_leaves_nothing),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(truncated_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
