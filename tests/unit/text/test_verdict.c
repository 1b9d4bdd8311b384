/* Protects: which texts hold a verdict and which one; that the tracker says the same token by token, stops at
 * the closing bracket and not before, and names the token that answers; that a change of verdicts raises their version. */
#include "text_test.h"

#include "base/digest.h"
#include "base/json.h"
#include "text/verdict.h"

#define P "Predicted Performance: "

static const struct {
    const char *text;
    int64_t length; /* -1: unparsed */
    bool correct, closed;
} cases[] = {
    {P "{len: 512, correct: yes}", 512, true, true},
    {"Analysis: like len: 100, correct: no.\n" P "{len: 250, correct: yes}", 250, true, true},
    {P "{len: 10, correct: yes}\n" P "{len: 20, correct: no}", 20, false, true}, /* the last */
    {P "{len: 10, correct: yes}\n" P "{len: x, correct: no}", 10, true, true},   /* the last well-formed */
    {P "{len: 10, correct: yes}\nso " P "soon", 10, true, true},
    /* cosmetic variants */
    {"**Predicted Performance:** {len: 700, correct: **yes**}", 700, true, true},
    {"__Predicted Performance__: {len: 9, correct: no}", 9, false, true},
    {"predicted  performance:{LEN:42,CORRECT:YES}", 42, true, true},
    {"## Predicted Performance\n{len = 3, correct = no}", 3, false, true},
    {P "len = 33, correct = NO", 33, false, false},
    {P "{len: [420], correct: [yes]}", 420, true, true},
    {P "(len: (7), correct: (no))", 7, false, true},
    {P "[len: 31] (correct: yes)", 31, true, false},
    {P "{\"len\": 512, \"correct\": \"yes\"}", 512, true, true},
    {P "{length: 300 tokens, correct: yes}", 300, true, true},
    {P "`{len: 1,024, correct: no}`", 1024, false, true},
    {P "{len: 12,correct: no}", 12, false, true},
    {P "{correct: no, len: 61}", 61, false, true},
    {P "{len: 61, correct: yes, sure}", 61, true, false},
    {P "{len\xEF\xBC\x9A"
       "900, correct\xEF\xBC\x9Ano}",
     900, false, true},
    {P "{len\xEF\xBC\x9A"
       "900\xEF\xBC\x8C"
       "correct\xEF\xBC\x9A\xE3\x80\x80no\xC2\xA0}",
     900, false, true},
    {"Predicted\xC2\xA0Performance:\xE2\x80\xAF{len:\xC2\xA0"
     "512,\xE2\x80\x89"
     "correct:\xC2\xA0yes}",
     512, true, true},
    {P "{len: 5\xEF\xBC\x8D"
       "6, correct: yes}",
     -1, 0, 0}, /* another full-width character */
    {P "{len: 5, correct: yes\xEF\xBC", -1, 0, 0},
    {P "{\n len:\n\n 55,\n correct:\n no\n}", 55, false, true},
    {P "{len: ~450, correct: yes}", 450, true, true},
    {P "{len: 000, correct: yes}", 0, true, true},
    {P "{len: 10000000, correct: yes}", 10000000, true, true},
    /* not well formed: cut off */
    {P "{correct: no, len: 61", -1, 0, 0},
    {P "{len: 61, correct: no", -1, 0, 0},
    {P "{len: 61, correct: yes.", -1, 0, 0},
    {P "{len: 61, correct: yes because\n}", -1, 0, 0},
    {P "{len: 10, correct: yes}\n" P "{len: 20, correct: no", 10, true, true},
    {P "{len: 9, correct: no so " P "{len: x}", -1, 0, 0}, /* the bracket is the next one's */
    {P "{len: 9, correct: no, so performance}", 9, false, false},
    /* not well formed */
    {"", -1, 0, 0},
    {"len: 5, correct: yes", -1, 0, 0},
    {"Performance: {len: 5, correct: yes}", -1, 0, 0},
    {P, -1, 0, 0},
    {P "{len: 80}", -1, 0, 0},
    {P "{correct: yes}", -1, 0, 0},
    {P "{len: [integer], correct: [yes/no]}", -1, 0, 0},
    {P "{len: 5, correct: yes/no}", -1, 0, 0},
    {P "{len: 5, correct: yes-ish}", -1, 0, 0},
    {P "{len: 5, correct: yesterday}", -1, 0, 0},
    {P "{len: 5, correct: maybe}", -1, 0, 0},
    {P "{len: 5, correct: nope}", -1, 0, 0},
    {P "{len: -5, correct: no}", -1, 0, 0},
    {P "{len: 12.7, correct: no}", -1, 0, 0},
    {P "{len: 1e3, correct: no}", -1, 0, 0},
    {P "{len: 3-4, correct: no}", -1, 0, 0},
    {P "{len: 1234,567, correct: no}", -1, 0, 0},
    {P "{len: 10000001, correct: no}", -1, 0, 0},
    {P "{len: 123456789012345678901234567890, correct: no}", -1, 0, 0},
    {P "{len: 5, len: 6, correct: no}", -1, 0, 0},
    {P "{lend: 5, correct: no}", -1, 0, 0},
    {P "{incorrect: no, len: 5}", -1, 0, 0},
    {P "is {len: 5, correct: no}", -1, 0, 0},
};

