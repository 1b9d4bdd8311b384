/* Protects: sizes that overflow are errors instead of small blocks, and arena memory is aligned and zeroed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

static void products_and_sums_that_overflow_are_seen(void **state) {
    (void)state;
    size_t out = 7;
    assert_false(sg_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(sg_add_size(SIZE_MAX, 1, &out));
    assert_int_equal(out, 7);
    assert_true(sg_mul_size(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
}

static void an_overflowing_allocation_is_refused(void **state) {
    (void)state;
    struct sg_err err = {0};
    int64_t *p = NULL;
    assert_int_equal(SG_NEW(&p, SIZE_MAX / 8 + 1, "cells", &err), SG_E_NOMEM);
    assert_null(p);
    assert_int_equal(strncmp(err.text, "cells: ", 7), 0);
    size_t cap = 0;
    assert_int_equal(SG_GROW(&p, &cap, SIZE_MAX / 8 + 1, "cells", &err), SG_E_NOMEM);
    assert_null(p);
    assert_int_equal(cap, 0);
    void *aligned = NULL;
    assert_int_equal(sg_new_aligned(&aligned, SIZE_MAX - 10, "pool", &err), SG_E_NOMEM);
    assert_null(aligned);
}

static void an_empty_allocation_is_a_pointer(void **state) {
    (void)state;
    struct sg_err err = {0};
    char *p = NULL;
    assert_int_equal(SG_NEW(&p, 0, "none", &err), SG_OK);
    assert_non_null(p);
    free(p);
}

static void growing_keeps_contents(void **state) {
    (void)state;
    struct sg_err err = {0};
    int *p = NULL;
    size_t cap = 0;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(SG_GROW(&p, &cap, i + 1, "ints", &err), SG_OK);
        assert_true(cap > (size_t)i);
        p[i] = i * 3;
    }
    for (int i = 0; i < 10000; i++) assert_int_equal(p[i], i * 3);
    free(p);
}

static void aligned_memory_is_aligned_and_zero(void **state) {
    (void)state;
    struct sg_err err = {0};
    for (size_t n = 0; n < 200; n += 19) {
        unsigned char *p = NULL;
        assert_int_equal(sg_new_aligned((void **)&p, n, "x", &err), SG_OK);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
        free(p);
    }
}

static void buffers_stay_terminated(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_buf b = {0};
    assert_int_equal(sg_buf_add(&b, NULL, 0, &err), SG_OK);
    assert_string_equal(b.data, "");
    assert_int_equal(sg_buf_printf(&b, &err, "%s-%d", "abc", 12), SG_OK);
    assert_string_equal(b.data, "abc-12");
    for (int i = 0; i < 1000; i++) assert_int_equal(sg_buf_str(&b, "0123456789", &err), SG_OK);
    assert_int_equal(b.len, 10006);
    assert_int_equal(b.data[b.len], 0);
    sg_buf_clear(&b);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    sg_buf_free(&b);
    sg_buf_free(&b);
    assert_null(b.data);
}

/* Small and large blocks in turn: none may overlap another, whatever chunk it lies in. */
static void arena_blocks_do_not_overlap(void **state) {
    (void)state;
    struct sg_err err = {0};
    struct sg_arena a = {0};
    enum { N = 3000 };
    static unsigned char *block[N];
    static size_t size[N];
    for (int i = 0; i < N; i++) {
        size[i] = i % 97 == 0 ? 70000 : (size_t)i % 61;
        assert_int_equal(sg_arena_get(&a, size[i], (void **)&block[i], &err), SG_OK);
        assert_int_equal((uintptr_t)block[i] % 16, 0);
        for (size_t k = 0; k < size[i]; k++) assert_int_equal(block[i][k], 0);
        memset(block[i], i & 255, size[i]);
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < size[i]; k++) assert_int_equal(block[i][k], i & 255);
    char *copy = NULL;
    assert_int_equal(sg_arena_dup(&a, "abcdef", 3, &copy, &err), SG_OK);
    assert_string_equal(copy, "abc");
    void *huge = NULL;
    assert_int_equal(sg_arena_get(&a, SIZE_MAX - 4, &huge, &err), SG_E_NOMEM);
    assert_null(huge);
    sg_arena_free(&a);
    assert_int_equal(a.total, 0);
    sg_arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_sums_that_overflow_are_seen),
        cmocka_unit_test(an_overflowing_allocation_is_refused),
        cmocka_unit_test(an_empty_allocation_is_a_pointer),
        cmocka_unit_test(growing_keeps_contents),
        cmocka_unit_test(aligned_memory_is_aligned_and_zero),
        cmocka_unit_test(buffers_stay_terminated),
        cmocka_unit_test(arena_blocks_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
