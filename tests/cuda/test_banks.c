/* Bank conflicts: test_banks TABLE [--write | --planted] runs attention and sampling at their real tile sizes and
 * compares, of every kernel and kind of access, passes over the banks of shared memory with the committed TABLE.
 * Protects: paddings and layouts of shared memory, whose loss no result shows. --planted: this program was built
 * from tiles without padding, and no line of the table may fit that is about reading them. */
#include "tests/cuda/banks_known.h"
#include "tests/cuda/emu/banks.h"
#include "tests/cuda/emu/control.h"

#include "base/rng.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 128, KV_HEADS = 1, GQA = 4, VOCAB = 16384, TEXT = 8000, KERNELS = 8 };

static struct sg__rt *rt;
static const char *table_path;
static bool write_table, planted;
static char text[TEXT];

static void *device(const void *from, size_t bytes) {
    void *p = NULL;
    assert_int_equal(sg__rt_alloc(rt, bytes, "test", &p, NULL), SG_OK);
    if (from) assert_int_equal(sg__rt_upload(rt, p, from, bytes, NULL), SG_OK);
    return p;
}

/* ---- the counter ---- */

static void test_known(void **state) {
    (void)state;
    static const struct {
        enum bank_pattern pattern;
        int stride;
        enum sg_bank_kind kind;
        int passes, least;
    } c[] = {
        {BANK_WORDS, 1, SG_BANK_ACCESS, 1, 1},      {BANK_WORDS, 2, SG_BANK_ACCESS, 2, 1},
        {BANK_WORDS, 32, SG_BANK_ACCESS, 32, 1},    {BANK_WORDS, 33, SG_BANK_ACCESS, 1, 1},
        {BANK_WORDS, 36, SG_BANK_ACCESS, 4, 1},     {BANK_WORDS, 0, SG_BANK_ACCESS, 1, 1},
        {BANK_PAIRS, 2, SG_BANK_ACCESS, 2, 2},      {BANK_PAIRS, 32, SG_BANK_ACCESS, 32, 2},
        {BANK_PAIRS, 34, SG_BANK_ACCESS, 2, 2},     {BANK_QUADS, 4, SG_BANK_ACCESS, 4, 4},
        {BANK_QUADS, 32, SG_BANK_ACCESS, 32, 4},    {BANK_QUADS, 36, SG_BANK_ACCESS, 4, 4},
        {BANK_MATRIX, 32, SG_BANK_LDMATRIX, 32, 4}, {BANK_MATRIX, 36, SG_BANK_LDMATRIX, 4, 4},
        {BANK_MATRIX, 40, SG_BANK_LDMATRIX, 8, 4},  {BANK_COPIES, 4, SG_BANK_COPY, 4, 4},
        {BANK_COPIES, 32, SG_BANK_COPY, 32, 4},     {BANK_ADDS, 1, SG_BANK_ATOMIC, 1, 1},
        {BANK_ADDS, 0, SG_BANK_ATOMIC, 32, 1},      {BANK_ODD, 2, SG_BANK_ACCESS, 2, 1},
        {BANK_ODD, 16, SG_BANK_ACCESS, 16, 1},      {BANK_ODD, 1, SG_BANK_ACCESS, 1, 1},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct sg_bank_report r = {0};
        void *out = device(NULL, 128 * 4);
        assert_int_equal(sg__bank_known(out, c[i].pattern, c[i].stride, sg__rt_stream(rt)), 0);
        assert_int_equal(sg_emu_take_banks(&r, 1), 1);
        const struct sg_bank_counts *n = &r.of[c[i].kind];
        if (n->instructions != 1 || n->passes != c[i].passes || n->least != c[i].least)
            fail_msg("pattern %d, stride %d: %d instructions, %d passes of at least %d; expected 1, %d, %d",
                     (int)c[i].pattern, c[i].stride, (int)n->instructions, (int)n->passes, (int)n->least,
                     c[i].passes, c[i].least);
        assert_int_equal(r.copied, c[i].pattern == BANK_COPIES ? 32 : 0);
        for (int k = 0; k < SG_BANK_KINDS; k++)
            if (k != (int)c[i].kind) assert_int_equal(r.of[k].instructions, 0);
        sg__rt_free(rt, out);
    }
}

