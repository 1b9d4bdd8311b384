/* Protects: ranks' devices in words, each once; which ranks share one; a process by itself takes the first
 * device that nobody has claimed, and who shares one where the fewest are; a claim goes with its process.
 * (What several ranks take, and the refusal, is in tests/cuda/program.sh.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/device.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Devices of this test alone, "G" test-PID-0 to test-PID-(n - 1). */
struct node {
    int n; /* 0: none can be opened */
    struct sg_comm *comm;
};
static void uuid_of(int device, char out[64]) {
    snprintf(out, 64, "test-%d-%d", (int)getpid(), device);
}
static enum sg_status find(void *ctx, const struct sg_job *job, int32_t index, struct sg_dev_place *out,
                           struct sg_err *e) {
    const struct node *node = ctx;
    (void)job;
    if (!node->n) return sg_fail(e, SG_E_DEVICE, "no device");
    *out = (struct sg_dev_place){.backend = "cuda", .count = node->n, .device = index % node->n, .name = "G"};
    uuid_of(out->device, out->uuid);
    return SG_OK;
}
static int open_node(void **state) {
    static struct node node;
    node = (struct node){.n = 2};
    CHECK_OK(sg_comm_open_alone(&node.comm, &err));
    *state = &node;
    return 0;
}
static int close_node(void **state) {
    sg_comm_close(((struct node *)*state)->comm);
    return 0;
}
/* What a run by itself on the node takes: its device, or -1 when it is refused. */
static int chosen(struct node *node, bool oversubscribe, struct sg_claim *claim) {
    const struct sg_job job = {.engine.oversubscribe = oversubscribe};
    const struct sg_compute_maker maker = {.find = find, .ctx = node};
    struct sg_compute_place place = {.device = 7};
    const enum sg_status st = sg_device_choose(node->comm, &maker, &job, false, &place, claim, &err);
    if (st == SG_E_USAGE) return -1;
    CHECK_OK(st);
    assert_int_equal(place.sharers, 1);
    return place.device;
}

static void one_process_takes_the_first_that_is_free(void **state) {
    struct node *node = *state;
    const struct sg_job job = {.engine.oversubscribe = false};
    struct sg_compute_maker maker = {.find = find, .ctx = node};
    struct sg_compute_place place = {.device = 7};
    struct sg_claim first = {.held = false}, second = {.held = false}, third = {.held = false};
    char want[512];
    assert_int_equal(chosen(node, false, &first), 0);
    assert_int_equal(chosen(node, false, &second), 1);
    assert_int_equal(chosen(node, false, &third), -1);
    snprintf(want, sizeof want,
             "device G (test-%d-0) on %s is in use by scope-grid, process %d of user %d, as are all 2 "
             "devices here: "
             "wait for it, give each process a device of its own (sbatch --gpus-per-task=1), or add "
             "--oversubscribe "
             "to share it",
             (int)getpid(), sg_comm_host(node->comm), (int)getpid(), (int)getuid());
    assert_string_equal(err.text, want);
    assert_false(third.held);

    /* the next run of the same process keeps its device, though the first is free by then */
    sg_claim_drop(&first);
    assert_int_equal(chosen(node, false, &second), 1);
    assert_int_equal(chosen(node, false, &third), 0);
    sg_claim_drop(&second);
    sg_claim_drop(&third);

    node->n = 0;
    assert_int_equal(sg_device_choose(node->comm, &maker, &job, false, &place, &first, &err), SG_E_DEVICE);
    assert_string_equal(err.text, "no device");
    maker.find = NULL; /* nothing to choose among */
    CHECK_OK(sg_device_choose(node->comm, &maker, &job, false, &place, &first, &err));
    assert_false(first.held);
}

static void who_shares_goes_where_the_fewest_are(void **state) {
    struct node *node = *state;
    struct sg_claim alone = {.held = false}, shared[3] = {{.held = false}};
    assert_int_equal(chosen(node, false, &alone), 0);
    assert_int_equal(chosen(node, true, &shared[0]), 1);
    assert_int_equal(chosen(node, true, &shared[1]), 0);
    assert_int_equal(chosen(node, true, &shared[2]), 1);
    /* a device that others share, in whatever seats, is nobody's alone */
    sg_claim_drop(&alone);
    sg_claim_drop(&shared[0]);
    assert_int_equal(chosen(node, false, &alone), -1);
    sg_claim_drop(&shared[2]);
    assert_int_equal(chosen(node, false, &alone), 1);
    sg_claim_drop(&alone);
    sg_claim_drop(&shared[1]);

    /* more than there are seats: they share all the same */
    struct sg_claim full[SG_CLAIM_SEATS] = {{.held = false}};
    node->n = 1;
    for (int i = 0; i < SG_CLAIM_SEATS; i++) assert_int_equal(chosen(node, true, &full[i]), 0);
    assert_true(full[SG_CLAIM_SEATS - 1].held);
    assert_int_equal(chosen(node, true, &alone), 0);
    assert_false(alone.held);
    for (int i = 0; i < SG_CLAIM_SEATS; i++) sg_claim_drop(&full[i]);
}

/* A process of its own that claims the device, until it is killed. */
static pid_t child_with(const char *uuid) {
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct sg_claim claim = {.held = false};
        struct sg_claim_holder by;
        if (!sg_claim_alone(uuid, &claim, &by) || !claim.held || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static void a_killed_process_leaves_nothing_behind(void **state) {
    struct node *node = *state;
    struct sg_claim claim = {.held = false};
    char uuid[64], who[64];
    node->n = 1;
    uuid_of(0, uuid);
    const pid_t pid = child_with(uuid);
    assert_int_equal(chosen(node, false, &claim), -1);
    snprintf(who, sizeof who, "in use by scope-grid, process %d of user %d: ", (int)pid, (int)getuid());
    assert_non_null(strstr(err.text, who));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(chosen(node, false, &claim), 0);
    assert_true(claim.held);
    sg_claim_drop(&claim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_devices_are),
        cmocka_unit_test(knows_who_shares_one),
        cmocka_unit_test_setup_teardown(one_process_takes_the_first_that_is_free, open_node, close_node),
        cmocka_unit_test_setup_teardown(who_shares_goes_where_the_fewest_are, open_node, close_node),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_nothing_behind, open_node, close_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
