/* Protects: energy is the sum of the counter's differences, through its end and through a driver that begins
 * anew; a slice of a device is not given the whole device's energy; a library, device or function that is not
 * there reads as not known and is never an error. argv[1]: the library of fake_nvml.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/cuda/nvml.h"
#include <math.h>
#include <stdlib.h>

static const char *library;

static struct sg__nvml *opened(const char *counter, const char *refuse, const char *uuid, const char *pci) {
    setenv("FAKE_NVML_MJ", counter, 1);
    setenv("FAKE_NVML_REFUSE", refuse, 1);
    return sg__nvml_open(library, uuid, pci);
}

static double joules(struct sg__nvml *n) {
    struct sg_dev_power p;
    sg__nvml_read(n, &p);
    return p.joules;
}

static void counts_from_open(void **state) {
    (void)state;
    struct sg_dev_power p;
    struct sg__nvml *n = opened("1000000,1002500,1002500,1010000", "", "GPU-whole", "");
    assert_non_null(n);
    sg__nvml_read(n, &p);
    assert_true(p.joules == 2.5 && p.watts == 412.5 && p.celsius == 61);
    assert_true(joules(n) == 2.5);
    assert_true(joules(n) == 10);
    assert_true(joules(n) == 11.5); /* the fake goes on by itself */
    assert_string_equal(sg__nvml_driver(n), "580.65.06");
    sg__nvml_close(n);
}

static void goes_through_the_counters_end(void **state) {
    (void)state;
    /* 2^64 - 1000, then 2000 after the wrap: 3000 mJ */
    struct sg__nvml *n = opened("18446744073709550616,2000,3000", "", "GPU-whole", "");
    assert_true(joules(n) == 3);
    assert_true(joules(n) == 4);
    sg__nvml_close(n);
}

static void goes_through_a_new_driver(void **state) {
    (void)state;
    /* a counter that was set back to 0: what it shows was used since */
    struct sg__nvml *n = opened("5000000000000,5000000001000,700,900", "", "GPU-whole", "");
    assert_true(joules(n) == 1);
    assert_true(joules(n) == 1.7);
    assert_true(fabs(joules(n) - 1.9) < 1e-12);
    sg__nvml_close(n);
}

static void finds_devices(void **state) {
    (void)state;
    struct sg_dev_power p;
    struct sg__nvml *n = opened("0", "", "GPU-other", "0000:01:00.0");
    assert_non_null(n); /* by its address */
    sg__nvml_close(n);
    n = opened("0", "", "GPU-slice", "0000:01:00.0");
    assert_non_null(n); /* the slice, not the device that it is a slice of */
    sg__nvml_read(n, &p);
    assert_true(isnan(p.joules) && p.watts == 412.5);
    sg__nvml_close(n);
    assert_null(opened("0", "", "GPU-other", "0000:02:00.0"));
    assert_null(opened("0", "", "", ""));
}

static void what_is_missing_is_not_known(void **state) {
    (void)state;
    struct sg_dev_power p;
    assert_null(sg__nvml_open("/no/such/library.so.1", "GPU-whole", ""));
    assert_null(sg__nvml_open("libc.so.6", "GPU-whole", ""));
    assert_null(opened("0", "init", "GPU-whole", ""));
    sg__nvml_read(NULL, &p);
    assert_true(isnan(p.joules) && isnan(p.watts) && isnan(p.celsius));
    assert_string_equal(sg__nvml_driver(NULL), "");
    struct sg__nvml *n = opened("0", "energy power", "GPU-whole", "");
    sg__nvml_read(n, &p);
    assert_true(isnan(p.joules) && isnan(p.watts) && p.celsius == 61);
    sg__nvml_close(n);
    n = opened("0,1000", "temperature", "GPU-whole", "");
    sg__nvml_read(n, &p);
    assert_true(p.joules == 1 && isnan(p.celsius));
    sg__nvml_close(n);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    library = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_from_open),
        cmocka_unit_test(goes_through_the_counters_end),
        cmocka_unit_test(goes_through_a_new_driver),
        cmocka_unit_test(finds_devices),
        cmocka_unit_test(what_is_missing_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
