/* results_writer - writes results.h5 with texts cell by cell, so that the texts are never all in memory. Call
 * open, then pass the texts of cells 0, 1, 2, .. in order (all cells, sg_results_n_cells), then close with the columns. */
#ifndef SG_STORE_RESULTS_WRITER_H
#define SG_STORE_RESULTS_WRITER_H

#include "cell/cell.h"
#include "store/results.h"

struct sg_results_writer; /* owned by the caller of open */

enum sg_status sg_results_writer_open(const char *path, int64_t n_cells, int64_t n_samples, bool texts,
                                      struct sg_results_writer **out, struct sg_err *err);
/* Texts of the next cell; NULL or fewer samples than n_samples: the rest are empty. Does nothing in a writer
 * without texts. */
enum sg_status sg_results_writer_cell(struct sg_results_writer *w, const struct sg_cell *cell,
                                      struct sg_err *err);
/* Writes everything else of *r, sets r->text_digest (when texts) and r->digest, makes the file final. All
 * cells must have passed. Frees w whatever happens; on failure nothing of the file is left and an existing
 * one is untouched. */
enum sg_status sg_results_writer_close(struct sg_results_writer *w, struct sg_results *r, struct sg_err *err);
void sg_results_writer_abandon(struct sg_results_writer *w); /* NULL accepted */

/* Digest of one cell's texts, as text_digest holds it: of each sample's length and bytes, in order. */
struct sg_digest sg_results_text_digest(const struct sg_cell *cell);

#endif
