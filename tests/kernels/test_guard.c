/* The guard backend must catch what it is there for: wrong callers, and backends that write where they may
 * not, leave outputs or change inputs. The latter are played by a table whose swiglu misbehaves. */
#include "kernels/guard/guard.h"

#include "kt.h"

#define REFUSED(call, text) KT_REFUSED(call, SG_E_INTERNAL, text)

static struct sg_dev *open_guard(void) {
    struct sg_dev *dev = kt_open_as("guard", NULL, 2);
    kt_reserve(dev, NULL);
    return dev;
}

static void test_extents(void **state) {
    (void)state;
    struct sg_dev *dev = open_guard();
    float host[64] = {0};
    float *x = kt_f32(dev, host, 64), *y = kt_f32(dev, NULL, 32);
    REFUSED(sg_op_swiglu(dev, x, 4, 9, y, &err),
            "guard: swiglu: gate_up takes 288 bytes, 256 are left of 'test data'");
    REFUSED(sg_op_swiglu(dev, x, 4, 8, y + 1, &err), "guard: swiglu: out takes 128 bytes, 124 are left");
    REFUSED(sg_op_swiglu(dev, host, 4, 8, y, &err),
            "guard: swiglu: gate_up points into no device allocation");
    REFUSED(sg_dev_upload(dev, y, host, 129, &err), "guard: upload: dst takes 129 bytes, 128 are left");
    REFUSED(sg_dev_download(dev, host, host, 1, &err),
            "guard: download: src points into no device allocation");
    KT_OK(sg_op_swiglu(dev, x, 4, 8, y, &err));
    sg_dev_free(dev, y);
    REFUSED(sg_op_swiglu(dev, x, 4, 8, y, &err), "guard: swiglu: out points into no device allocation");
    sg_dev_close(dev);
}

static void test_unwritten_and_overlap(void **state) {
    (void)state;
    struct sg_dev *dev = open_guard();
    float host[64] = {0};
    float *x = kt_f32(dev, host, 64), *fresh = kt_f32(dev, NULL, 64), *y = kt_f32(dev, NULL, 32);
    REFUSED(sg_op_swiglu(dev, fresh, 4, 8, y, &err), "guard: swiglu: gate_up[0] was never written");
    KT_OK(sg_dev_upload(dev, fresh, host, 30 * sizeof *host, &err));
    REFUSED(sg_op_swiglu(dev, fresh, 4, 8, y, &err), "guard: swiglu: gate_up[30] was never written");
    REFUSED(sg_op_add_rmsnorm(dev, x, NULL, fresh, 1, 8, 0, fresh + 4, &err),
            "guard: add_rmsnorm: out overlaps weight");
    sg_dev_close(dev);
}

static void test_canaries(void **state) {
    (void)state;
    struct sg_dev *dev = open_guard();
    float *a = kt_f32(dev, NULL, 8), *b = kt_f32(dev, NULL, 8);
    KT_OK(sg_dev_sync(dev, &err));
    char *behind = (char *)(a + 8), *front = (char *)b - 1;
    const char keep = *behind;
    *behind = 1;
    REFUSED(sg_dev_sync(dev, &err), "guard: sync: memory behind 'test data' (32 bytes) was overwritten");
    *behind = keep;
    *front = 1;
    REFUSED(sg_dev_sync(dev, &err), "guard: sync: memory in front of 'test data' (32 bytes) was overwritten");
    sg_dev_close(dev);
}

