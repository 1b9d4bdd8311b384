/* Protects: the energy of a run counts each device once; what members of a run without MPI note of themselves
 * comes back whole, in order, and what is no note is passed over. */
#include "store/runtime.h"

#include "store_test.h"
#include <math.h>
#include <sys/stat.h>

static void energy_counts_devices_once(void **state) {
    (void)state;
    struct sg_runtime_rank ranks[] = {
        {.device_uuid = "GPU-b", .joules = 10},  {.device_uuid = "GPU-a", .joules = 3},
        {.device_uuid = "GPU-b", .joules = 12},  {.device_uuid = "GPU-c", .joules = NAN},
        {.device_uuid = "GPU-b", .joules = NAN}, {.device_uuid = NULL, .joules = NAN},
    };
    struct sg_runtime t = {.n_ranks = 6, .ranks = ranks};
    CHECK_OK(sg_runtime_sum(&t, err));
    assert_true(t.joules == 15);
    t.n_ranks = 0;
    CHECK_OK(sg_runtime_sum(&t, err));
    assert_true(isnan(t.joules));
    /* devices without a name are not one device */
    struct sg_runtime_rank nameless[] = {{.joules = 1}, {.joules = 2}};
    t = (struct sg_runtime){.n_ranks = 2, .ranks = nameless};
    CHECK_OK(sg_runtime_sum(&t, err));
    assert_true(t.joules == 3);
}

static void notes_come_back(void **state) {
    char dir[1024], path[1024];
    struct sg_results r = {0};
    path_to(dir, "%s/run", (char *)*state);
    CHECK_OK(sg_runtime_read_notes(dir, &r, err)); /* no folder: no notes */
    assert_int_equal(r.runtime.n_ranks, 0);
    const struct sg_runtime_rank a = {.host = "n\xc3\xb8"
                                              "de",
                                      .device = "NVIDIA \"H100\"",
                                      .device_uuid = "GPU-a",
                                      .driver = "580",
                                      .cells = 7,
                                      .output_tokens = 9007199254740991,
                                      .busy_seconds = 1.25,
                                      .device_memory = (int64_t)80 << 30,
                                      .product_rate = 7e14,
                                      .read_rate = NAN,
                                      .joules = 0.1};
    const struct sg_runtime_rank b = {.host = "second", .joules = NAN};
    sg_runtime_note(dir, "b-2", &b);
    sg_runtime_note(dir, "a-1", &b);
    sg_runtime_note(dir, "a-1", &a); /* the last one stands */
    path_to(path, "%s/shards/a-3.json", dir);
    write_file(path, "{\"host\": \"cut", 13);
    path_to(path, "%s/shards/a-1.json.tmp", dir);
    write_file(path, "{}", 2);
    CHECK_OK(sg_runtime_read_notes(dir, &r, err));
    assert_int_equal(r.runtime.n_ranks, 2);
    const struct sg_runtime_rank *x = &r.runtime.ranks[0];
    assert_string_equal(x->host, a.host);
    assert_string_equal(x->device, a.device);
    assert_string_equal(x->device_uuid, "GPU-a");
    assert_string_equal(x->driver, "580");
    assert_string_equal(x->device_runtime, "");
    assert_true(x->cells == 7 && x->output_tokens == a.output_tokens && x->device_memory == a.device_memory);
    assert_true(x->busy_seconds == 1.25 && x->product_rate == 7e14 && isnan(x->read_rate) &&
                x->joules == 0.1);
    assert_string_equal(r.runtime.ranks[1].host, "second");
    assert_true(isnan(r.runtime.ranks[1].joules) && r.runtime.ranks[1].cells == 0);
    sg_results_free(&r);
}

/* A help and never an obstacle. */
static void notes_that_cannot_be_written(void **state) {
    char path[1024];
    const struct sg_runtime_rank a = {.host = "node"};
    struct sg_results r = {0};
    path_to(path, "%s/file", (char *)*state);
    write_file(path, "x", 1);
    sg_runtime_note(path, "a-1", &a); /* a file where the folder should be */
    CHECK_OK(sg_runtime_read_notes(path, &r, err));
    assert_int_equal(r.runtime.n_ranks, 0);
    sg_results_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_counts_devices_once),
        IN_DIR(notes_come_back),
        IN_DIR(notes_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
