#include "store/segment_format.h"

#include "store/bytes.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char head_magic[8] = {'S', 'G', 'S', 'E', 'G', '\r', '\n', 0x1a};
static const unsigned char end_magic[8] = {'S', 'G', 'S', 'E', 'G', 'E', 'N', 'D'};
enum {
    CELL_MAGIC = 0x4c4c4543,                                 /* "CELL" */
    FOOT_MAGIC = 0x54464753,                                 /* "SGFT" */
    HEADER_MIN = 8 + 4 + 4 + 16 + 4 + 8 + 8 + 3 * 8 + 2 + 8, /* host and night empty, no earlier results */
    HEADER_MAX = 1 << 16,
    FOOTER_FIXED = 4 + 4 + 8 + 16 + 8 + 8,
    CELL_FIXED = 4 + 4 + 1 + 4 + 12 + 32 + 4 + 8 + 4 + 4, /* payload before the reason */
    SAMPLE_FIXED = 1 + 1 + 4 + 8 + 4 + 8                  /* one sample with an empty text that is absent */
};
/* The bound of a record, which holds the answers of one cell: a longer one is a mistake. */
static const size_t payload_max = (size_t)1 << 30;

/* ---- making ---- */

static enum sg_status room_for(struct sg_buf *b, size_t n, const char *what, struct sg_err *err) {
    size_t need;
    if (!sg_add_size(b->len, n, &need) || !sg_add_size(need, 1, &need))
        return sg_fail(err, SG_E_NOMEM, "%s: size overflows", what);
    return SG_GROW(&b->data, &b->cap, need, what, err);
}

static unsigned char *put_string(unsigned char *p, const char *s, int64_t n) {
    if (!s) return sg__put_i64(p, -1);
    p = sg__put_i64(p, n);
    p = sg__put_bytes(p, s, (size_t)n);
    *p = 0;
    return p + 1;
}

enum sg_status sg__segment_put_header(struct sg_buf *out, const struct sg_segment_head *head, int64_t pid,
                                      uint64_t start, const char *host, struct sg_err *err) {
    SG_ASSERT(head->night);
    const size_t hosts = strlen(host), nights = strlen(head->night),
                 since = head->since ? strlen(head->since) : 0;
    const size_t total = HEADER_MIN + hosts + nights + (head->since ? since + 1 : 0);
    if (total > HEADER_MAX)
        return sg_fail(err, SG_E_INPUT, "segment header: the names in it take %zu bytes, more than %d", total,
                       (int)HEADER_MAX);
    enum sg_status st = room_for(out, total, "segment header", err);
    if (st != SG_OK) return st;
    unsigned char *const begin = (unsigned char *)out->data + out->len;
    unsigned char *p = sg__put_bytes(begin, head_magic, sizeof head_magic);
    p = sg__put_uint(p, SG_SEGMENT_VERSION, 4);
    p = sg__put_uint(p, total, 4);
    p = sg__put_uint(p, head->fingerprint.hi, 8);
    p = sg__put_uint(p, head->fingerprint.lo, 8);
    p = sg__put_i32(p, head->rank);
    p = sg__put_i64(p, pid);
    p = sg__put_uint(p, start, 8);
    p = put_string(p, host, (int64_t)hosts);
    p = put_string(p, head->night, (int64_t)nights);
    p = put_string(p, head->since, (int64_t)since);
    p = sg__put_uint(p, sg_hash64(begin, (size_t)(p - begin)), 8);
    SG_ASSERT((size_t)(p - begin) == total);
    out->len += total;
    return SG_OK;
}

static bool payload_size(const struct sg_cell *cell, size_t reason, size_t *out) {
    size_t n = CELL_FIXED + 8 + (cell->reason ? reason + 1 : 0), samples;
    if (!sg_mul_size((size_t)cell->n_samples, SAMPLE_FIXED, &samples) || !sg_add_size(n, samples, &n))
        return false;
    for (int32_t i = 0; i < cell->n_samples; i++)
        if (cell->samples[i].text && !sg_add_size(n, (size_t)cell->samples[i].text_bytes + 1, &n))
            return false;
    *out = n;
    return n <= payload_max;
}