/* ---- the kernels ---- */

static void add_lines(const char *work) {
    static const char *const kinds[SG_BANK_KINDS] = {"load/store", "ldmatrix", "copy", "atomic"};
    struct sg_bank_report r[KERNELS];
    const int n = sg_emu_take_banks(r, KERNELS);
    assert_true(n > 0 && n < KERNELS);
    for (int i = 0; i < n; i++) {
        const int length = (int)strcspn(r[i].kernel + (r[i].kernel[0] == '('), "<");
        for (int k = 0; k < SG_BANK_KINDS; k++) {
            const struct sg_bank_counts *c = &r[i].of[k];
            if (!c->instructions) continue;
            const size_t at = strlen(text);
            snprintf(text + at, sizeof text - at, "%.*s, %s, %s %d %d\n", length,
                     r[i].kernel + (r[i].kernel[0] == '('), work, kinds[k],
                     (int)((100 * c->passes + c->least / 2) / c->least), c->worst);
            print_message("%.*s, %s, %s: %lld instructions, %lld passes of at least %lld, worst at %p\n",
                          length, r[i].kernel + (r[i].kernel[0] == '('), work, kinds[k],
                          (long long)c->instructions, (long long)c->passes, (long long)c->least, c->where);
        }
        const struct {
            const char *what;
            int64_t n;
        } also[] = {{"copied", r[i].copied}, {"sweeps", (100 * r[i].watched + VOCAB / 2) / VOCAB}};
        for (int k = 0; k < 2; k++) {
            const size_t at = strlen(text);
            if (also[k].n)
                snprintf(text + at, sizeof text - at, "%.*s, %s, %s %lld\n", length,
                         r[i].kernel + (r[i].kernel[0] == '('), work, also[k].what, (long long)also[k].n);
        }
    }
}
/* Numbers of either type: any finite pattern will do, conflicts come from addresses. */
static void *numbers(int64_t n, bool f32) {
    const size_t bytes = (size_t)n * (f32 ? 4 : 2);
    void *host = malloc(bytes);
    assert_non_null(host);
    for (int64_t i = 0; i < n; i++)
        if (f32)
            ((float *)host)[i] = (float)(i % 13) - 6;
        else
            ((uint16_t *)host)[i] = (uint16_t)(0x3f00 + i % 101);
    void *p = device(host, bytes);
    free(host);
    return p;
}
static struct sg__kv_layer pool(int pages, bool f32) {
    const int64_t n = (int64_t)pages * KV_HEADS * SG_PAGE_TOKENS * DIM;
    return (struct sg__kv_layer){numbers(n, f32), numbers(n, f32), KV_HEADS, DIM, f32};
}
static int32_t *counting(int n) {
    int32_t x[64];
    assert_true(n <= 64);
    for (int i = 0; i < n; i++) x[i] = i;
    return device(x, (size_t)n * sizeof *x);
}

