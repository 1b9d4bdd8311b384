/* Protects: what a process may still take is the least of what the system and its control groups leave, in
 * both versions of control groups and in containers that show another path than is mounted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static const int64_t MIB = 1 << 20;

static void put(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_root(void **state) {
    (void)state;
    strcpy(root, "/tmp/sg-memory.XXXXXX");
    if (!mkdtemp(root)) return 1;
    put("/proc/meminfo",
        "MemTotal:       8388608 kB\nMemFree:        12345 kB\nMemAvailable:    2097152 kB\n");
    return 0;
}
static int drop_root(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void without_groups(void **state) {
    (void)state;
    assert_int_equal(sg__host_memory_free(root), 2048 * MIB);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(sg__host_memory_free(root), 2048 * MIB);
}

static void version_2(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/slurm/job_7\n");
    put("/sys/fs/cgroup/slurm/job_7/memory.max", "max\n");
    put("/sys/fs/cgroup/slurm/job_7/memory.current", "104857600\n");
    assert_int_equal(sg__host_memory_free(root), 2048 * MIB);
    put("/sys/fs/cgroup/slurm/memory.max", "1073741824\n"); /* 1024 MiB, 700 used, 200 of them idle pages */
    put("/sys/fs/cgroup/slurm/memory.current", "734003200\n");
    put("/sys/fs/cgroup/slurm/memory.stat", "anon 5\ninactive_file 209715200\nactive_file 1\n");
    assert_int_equal(sg__host_memory_free(root), 524 * MIB);
    put("/sys/fs/cgroup/slurm/job_7/memory.max", "209715200\n");
    assert_int_equal(sg__host_memory_free(root), 100 * MIB);
    put("/sys/fs/cgroup/slurm/job_7/memory.current", "314572800\n"); /* over its limit, just now */
    assert_int_equal(sg__host_memory_free(root), 0);
}

static void version_1(void **state) {
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/a/b\n3:cpuset:/c\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
    assert_int_equal(sg__host_memory_free(root), 2048 * MIB);
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "536870912\n");
    put("/sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "115343360\n");
    put("/sys/fs/cgroup/memory/a/b/memory.stat", "inactive_file 1\ntotal_inactive_file 10485760\n");
    assert_int_equal(sg__host_memory_free(root), 412 * MIB);
}

/* A container sees its own group as the root of the mount, whatever path /proc tells. */
static void in_a_container(void **state) {
    (void)state;
    put("/sys/fs/cgroup/memory.max", "134217728\n");
    put("/sys/fs/cgroup/memory.current", "33554432\n");
    put("/proc/self/cgroup", "0::/../../elsewhere\n");
    assert_int_equal(sg__host_memory_free(root), 96 * MIB);
    put("/proc/self/cgroup", "0::/system/that/is/not/mounted\n");
    assert_int_equal(sg__host_memory_free(root), 96 * MIB);
}

static void nothing_to_read(void **state) {
    (void)state;
    assert_int_equal(sg__host_memory_free("/no/such/folder"), 0);
    assert_true(sg__host_memory_free("") > MIB); /* here and now */
}

#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, make_root, drop_root)
int main(void) {
    const struct CMUnitTest tests[] = {
        IN_ROOT(without_groups), IN_ROOT(version_2),       IN_ROOT(version_1),
        IN_ROOT(in_a_container), IN_ROOT(nothing_to_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
