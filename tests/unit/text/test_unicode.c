/* Protects: NFC is utf8proc's whole-text NFC (marks younger than Unicode 9 aside, which HuggingFace's does
 * not know), the record of what it rewrote is right, long runs of marks are linear, lossy UTF-8 is Rust's. */
#include "text_test.h"

#include "text/unicode.h"
#include <utf8proc.h>

static struct sg__unicode u;

static int set_up(void **state) {
    (void)state;
    struct sg_err err = {0};
    return (int)sg__unicode_init(&u, &err);
}

static int tear_down(void **state) {
    (void)state;
    sg__unicode_free(&u);
    return 0;
}

/* utf8proc knows a combining class or a composition for it, our flags do not: a young mark. */
static bool is_young(uint32_t c) {
    return (c >= SG__TABLE_SIZE || !(u.flags[c] & SG__NFC_UNSAFE)) &&
           (utf8proc_get_property((utf8proc_int32_t)c)->combining_class || c == 0x11930);
}

static void nfc_of_random_text(void **state) {
    (void)state;
    struct sg__nfc w = {0};
    uint64_t at = 0;
    size_t changed = 0;
    for (int round = 0; round < 60000; round++) {
        char s[200];
        size_t n = 0, chars = (size_t)(sg_random64(7, at++) % 24);
        for (size_t k = 0; k < chars; k++) {
            uint64_t r = sg_random64(7, at++);
            uint32_t c = r % 5 == 0   ? 0x300 + (uint32_t)(r >> 8) % 0x70   /* marks */
                         : r % 5 == 1 ? 0x1100 + (uint32_t)(r >> 8) % 0x100 /* Hangul letters */
                         : r % 5 == 2 ? 0x41 + (uint32_t)(r >> 8) % 0x300   /* Latin, Greek, Cyrillic */
                         : r % 5 == 3 ? 0x900 + (uint32_t)(r >> 8) % 0x700  /* India */
                                      : random_char(&at);
            if (c == 0x11A7) continue; /* no final consonant, but utf8proc 2.8 composes it away */
            if (!is_young(c)) n += sg__utf8_put(c, s + n);
        }
        s[n] = 0;
        utf8proc_uint8_t *want = NULL;
        utf8proc_ssize_t m = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &want,
                                          UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        assert_true(m >= 0);
        CHECK_OK(sg__nfc(&u, &w, s, n, &err));
        assert_int_equal(w.text.len, m);
        if (m) assert_memory_equal(w.text.data, want, (size_t)m);
        if (sg__nfc_quick(&u, s, n) == n)
            assert_true((size_t)m == n && !memcmp(s, want, n)); /* quick is never wrong */
        changed += (size_t)m != n;
        /* Outside the stretches it says it rewrote, bytes were copied. */
        size_t from = 0, to = 0;
        for (size_t i = 0; i <= w.n_edits; i++) {
            const struct sg__edit end = {n, n, w.text.len, w.text.len},
                                  *e = i < w.n_edits ? &w.edits[i] : &end;
            assert_int_equal(e->from - from, e->to - to);
            if (e->from > from) assert_memory_equal(s + from, w.text.data + to, e->from - from);
            from = e->from_end;
            to = e->to_end;
        }
        free(want);
    }
    assert_true(changed > 1000);
    sg__nfc_free(&w);
}

static void young_marks_stay_where_they_are(void **state) {
    (void)state;
    struct sg__nfc w = {0};
    /* U+1AC0 (class 220, Unicode 13) before U+0301 (230): no composition over it, no reordering around it */
    const char *s = "e\xE1\xAB\x80\xCC\x81 a\xCC\x95\xE1\xAB\x80";
    CHECK_OK(sg__nfc(&u, &w, s, strlen(s), &err));
    assert_string_equal(w.text.data, s);
    sg__nfc_free(&w);
}

static void a_megabyte_of_disordered_marks(void **state) {
    (void)state;
    struct sg__nfc w = {0};
    struct sg_buf s = {0};
    size_t pairs = 200000;
    CHECK_OK(sg_buf_str(&s, "q", &err));
    for (size_t i = 0; i < pairs; i++)
        CHECK_OK(sg_buf_str(&s, "\xCC\x81\xCC\xA3", &err)); /* class 230, then 220 */
    CHECK_OK(sg__nfc(&u, &w, s.data, s.len, &err));
    assert_int_equal(w.text.len, s.len);
    for (size_t i = 0; i < pairs; i++) { /* all of the lower class first */
        assert_memory_equal(w.text.data + 1 + 2 * i, "\xCC\xA3", 2);
        assert_memory_equal(w.text.data + 1 + 2 * (pairs + i), "\xCC\x81", 2);
    }
    sg_buf_free(&s);
    sg__nfc_free(&w);
}

#define R "\xEF\xBF\xBD"
static void lossy_utf8(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"", ""},
        {"plain text, long enough for words", "plain text, long enough for words"},
        {"\xC3\xA9", "\xC3\xA9"},
        {"\xC3", R},
        {"a\xE2\x82"
         "b",
         "a" R "b"}, /* a truncated character is one part */
        {"\xF0\x9F\x98", R},
        {"\xF0\x9F\x98\xF0\x9F\x98\x80", R "\xF0\x9F\x98\x80"},
        {"\xED\xA0\x80", R R R},       /* a surrogate: three */
        {"\xC0\x80", R R},             /* overlong */
        {"\xF4\x90\x80\x80", R R R R}, /* above U+10FFFF */
        {"\x80\xBF", R R},
        {"\xFFx\xFE", R "x" R},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_buf b = {0};
        CHECK_OK(sg_utf8_lossy(cases[i].from, strlen(cases[i].from), &b, &err));
        assert_string_equal(b.data, cases[i].to);
        sg_buf_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nfc_of_random_text),
        cmocka_unit_test(young_marks_stay_where_they_are),
        cmocka_unit_test(a_megabyte_of_disordered_marks),
        cmocka_unit_test(lossy_utf8),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
