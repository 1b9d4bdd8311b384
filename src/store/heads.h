/* heads - the first samples of cells that an earlier run has drawn, in a run that draws more of them. They lie in
 * segments of their own, RUNDIR/heads/segments/ (run/reuse.h writes them), under the fingerprints of the run and
 * of its cells. Every rank reads them: of a cell that has a head it computes the samples behind it alone, and
 * puts both together before it writes the cell. A cell without a head, or whose head a rank does not see, is
 * computed whole, with the same result. */
#ifndef SG_STORE_HEADS_H
#define SG_STORE_HEADS_H

#include "base/digest.h"
#include "base/status.h"
#include "cell/cell.h"

#include <stdbool.h>
#include <stdint.h>

/* The folder below RUNDIR whose segments/ they lie in. */
#define SG_HEADS_FOLDER "heads"

struct sg_heads; /* owned by the caller of open */

/* Opens and checks them; *out = NULL when there are none. Errors as sg_segments_scan. cell_fingerprint [n_cells]: of
 * the run's cells, borrowed. */
enum sg_status sg_heads_open(const char *run_dir, struct sg_digest fingerprint,
                             const struct sg_digest *cell_fingerprint, int64_t n_cells, struct sg_heads **out,
                             struct sg_err *err);
/* Whether the cell has a head. h may be NULL. */
bool sg_heads_has(const struct sg_heads *h, int64_t cell);
/* *n: samples of the cell's head, 0: it has none. h may be NULL. SG_E_CORRUPT: a head of other inputs, or not of
 * fewer samples than `of`, those of the whole cell. */
enum sg_status sg_heads_samples(struct sg_heads *h, int64_t cell, int64_t of, int32_t *n, struct sg_err *err);
/* Puts the cell's head in front of the samples of *tail. *out is *tail with all of them and without new aggregates; its
 * samples lie in h until the next call, texts where they were. */
enum sg_status sg_heads_join(struct sg_heads *h, int64_t cell, const struct sg_cell *tail,
                             struct sg_cell *out, struct sg_err *err);
void sg_heads_close(struct sg_heads *h); /* NULL accepted */

#endif
