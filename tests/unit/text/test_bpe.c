/* Protects: the scan for short words and the heap for long ones both give what the definition gives: merge
 * the lowest rank, leftmost first, until nothing merges. */
#include "text_test.h"

#include "text/bpe.h"

enum { LETTERS = 4, MAX_TOKENS = 600, MAX_WORD = 400 };

/* A random vocabulary: token t is the concatenation of two earlier ones; some pairs get a rank, in random
 * order. */
struct language {
    struct sg__merge merges[MAX_TOKENS];
    size_t n;
};

static void make_language(struct language *l, uint64_t seed) {
    uint64_t at = 0;
    l->n = 0;
    int32_t next = LETTERS;
    while (l->n < 60) {
        int32_t a = (int32_t)(sg_random64(seed, at++) % (uint64_t)next),
                b = (int32_t)(sg_random64(seed, at++) % (uint64_t)next);
        bool known = false;
        for (size_t i = 0; i < l->n; i++) known |= l->merges[i].left == a && l->merges[i].right == b;
        if (!known) l->merges[l->n++] = (struct sg__merge){a, b, next++};
    }
    for (size_t i = l->n - 1; i > 0; i--) { /* rank is not the order of ids */
        size_t k = (size_t)(sg_random64(seed, at++) % (i + 1));
        struct sg__merge t = l->merges[i];
        l->merges[i] = l->merges[k];
        l->merges[k] = t;
    }
}

static size_t by_definition(const struct language *l, const char *word, size_t n, int32_t *ids) {
    for (size_t i = 0; i < n; i++) ids[i] = word[i] - 'a';
    for (;;) {
        size_t best = l->n, where = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < best; r++)
                if (l->merges[r].left == ids[i] && l->merges[r].right == ids[i + 1]) {
                    best = r;
                    where = i;
                }
        if (best == l->n) return n;
        ids[where] = l->merges[best].result;
        for (size_t i = where + 1; i + 1 < n; i++) ids[i] = ids[i + 1];
        n--;
    }
}

static void words_of_all_lengths(void **state) {
    (void)state;
    struct sg__bpe_scratch x = {0};
    size_t merged = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct language l;
        struct sg__bpe b = {0};
        make_language(&l, seed);
        CHECK_OK(sg__bpe_init(&b, l.merges, l.n, &err));
        for (int i = 0; i < 256; i++) b.byte_id[i] = i >= 'a' && i < 'a' + LETTERS ? i - 'a' : -1;
        static const size_t lengths[] = {0, 1, 2, 3, 7, 39, 40, 41, 42, 64, 99, 257, MAX_WORD};
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            char word[MAX_WORD];
            int32_t want[MAX_WORD], got[MAX_WORD];
            size_t n = lengths[k], n_got = 99999;
            /* few letters or runs of one, so that equal ranks overlap */
            for (size_t i = 0; i < n; i++) {
                uint64_t r = sg_random64(seed + 1000, k * MAX_WORD + i);
                word[i] = i && r % 3 ? word[i - 1] : (char)('a' + r / 3 % LETTERS);
            }
            size_t n_want = by_definition(&l, word, n, want);
            CHECK_OK(sg__bpe_word(&b, &x, word, n, got, &n_got, &err));
            assert_int_equal(n_got, n_want);
            if (n_want) assert_memory_equal(got, want, n_want * sizeof *got);
            merged += n - n_want;
        }
        sg__bpe_free(&b);
    }
    assert_true(merged > 10000);
    sg__bpe_scratch_free(&x);
}

static void bytes_without_a_token_are_left_out(void **state) {
    (void)state;
    const struct sg__merge merges[] = {{0, 1, 2}, {0, 1, 3}}; /* given twice: the later counts */
    struct sg__bpe b = {0};
    struct sg__bpe_scratch x = {0};
    int32_t out[8];
    size_t n;
    CHECK_OK(sg__bpe_init(&b, merges, 2, &err));
    for (int i = 0; i < 256; i++) b.byte_id[i] = i == 'a' ? 0 : i == 'b' ? 1 : -1;
    CHECK_OK(sg__bpe_word(&b, &x, "xa?bx", 5, out, &n, &err));
    assert_int_equal(n, 1); /* what remains stands side by side */
    assert_int_equal(out[0], 3);
    CHECK_OK(sg__bpe_word(&b, &x, "xx", 2, out, &n, &err));
    assert_int_equal(n, 0);
    sg__bpe_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_all_lengths),
        cmocka_unit_test(bytes_without_a_token_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
