#include "store/results_cell.h"

#include "store/results_writer.h"
#include <stdlib.h>
#include <string.h>

void sg_cell_buf_free(struct sg_cell_buf *buf) {
    if (!buf) return;
    free(buf->samples);
    sg_buf_free(&buf->text);
    memset(buf, 0, sizeof *buf);
}

/* All texts of the cell, end to end; pointers are set when the buffer does not move any more. */
static enum sg_status read_texts(const struct sg_results *r, const struct sg_results_texts *texts,
                                 int64_t index, int64_t n, struct sg_cell_buf *buf, struct sg_err *err) {
    enum sg_status st = SG_OK;
    sg_buf_clear(&buf->text);
    for (int64_t s = 0; s < n; s++) {
        const size_t at = buf->text.len;
        SG_TRY(sg_results_texts_get(texts, index, s, &buf->text, err));
        buf->samples[s].text_bytes = (int64_t)(buf->text.len - at);
        SG_TRY(sg_buf_add(&buf->text, "", 1, err));
    }
    const char *text = buf->text.data;
    for (int64_t s = 0; s < n; s++) {
        buf->samples[s].text = text;
        text += buf->samples[s].text_bytes + 1;
    }
    const struct sg_cell whole = {.n_samples = (int32_t)n, .samples = buf->samples};
    if (r->text_digest && !sg_digest_equal(sg_results_text_digest(&whole), r->text_digest[index]))
        st = sg_fail(err, SG_E_CORRUPT, "the texts of %s %s, model %s are not those of its digest",
                     sg_results_row_kind(r, index), sg_results_row_id(r, index),
                     r->model[index % r->n_models]);
out:
    return st;
}

enum sg_status sg_results_cell(const struct sg_results *r, const struct sg_results_texts *texts,
                               int64_t index, int64_t n_samples, struct sg_cell_buf *buf, struct sg_cell *out,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t at;
    const struct sg_results *part = sg_results_part(r, index, &at);
    struct sg_cell c = {.query = (int32_t)(index / r->n_models),
                        .model = (int32_t)(index % r->n_models),
                        .prompt_tokens = part->prompt_tokens[at],
                        .status = part->status[at]};
    const int64_t all = sg_results_cell_samples(part, at);
    SG_ASSERT(n_samples >= 0);
    if (c.status == SG_OK) {
        SG_TRY(SG_GROW(&buf->samples, &buf->cap, r->n_samples, "samples", err));
        for (int64_t s = 0; s < all; s++) {
            const int64_t k = at * r->n_samples + s;
            buf->samples[s] = (struct sg_cell_sample){.correct = part->sample_correct[k],
                                                      .finish = part->sample_finish[k],
                                                      .tokens = part->sample_tokens[k],
                                                      .length = part->sample_length[k],
                                                      .p_yes = part->sample_p_yes[k]};
        }
        if (texts && all) SG_TRY(read_texts(r, texts, index, all, buf, err));
        c.n_samples = (int32_t)(n_samples < all ? n_samples : all);
        c.samples = buf->samples;
    }
    *out = c;
out:
    return st;
}