static void check(const char *text, const struct sg_verdict *v, size_t i) {
    if (v->parsed != (cases[i].length >= 0)) fail_msg("\"%s\" is %sparsed", text, v->parsed ? "" : "not ");
    if (!v->parsed) return;
    if (v->length != cases[i].length || v->correct != cases[i].correct || v->closed != cases[i].closed)
        fail_msg("\"%s\": %lld %d %d", text, (long long)v->length, v->correct, v->closed);
    assert_true((text[v->answer] | 0x20) == (v->correct ? 'y' : 'n'));
}

static void whole_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_verdict v;
        sg_verdict_parse(cases[i].text, strlen(cases[i].text), &v);
        check(cases[i].text, &v, i);
    }
}

static void token_by_token(void **state) {
    (void)state;
    struct sg_tracker t = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= 6; step++) {
            const char *s = cases[i].text;
            size_t n = strlen(s);
            bool complete = false, was_complete = false;
            sg_tracker_reset(&t);
            for (size_t at = 0; at < n; at += step) {
                size_t len = n - at < step ? n - at : step;
                CHECK_OK(sg_tracker_feed(&t, s + at, len, &complete, &err));
                was_complete |= complete;
                struct sg_verdict now, so_far;
                int32_t token;
                sg_tracker_verdict(&t, &now, &token);
                sg_verdict_parse(s, at + len, &so_far);
                assert_memory_equal(&now, &so_far, sizeof now);
                if (complete) assert_true(now.closed && (step > 1 || memchr("}])", s[at], 3)));
                if (now.parsed) assert_int_equal(token, now.answer / step);
                if (!now.parsed) assert_int_equal(token, -1);
            }
            struct sg_verdict end;
            int32_t token;
            sg_tracker_verdict(&t, &end, &token);
            check(s, &end, i);
            assert_int_equal(was_complete, cases[i].closed);
        }
    sg_tracker_free(&t);
}

static void stops_at_the_brace_and_names_the_answer(void **state) {
    (void)state;
    static const char *const tokens[] = {
        "Analysis", ":",  " so\n", "Pred",     "icted", " Performance", ":", " {", "len", ":", " ", "5",
        "",         "12", ",",     " correct", ":",     " yes",         "}", "\n", "more"};
    struct sg_tracker t = {0};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
            bool complete;
            CHECK_OK(sg_tracker_feed(&t, tokens[i], strlen(tokens[i]), &complete, &err));
            assert_int_equal(complete, i == 18);
        }
        struct sg_verdict v;
        int32_t token;
        sg_tracker_verdict(&t, &v, &token);
        assert_true(v.parsed && v.correct && v.closed);
        assert_int_equal(v.length, 512);
        assert_int_equal(token, 17);
        sg_tracker_reset(&t);
        sg_tracker_verdict(&t, &v, &token);
        assert_false(v.parsed);
    }
    sg_tracker_free(&t);
}

/* A heading and then white space without end must not make every token dearer than the last. */
static void floods_are_linear(void **state) {
    (void)state;
    struct sg_tracker t = {0};
    bool complete;
    CHECK_OK(sg_tracker_feed(&t, P, strlen(P), &complete, &err));
    for (int i = 0; i < 300000; i++) CHECK_OK(sg_tracker_feed(&t, i % 2 ? " " : "{", 1, &complete, &err));
    CHECK_OK(sg_tracker_feed(&t, "len: 5, correct: yes}", 21, &complete, &err));
    assert_false(complete); /* too far from its heading */
    sg_tracker_free(&t);
}