enum sg_status sg__segment_put_record(struct sg_buf *out, int64_t cell_index,
                                      struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                      struct sg__segment_entry *entry, struct sg_err *err) {
    /* The reader refuses negative indices, so none may be written. */
    SG_ASSERT(cell_index >= 0 && cell->query >= 0 && cell->model >= 0);
    SG_ASSERT(cell->status >= 0 && cell->status < SG_STATUS_COUNT);
    SG_ASSERT(cell->n_samples >= 0 && (cell->samples || !cell->n_samples));
    const size_t reason = cell->reason ? strlen(cell->reason) : 0;
    size_t payload;
    if (!payload_size(cell, reason, &payload))
        return sg_fail(err, SG_E_INPUT,
                       "cell %" PRId64 ": its texts are larger than a segment's record may be (%zu MiB)",
                       cell_index, payload_max >> 20);
    const size_t total = SG_SEGMENT_RECORD_HEADER + payload;
    enum sg_status st = room_for(out, total, "segment record", err);
    if (st != SG_OK) return st;
    unsigned char *const begin = (unsigned char *)out->data + out->len;
    unsigned char *p = sg__put_uint(begin, CELL_MAGIC, 4);
    p = sg__put_uint(p, payload, 4);
    p = sg__put_i64(p, cell_index);
    p = sg__put_uint(p, cell_fingerprint.hi, 8);
    p = sg__put_uint(p, cell_fingerprint.lo, 8);

    p = sg__put_i32(p, cell->query);
    p = sg__put_i32(p, cell->model);
    *p++ = cell->valid ? 1 : 0;
    p = sg__put_i32(p, cell->status);
    p = sg__put_i32(p, cell->votes_yes);
    p = sg__put_i32(p, cell->votes_no);
    p = sg__put_i32(p, cell->votes_unparsed);
    p = sg__put_f64(p, cell->p_correct);
    p = sg__put_f64(p, cell->length_mean);
    p = sg__put_f64(p, cell->length_sd);
    p = sg__put_f64(p, cell->cost);
    p = sg__put_i32(p, cell->prompt_tokens);
    p = sg__put_i64(p, cell->output_tokens);
    p = sg__put_i32(p, cell->estimator_prompt_tokens);
    p = sg__put_i32(p, cell->n_samples);
    p = put_string(p, cell->reason, (int64_t)reason);
    for (int32_t i = 0; i < cell->n_samples; i++) {
        const struct sg_cell_sample *s = &cell->samples[i];
        SG_ASSERT(s->correct >= -1 && s->correct <= 1);
        *p++ = (unsigned char)s->correct;
        *p++ = s->finish;
        p = sg__put_i32(p, s->tokens);
        p = sg__put_i64(p, s->length);
        p = sg__put_f32(p, s->p_yes);
        p = put_string(p, s->text, s->text_bytes);
    }
    SG_ASSERT((size_t)(p - begin) == total);
    out->len += total;
    *entry = (struct sg__segment_entry){.cell = cell_index,
                                        .bytes = (uint32_t)total,
                                        .status = cell->status,
                                        .checksum = sg_hash64(begin, total)};
    return SG_OK;
}

static enum sg_status footer_digest(const void *header, size_t header_bytes, const void *footer,
                                    size_t footer_bytes, struct sg_digest *out, struct sg_err *err) {
    struct sg_hasher *h = NULL;
    enum sg_status st = sg_hasher_new(&h, err);
    if (st != SG_OK) return st;
    sg_hasher_add(h, header, header_bytes);
    sg_hasher_add(h, footer, footer_bytes);
    *out = sg_hasher_end(h);
    sg_hasher_free(h);
    return SG_OK;
}

