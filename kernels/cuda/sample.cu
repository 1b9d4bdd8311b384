/* sample - one token per draw i from logits row row[i]: temperature, top_k, top_p, inverse CDF in descending
 * order at u[i]; greedy at temperature 0; p_yes and logprob beside it; kernels.h
 * has the exact semantics. Reads 4 vocab bytes a draw twice with top_k (once greedy; without top_k five times, nine
 * with top_p), mostly from the cache after the first, and once more for a logprob.
 *
 * No sort and no order of float sums: a token's weight is the integer exp((z - z_max)) 2^40, so that sums are
 * exact in any order, and "the token at which the descending running sum passes t" is found by a radix select
 * in three rounds of 11, 11 and 10 bits of the key, over counts (top_k), weights (top_p, the draw) and ids
 * (ties: lower id first). What top_k leaves is usually a short list, kept in shared memory: while the largest
 * logit is sought, logits are counted by the topmost bits of their keys, and those from the bin of the k-th on
 * are listed. Longer lists stay in the row. Both give the same token, bit for bit. A weight below 2^-40 of the largest counts as 0. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { MAX_THREADS = SG__SAMPLE_THREADS, BINS = 2048, BINS_PER_LANE = BINS / 32, AHEAD = 8 };
using weight_t = unsigned long long;
enum select_by { BY_COUNT, BY_WEIGHT, BY_ID };

/* The candidates: row elements with key >= floor, or a list of just those. */
struct candidates {
    const float *row;
    const uint32_t *list_key;
    const int32_t *list_id;
    int n; /* elements to look at */
    uint32_t floor;
    float temperature, inverse, top; /* z = logit / temperature; 1 / temperature; the largest z */
};
struct selected {
    uint32_t key;
    weight_t above, here; /* weight of larger keys, and of this one */
};
/* Sums of weights in two words each: processors add words in shared memory, not pairs of them. */
struct weight_bins {
    uint32_t low[BINS], high[BINS];
};
struct sample_smem {
    uint32_t counts[BINS];
    uint32_t list_key[SG__SAMPLE_LIST];
    int32_t list_id[SG__SAMPLE_LIST];
    float part[MAX_THREADS / 32];
    weight_t sums[MAX_THREADS / 32];
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
/* x / temperature, rounded to nearest: a quotient that is off by at most the last bit is right after one
 * correction, where the inverse was rounded to nearest (Markstein, IBM J. Res. Dev. 34, 1990). A z below
 * 2^-100 may keep that error. */
static __device__ __forceinline__ float z_of(const candidates &c, float x) {
    const float q = x * c.inverse, better = fmaf(fmaf(-q, c.temperature, x), c.inverse, q);
    return fabsf(q) < INFINITY ? better : q;
}
static __device__ __forceinline__ uint32_t candidate_key(const candidates &c, int i) {
    return c.list_key ? c.list_key[i] : key_of(z_of(c, c.row[i]));
}
static __device__ __forceinline__ int candidate_id(const candidates &c, int i) {
    return c.list_key ? c.list_id[i] : i;
}

static __device__ __forceinline__ void add_to(uint32_t *bins, int bin, weight_t n) {
    atomicAdd(&bins[bin], (uint32_t)n);
}
static __device__ __forceinline__ void add_to(weight_bins *bins, int bin, weight_t weight) {
    const uint32_t low = (uint32_t)weight, before = atomicAdd(&bins->low[bin], low);
    const uint32_t high = (uint32_t)(weight >> 32) + (before + low < low); /* the carry of this addition */
    if (high) atomicAdd(&bins->high[bin], high);
}
static __device__ __forceinline__ weight_t sum_of(const uint32_t *bins, int bin) {
    return bins[bin];
}
static __device__ __forceinline__ weight_t sum_of(const weight_bins *bins, int bin) {
    return (weight_t)bins->high[bin] << 32 | bins->low[bin];
}
static __device__ __forceinline__ void clear_bin(uint32_t *bins, int bin) {
    bins[bin] = 0;
}
static __device__ __forceinline__ void clear_bin(weight_bins *bins, int bin) {
    bins->low[bin] = bins->high[bin] = 0;
}

/* One warp: the bin, from the top, in which the running sum passes `target`; found->above and ->here become
 * the sums above it and in it. Lane 0 has the topmost bins; lanes start at different bins, as those of equal
 * rank share a memory bank. */
template <class T>
static __device__ __forceinline__ void find_bin(const T *bins, weight_t target, selected *found, int lane) {
    const int mine = BINS - (lane + 1) * BINS_PER_LANE;
    weight_t sum = 0;
    for (int k = 0; k < BINS_PER_LANE; k++) sum += sum_of(bins, mine + ((k + lane) & (BINS_PER_LANE - 1)));
    weight_t above = sum;
    for (int o = 1; o < 32; o *= 2) {
        const weight_t x = __shfl_up_sync(0xffffffffu, above, o);
        if (lane >= o) above += x;
    }
    above -= sum;
    if (above <= target && target < above + sum) { /* one lane */
        int b = mine + BINS_PER_LANE - 1;
        while (above + sum_of(bins, b) <= target) above += sum_of(bins, b--);
        found->key = (uint32_t)b;
        found->above = above;
        found->here = sum_of(bins, b);
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
        for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) clear_bin(bins, i);
        __syncthreads();
        for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
            const uint32_t key = candidate_key(c, i);
            if (BY == BY_ID ? key != c.floor : key < c.floor) continue;
            const uint32_t digits = BY == BY_ID ? ~(uint32_t)candidate_id(c, i) : key;
            if (round > 0 && digits >> (shift + bits) != r.key >> (shift + bits)) continue;
            const weight_t weight = BY == BY_WEIGHT ? weight_of(c, key) : 1;
            if (weight) add_to(bins, (int)(digits >> shift & ((1u << bits) - 1u)), weight);
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
    weight_t mine = 0;
    for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
        const uint32_t key = candidate_key(c, i);
        if (key >= c.floor) mine += weight_of(c, key);
    }
    for (int o = 16; o > 0; o >>= 1) mine += __shfl_xor_sync(0xffffffffu, mine, o);
    if ((threadIdx.x & 31) == 0) sm->sums[threadIdx.x >> 5] = mine;
    __syncthreads();
    mine = 0;
    for (int w = 0; w < (int)blockDim.x >> 5; w++) mine += sm->sums[w];
    return mine;
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

/* A thread's next AHEAD elements of a row, a block's width apart, all on their way at once; -inf behind its end. */
static __device__ __forceinline__ void load_ahead(float x[AHEAD], const float *row, int first, int n) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int i = first + j * (int)blockDim.x;
        x[j] = i < n ? row[i] : -INFINITY;
    }
}

