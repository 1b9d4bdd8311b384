/* sample - one token per draw i from logits row row[i]: temperature, top_k, top_p, inverse CDF in descending
 * order at u[i]; greedy at temperature 0; p_yes and logprob beside it; kernels.h
 * has the exact semantics. Reads 4 vocab bytes a draw four times (once greedy), mostly from the cache after
 * the first.
 *
 * No sort and no order of float sums: a token's weight is the integer exp((z - z_max)) 2^40, so that sums are
 * exact in any order, and "the token at which the descending running sum passes t" is found by a radix select
 * in three rounds of 11, 11 and 10 bits of the key, over counts (top_k), weights (top_p, the draw) and ids
 * (ties: lower id first). What top_k leaves is usually a short list, kept in shared memory; longer lists stay
 * in the row. Both give the same token, bit for bit. A weight below 2^-40 of the largest counts as 0. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { MAX_THREADS = SG__SAMPLE_THREADS, BINS = 2048, BINS_PER_LANE = BINS / 32 };
using weight_t = unsigned long long;
enum select_by { BY_COUNT, BY_WEIGHT, BY_ID };

/* The candidates: row elements with key >= floor, or a list of just those. */
struct candidates {
    const float *row;
    const uint32_t *list_key;
    const int32_t *list_id;
    int n; /* elements to look at */
    uint32_t floor;
    float temperature, top; /* z = logit / temperature; the largest z */
};
struct selected {
    uint32_t key;
    weight_t above, here; /* weight of larger keys, and of this one */
};
struct sample_smem {
    uint32_t counts[BINS];
    uint32_t list_key[SG__SAMPLE_LIST];
    int32_t list_id[SG__SAMPLE_LIST];
    float part[MAX_THREADS / 32];
    weight_t total;
    selected found;
    int32_t n_list, best;
};

/* Larger floats have larger keys; -0 and 0 have one. */
static __device__ __forceinline__ uint32_t key_of(float z) {
    const uint32_t u = __float_as_uint(z + 0.0f);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}
static __device__ __forceinline__ float value_of(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
static __device__ __forceinline__ weight_t weight_of(const candidates &c, uint32_t key) {
    return (weight_t)(expf(value_of(key) - c.top) * 1099511627776.0f);
}
static __device__ __forceinline__ uint32_t candidate_key(const candidates &c, int i) {
    return c.list_key ? c.list_key[i] : key_of(c.row[i] / c.temperature);
}
static __device__ __forceinline__ int candidate_id(const candidates &c, int i) {
    return c.list_key ? c.list_id[i] : i;
}

/* One warp: the bin, from the top, in which the running sum passes `target`; found->above and ->here become
 * the sums above it and in it. Lane 0 has the topmost bins; lanes start at different bins, as those of equal
 * rank share a memory bank. */
template <class T>
static __device__ __forceinline__ void find_bin(const T *bins, weight_t target, selected *found, int lane) {
    const T *mine = bins + BINS - (lane + 1) * BINS_PER_LANE;
    weight_t sum = 0;
    for (int k = 0; k < BINS_PER_LANE; k++) sum += mine[(k + lane) & (BINS_PER_LANE - 1)];
    weight_t above = sum;
    for (int o = 1; o < 32; o *= 2) {
        const weight_t x = __shfl_up_sync(0xffffffffu, above, o);
        if (lane >= o) above += x;
    }
    above -= sum;
    if (above <= target && target < above + sum) { /* one lane */
        int b = BINS_PER_LANE - 1;
        while (above + mine[b] <= target) above += mine[b--];
        found->key = (uint32_t)(BINS - (lane + 1) * BINS_PER_LANE + b);
        found->above = above;
        found->here = mine[b];
    }
}

/* In descending order of the key (BY_ID: in ascending order of the id, among those with key == c.floor), the
 * first candidate whose running sum exceeds target, which must be less than the sum of all. Every thread of
 * the block gets the answer. bins: BINS of them. */
template <select_by BY, class T>
static __device__ __forceinline__ selected select(const candidates &c, weight_t target, T *bins,
                                                  sample_smem *sm) {
    selected r = {0, 0, 0};
    for (int round = 0, shift = 21; round < 3; round++, shift = round == 1 ? 10 : 0) {
        const int bits = round < 2 ? 11 : 10;
        for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) bins[i] = 0;
        __syncthreads();
        for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
            const uint32_t key = candidate_key(c, i);
            if (BY == BY_ID ? key != c.floor : key < c.floor) continue;
            const uint32_t digits = BY == BY_ID ? ~(uint32_t)candidate_id(c, i) : key;
            if (round > 0 && digits >> (shift + bits) != r.key >> (shift + bits)) continue;
            const T weight = BY == BY_WEIGHT ? (T)weight_of(c, key) : (T)1;
            if (weight) atomicAdd(&bins[digits >> shift & ((1u << bits) - 1u)], weight);
        }
        __syncthreads();
        if (threadIdx.x < 32) find_bin(bins, target - r.above, &sm->found, (int)threadIdx.x);
        __syncthreads();
        r.key |= sm->found.key << shift;
        r.above += sm->found.above;
        r.here = sm->found.here;
        __syncthreads();
    }
    return r;
}

/* The sum of all candidates' weights. */
static __device__ __forceinline__ weight_t total_weight(const candidates &c, sample_smem *sm) {
    if (threadIdx.x == 0) sm->total = 0;
    __syncthreads();
    weight_t mine = 0;
    for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
        const uint32_t key = candidate_key(c, i);
        if (key >= c.floor) mine += weight_of(c, key);
    }
    atomicAdd(&sm->total, mine);
    __syncthreads();
    return sm->total;
}

