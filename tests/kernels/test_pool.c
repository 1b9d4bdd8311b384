/* The thread pool: every task exactly once, results visible to the caller, runs back to back and after the
 * workers fell asleep, with more threads than cores. Run under -DSG_SANITIZE=thread it proves the locking. */
#include "kernels/cpu/pool.h"

#include "kt.h"
#include <time.h>

enum { MOST = 200 };
struct job {
    int count[MOST]; /* plain: each task has its own, and the pool orders it before the caller's reads */
    int64_t sum[16][16];
};

static void task(void *ctx, int64_t t, int thread) {
    struct job *j = ctx;
    j->count[t]++;
    j->sum[thread][0] += t;
}

static void test_runs(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 5, 16};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        struct sg__pool *p;
        KT_OK(sg__pool_open(threads[i], &p, &err));
        assert_int_equal(sg__pool_threads(p), threads[i]);
        for (int run = 0; run < 2000; run++) {
            struct job j = {{0}, {{0}}};
            const int64_t n = run % MOST;
            if (run % 500 == 499) nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL); /* all asleep */
            sg__pool_run(p, n, task, &j);
            int64_t sum = 0;
            for (int t = 0; t < 16; t++) sum += j.sum[t][0];
            for (int t = 0; t < MOST; t++) assert_int_equal(j.count[t], t < n);
            assert_int_equal(sum, n * (n - 1) / 2);
        }
        sg__pool_close(p);
    }
    sg__pool_close(NULL);
}

/* Opened and closed at once, before the threads have even started. */
static void test_open_close(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct sg__pool *p;
        KT_OK(sg__pool_open(4, &p, &err));
        sg__pool_close(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs), cmocka_unit_test(test_open_close)};
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