enum sg_status sg__segment_put_footer(struct sg_buf *out, const void *header, size_t header_bytes,
                                      const struct sg__segment_entry *entries, int64_t count,
                                      struct sg_err *err) {
    size_t index, total;
    if (!sg_mul_size((size_t)count, SG_SEGMENT_ENTRY_BYTES, &index) ||
        !sg_add_size(index, FOOTER_FIXED, &total))
        return sg_fail(err, SG_E_NOMEM, "segment footer: size overflows");
    enum sg_status st = room_for(out, total, "segment footer", err);
    if (st != SG_OK) return st;
    unsigned char *const begin = (unsigned char *)out->data + out->len;
    unsigned char *p = sg__put_uint(begin, FOOT_MAGIC, 4);
    p = sg__put_uint(p, SG_SEGMENT_ENTRY_BYTES, 4);
    p = sg__put_i64(p, count);
    for (int64_t i = 0; i < count; i++) {
        p = sg__put_i64(p, entries[i].cell);
        p = sg__put_i64(p, entries[i].offset);
        p = sg__put_uint(p, entries[i].bytes, 4);
        p = sg__put_i32(p, entries[i].status);
        p = sg__put_uint(p, entries[i].checksum, 8);
    }
    struct sg_digest d = {0};
    st = footer_digest(header, header_bytes, begin, (size_t)(p - begin), &d, err);
    if (st != SG_OK) return st;
    p = sg__put_uint(p, d.hi, 8);
    p = sg__put_uint(p, d.lo, 8);
    p = sg__put_uint(p, total, 8);
    p = sg__put_bytes(p, end_magic, sizeof end_magic);
    SG_ASSERT((size_t)(p - begin) == total);
    out->len += total;
    return SG_OK;
}

/* ---- taking apart ---- */

static enum sg_status damaged(struct sg_err *err, const char *where, const char *what) {
    return sg_fail(err, SG_E_CORRUPT,
                   "%s: damaged segment: %s; move the file away and run again to compute its cells anew",
                   where, what);
}

/* A string or none; false when it is out of bounds or lacks its NUL. */
static bool take_string(struct sg__cursor *c, const char **s, int64_t *n) {
    *n = sg__take_i64(c);
    *s = NULL;
    if (c->bad || *n < -1) return false;
    if (*n == -1) {
        *n = 0;
        return true;
    }
    if ((uint64_t)*n >= sg__left(c)) return false; /* n bytes and a NUL */
    *s = sg__take(c, (size_t)*n);
    const char *nul = sg__take(c, 1);
    return nul && !*nul;
}

static enum sg_status take_header(const unsigned char *b, size_t size, bool checksums, const char *where,
                                  struct sg__segment_view *out, size_t *header_bytes, struct sg_err *err) {
    struct sg__cursor c = sg__cursor(b, size);
    const unsigned char *magic = sg__take(&c, sizeof head_magic);
    const char *host;
    int64_t n;
    if (!magic) return damaged(err, where, "it is shorter than a header");
    if (memcmp(magic, head_magic, sizeof head_magic) != 0)
        return damaged(err, where, "it does not begin as one");
    const uint32_t version = sg__take_u32(&c), total = sg__take_u32(&c);
    if (c.bad || total < sizeof head_magic + 16 || total > HEADER_MAX || total > size)
        return damaged(err, where, "its header's length is out of bounds");
    if (checksums && sg__load(b + total - 8, 8) != sg_hash64(b, total - 8))
        return damaged(err, where, "its header fails the checksum");
    /* The version is judged after the checksum: else a flipped bit would be told as another version. */
    if (version != SG_SEGMENT_VERSION)
        return sg_fail(
            err, SG_E_UNSUPPORTED,
            "%s: segment format version %u, this program reads version %d: finish the run with the "
            "version that began it, or begin again with --fresh or another output.dir",
            where, (unsigned)version, SG_SEGMENT_VERSION);
    c = sg__cursor(b + sizeof head_magic + 8, total - sizeof head_magic - 16);
    out->fingerprint.hi = sg__take_u64(&c);
    out->fingerprint.lo = sg__take_u64(&c);
    out->rank = sg__take_i32(&c);
    (void)sg__take(&c, 16); /* pid and start: for people with a hex dump */
    if (!take_string(&c, &host, &n) || !take_string(&c, &out->night, &n) || !out->night ||
        !take_string(&c, &out->since, &n) || sg__left(&c))
        return damaged(err, where, "its header's fields do not fill it");
    *header_bytes = total;
    return SG_OK;
}

