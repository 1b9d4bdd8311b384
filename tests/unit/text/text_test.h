/* text_test - what the tests of src/text share: gz fixtures line by line, the records in them (whose texts
 * may hold NUL), and a small tokenizer of their own. */
#ifndef SG_TEXT_TEST_H
#define SG_TEXT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/scan.h"
#include "text/tokenizer.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        struct sg_err err = {0};                                                                             \
        if ((call) != SG_OK) fail_msg("%s: %s", #call, err.text);                                            \
    } while (0)

static inline void read_gz(const char *path, struct sg_buf *out) {
    gzFile f = gzopen(path, "rb");
    if (!f) fail_msg("%s: cannot open", path);
    char block[65536];
    int n;
    while ((n = gzread(f, block, sizeof block)) > 0) {
        struct sg_err err = {0};
        assert_int_equal(sg_buf_add(out, block, (size_t)n, &err), SG_OK);
    }
    assert_int_equal(n, 0);
    gzclose(f);
}

/* One record; members that a line lacks are empty. */
struct record {
    struct sg_buf text, decoded, name, tokenizer;
    struct sg_token_ids ids, plain;
};

static inline void read_id_list(struct sg_scan *j, struct sg_token_ids *ids, struct sg_err *err) {
    bool first = true, more;
    ids->len = 0;
    assert_int_equal(sg_scan_open(j, '[', err), SG_OK);
    for (;;) {
        int64_t id;
        assert_int_equal(sg_scan_more(j, ']', &first, &more, err), SG_OK);
        if (!more) return;
        assert_int_equal(sg_scan_int(j, 0, INT32_MAX, &id, err), SG_OK);
        assert_int_equal(SG_GROW(&ids->data, &ids->cap, ids->len + 1, "ids", err), SG_OK);
        ids->data[ids->len++] = (int32_t)id;
    }
}

static inline void read_record(const char *line, size_t n, struct record *r) {
    struct sg_err err = {0};
    struct sg_scan j;
    bool first = true, more;
    sg_scan_init(&j, line, n, "fixture", 1);
    sg_buf_clear(&r->text);
    sg_buf_clear(&r->decoded);
    sg_buf_clear(&r->name);
    sg_buf_clear(&r->tokenizer);
    assert_int_equal(sg_scan_open(&j, '{', &err), SG_OK);
    for (;;) {
        struct sg_scan_str k, v;
        assert_int_equal(sg_scan_more(&j, '}', &first, &more, &err), SG_OK);
        if (!more) break;
        assert_int_equal(sg_scan_key(&j, &k, &err), SG_OK);
        struct sg_buf *b = sg_scan_str_is(k, "text")        ? &r->text
                           : sg_scan_str_is(k, "decoded")   ? &r->decoded
                           : sg_scan_str_is(k, "name")      ? &r->name
                           : sg_scan_str_is(k, "tokenizer") ? &r->tokenizer
                                                            : NULL;
        if (b && !sg_scan_null(&j)) {
            assert_int_equal(sg_scan_string(&j, &v, &err), SG_OK);
            assert_int_equal(sg_buf_add(b, v.s, v.n, &err), SG_OK);
        } else if (!b) {
            read_id_list(&j, sg_scan_str_is(k, "ids") ? &r->ids : &r->plain, &err);
        }
    }
    sg_scan_free(&j);
}

static inline void free_record(struct record *r) {
    sg_buf_free(&r->text);
    sg_buf_free(&r->decoded);
    sg_buf_free(&r->name);
    sg_buf_free(&r->tokenizer);
    sg_token_ids_free(&r->ids);
    sg_token_ids_free(&r->plain);
}

static inline void encode(const struct sg_tokenizer *tok, struct sg_encoder *enc, const struct sg_span *spans,
                          size_t n, struct sg_token_ids *ids) {
    struct sg_err err = {0};
    ids->len = 0;
    if (sg_tokenizer_encode(tok, enc, spans, n, ids, &err)) fail_msg("encode: %s", err.text);
}

static inline void expect_ids(const struct sg_token_ids *got, const struct sg_token_ids *want,
                              const char *what) {
    size_t i = 0;
    while (i < got->len && i < want->len && got->data[i] == want->data[i]) i++;
    if (i == got->len && i == want->len) return;
    fail_msg("%s: %zu ids, expected %zu; the first difference is at %zu: %d, expected %d", what, got->len,
             want->len, i, i < got->len ? got->data[i] : -1, i < want->len ? want->data[i] : -1);
}

/* A random character of one of the kinds that the expressions tell apart. */
static inline uint32_t random_char(uint64_t *at) {
    static const uint32_t picks[] = {' ',   ' ',     '\n',    '\r',  '\t', '\'',   's',     'T',     'r',
                                     'e',   'l',     'L',     'v',   'd',  'm',    '1',     '2',     '.',
                                     '!',   '_',     0x17F,   0xA0,  0x85, 0x3000, 0x2028,  0x180E,  0x200B,
                                     0x301, 0x4E00,  0xAC00,  0x663, 0xBD, 0x2160, 0x1D7D8, 0x1F600, 0xE9,
                                     0x430, 0x10D4A, 0x31350, 0x0B,  0x1C};
    uint64_t r = sg_random64(11, (*at)++);
    if (r % 4) return picks[(r >> 8) % (sizeof picks / sizeof *picks)];
    uint32_t c = (uint32_t)((r >> 8) % ((r >> 4) % 3 ? 0x3400 : 0x33600));
    return c >= 0xD800 && c <= 0xDFFF ? 'x' : c;
}

#endif