/* Moves the candidates into the list. Their order there is anybody's; no result depends on it. */
static __device__ __forceinline__ void keep_list(candidates *c, sample_smem *sm) {
    if (threadIdx.x == 0) sm->n_list = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < c->n; i += (int)blockDim.x) {
        const uint32_t key = candidate_key(*c, i);
        if (key < c->floor) continue;
        const int at = atomicAdd(&sm->n_list, 1);
        sm->list_key[at] = key;
        sm->list_id[at] = i;
    }
    __syncthreads();
    c->n = sm->n_list;
    c->list_key = sm->list_key;
    c->list_id = sm->list_id;
}

static __device__ __forceinline__ int draw(candidates c, const sg_draw_settings &s, int list, float u,
                                           weight_t *weights, sample_smem *sm) {
    weight_t count = (weight_t)c.n;
    if (s.top_k > 0 && s.top_k < c.n) {
        const selected kth = select<BY_COUNT>(c, (weight_t)(s.top_k - 1), sm->counts, sm);
        c.floor = kth.key;
        count = kth.above + kth.here;
    }
    if (count <= (weight_t)list) keep_list(&c, sm);
    weight_t kept = total_weight(c, sm);
    if (s.top_p < 1.0f) {
        /* kept: whoever has less than this much before it */
        weight_t enough = (weight_t)ceil((double)s.top_p * (double)kept);
        enough = enough < 1 ? 1 : enough > kept ? kept : enough;
        const selected last = select<BY_WEIGHT>(c, enough - 1, weights, sm);
        const weight_t one = weight_of(c, last.key), ties = (enough - last.above + one - 1) / one;
        kept = last.above + ties * one;
    }
    const weight_t u24 = (weight_t)(u * 16777216.0f); /* exact: u has 24 bits */
    const weight_t target = (kept >> 24) * u24 + ((kept & 0xffffffu) * u24 >> 24);
    const selected at = select<BY_WEIGHT>(c, target, weights, sm);
    const weight_t each = weight_of(c, at.key);
    c.floor = at.key;
    if (at.here > each) return (int)~select<BY_ID>(c, (target - at.above) / each, sm->counts, sm).key;
    for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) /* no ties: one thread finds it */
        if (candidate_key(c, i) == at.key) sm->best = candidate_id(c, i);
    __syncthreads();
    return sm->best;
}

/* One thread: p(yes) of the two lists of ids. */
static __device__ __forceinline__ float p_yes(const float *x, const sg__sample_launch &p) {
    float top = -INFINITY, yes = 0.0f, no = 0.0f;
    for (int i = 0; i < p.n_yes; i++) top = fmaxf(top, x[p.yes_ids[i]]);
    for (int i = 0; i < p.n_no; i++) top = fmaxf(top, x[p.no_ids[i]]);
    for (int i = 0; i < p.n_yes; i++) yes += expf(x[p.yes_ids[i]] - top);
    for (int i = 0; i < p.n_no; i++) no += expf(x[p.no_ids[i]] - top);
    return p.n_yes && p.n_no ? yes / (yes + no) : __uint_as_float(0x7fffffffu);
}

static __global__ void __launch_bounds__(MAX_THREADS, 2) sample_kernel(sg__sample_launch p) {
    SHARED_ALIGNED(sample_smem, sm, [1]);
    SHARED(weight_t, weights, [BINS]);
    const int i = (int)blockIdx.x;
    const float *x = p.logits + (int64_t)p.row[i] * p.vocab;
    const sg_draw_settings s = p.settings[p.setting[i]];
    float top = -INFINITY;
    for (int j = (int)threadIdx.x; j < p.vocab; j += (int)blockDim.x) top = nan_max(top, x[j]);
    top = block_max(top, sm->part);
    const float top_z = s.temperature > 0.0f ? top / s.temperature : top;
    const bool broken = !(top > -INFINITY && top_z < INFINITY); /* a NaN, +inf, or nothing to choose from */
    int token = -1;
    if (!broken && s.temperature > 0.0f) {
        const candidates c = {x, nullptr, nullptr, p.vocab, 0, s.temperature, top_z};
        token = draw(c, s, p.list, p.u[i], weights, sm);
    } else if (!broken) {
        if (threadIdx.x == 0) sm->best = p.vocab;
        __syncthreads();
        int first = p.vocab;
        for (int j = (int)threadIdx.x; j < p.vocab && first == p.vocab; j += (int)blockDim.x)
            if (x[j] == top) first = j;
        if (first < p.vocab) atomicMin(&sm->best, first);
        __syncthreads();
        token = sm->best;
    }
    float sum = 1.0f;
    if (p.logprob && !broken) {
        sum = 0.0f;
        for (int j = (int)threadIdx.x; j < p.vocab; j += (int)blockDim.x) sum += expf(x[j] - top);
        sum = block_sum(sum, sm->part);
    }
    if (threadIdx.x == 0) {
        const float nan = __uint_as_float(0x7fffffffu);
        p.token[i] = token;
        if (p.p_yes) p.p_yes[i] = broken ? nan : p_yes(x, p);
        if (p.logprob) p.logprob[i] = broken ? nan : x[token] - top - logf(sum);
    }
}

extern "C" int sg__launch_sample(const struct sg__sample_launch *a, void *stream) {
    return LAUNCH(sample_kernel, a->n, sg__sample_threads(a->vocab), 0, stream, *a);
}