static void test_values(void **state) {
    (void)state;
    struct sg_dev *dev = open_guard();
    float host[64] = {0}, gain[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    float *x = kt_f32(dev, host, 64), *y = kt_f32(dev, NULL, 64), *g = kt_f32(dev, gain, 8),
          *q = kt_f32(dev, host, 64);
    const struct sg_weight_part part = {host, SG_F32, 8};
    struct sg_weight *w;
    KT_OK(sg_weight_new(dev, &part, 1, 8, SG_USE_EMBED, &w, &err));
    int32_t *ids = kt_i32(dev, (const int32_t[3]){0, 8, -1}, 3);
    REFUSED(sg_op_embed(dev, w, ids, 2, y, &err), "guard: embed: ids[1] is 8, expected 0 to 7");
    REFUSED(sg_op_gather_rows(dev, x, 8, ids, 2, 8, y, &err),
            "guard: gather_rows: rows[1] is 8, expected 0 to 7");
    REFUSED(sg_op_logprob(dev, x, ids, 2, 8, y, &err), "guard: logprob: target[1] is 8, expected 0 to 7");
    REFUSED(sg_op_logprob(dev, x, ids + 2, 1, 8, y, &err), "guard: logprob: target[0] is -1");
    const struct sg_draw_settings how = {1, 1, 0};
    void *d_how;
    KT_OK(sg_dev_alloc(dev, sizeof how, "settings", &d_how, &err));
    KT_OK(sg_dev_upload(dev, d_how, &how, sizeof how, &err));
    const struct sg_sample_args s = {.logits = x,
                                     .n_rows = 1,
                                     .vocab = 8,
                                     .n = 1,
                                     .row = ids,
                                     .u = g,
                                     .setting = ids,
                                     .settings = d_how,
                                     .host_settings = &how,
                                     .n_settings = 1,
                                     .token = (int32_t *)(void *)y};
    REFUSED(sg_op_sample(dev, &s, &err), "guard: sample: u[0] is 1, expected 0 to below 1");

    struct sg_kv *kv;
    KT_OK(sg_kv_new(dev, 1, 2, 1, 8, &kv, &err));
    int32_t *pos = kt_i32(dev, (const int32_t[2]){0, 0}, 2),
            *slot = kt_i32(dev, (const int32_t[4]){0, 0, 1, 32}, 4);
    struct sg_qkv_args a = {.qkv = x,
                            .q_out = y,
                            .kv = kv,
                            .n = 2,
                            .q_heads = 1,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .q_norm = g,
                            .k_norm = g,
                            .cos_sin = q,
                            .eps = 1e-6f,
                            .max_context = 1,
                            .positions = pos,
                            .slot = slot};
    REFUSED(sg_op_qkv_rope(dev, &a, &err), "guard: qkv_rope: slot[1] = 0 was given to two rows");
    a.slot = slot + 2;
    REFUSED(sg_op_qkv_rope(dev, &a, &err), "guard: qkv_rope: slot[1] is 32, expected 0 to 31");
    a.slot = slot + 1;
    KT_OK(sg_op_qkv_rope(dev, &a, &err)); /* tokens 0 and 1 of page 0 */

    const int32_t rows[2] = {0, 2}, three[2] = {0, 3}, zero[1] = {0}, at[2] = {0, 1}, page[2] = {0, 2};
    int32_t *dr = kt_i32(dev, rows, 2), *d3 = kt_i32(dev, three, 2), *dz = kt_i32(dev, zero, 1),
            *da = kt_i32(dev, at, 2);
    int32_t *dp = kt_i32(dev, page, 2);
    struct sg_prefill_args p = {.q = q,
                                .out = y,
                                .kv = kv,
                                .q_heads = 1,
                                .kv_heads = 1,
                                .head_dim = 8,
                                .scale = 1,
                                .n_segs = 1,
                                .row_begin = dr,
                                .pos0 = dz,
                                .page_begin = da,
                                .pages = dp,
                                .host_row_begin = rows,
                                .host_pos0 = zero,
                                .host_page_begin = at};
    KT_OK(sg_op_attn_prefill(dev, &p, &err));
    p.host_row_begin = three;
    REFUSED(sg_op_attn_prefill(dev, &p, &err), "guard: attn_prefill: row_begin differs from its host copy");
    p.row_begin = d3;
    REFUSED(sg_op_attn_prefill(dev, &p, &err),
            "guard: attn_prefill: pages: token 2, page 0, of layer 0 was never written");
    p.pages = dp + 1;
    REFUSED(sg_op_attn_prefill(dev, &p, &err), "guard: attn_prefill: pages[0] is 2, expected 0 to 1");
    sg_dev_close(dev);
}

/* Bytes that were fetched arrive when they are waited for; before that there is nothing to read, and the
 * destination must be memory of the device's. */
static void test_fetch(void **state) {
    (void)state;
    struct sg_dev *dev = open_guard();
    float host[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *x = kt_f32(dev, host, 8), *to;
    KT_OK(sg_dev_host_alloc(dev, sizeof host, "place", (void **)&to, &err));
    REFUSED(sg_dev_fetch(dev, 0, host, x, sizeof host, &err),
            "guard: fetch: dst points into no device allocation");
    REFUSED(sg_dev_fetch(dev, 0, to, x + 1, sizeof host, &err),
            "guard: fetch: src takes 32 bytes, 28 are left");
    KT_OK(sg_dev_fetch(dev, 0, to, x, sizeof host, &err));
    KT_OK(sg_dev_upload(dev, x, host + 4, 4 * sizeof *host, &err)); /* too late to be fetched */
    for (int i = 0; i < 8; i++) assert_true(isnan(to[i]));
    KT_OK(sg_dev_fetch_wait(dev, 1, &err)); /* the wrong slot */
    assert_true(isnan(to[0]));
    KT_OK(sg_dev_fetch_wait(dev, 0, &err));
    assert_memory_equal(to, host, sizeof host);
    sg_dev_close(dev);
}

/* ---- backends that misbehave -------------------------------------------------------------------- */

static enum sg_status leaves_a_hole(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols,
                                    void *out, struct sg_err *err) {
    (void)dev, (void)gate_up, (void)err;
    for (int32_t i = 0; i < n * cols; i++)
        if (i != 5) ((float *)out)[i] = 0;
    return SG_OK;
}
static enum sg_status changes_input(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols,
                                    void *out, struct sg_err *err) {
    (void)dev, (void)err;
    memset(out, 0, (size_t)n * (size_t)cols * sizeof(float));
    ((float *)(uintptr_t)gate_up)[3] = 7;
    return SG_OK;
}
static enum sg_status writes_past_the_end(struct sg_dev *dev, const void *gate_up, int32_t n, int32_t cols,
                                          void *out, struct sg_err *err) {
    (void)dev, (void)gate_up, (void)err;
    memset(out, 0, (size_t)(n * cols + 1) * sizeof(float));
    return SG_OK;
}

static void test_bad_backends(void **state) {
    (void)state;
    static const struct {
        enum sg_status (*swiglu)(struct sg_dev *, const void *, int32_t, int32_t, void *, struct sg_err *);
        const char *text;
    } bad[] = {
        {leaves_a_hole, "guard: swiglu: out[5] was left unwritten"},
        {changes_input, "guard: swiglu: the input gate_up was changed"},
        {writes_past_the_end, "guard: swiglu: memory behind 'test data' (128 bytes) was overwritten"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sg_dev *dev = open_guard(), *inner = ((struct sg__guard_dev *)dev)->inner;
        struct sg_backend broken = *inner->be;
        const struct sg_backend *sound = inner->be;
        broken.swiglu = bad[i].swiglu;
        float host[64] = {0};
        float *x = kt_f32(dev, host, 64), *y = kt_f32(dev, NULL, 32);
        inner->be = &broken;
        REFUSED(sg_op_swiglu(dev, x, 4, 8, y, &err), bad[i].text);
        inner->be = sound;
        sg_dev_close(dev);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extents),  cmocka_unit_test(test_unwritten_and_overlap),
        cmocka_unit_test(test_canaries), cmocka_unit_test(test_values),
        cmocka_unit_test(test_fetch),    cmocka_unit_test(test_bad_backends),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
