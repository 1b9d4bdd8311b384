/* results_cell - one cell of a results file as a struct sg_cell: a later night takes it over, and `check`
 * compares it with the columns. */
#ifndef SG_STORE_RESULTS_CELL_H
#define SG_STORE_RESULTS_CELL_H

#include "cell/cell.h"
#include "store/results.h"

/* Memory of one cell, reused from cell to cell. Zeroed is empty; sg_cell_buf_free. */
struct sg_cell_buf {
    struct sg_cell_sample *samples;
    size_t cap;
    struct sg_buf text;
};
void sg_cell_buf_free(struct sg_cell_buf *buf);

/* Cell `index` of all (sg_results_n_cells) of r (loaded with CELLS and SAMPLES) with its first n_samples
 * samples, or all that it has when these are fewer, and their texts (texts NULL: none); without the aggregates,
 * which sg_cell_estimate computes from them. samples and texts lie in *buf until the next call. A failed cell has
 * no samples. SG_E_CORRUPT when the cell's texts do not have the text digest of the results. */
enum sg_status sg_results_cell(const struct sg_results *r, const struct sg_results_texts *texts,
                               int64_t index, int64_t n_samples, struct sg_cell_buf *buf, struct sg_cell *out,
                               struct sg_err *err);

#endif
