/* scope-grid merge RUNDIR: results.h5 from the finished cells of a run, complete or not. */
#include "cmd/cmd.h"
#include "run/run.h"

#include <stdio.h>

enum sg_status sg_cmd_merge(int argc, char **argv, struct sg_err *err);

enum sg_status sg_cmd_merge(int argc, char **argv, struct sg_err *err) {
    bool help;
    const char *dir, *device = NULL;
    const struct sg_opt opts[] = {SG_OPT_NO_DEVICE(&device)};
    enum sg_status st = sg_options_read(
        argc, argv,
        &(struct sg_opt_spec){"usage: scope-grid merge RUNDIR\n\n"
                              "Writes RUNDIR/results.h5 from the cells that are finished. Cells that are not "
                              "are marked as missing;\nthe exit code then says that it is incomplete.",
                              opts, sizeof opts / sizeof *opts, &dir, 1, 1},
        &help, err);
    if (st != SG_OK || help) return st;
    struct sg_run_summary s;
    st = sg_run_merge(dir, &s, err);
    if (st != SG_OK && st != SG_E_PARTIAL) return st;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(s.digest, hex);
    printf("digest %s, %lld of %lld cells", hex, (long long)s.computed, (long long)s.total);
    if (s.calibration) printf(", %lld of them for calibration", (long long)s.calibration);
    printf(", %lld failed", (long long)s.failed);
    if (s.unparsed) printf(", %lld without a verdict", (long long)s.unparsed);
    printf(": %s/results.h5\n", dir);
    return st;
}