/* Lists the row's elements that can be among those with the k largest z, and more: those in the bin of the
 * k-th logit or above it, and those so little below that the division can make them equal to one of these.
 * sm->counts: the logits by the topmost bits of their keys. false: they are more than the list takes. */
static __device__ __forceinline__ bool shortlist(candidates *c, int k, int list, sample_smem *sm) {
    if (threadIdx.x < 32) find_bin(sm->counts, (weight_t)(k - 1), &sm->found, (int)threadIdx.x);
    if (threadIdx.x == 0) sm->n_list = 0;
    __syncthreads();
    const float least = value_of(sm->found.key << 21); /* of the bin */
    const weight_t most = sm->found.above + sm->found.here;
    if (most > (weight_t)list || !(z_of(*c, least) > -INFINITY)) return false;
    const float from = least - fabsf(least) * 0x1p-20f - 1e-36f * fmaxf(1.0f, c->temperature);
    for (int first = (int)threadIdx.x; first < c->n; first += AHEAD * (int)blockDim.x) {
        float x[AHEAD];
        load_ahead(x, c->row, first, c->n);
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            if (!(x[j] >= from)) continue;
            const int at = atomicAdd(&sm->n_list, 1);
            if (at < list) {
                sm->list_key[at] = key_of(z_of(*c, x[j]));
                sm->list_id[at] = first + j * (int)blockDim.x;
            }
        }
    }
    __syncthreads();
    if (sm->n_list > list) return false;
    c->n = sm->n_list;
    c->list_key = sm->list_key;
    c->list_id = sm->list_id;
    return true;
}

static __device__ __forceinline__ int draw(candidates c, const sg_draw_settings &s, int list, float u,
                                           weight_bins *weights, sample_smem *sm) {
    weight_t count = (weight_t)c.n;
    bool listed = false;
    if (s.top_k > 0 && s.top_k < c.n) {
        listed = shortlist(&c, s.top_k, list, sm);
        __syncthreads();
        const selected kth = select<BY_COUNT>(c, (weight_t)(s.top_k - 1), sm->counts, sm);
        c.floor = kth.key;
        count = kth.above + kth.here;
    }
    if (!listed && count <= (weight_t)list) keep_list(&c, sm);
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
    SHARED(weight_bins, weights, [1]);
    const int i = (int)blockIdx.x;
    const float *x = p.logits + (int64_t)p.row[i] * p.vocab;
    const sg_draw_settings s = p.settings[p.setting[i]];
    float top = -INFINITY;
    if (s.temperature > 0.0f && s.top_k > 0 && s.top_k < p.vocab) {
        for (int j = (int)threadIdx.x; j < BINS; j += (int)blockDim.x) sm->counts[j] = 0;
        __syncthreads();
        for (int first = (int)threadIdx.x; first < p.vocab; first += AHEAD * (int)blockDim.x) {
            float v[AHEAD];
            load_ahead(v, x, first, p.vocab);
            UNROLL
            for (int j = 0; j < AHEAD; j++) {
                top = nan_max(top, v[j]);
                if (first + j * (int)blockDim.x < p.vocab) atomicAdd(&sm->counts[key_of(v[j]) >> 21], 1u);
            }
        }
    } else {
        for (int j = (int)threadIdx.x; j < p.vocab; j += (int)blockDim.x) top = nan_max(top, x[j]);
    }
    top = block_max(top, sm->part);
    const float top_z = s.temperature > 0.0f ? top / s.temperature : top;
    const bool broken = !(top > -INFINITY && top_z < INFINITY); /* a NaN, +inf, or nothing to choose from */
    int token = -1;
    if (!broken && s.temperature > 0.0f) {
        const candidates c = {x, nullptr, nullptr, p.vocab, 0, s.temperature, 1.0f / s.temperature, top_z};
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