/* 96 rows behind 32 keys: three blocks of bf16 (six of float32), the last of them over 128 keys. */
static void prefill(bool f32) {
    enum { ROWS = 96, POS = 32 };
    static const int32_t row_begin[2] = {0, ROWS}, pos0[1] = {POS}, page_begin[2] = {0, (ROWS + POS) / 16};
    const struct sg__prefill_launch a = {.q = numbers(ROWS * GQA * DIM, f32),
                                         .out = numbers(ROWS * GQA * DIM, f32),
                                         .kv = pool((ROWS + POS) / 16, f32),
                                         .q_heads = GQA,
                                         .n_segs = 1,
                                         .scale = 0.1f,
                                         .row_begin = device(row_begin, sizeof row_begin),
                                         .pos0 = device(pos0, sizeof pos0),
                                         .page_begin = device(page_begin, sizeof page_begin),
                                         .pages = counting((ROWS + POS) / 16),
                                         .max_rows = ROWS};
    assert_int_equal(sg__launch_attn_prefill(&a, sg__rt_stream(rt)), 0);
    add_lines(f32 ? "float32" : "bf16");
}
/* One prompt of 160 keys, suffixes of 32. */
static void decode(int rows, bool f32, const char *work) {
    enum { MOST = 8, PROMPT = 160, SUFFIX = 32 };
    const int32_t row_begin[2] = {0, rows}, prompt_len[1] = {PROMPT}, prompt_begin[2] = {0, PROMPT / 16};
    int32_t suffix_len[MOST], suffix_begin[MOST + 1];
    for (int r = 0; r < rows; r++) suffix_len[r] = SUFFIX;
    for (int r = 0; r <= rows; r++) suffix_begin[r] = r * SUFFIX / 16;
    const struct sg__decode_launch a = {.q = numbers(MOST * GQA * DIM, f32),
                                        .out = numbers(MOST * GQA * DIM, f32),
                                        .partial = device(NULL, sg__partial_bytes(MOST, GQA, 2)),
                                        .kv = pool(PROMPT / 16 + MOST * SUFFIX / 16, f32),
                                        .q_heads = GQA,
                                        .n_groups = 1,
                                        .n_rows = rows,
                                        .scale = 0.1f,
                                        .row_begin = device(row_begin, sizeof row_begin),
                                        .prompt_len = device(prompt_len, sizeof prompt_len),
                                        .prompt_page_begin = device(prompt_begin, sizeof prompt_begin),
                                        .prompt_pages = counting(PROMPT / 16),
                                        .suffix_len = device(suffix_len, sizeof suffix_len),
                                        .suffix_page_begin = device(suffix_begin, sizeof suffix_begin),
                                        .suffix_pages = counting(MOST * SUFFIX / 16),
                                        .max_group_rows = rows,
                                        .max_prompt_splits = 1,
                                        .max_suffix_splits = 1,
                                        .stride = 2};
    assert_int_equal(sg__launch_attn_decode(&a, sg__rt_stream(rt)), 0);
    add_lines(work);
}

static void test_attention(void **state) {
    (void)state;
    for (int f32 = 0; f32 < 2; f32++) {
        prefill(f32);
        decode(8, f32, f32 ? "float32, 8 rows" : "bf16, 8 rows");
        decode(4, f32, f32 ? "float32, 4 rows" : "bf16, 4 rows");
    }
}

/* Logits as a model's: a bell of `width`, and some far above it. */
static void bell(float *x, float width, int heads) {
    for (int i = 0; i < VOCAB; i++) {
        float sum = 0;
        for (uint32_t j = 0; j < 6; j++) sum += sg_uniform((uint64_t)i + 1, j) - 0.5f;
        x[i] = sum * width * 1.4f + (i % 977 == 5 && i / 977 < heads ? 12.0f : 0.0f);
    }
}
static void sample(const float *x, int32_t top_k, float top_p, float u, const char *work) {
    const struct sg_draw_settings how = {0.8f, top_p, top_k};
    static const int32_t zero[1] = {0};
    const struct sg__sample_launch a = {.logits = device(x, VOCAB * sizeof *x),
                                        .vocab = VOCAB,
                                        .n = 1,
                                        .row = device(zero, sizeof zero),
                                        .u = device(&u, sizeof u),
                                        .setting = device(zero, sizeof zero),
                                        .settings = device(&how, sizeof how),
                                        .token = device(NULL, sizeof(int32_t)),
                                        .list = SG__SAMPLE_LIST};
    sg_emu_watch(a.logits, VOCAB * sizeof *x);
    assert_int_equal(sg__launch_sample(&a, sg__rt_stream(rt)), 0);
    add_lines(work);
}
static void test_sampling(void **state) {
    (void)state;
    static float x[VOCAB];
    bell(x, 2, 8);
    sample(x, 0, 1, 0.6f, "peaked");
    sample(x, 0, 1, 0.9999f, "peaked, a rare token");
    sample(x, 20, 0.95f, 0.6f, "peaked, top_k 20");
    sample(x, 2000, 0.95f, 0.6f, "peaked, top_k 2000");
    sample(x, 0, 0.95f, 0.6f, "peaked, top_p");
    bell(x, 2, 0);
    sample(x, 0, 0.95f, 0.6f, "bell, top_p");
    bell(x, 1e-3f, 0);
    sample(x, 0, 1, 0.6f, "flat");
    sample(x, 0, 0.95f, 0.6f, "flat, top_p");
    for (int i = 0; i < VOCAB; i++) x[i] += 8;
    sample(x, 0, 0.95f, 0.6f, "nearly equal, top_p");
    for (int i = 0; i < VOCAB; i++) x[i] = 1;
    sample(x, 0, 0.95f, 0.6f, "equal, top_p");
}

