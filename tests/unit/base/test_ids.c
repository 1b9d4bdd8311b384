/* Protects: every id is found again at its index, no other is found, and a second one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ids.h"
#include <stdio.h>
#include <string.h>

enum { N = 50000 };
static char key[N][12];

static void many_ids_are_found_again(void **state) {
    (void)state;
    struct sg_ids t = {0};
    int64_t old;
    assert_int_equal(sg_ids_get(&t, "x", 1), -1);
    for (int i = 0; i < N; i++) {
        snprintf(key[i], sizeof key[i], "q-%d", i);
        assert_int_equal(sg_ids_add(&t, key[i], strlen(key[i]), i, &old, NULL), SG_OK);
        assert_int_equal(old, -1);
    }
    for (int i = 0; i < N; i++) assert_int_equal(sg_ids_get(&t, key[i], strlen(key[i])), i);
    assert_int_equal(sg_ids_get(&t, "q-", 2), -1);
    assert_int_equal(sg_ids_get(&t, "q-50000", 7), -1);
    assert_int_equal(sg_ids_get(&t, "", 0), -1);
    assert_int_equal(sg_ids_add(&t, "q-17", 4, 99, &old, NULL), SG_OK);
    assert_int_equal(old, 17);
    assert_int_equal(sg_ids_get(&t, "q-17", 4), 17);
    assert_int_equal(t.n, N);
    sg_ids_free(&t);
    sg_ids_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_ids_are_found_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
