/* segment_format - makes and parses the bytes of a segment, in memory, without files. All little-endian.
 *
 *   header   magic[8] "SGSEG\r\n\x1a" | u32 version | u32 header bytes | u64 hi, lo run fingerprint |
 *            i32 rank | i64 pid | u64 process start | string host | string night | string earlier results |
 *            u64 checksum of what precedes
 *   record*  u32 magic "CELL" | u32 payload bytes | i64 cell | u64 hi, lo cell fingerprint | payload
 *   footer   u32 magic "SGFT" | u32 bytes of an entry | i64 count |
 *            count x {i64 cell, i64 offset, u32 record bytes, i32 status, u64 checksum of the record} |
 *            u64 hi, lo digest of header and footer so far | u64 footer bytes | magic[8] "SGSEGEND"
 *   payload  i32 query, model | u8 valid | i32 status | i32 votes yes, no, unparsed | f64 p_correct,
 *            length_mean, length_sd, cost | i32 prompt_tokens | i64 output_tokens |
 *            i32 estimator_prompt_tokens | i32 n_samples | string reason |
 *            n_samples x {i8 correct, u8 finish, i32 tokens, i64 length, f32 p_yes, string text}
 *   string   i64 n (-1: none) | n bytes | NUL
 *
 * Records lie without gaps between header and footer, so every byte of the file is under one checksum. */
#ifndef SG_STORE_SEGMENT_FORMAT_H
#define SG_STORE_SEGMENT_FORMAT_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "cell/cell.h"
#include "store/segment.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SG_SEGMENT_VERSION = 2, SG_SEGMENT_ENTRY_BYTES = 32, SG_SEGMENT_RECORD_HEADER = 32 };

struct sg__segment_entry {
    int64_t cell, offset; /* offset of the record in the file */
    uint32_t bytes;       /* record header and payload */
    int32_t status;       /* enum sg_status of the cell */
    uint64_t checksum;
};

/* A segment taken apart in place: pointers go into the bytes given to sg__segment_parse. */
struct sg__segment_view {
    const unsigned char *bytes;
    size_t size;
    struct sg_digest fingerprint;
    int32_t rank;
    const char *night, *since; /* of struct sg_segment_head */
    int64_t count;
    const unsigned char *entries; /* [count * SG_SEGMENT_ENTRY_BYTES] */
};

enum sg_status sg__segment_put_header(struct sg_buf *out, const struct sg_segment_head *head, int64_t pid,
                                      uint64_t start, const char *host, struct sg_err *err);
/* Appends one record at the end of `out`; *entry gets everything but the offset. */
enum sg_status sg__segment_put_record(struct sg_buf *out, int64_t cell_index,
                                      struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                      struct sg__segment_entry *entry, struct sg_err *err);
/* `header` is what put_header made: the footer's digest covers it. */
enum sg_status sg__segment_put_footer(struct sg_buf *out, const void *header, size_t header_bytes,
                                      const struct sg__segment_entry *entries, int64_t count,
                                      struct sg_err *err);

/* Checks header, footer, index and (checksums = true) every record's checksum. Allocates nothing. `where`
 * names the file in errors. SG_E_CORRUPT for damage, SG_E_UNSUPPORTED for another version. checksums = false
 * is for the fuzzer alone: it tests the bounds checks behind the checksums. */
enum sg_status sg__segment_parse(const void *bytes, size_t size, bool checksums, const char *where,
                                 struct sg__segment_view *out, struct sg_err *err);
struct sg__segment_entry sg__segment_entry_at(const struct sg__segment_view *v, int64_t i);

/* Memory for one cell's samples, reused from cell to cell. Zeroed is empty; free(samples). */
struct sg__cell_buf {
    struct sg_cell_sample *samples;
    size_t cap;
};
/* Record i as a cell: texts and reason point into the segment's bytes, samples into the buf. */
enum sg_status sg__segment_take(const struct sg__segment_view *v, int64_t i, const char *where,
                                struct sg__cell_buf *buf, struct sg_digest *cell_fingerprint,
                                struct sg_cell *out, struct sg_err *err);

#endif