struct sg__segment_entry sg__segment_entry_at(const struct sg__segment_view *v, int64_t i) {
    struct sg__cursor c = sg__cursor(v->entries + i * SG_SEGMENT_ENTRY_BYTES, SG_SEGMENT_ENTRY_BYTES);
    struct sg__segment_entry e;
    e.cell = sg__take_i64(&c);
    e.offset = sg__take_i64(&c);
    e.bytes = sg__take_u32(&c);
    e.status = sg__take_i32(&c);
    e.checksum = sg__take_u64(&c);
    return e;
}

/* Checks bounds and checksum of every record; after this, entries need no further check. */
static enum sg_status check_records(const struct sg__segment_view *v, size_t begin, size_t end,
                                    bool checksums, const char *where, struct sg_err *err) {
    size_t at = begin;
    for (int64_t i = 0; i < v->count; i++) {
        const struct sg__segment_entry e = sg__segment_entry_at(v, i);
        if (e.cell < 0 || e.offset < 0 || (uint64_t)e.offset != at || e.bytes < SG_SEGMENT_RECORD_HEADER ||
            e.bytes > end - at || e.status < 0 || e.status >= SG_STATUS_COUNT)
            return sg_fail(err, SG_E_CORRUPT,
                           "%s: damaged segment: entry %" PRId64 " of its index is out of bounds", where, i);
        if (checksums && sg_hash64(v->bytes + at, e.bytes) != e.checksum)
            return sg_fail(err, SG_E_CORRUPT,
                           "%s: damaged segment: record %" PRId64 " (cell %" PRId64
                           ") at byte %zu fails its checksum; move "
                           "the file away and run again to compute its cells anew",
                           where, i, e.cell, at);
        at += e.bytes;
    }
    return at == end ? SG_OK : damaged(err, where, "there are bytes between its records and its footer");
}

enum sg_status sg__segment_parse(const void *bytes, size_t size, bool checksums, const char *where,
                                 struct sg__segment_view *out, struct sg_err *err) {
    const unsigned char *b = bytes;
    struct sg__segment_view v = {.bytes = b, .size = size};
    size_t head = 0;
    enum sg_status st = take_header(b, size, checksums, where, &v, &head, err);
    if (st != SG_OK) return st;
    if (size < head + FOOTER_FIXED) return damaged(err, where, "it is cut short");
    if (memcmp(b + size - sizeof end_magic, end_magic, sizeof end_magic) != 0)
        return damaged(err, where, "it does not end in a footer: it is cut short or overwritten");
    const uint64_t foot = sg__load(b + size - 16, 8);
    if (foot < FOOTER_FIXED || foot > size - head)
        return damaged(err, where, "its footer's length is out of bounds");

    const size_t foot_at = size - (size_t)foot;
    struct sg__cursor c = sg__cursor(b + foot_at, (size_t)foot);
    const uint32_t magic = sg__take_u32(&c), entry = sg__take_u32(&c);
    v.count = sg__take_i64(&c);
    if (magic != FOOT_MAGIC || entry != SG_SEGMENT_ENTRY_BYTES || v.count < 0 ||
        (uint64_t)v.count != (foot - FOOTER_FIXED) / SG_SEGMENT_ENTRY_BYTES ||
        (foot - FOOTER_FIXED) % SG_SEGMENT_ENTRY_BYTES)
        return damaged(err, where, "its footer does not agree with itself");
    v.entries = c.p;
    const size_t signed_bytes = (size_t)foot - FOOTER_FIXED + 16;
    if (checksums) {
        struct sg_digest d = {0};
        st = footer_digest(b, head, b + foot_at, signed_bytes, &d, err);
        if (st != SG_OK) return st;
        const unsigned char *stored = b + foot_at + signed_bytes;
        if (d.hi != sg__load(stored, 8) || d.lo != sg__load(stored + 8, 8))
            return damaged(err, where, "its index fails the checksum");
    }
    st = check_records(&v, head, foot_at, checksums, where, err);
    if (st != SG_OK) return st;
    *out = v;
    return SG_OK;
}