/* The verdicts of 256 variants of each text of the reference's cases: pieces of verdicts put in at random places of its
 * last 80 bytes, over what was there or beside it. */
static struct sg_digest of_fixed_texts(int *n_parsed) {
    static const char *const pieces[] = {P,
                                         "{",
                                         "}",
                                         "[",
                                         ")",
                                         "len: ",
                                         "length=",
                                         "correct: ",
                                         "yes",
                                         "no",
                                         "NO",
                                         "7",
                                         "1,024",
                                         "-",
                                         ".5",
                                         "e3",
                                         ",",
                                         "\n",
                                         " ",
                                         "\t",
                                         "**",
                                         "`",
                                         "\"",
                                         "yes/no",
                                         "\xC2\xA0",
                                         "\xE2\x80\x89",
                                         "\xE3\x80\x80",
                                         "\xEF\xBC\x8C",
                                         "\xEF\xBC\x9A",
                                         "|",
                                         ";",
                                         "!",
                                         "~",
                                         "'",
                                         "_",
                                         "#",
                                         "(",
                                         "]",
                                         ".",
                                         "\xE2\x80\xAF",
                                         "\xEF\xBC\x8D",
                                         " tokens",
                                         P "{len: 61, correct: no}",
                                         "10000001",
                                         "\xC2"};
    struct sg_buf file = {0}, text = {0};
    struct sg_hasher *h;
    cJSON *doc = NULL;
    uint64_t x = 1;
    int n = 0;
    *n_parsed = 0;
    CHECK_OK(sg_hasher_new(&h, &err));
    CHECK_OK(sg_file_read("data/text/parse-reference.json", 1 << 20, &file, &err));
    CHECK_OK(sg_json_parse(file.data, file.len, "parse-reference.json", 1, &doc, &err));
    for (const cJSON *c = doc->child; c && n < 200; c = c->next, n++)
        for (int variant = 0; variant < 256; variant++) {
            const char *from = cJSON_GetStringValue(cJSON_GetObjectItem(c, "text"));
            const size_t len = strlen(from);
            sg_buf_free(&text);
            for (size_t at = 0, left = (size_t)variant % 4; at < len || left;) {
                x = x * 6364136223846793005u +
                    1442695040888963407u; /* Knuth's, written out: it must never change */
                const bool put = left && (at >= len || (at + 80 > len && (x >> 33) % 80 < 2 * left));
                const char *piece = pieces[(x >> 40) % (sizeof pieces / sizeof *pieces)];
                if (put) CHECK_OK(sg_buf_add(&text, piece, strlen(piece), &err));
                if (at < len && (!put || (x >> 20) % 2)) CHECK_OK(sg_buf_add(&text, from + at++, 1, &err));
                left -= put;
            }
            struct sg_verdict v;
            sg_verdict_parse(text.data, text.len, &v);
            sg_hasher_i64(h, v.parsed ? v.length : -1);
            sg_hasher_i64(h, v.correct + 2 * v.closed);
            sg_hasher_i64(h, (int64_t)v.answer);
            *n_parsed += v.parsed;
        }
    const struct sg_digest d = sg_hasher_end(h);
    sg_hasher_free(h);
    cJSON_Delete(doc);
    sg_buf_free(&file);
    sg_buf_free(&text);
    return d;
}

static void another_verdict_is_another_version(void **state) {
    (void)state;
    static const char *const known = "2611645adbde60cacea58b4ae0139a12";
    const int of_version = 2, version = SG_VERDICT_VERSION;
    char now[SG_DIGEST_HEX];
    int n_parsed;
    sg_digest_hex(of_fixed_texts(&n_parsed), now);
    assert_in_range(n_parsed, 10000, 45000);
    if (version == of_version && strcmp(now, known) != 0)
        fail_msg("texts have got other verdicts than those of version %d: raise SG_VERDICT_VERSION in "
                 "text/verdict.h, so that "
                 "earlier results are not mixed with new ones, then write it and digest %s here",
                 of_version, now);
    if (version != of_version)
        fail_msg("SG_VERDICT_VERSION is %d: write it and digest %s here", version, now);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts),
        cmocka_unit_test(token_by_token),
        cmocka_unit_test(stops_at_the_brace_and_names_the_answer),
        cmocka_unit_test(floods_are_linear),
        cmocka_unit_test(another_verdict_is_another_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
