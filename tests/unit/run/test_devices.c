/* Protects: ranks' devices in words, each once; which ranks share one; what a process by itself takes.
 * (What several ranks take, and the refusal, is in tests/cuda/program.sh.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/device.h"
#include <stdio.h>
#include <string.h>

static struct sg_err err;
#define CHECK_OK(call)                                                                                       \
    if ((call) != SG_OK) fail_msg("%s", err.text)

static struct sg_rank_facts gpu(const char *name, const char *uuid, double flops, double bytes) {
    struct sg_rank_facts f = {.host = "node"};
    snprintf(f.facts.device.name, sizeof f.facts.device.name, "%s", name);
    snprintf(f.facts.device.uuid, sizeof f.facts.device.uuid, "%s", uuid);
    if (uuid[0]) snprintf(f.facts.device.driver, sizeof f.facts.device.driver, "580.65.06, CUDA 13.0");
    f.facts.device.memory_bytes = (int64_t)79 << 30;
    f.facts.device.flops_per_s = flops;
    f.facts.device.bytes_per_s = bytes;
    return f;
}

static void expect_line(const struct sg_rank_facts *ranks, int32_t n, const char *want) {
    int32_t first[16];
    struct sg_buf line = {0};
    CHECK_OK(sg_device_first(ranks, n, first, &err));
    CHECK_OK(sg_device_line(ranks, first, n, &line, &err));
    assert_string_equal(line.data, want);
    sg_buf_free(&line);
}

static void says_what_the_devices_are(void **state) {
    (void)state;
    const struct sg_rank_facts four[] = {
        gpu("NVIDIA H100", "GPU-b", 7e14, 3.1e12), gpu("NVIDIA H100", "GPU-a", 6.9e14, 3.2e12),
        gpu("NVIDIA H100", "GPU-d", 7.1e14, 3.05e12), gpu("NVIDIA H100", "GPU-c", 7e14, 3.3e12)};
    expect_line(four, 4, "4 x NVIDIA H100, 79 GiB, driver 580.65.06, CUDA 13.0, 690 Tflop/s, 3.05 TB/s");
    const struct sg_rank_facts mixed[] = {gpu("NVIDIA H100", "GPU-a", 7e14, 3e12),
                                          gpu("NVIDIA H200", "GPU-b", 0, 0),
                                          gpu("NVIDIA H100", "GPU-a", 7e14, 3e12)};
    expect_line(mixed, 3,
                "1 x NVIDIA H100, 79 GiB, driver 580.65.06, CUDA 13.0, 700 Tflop/s, 3 TB/s; "
                "1 x NVIDIA H200, 79 GiB, driver 580.65.06, CUDA 13.0");
    const struct sg_rank_facts hosts[] = {gpu("EPYC (avx512, 2 threads)", "", 0, 0),
                                          gpu("EPYC (avx512, 2 threads)", "", 0, 0)};
    expect_line(hosts, 2, "2 x EPYC (avx512, 2 threads)");
    struct sg_rank_facts many[7];
    for (int i = 0; i < 7; i++) {
        char name[8] = {(char)('A' + i), 0};
        many[i] = gpu(name, "", 0, 0);
    }
    expect_line(many, 7, "1 x A; 1 x B; 1 x C; 1 x D; 3 others");
}

static void knows_who_shares_one(void **state) {
    (void)state;
    const struct sg_rank_facts ranks[] = {gpu("G", "GPU-b", 0, 0), gpu("G", "GPU-a", 0, 0),
                                          gpu("G", "GPU-b", 0, 0), gpu("C", "", 0, 0),
                                          gpu("C", "", 0, 0),      gpu("G", "GPU-b", 0, 0)};
    const int32_t want[] = {0, 1, 0, 3, 4, 0};
    int32_t first[6];
    CHECK_OK(sg_device_first(ranks, 6, first, &err));
    assert_memory_equal(first, want, sizeof want);
}

/* A node with ctx devices, "G" uuid-0 to uuid-(n - 1). */
static enum sg_status find(void *ctx, const struct sg_job *job, int32_t index, struct sg_dev_place *out,
                           struct sg_err *e) {
    const int n = *(const int *)ctx;
    (void)job;
    if (!n) return sg_fail(e, SG_E_DEVICE, "no device");
    *out = (struct sg_dev_place){.backend = "cuda", .count = n, .device = index % n, .name = "G"};
    snprintf(out->uuid, sizeof out->uuid, "uuid-%d", out->device);
    return SG_OK;
}

static void one_process_takes_the_first_that_it_sees(void **state) {
    int devices = 2;
    const struct sg_job job = {.engine.oversubscribe = false};
    struct sg_compute_maker maker = {.find = find, .ctx = &devices};
    struct sg_compute_place place = {.device = 7};
    struct sg_comm *comm = NULL;
    (void)state;
    CHECK_OK(sg_comm_open_alone(&comm, &err));
    CHECK_OK(sg_device_choose(comm, &maker, &job, false, &place, &err));
    assert_int_equal(place.device, 0);
    assert_int_equal(place.sharers, 1);
    devices = 0;
    assert_int_equal(sg_device_choose(comm, &maker, &job, false, &place, &err), SG_E_DEVICE);
    assert_string_equal(err.text, "no device");
    maker.find = NULL; /* nothing to choose among */
    CHECK_OK(sg_device_choose(comm, &maker, &job, false, &place, &err));
    sg_comm_close(comm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_devices_are),
        cmocka_unit_test(knows_who_shares_one),
        cmocka_unit_test(one_process_takes_the_first_that_it_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
