/* list_cells RUNDIR: one line a record of the closed segments, its cell's index. A cell that was computed
 * twice stands there twice. */
#include "rundir/rundir.h"
#include "store/segment.h"

#include <stdio.h>

static enum sg_status print_cell(void *ctx, int64_t cell_index, struct sg_digest cell_fingerprint,
                                 const struct sg_cell *cell, struct sg_err *err) {
    (void)ctx;
    (void)cell_fingerprint;
    (void)cell;
    (void)err;
    printf("%lld\n", (long long)cell_index);
    return SG_OK;
}

int main(int argc, char **argv) {
    struct sg_err err = {0};
    struct sg_run_id id;
    if (argc != 2) return 2;
    enum sg_status st = sg_rundir_read_run(argv[1], &id, &err);
    if (st == SG_OK) st = sg_segments_read(argv[1], id.fingerprint, id.total, print_cell, NULL, &err);
    if (st != SG_OK) fprintf(stderr, "list_cells: %s\n", err.text);
    return sg_status_exit_code(st);
}
