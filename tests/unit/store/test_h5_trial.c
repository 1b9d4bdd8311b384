/* Protects: whatever HDF5 does in the child that reads a file first, this process goes on and says it in one line. */
#include "store/h5.h"

#include "store_test.h"
#include <signal.h>

enum way { WELL, FAILS, CRASHES, LOOPS, EATS };

static enum sg_status act(const struct sg_h5_in *in, const void *ctx, struct sg_err *err) {
    const enum way way = *(const enum way *)ctx;
    volatile int go_on = 1;
    if (!in->trial || H5Lexists(in->file, "here", H5P_DEFAULT) <= 0) return SG_E_INTERNAL;
    if (way == FAILS) return sg_fail(err, SG_E_UNSUPPORTED, "%s: of the %s", in->path, "child");
    if (way == CRASHES) raise(SIGSEGV);
    while (way == LOOPS && go_on) continue;
    if (way == EATS) {
        for (size_t mib = 1; mib <= 4096; mib++) {
            char *p = malloc(1 << 20);
            if (!p) return sg_fail(err, SG_E_NOMEM, "no more after %zu MiB", mib);
            memset(p, 1, 1 << 20);
        }
    }
    return SG_OK;
}

static void handler(int sig) {
    _exit(sig);
}

static void ways(void **state) {
    char path[1024];
    struct sg_h5_out out;
    struct sg_h5_in in;
    hid_t g = -1;
    path_to(path, "%s/x.h5", (char *)*state);
    CHECK_OK(sg_h5_create(path, &out, err));
    CHECK_OK(sg_h5_group(&out, out.file, "here", &g, err));
    H5Gclose(g);
    CHECK_OK(sg_h5_commit(&out, err));
    signal(SIGSEGV, handler); /* the program's own handler is not asked */
    enum way way = WELL;
    const struct sg_h5_try try = {.read = act, .ctx = &way, .seconds = 1};
    CHECK_OK(sg_h5_open(path, &try, &in, err));
    assert_false(in.trial);
    sg_h5_close(&in);
    way = FAILS;
    CHECK_FAILS(SG_E_UNSUPPORTED, "x.h5: of the child", sg_h5_open(path, &try, &in, err));
    way = CRASHES;
    CHECK_FAILS(SG_E_CORRUPT, "x.h5: damaged, or made so: HDF5 crashes on it (Segmentation fault)",
                sg_h5_open(path, &try, &in, err));
    way = LOOPS;
    CHECK_FAILS(SG_E_CORRUPT, "HDF5 reads its structure for more than 1 s", sg_h5_open(path, &try, &in, err));
#if !defined(__SANITIZE_ADDRESS__)
    way = EATS;
    CHECK_FAILS(SG_E_NOMEM, "no more after ", sg_h5_open(path, &try, &in, err));
#endif
    signal(SIGSEGV, SIG_DFL);
}

int main(void) {
    const struct CMUnitTest tests[] = {IN_DIR(ways)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