/* ---- the table ---- */

/* Whether a line is one of the table's: the same text and numbers, but where there are conflicts, a quarter of
 * these more or less, as compilers differ in what they keep in registers. */
static bool fits(const char *now, const char *line) {
    int percent[2], worst[2], length[2] = {0, 0};
    if (strcmp(now, line) == 0) return true;
    const char *const both[2] = {now, line};
    for (int i = 0; i < 2; i++) { /* the two numbers at the end */
        const char *end = strrchr(both[i], ' ');
        if (!end || end == both[i]) return false;
        while (end > both[i] && end[-1] != ' ') end--;
        length[i] = (int)(end - both[i]);
        if (sscanf(end, "%d %d", &percent[i], &worst[i]) != 2) return false;
    }
    return length[0] == length[1] && strncmp(now, line, (size_t)length[0]) == 0 && worst[0] <= worst[1] + 1 &&
           4 * abs(percent[0] - percent[1]) <= percent[1] - 100;
}
static void test_table(void **state) {
    (void)state;
    if (write_table) {
        FILE *f = fopen(table_path, "w");
        assert_non_null(f);
        fputs("# kernel, work, access, passes for 100 without conflicts, the worst instruction's for each of "
              "its least\n"
              "# (tests/cuda/test_banks.c); copied: 16-byte pieces that cp.async read from global memory;\n"
              "# sweeps: reads of a logit, times 100\n",
              f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
        return;
    }
    FILE *f = fopen(table_path, "r");
    assert_non_null(f);
    char line[300], now[300];
    const char *at = text;
    int tiles = 0;
    while (fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        const size_t length = strcspn(at, "\n") + (*at != 0);
        snprintf(now, sizeof now, "%.*s", (int)length, at);
        at += length;
        const bool reads_tile = strstr(line, strstr(line, "float32") ? "load/store" : "ldmatrix");
        tiles += reads_tile;
        if (planted && reads_tile && fits(now, line)) fail_msg("tiles without padding, and still: %s", line);
        if (!planted && !fits(now, line))
            fail_msg("now: %s%s has: %sif that is meant: test_banks %s --write", now, table_path, line,
                     table_path);
    }
    fclose(f);
    if (*at) fail_msg("%s lacks: %s", table_path, at);
    assert_int_equal(tiles, 10);
}

static int open_device(void **state) {
    (void)state;
    struct sg__rt_info info;
    sg_emu_set_order(SG_EMU_FORWARD);
    sg_emu_set_copies(SG_EMU_EARLY);
    return sg__rt_open(0, &rt, &info, NULL) == SG_OK ? 0 : -1;
}
static int close_device(void **state) {
    (void)state;
    sg__rt_close(rt);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    table_path = argv[1];
    write_table = argc > 2 && !strcmp(argv[2], "--write");
    planted = argc > 2 && !strcmp(argv[2], "--planted");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
