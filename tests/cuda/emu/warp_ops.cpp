/* warp_ops - what the lanes of a warp compute together: shuffles, votes, ldmatrix, mma, and cp.async. Layouts
 * follow the PTX manual (matrix fragments for mma.m16n8k16, ldmatrix); on a GPU the conformance test holds
 * these to the hardware. */
#include "emu_internal.h"

namespace emu {

void (*on_shared)(const void *p, bool copy, bool reads_global, const void *where);

void op_shuffle(void **args, unsigned lanes) {
    for (int i = 0; i < 32; i++) {
        if (!(lanes >> i & 1)) continue;
        shuffle_args *x = (shuffle_args *)args[i];
        const int width = x->width;
        if (width < 1 || width > 32 || (width & (width - 1))) fail("shuffle width %d", width);
        const int base = i & ~(width - 1);
        int from = i;
        switch (x->mode) {
        case SHFL_INDEX:
            from = base + (x->src & (width - 1));
            break;
        case SHFL_UP:
            from = i - x->src < base ? i : i - x->src;
            break;
        case SHFL_DOWN:
            from = i + x->src >= base + width ? i : i + x->src;
            break;
        default:
            from = (i ^ x->src) >= base + width ? i : i ^ x->src;
            break;
        }
        if (!(lanes >> from & 1))
            fail("shuffle: lane %d reads lane %d, which does not take part (%08x)", i, from, lanes);
        x->out = ((shuffle_args *)args[from])->in;
    }
}

void op_vote(void **args, unsigned lanes) {
    unsigned ballot = 0;
    for (int i = 0; i < 32; i++)
        if ((lanes >> i & 1) && ((vote_args *)args[i])->pred) ballot |= 1u << i;
    for (int i = 0; i < 32; i++)
        if (lanes >> i & 1) ((vote_args *)args[i])->ballot = ballot;
}

/* ---- ldmatrix ---- */

struct ldmatrix_args {
    uint32_t *r;
    const void *row;
    bool transposed;
};

static void op_ldmatrix(void **args, unsigned) {
    for (int i = 0; i < 32; i++) {
        const void *p = ((ldmatrix_args *)args[i])->row;
        if ((uintptr_t)p & 15) fail("ldmatrix: row address of lane %d is misaligned, not on 16 bytes", i);
        if (!in_shared(p, 16)) fail("ldmatrix: row address of lane %d is not in shared memory", i);
    }
    for (int m = 0; m < 4; m++) {
        const uint16_t *row[8];
        for (int j = 0; j < 8; j++) row[j] = (const uint16_t *)((ldmatrix_args *)args[8 * m + j])->row;
        for (int l = 0; l < 32; l++) {
            ldmatrix_args *x = (ldmatrix_args *)args[l];
            const int g = l >> 2, t = (l & 3) * 2;
            const uint32_t lo = x->transposed ? row[t][g] : row[g][t];
            const uint32_t hi = x->transposed ? row[t + 1][g] : row[g][t + 1];
            x->r[m] = lo | hi << 16;
        }
    }
}
void ldmatrix(const char *file, int line, uint32_t *r, const void *row, bool transposed) {
    ldmatrix_args x = {r, row, transposed};
    EMU_IF_TSAN(__tsan_read16((void *)row));
    if (on_shared) on_shared(row, false, false, __builtin_return_address(0));
    warp(file, line, transposed ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &x, op_ldmatrix);
}

/* ---- mma.m16n8k16 ---- */

struct mma_args {
    float *d;
    const uint32_t *a, *b;
};

static float low(uint32_t u) {
    return __uint_as_float(u << 16);
}
static float high(uint32_t u) {
    return __uint_as_float(u & 0xffff0000u);
}

/* Float32 sums in the order of k. A GPU adds in an order (and with a few bits) of its own, which is why CPU
 * and GPU are compared with tolerances. */
static void op_mma(void **args, unsigned) {
    float a[16][16], b[16][8], d[16][8];
    for (int l = 0; l < 32; l++) {
        const mma_args *x = (const mma_args *)args[l];
        const int g = l >> 2, t = (l & 3) * 2;
        for (int i = 0; i < 4; i++) {
            const int r = g + (i & 1) * 8, c = t + (i >> 1) * 8;
            a[r][c] = low(x->a[i]);
            a[r][c + 1] = high(x->a[i]);
            d[g + (i >> 1) * 8][t + (i & 1)] = x->d[i];
        }
        for (int i = 0; i < 2; i++) {
            b[t + i * 8][g] = low(x->b[i]);
            b[t + 1 + i * 8][g] = high(x->b[i]);
        }
    }
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 8; n++) d[m][n] += a[m][k] * b[k][n];
    for (int l = 0; l < 32; l++) {
        const int g = l >> 2, t = (l & 3) * 2;
        for (int i = 0; i < 4; i++) ((mma_args *)args[l])->d[i] = d[g + (i >> 1) * 8][t + (i & 1)];
    }
}
void mma(const char *file, int line, float *d, const uint32_t *a, const uint32_t *b) {
    mma_args x = {d, a, b};
    warp(file, line, "mma", 0xffffffffu, &x, op_mma);
}

/* ---- cp.async ---- */

static void land(pending_copy *c) {
    if (c->landed) return;
    if (c->ok)
        memcpy(c->dst, c->src, 16);
    else
        memset(c->dst, 0, 16);
    c->landed = true;
}

} // namespace emu

using namespace emu;

/* "Late" fills the target with NaN now and copies at the wait; "early" copies now. Both are legal. */
void cp_async16(void *dst, const void *src, int ok) {
    if (((uintptr_t)dst | (ok ? (uintptr_t)src : 0)) & 15) fail("cp.async: misaligned, not on 16 bytes");
    if (!in_shared(dst, 16)) fail("cp.async: the target is not in shared memory");
    if (on_shared) on_shared(dst, true, ok, __builtin_return_address(0));
    EMU_IF_TSAN(__tsan_write16(dst));
    if (ok) EMU_IF_TSAN(__tsan_read16((void *)src));
    pending_copy c = {dst, src, ok, current->copy_group, false};
    const sg_emu_copies when = config().copies;
    if (when == SG_EMU_LATE || (when == SG_EMU_MIXED && (random32() & 1)))
        memset(dst, 0xff, 16);
    else
        land(&c);
    current->copies.push_back(c);
}
void cp_async_commit(void) {
    current->copy_group++;
}
void cp_async_wait(int n) {
    std::vector<pending_copy> &v = current->copies;
    size_t done = 0;
    for (; done < v.size() && v[done].group < current->copy_group - n; done++) {
        EMU_IF_TSAN(__tsan_write16(v[done].dst));
        land(&v[done]);
    }
    v.erase(v.begin(), v.begin() + (long)done);
}
