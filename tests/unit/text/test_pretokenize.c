/* Protects: the hand-written splitter cuts exactly where PCRE2 runs the same expression, and expressions mean
 * to PCRE2 what they mean to Oniguruma. */
#include "text_test.h"

#include "text/pretokenize.h"

#define QWEN                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"    \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static struct sg__unicode u;
static struct sg__pre_scratch scratch;

static int set_up(void **state) {
    (void)state;
    struct sg_err err = {0};
    return sg__unicode_init(&u, &err) || sg__pre_scratch_init(&scratch, &err);
}

static int tear_down(void **state) {
    (void)state;
    sg__unicode_free(&u);
    sg__pre_scratch_free(&scratch);
    return 0;
}

struct cuts {
    const char *text;
    size_t ends[4096], n;
};

static enum sg_status note(void *ctx, const char *word, size_t n, struct sg_err *err) {
    struct cuts *c = ctx;
    (void)err;
    assert_true(c->n < sizeof c->ends / sizeof *c->ends);
    assert_true(word == c->text + (c->n ? c->ends[c->n - 1] : 0)); /* no gap, no overlap */
    c->ends[c->n++] = (size_t)(word + n - c->text);
    return SG_OK;
}

static void cut(const struct sg__pre *pre, const char *s, size_t n, struct cuts *c) {
    c->text = s;
    c->n = 0;
    CHECK_OK(sg__pre_words(pre, &u, &scratch, s, n, note, c, &err));
    assert_int_equal(c->n ? c->ends[c->n - 1] : 0, n);
}

static void compare(const struct sg__pre *fast, const struct sg__pre *pcre, const char *s, size_t n) {
    static struct cuts a, b;
    cut(fast, s, n, &a);
    cut(pcre, s, n, &b);
    size_t i = 0;
    while (i < a.n && i < b.n && a.ends[i] == b.ends[i]) i++;
    if (i < a.n || i < b.n)
        fail_msg("word %zu of \"%.*s\" ends at %zu, PCRE2 says %zu", i, (int)n, s, i < a.n ? a.ends[i] : 0,
                 i < b.n ? b.ends[i] : 0);
}

static void the_splitter_is_the_expression(void **state) {
    (void)state;
    static const char *const digits[] = {"", "{1,3}"};
    uint64_t at = 0;
    for (int d = 0; d < 2; d++) {
        struct sg__pre fast = {0}, pcre = {0};
        char regex[300], s[400];
        int len = snprintf(regex, sizeof regex, QWEN, digits[d]);
        CHECK_OK(sg__pre_add(&fast, &u, regex, (size_t)len, false, false, &err));
        CHECK_OK(sg__pre_add(&pcre, &u, regex, (size_t)len, false, true, &err));
        assert_int_equal(fast.split[0].max_digits, d ? 3 : 1); /* recognised */
        assert_int_equal(pcre.split[0].max_digits, 0);         /* and not */
        for (int round = 0; round < 30000; round++) {
            size_t n = 0, chars = (size_t)(sg_random64(5, at++) % 40);
            for (size_t k = 0; k < chars; k++) n += sg__utf8_put(random_char(&at), s + n);
            compare(&fast, &pcre, s, n);
        }
        /* Every character there is: alone, between letters, after a space, before a line end. */
        for (uint32_t c = 0; c < 0x110000; c++) {
            if (c == 0xD800) c = 0xE000;
            size_t n = 0;
            n += sg__utf8_put(c, s + n);
            s[n++] = 'a';
            n += sg__utf8_put(c, s + n);
            s[n++] = ' ';
            n += sg__utf8_put(c, s + n);
            s[n++] = '\n';
            n += sg__utf8_put(c, s + n);
            compare(&fast, &pcre, s, n);
        }
        sg__pre_free(&fast);
        sg__pre_free(&pcre);
    }
}

/* Words as text with a bar behind each. */
static void show(const char *regex, const char *s, char *out, size_t size) {
    struct sg__pre pre = {0};
    static struct cuts c;
    CHECK_OK(sg__pre_add(&pre, &u, regex, strlen(regex), false, false, &err));
    cut(&pre, s, strlen(s), &c);
    size_t k = 0;
    for (size_t i = 0, from = 0; i < c.n; from = c.ends[i++])
        k += (size_t)snprintf(out + k, size - k, "%.*s|", (int)(c.ends[i] - from), s + from);
    sg__pre_free(&pre);
}

static void expressions_mean_what_oniguruma_means(void **state) {
    (void)state;
    static const struct {
        const char *regex, *text, *words;
    } cases[] = {
        {"\\s",
         "a\xE1\xA0\x8E"
         "b c",
         "a\xE1\xA0\x8E"
         "b| |c|"}, /* U+180E is no white space */
        {"[\\s]+",
         "a\xC2\x85\xE3\x80\x80"
         "b",
         "a|\xC2\x85\xE3\x80\x80|b|"},
        {"\\w+", "a_\xCC\x81-b", "a_\xCC\x81|-|b|"}, /* marks are word characters */
        {"[^\\w]", "a-b", "a|-|b|"},
        {"\\W", "a-b", "a|-|b|"},
        {"^b", "a\nb", "a\n|b|"}, /* ^ and $ are about lines */
        {"a$", "ba\nc", "b|a|\nc|"},
        {"\\u0062", "abc", "a|b|c|"},
        {"\\v", "a\vb\n", "a|\v|b\n|"},
        {"\\p{L}+",
         "a\xF0\x90\xB5\x8A"
         "1",
         "a\xF0\x90\xB5\x8A|1|"}, /* U+10D4A, a letter since Unicode 16 */
        {"\\P{L}",
         "a\xF0\x90\xB5\x8A"
         "1",
         "a\xF0\x90\xB5\x8A|1|"},
        {"x*", "abxxc", "ab|xx|c|"}, /* empty matches cut nothing */
        {"(?<=a)b", "bab", "ba|b|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[200];
        show(cases[i].regex, cases[i].text, words, sizeof words);
        assert_string_equal(words, cases[i].words);
    }
}

/* Long runs of one kind must be linear, in the splitter and in PCRE2 (its limits must not end them). */
static void long_runs(void **state) {
    (void)state;
    static const char kinds[] = "a1 .\n\r";
    size_t n = 1u << 20;
    char *s = malloc(n + 1);
    assert_non_null(s);
    for (int pcre = 0; pcre < 2; pcre++) {
        struct sg__pre pre = {0};
        char regex[300];
        int len = snprintf(regex, sizeof regex, QWEN, "{1,3}");
        CHECK_OK(sg__pre_add(&pre, &u, regex, (size_t)len, false, pcre, &err));
        for (const char *k = kinds; *k; k++) {
            static struct cuts c;
            memset(s, *k, n);
            s[n] = 'b';
            if (*k == '1') continue; /* a third of a million words: more than `cuts` holds */
            cut(&pre, s, n + 1, &c);
            assert_true(c.n <= 2);
        }
        sg__pre_free(&pre);
    }
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_splitter_is_the_expression),
        cmocka_unit_test(expressions_mean_what_oniguruma_means),
        cmocka_unit_test(long_runs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