static bool take_sample(struct sg__cursor *c, struct sg_cell_sample *s) {
    s->correct = (int8_t)sg__take_uint(c, 1);
    s->finish = (uint8_t)sg__take_uint(c, 1);
    s->tokens = sg__take_i32(c);
    s->length = sg__take_i64(c);
    s->p_yes = sg__take_f32(c);
    return take_string(c, &s->text, &s->text_bytes) && s->correct >= -1 && s->correct <= 1;
}

enum sg_status sg__segment_take(const struct sg__segment_view *v, int64_t i, const char *where,
                                struct sg__cell_buf *buf, struct sg_digest *cell_fingerprint,
                                struct sg_cell *out, struct sg_err *err) {
    const struct sg__segment_entry e = sg__segment_entry_at(v, i);
    struct sg__cursor c = sg__cursor(v->bytes + e.offset, e.bytes);
    struct sg_cell cell = {0};
    const uint32_t magic = sg__take_u32(&c), payload = sg__take_u32(&c);
    const int64_t index = sg__take_i64(&c);
    struct sg_digest fp;
    fp.hi = sg__take_u64(&c);
    fp.lo = sg__take_u64(&c);
    if (c.bad || magic != CELL_MAGIC || payload != e.bytes - SG_SEGMENT_RECORD_HEADER || index != e.cell)
        goto bad;

    cell.query = sg__take_i32(&c);
    cell.model = sg__take_i32(&c);
    const uint64_t valid = sg__take_uint(&c, 1);
    cell.valid = valid == 1;
    cell.status = sg__take_i32(&c);
    cell.votes_yes = sg__take_i32(&c);
    cell.votes_no = sg__take_i32(&c);
    cell.votes_unparsed = sg__take_i32(&c);
    cell.p_correct = sg__take_f64(&c);
    cell.length_mean = sg__take_f64(&c);
    cell.length_sd = sg__take_f64(&c);
    cell.cost = sg__take_f64(&c);
    cell.prompt_tokens = sg__take_i32(&c);
    cell.output_tokens = sg__take_i64(&c);
    cell.estimator_prompt_tokens = sg__take_i32(&c);
    cell.n_samples = sg__take_i32(&c);
    int64_t reason_bytes;
    if (!take_string(&c, &cell.reason, &reason_bytes)) goto bad;
    if (valid > 1 || cell.query < 0 || cell.model < 0 || cell.status != e.status || cell.n_samples < 0 ||
        (size_t)cell.n_samples > sg__left(&c) / SAMPLE_FIXED)
        goto bad;
    enum sg_status st =
        SG_GROW(&buf->samples, &buf->cap, cell.n_samples ? cell.n_samples : 1, "samples", err);
    if (st != SG_OK) return st;
    cell.samples = buf->samples;
    for (int32_t s = 0; s < cell.n_samples; s++)
        if (!take_sample(&c, &cell.samples[s])) goto bad;
    if (sg__left(&c)) goto bad;
    *cell_fingerprint = fp;
    *out = cell;
    return SG_OK;
bad:
    return sg_fail(err, SG_E_CORRUPT,
                   "%s: damaged segment: record %" PRId64 " (cell %" PRId64 ") is not a cell", where, i,
                   e.cell);
}
