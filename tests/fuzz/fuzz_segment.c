/* Any bytes as a segment, its checksums unchecked (a fuzzer cannot make those): twice, as the whole file and
 * as the payload of a record in a well-formed one. Every length must be bounded before use, every refusal is
 * one line, and what is accepted can be written again. */
#include "store/bytes.h"
#include "store/segment_format.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(enum sg_status st) {
    if (st != SG_OK) abort();
}

static void read_all(const void *bytes, size_t size) {
    struct sg__segment_view v;
    struct sg__cell_buf room = {0};
    struct sg_buf again = {0};
    struct sg_err err = {0};
    if (sg__segment_parse(bytes, size, false, "fuzz.seg", &v, &err) != SG_OK) {
        if (!err.text[0] || strchr(err.text, '\n')) abort();
        return;
    }
    for (int64_t i = 0; i < v.count; i++) {
        struct sg_cell c;
        struct sg_digest fp;
        struct sg__segment_entry e;
        if (sg__segment_take(&v, i, "fuzz.seg", &room, &fp, &c, &err) != SG_OK) continue;
        for (int32_t s = 0; s < c.n_samples; s++)
            if (c.samples[s].text && c.samples[s].text[c.samples[s].text_bytes] != 0) abort();
        sg_buf_clear(&again);
        must(sg__segment_put_record(&again, i, fp, &c, &e, &err));
    }
    free(room.samples);
    sg_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sg_buf file = {0};
    struct sg_err err = {0};
    struct sg__segment_entry e = {.cell = 0};
    unsigned char head[SG_SEGMENT_RECORD_HEADER] = "CELL";
    read_all(data, size);

    must(sg__segment_put_header(&file, &(struct sg_segment_head){{1, 2}, 0, "night", NULL}, 1, 1, "host",
                                &err));
    const size_t header = file.len;
    e.offset = (int64_t)header;
    e.bytes = (uint32_t)(sizeof head + size);
    if (size >= 13) e.status = data[9] % SG_STATUS_COUNT; /* where a payload has its status */
    sg__save(head + 4, size, 4);
    must(sg_buf_add(&file, head, sizeof head, &err));
    must(sg_buf_add(&file, data, size, &err));
    struct sg_buf first = {0};
    must(sg_buf_add(&first, file.data, header, &err));
    must(sg__segment_put_footer(&file, first.data, header, &e, 1, &err));
    read_all(file.data, file.len);
    sg_buf_free(&file);
    sg_buf_free(&first);
    return 0;
}
