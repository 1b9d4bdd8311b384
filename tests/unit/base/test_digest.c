/* Protects: digests are XXH3-128 to the bit (files of one version are read by the next), and the streaming
 * form tells apart what differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/digest.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

static struct sg_digest of(void (*fill)(struct sg_hasher *)) {
    struct sg_hasher *h = NULL;
    assert_int_equal(sg_hasher_new(&h, NULL), SG_OK);
    fill(h);
    struct sg_digest d = sg_hasher_end(h);
    sg_hasher_free(h);
    return d;
}

static void known_answers(void **state) {
    (void)state;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(sg_digest_bytes(NULL, 0), hex); /* XXH128("") in the specification's own test vectors */
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_true(sg_hash64("", 0) == 0x2d06800538d394c2u);
}

static void hex_reads_back(void **state) {
    (void)state;
    struct sg_digest d = sg_digest_bytes("scope", 5), e;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(d, hex);
    assert_true(sg_digest_from_hex(hex, &e) && sg_digest_equal(d, e));
    assert_false(sg_digest_from_hex("", &e));
    assert_false(sg_digest_from_hex("99aa06d3014798d86001c324468d497", &e));
    assert_false(sg_digest_from_hex("99aa06d3014798d86001c324468d497f0", &e));
    assert_false(sg_digest_from_hex("99AA06d3014798d86001c324468d497f", &e));
    assert_false(sg_digest_from_hex("99ga06d3014798d86001c324468d497f", &e));
}

static void ab_c(struct sg_hasher *h) {
    sg_hasher_str(h, "ab");
    sg_hasher_str(h, "c");
}
static void a_bc(struct sg_hasher *h) {
    sg_hasher_str(h, "a");
    sg_hasher_str(h, "bc");
}
static void abc_empty(struct sg_hasher *h) {
    sg_hasher_str(h, "abc");
    sg_hasher_str(h, "");
}
static void zero(struct sg_hasher *h) {
    sg_hasher_f64(h, 0.0);
}
static void minus_zero(struct sg_hasher *h) {
    sg_hasher_f64(h, -0.0);
}
static void nan_plus(struct sg_hasher *h) {
    sg_hasher_f64(h, (double)NAN);
}
static void nan_minus(struct sg_hasher *h) {
    sg_hasher_f64(h, -(double)NAN);
}

static void borders_between_values_count(void **state) {
    (void)state;
    assert_false(sg_digest_equal(of(ab_c), of(a_bc)));
    assert_false(sg_digest_equal(of(ab_c), of(abc_empty)));
    assert_true(sg_digest_equal(of(ab_c), of(ab_c)));
}

static void equal_numbers_have_equal_digests(void **state) {
    (void)state;
    assert_true(sg_digest_equal(of(zero), of(minus_zero)));
    assert_true(sg_digest_equal(of(nan_plus), of(nan_minus)));
    assert_false(sg_digest_equal(of(zero), of(nan_plus)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(hex_reads_back),
        cmocka_unit_test(borders_between_values_count),
        cmocka_unit_test(equal_numbers_have_equal_digests),
    };
    sg_hasher_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
