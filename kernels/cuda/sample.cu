/* sample - one token per draw i from logits row row[i]: temperature, top_k, top_p, inverse CDF in descending
 * order at u[i]; greedy at temperature 0; p_yes and logprob beside it; kernels.h has the exact semantics.
 * Reads 4 vocab bytes a draw twice (greedy: once), three or four times where what decides is not among the
 * largest, at most eight where most logits begin with the same 11 bits or top_k is beyond the list; mostly from
 * the cache after the first; and once more for a logprob.
 *
 * A token's weight is the integer exp((z - z_max)) 2^40, so that sums are exact in any order, and "the token at
 * which the descending running sum passes t" has one answer however it is found. First sweep: the largest logit,
 * and a histogram of all by the topmost 11 bits of their keys, which tells where the largest 1024 begin or the
 * k-th is. Second: these are listed in shared memory, sorted there (equals by id) and added up. Without top_k
 * the second sweep also adds up all weights by 11 bits of the key, as their sum decides and the list may end
 * too early: then the bin in which t lies is listed in a third, or, where it is too large, cut by 11 more bits.
 * All ways give the same token, bit for bit. A weight below 2^-40 of the largest counts as 0. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

enum { MAX_THREADS = SG__SAMPLE_THREADS, BINS = 2048, BINS_PER_LANE = BINS / 32, AHEAD = 8, ROUNDS = 3 };
using weight_t = unsigned long long;
enum select_by { BY_COUNT, BY_WEIGHT, BY_ID };

/* The candidates: row elements with key >= floor. */
struct candidates {
    const float *row;
    int n;
    uint32_t floor;
    float temperature, inverse, top; /* z = logit / temperature; 1 / temperature; the largest z */
};
/* The first bits of a key, weight (or count) of larger keys, and of those that begin with these bits. */
struct selected {
    uint32_t key;
    weight_t above, here;
};
/* Sums of weights in two words each: processors add words in shared memory, not pairs of them. */
struct weight_bins {
    uint32_t *low, *high;
};
struct sample_smem {
    union { /* BINS, or of each of the list the running sum of weights through it */
        uint32_t counts[BINS];
        weight_t through[SG__SAMPLE_LIST];
    };
    union {
        uint32_t high[BINS]; /* with counts: weight_bins */
        uint64_t
            list[SG__SAMPLE_LIST]; /* key, ~id: in descending order equal keys are in that of their ids */
    };
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
static __device__ __forceinline__ uint32_t listed_key(const sample_smem *sm, int i) {
    return (uint32_t)(sm->list[i] >> 32);
}
static __device__ __forceinline__ int listed_id(const sample_smem *sm, int i) {
    return (int)~(uint32_t)sm->list[i];
}

static __device__ __forceinline__ void add_to(uint32_t *bins, int bin, weight_t n) {
    atomicAdd(&bins[bin], (uint32_t)n);
}
static __device__ __forceinline__ void add_to(weight_bins bins, int bin, weight_t weight) {
    const uint32_t low = (uint32_t)weight, before = atomicAdd(&bins.low[bin], low);
    const uint32_t high = (uint32_t)(weight >> 32) + (before + low < low); /* the carry of this addition */
    if (high) atomicAdd(&bins.high[bin], high);
}
static __device__ __forceinline__ weight_t sum_of(const uint32_t *bins, int bin) {
    return bins[bin];
}
static __device__ __forceinline__ weight_t sum_of(weight_bins bins, int bin) {
    return (weight_t)bins.high[bin] << 32 | bins.low[bin];
}
static __device__ __forceinline__ void clear_bin(uint32_t *bins, int bin) {
    bins[bin] = 0;
}
static __device__ __forceinline__ void clear_bin(weight_bins bins, int bin) {
    bins.low[bin] = bins.high[bin] = 0;
}

/* A key is cut into 11, 11 and 10 bits, one round each. */
static __device__ __forceinline__ int shift_of(int round) {
    return round == 0 ? 21 : round == 1 ? 10 : 0;
}

/* One warp: the bin, from the top, in which the running sum passes `target`; found->above and ->here become
 * the sums above it and in it. Lane 0 has the topmost bins; lanes start at different bins, as those of equal
 * rank share a memory bank. */
template <class T>
static __device__ __forceinline__ void find_bin(T bins, weight_t target, selected *found, int lane) {
    const int mine = BINS - (lane + 1) * BINS_PER_LANE;
    weight_t sum = 0;
    ROLLED
    for (int k = lane; k < lane + BINS_PER_LANE; k += AHEAD) UNROLL
    for (int j = 0; j < AHEAD; j++) sum += sum_of(bins, mine + ((k + j) & (BINS_PER_LANE - 1)));
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
/* The block: r, known up to this round, becomes known through it. */
template <class T>
static __device__ __forceinline__ void find_digits(T bins, weight_t target, int round, selected *r,
                                                   sample_smem *sm) {
    if (threadIdx.x < 32) find_bin(bins, target - r->above, &sm->found, (int)threadIdx.x);
    __syncthreads();
    r->key |= sm->found.key << shift_of(round);
    r->above += sm->found.above;
    r->here = sm->found.here;
    __syncthreads();
}

/* A thread's next AHEAD elements of a row, a block's width apart, all on their way at once; -inf behind its end. */
static __device__ __forceinline__ void load_ahead(float x[AHEAD], const float *row, int first, int n) {
    UNROLL
    for (int j = 0; j < AHEAD; j++) {
        const int i = first + j * (int)blockDim.x;
        x[j] = i < n ? row[i] : -INFINITY;
    }
}

/* One sweep: sums of the candidates by a round's digits, of those that have the digits before in common with
 * `key`. BY_ID: of the complement of the id, among those with key == c.floor. */
template <select_by BY, class T>
static __device__ __forceinline__ void fill_bins(const candidates &c, uint32_t key, int round, T bins) {
    const int bits = round < 2 ? 11 : 10, shift = shift_of(round);
    ROLLED
    for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) clear_bin(bins, i);
    __syncthreads();
    ROLLED
    for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
        const uint32_t own = key_of(z_of(c, c.row[i]));
        if (BY == BY_ID ? own != c.floor : own < c.floor) continue;
        const uint32_t digits = BY == BY_ID ? ~(uint32_t)i : own;
        if (round > 0 && digits >> (shift + bits) != key >> (shift + bits)) continue;
        const weight_t weight = BY == BY_WEIGHT ? weight_of(c, own) : 1;
        if (weight) add_to(bins, (int)(digits >> shift & ((1u << bits) - 1u)), weight);
    }
    __syncthreads();
}
/* In descending order of the key (BY_ID: in ascending order of the id, among those with key == c.floor), the
 * first candidate whose running count exceeds target, which must be less than the count of all. `round`: where
 * the digits begin to differ. */
template <select_by BY>
static __device__ __forceinline__ selected select(const candidates &c, weight_t target, selected r, int round,
                                                  sample_smem *sm) {
    ROLLED
    for (; round < ROUNDS; round++) {
        fill_bins<BY>(c, r.key, round, sm->counts);
        find_digits((const uint32_t *)sm->counts, target, round, &r, sm);
    }
    return r;
}

/* ---- the list ---- */

static __device__ __forceinline__ void empty_list(sample_smem *sm) {
    if (threadIdx.x == 0) sm->n_list = 0;
    __syncthreads();
}
static __device__ __forceinline__ void list_one(uint32_t key, int id, int most, sample_smem *sm) {
    const int at = atomicAdd(&sm->n_list, 1);
    if (at < most) sm->list[at] = (uint64_t)key << 32 | ~(uint32_t)id;
}
/* One sweep: lists the candidates whose keys have all but the last `shift` bits in common with `key`. false: they
 * are more than the list takes. */
static __device__ __forceinline__ bool list_range(const candidates &c, uint32_t key, int shift, int most,
                                                  sample_smem *sm) {
    empty_list(sm);
    ROLLED
    for (int i = (int)threadIdx.x; i < c.n; i += (int)blockDim.x) {
        const uint32_t own = key_of(z_of(c, c.row[i]));
        if (own >= c.floor && (uint64_t)(own ^ key) >> shift == 0) list_one(own, i, most, sm);
    }
    __syncthreads();
    const int n = sm->n_list;
    __syncthreads();
    return n <= most;
}
/* Sorts the list in descending order, by a bitonic network, and notes the running sum of weights through each of
 * it, from `above` on. */
static __device__ __forceinline__ void sort_list(const candidates &c, weight_t above, sample_smem *sm) {
    const int n = sm->n_list, threads = (int)blockDim.x, t = (int)threadIdx.x;
    int all = 2;
    while (all < n) all *= 2;
    ROLLED
    for (int i = n + t; i < all; i += threads) sm->list[i] = 0; /* below every key */
    __syncthreads();
    ROLLED
    for (int size = 2; size <= all; size *= 2) ROLLED
    for (int stride = size / 2; stride > 0; stride /= 2) {
        ROLLED
        for (int i = t; i < all / 2; i += threads) {
            /* every other eight begin with the second of their pair: else those 16 apart shared a bank */
            const bool flip = t & 8;
            const int lower = 2 * i - (i & (stride - 1)), a = flip ? lower + stride : lower;
            const uint64_t x = sm->list[a], y = sm->list[a ^ stride];
            const bool falling = ((lower & size) == 0) != flip;
            if ((x < y) == falling) sm->list[a] = y, sm->list[a ^ stride] = x;
        }
        __syncthreads();
    }
    const int each = (n + threads - 1) / threads, first = t * each, end = first + each < n ? first + each : n;
    weight_t sum = 0;
    ROLLED
    for (int i = first; i < end; i++) {
        sum += weight_of(c, listed_key(sm, i));
        sm->through[i] = sum;
    }
    weight_t up = sum;
    for (int o = 1; o < 32; o *= 2) {
        const weight_t x = __shfl_up_sync(0xffffffffu, up, o);
        if ((t & 31) >= o) up += x;
    }
    if ((t & 31) == 31) sm->sums[t >> 5] = up;
    __syncthreads();
    above += up - sum;
    ROLLED
    for (int w = 0; w < t >> 5; w++) above += sm->sums[w];
    ROLLED
    for (int i = first; i < end; i++) sm->through[i] += above;
    __syncthreads();
}
/* The first of the n first of the list whose running sum exceeds target; n where none does. */
static __device__ __forceinline__ int find_listed(int n, weight_t target, sample_smem *sm) {
    if (threadIdx.x == 0) sm->best = n;
    __syncthreads();
    ROLLED
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
        if (sm->through[i] > target && (i == 0 || sm->through[i - 1] <= target)) sm->best = i;
    __syncthreads();
    const int at = sm->best;
    __syncthreads();
    return at;
}

/* The sum that the nucleus has at least: whoever has less than this before it is kept. */
static __device__ __forceinline__ weight_t nucleus(float top_p, weight_t sum) {
    const weight_t enough = (weight_t)ceil((double)top_p * (double)sum);
    return enough < 1 ? 1 : enough > sum ? sum : enough;
}
/* Where in a sum u in [0, 1) is. */
static __device__ __forceinline__ weight_t part_of(weight_t sum, float u) {
    const weight_t u24 = (weight_t)(u * 16777216.0f); /* exact: u has 24 bits */
    return (sum >> 24) * u24 + ((sum & 0xffffffu) * u24 >> 24);
}

/* The draw from a list that has all candidates, and of others only such as top_k leaves out. */
static __device__ __forceinline__ int draw_listed(const candidates &c, const sg_draw_settings &s, int top_k,
                                                  float u, sample_smem *sm) {
    sort_list(c, 0, sm);
    int n = sm->n_list;
    if (top_k > 0 && top_k < n) { /* and all that equal the k-th */
        const uint32_t kth = listed_key(sm, top_k - 1);
        if (threadIdx.x == 0) sm->best = n;
        __syncthreads();
        for (int i = top_k + (int)threadIdx.x; i < n; i += (int)blockDim.x)
            if (listed_key(sm, i) < kth && listed_key(sm, i - 1) == kth) sm->best = i;
        __syncthreads();
        n = sm->best;
        __syncthreads();
    }
    weight_t kept = sm->through[n - 1];
    if (s.top_p < 1.0f) kept = sm->through[find_listed(n, nucleus(s.top_p, kept) - 1, sm)];
    return listed_id(sm, find_listed(n, part_of(kept, u), sm));
}

/* Lists the row's elements that can be among those with the k largest z, and more: those in the bin of the
 * k-th logit or above it, and those so little below that the division can make them equal to one of these.
 * sm->counts: the logits by the topmost bits of their keys. false: they are more than the list takes. */
static __device__ __forceinline__ bool shortlist(const candidates &c, int k, int most, sample_smem *sm) {
    if (threadIdx.x < 32)
        find_bin((const uint32_t *)sm->counts, (weight_t)(k - 1), &sm->found, (int)threadIdx.x);
    empty_list(sm);
    const float least = value_of(sm->found.key << 21); /* of the bin */
    const weight_t n = sm->found.above + sm->found.here;
    if (n > (weight_t)most || !(z_of(c, least) > -INFINITY)) return false;
    const float from = least - fabsf(least) * 0x1p-20f - 1e-36f * fmaxf(1.0f, c.temperature);
    for (int first = (int)threadIdx.x; first < c.n; first += AHEAD * (int)blockDim.x) {
        float x[AHEAD];
        load_ahead(x, c.row, first, c.n);
        UNROLL
        for (int j = 0; j < AHEAD; j++)
            if (x[j] >= from) list_one(key_of(z_of(c, x[j])), first + j * (int)blockDim.x, most, sm);
    }
    __syncthreads();
    return sm->n_list <= most;
}

/* ---- the row ---- */

/* The candidate whose running sum exceeds a target: that sum, and its id. */
struct resolved {
    weight_t through;
    int id;
};
/* One sweep: all weights by the first digits of the key into bins, and the logits from `from` on into the list;
 * returns the sum of all. */
static __device__ __forceinline__ weight_t weigh_row(const candidates &c, float from, int most,
                                                     weight_bins bins, sample_smem *sm) {
    for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) clear_bin(bins, i);
    empty_list(sm);
    for (int first = (int)threadIdx.x; first < c.n; first += AHEAD * (int)blockDim.x) {
        float x[AHEAD];
        load_ahead(x, c.row, first, c.n);
        UNROLL
        for (int j = 0; j < AHEAD; j++) {
            const uint32_t key = key_of(z_of(c, x[j]));
            const weight_t weight = key < c.floor ? 0 : weight_of(c, key);
            if (weight) add_to(bins, (int)(key >> 21), weight); /* -inf, behind the end: 0 */
            if (x[j] >= from) list_one(key, first + j * (int)blockDim.x, most, sm);
        }
    }
    __syncthreads();
    weight_t sum = 0;
    for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) sum += sum_of(bins, i);
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    if ((threadIdx.x & 31) == 0) sm->sums[threadIdx.x >> 5] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < (int)blockDim.x >> 5; w++) sum += sm->sums[w];
    __syncthreads();
    return sum;
}
/* a / b, less than 2^23 (sums hold no more weights), bit by bit: a division would be a call in a loop. */
static __device__ __forceinline__ weight_t quotient(weight_t a, weight_t b) {
    weight_t q = 0;
    ROLLED
    for (weight_t bit = 1 << 22; bit > 0; bit >>= 1)
        if ((q + bit) * b <= a) q += bit;
    return q;
}
/* bins by weigh_row. The list is lost. */
static __device__ __forceinline__ resolved resolve(candidates c, weight_bins bins, weight_t target, int most,
                                                   bool need_id, sample_smem *sm) {
    const weight_bins finer = {sm->counts, sm->high};
    selected r = {0, 0, 0};
    find_digits(bins, target, 0, &r, sm);
    ROLLED
    for (int round = 0;; round++) {
        const int shift = shift_of(round);
        const uint32_t last = r.key | ((1u << shift) - 1u), top = key_of(c.top);
        const weight_t largest = weight_of(c, last < top ? last : top);
        /* at least here / largest begin with these digits */
        if (r.here <= (weight_t)most * largest && list_range(c, r.key, shift, most, sm)) {
            sort_list(c, r.above, sm);
            const int at = find_listed(sm->n_list, target, sm);
            return {sm->through[at], listed_id(sm, at)};
        }
        if (round == ROUNDS - 1) break;
        fill_bins<BY_WEIGHT>(c, r.key, round + 1, finer);
        find_digits(finer, target, round + 1, &r, sm);
    }
    const weight_t one = weight_of(c, r.key), before = quotient(target - r.above, one); /* equals in front */
    resolved out = {r.above + (before + 1) * one, 0};
    if (need_id) {
        const bool short_ids = c.n <= 1 << 21; /* the first digits of their complements are all ones */
        c.floor = r.key;
        out.id = (int)~select<BY_ID>(c, before, {short_ids ? ~0u << 21 : 0u, 0, 0}, short_ids, sm).key;
    }
    return out;
}
/* The draw from a row. counted: sm->counts are of logits, as for shortlist, and these are more than `most`. */
static __device__ __forceinline__ int draw_row(const candidates &c, const sg_draw_settings &s, bool counted,
                                               int most, float u, weight_bins bins, sample_smem *sm) {
    float from = INFINITY;
    if (counted) { /* the bins above that in which `most` is passed */
        if (threadIdx.x < 32)
            find_bin((const uint32_t *)sm->counts, (weight_t)most, &sm->found, (int)threadIdx.x);
        __syncthreads();
        if (sm->found.above > 0) from = value_of((sm->found.key + 1) << 21);
    }
    const weight_t kept = weigh_row(c, from, most, bins, sm);
    /* Sums through the list are sums through the row for keys above this: what is not listed has not more, or,
     * where z is smallest (z_of), the next. */
    const uint32_t complete = key_of(z_of(c, from)) + 2;
    bool have = sm->n_list > 0;
    resolved at = {kept, 0};
    if (have) sort_list(c, 0, sm);
    ROLLED
    for (int step = s.top_p < 1.0f ? 0 : 1; step < 2; step++) { /* how much is kept; the draw */
        const weight_t target = step == 0 ? nucleus(s.top_p, kept) - 1 : part_of(at.through, u);
        if (have) {
            const int n = sm->n_list, i = find_listed(n, target, sm);
            have = i < n && listed_key(sm, i) > complete;
            if (have) at = {sm->through[i], listed_id(sm, i)};
        }
        if (!have) at = resolve(c, bins, target, most, step == 1, sm);
    }
    return at.id;
}

static __device__ __forceinline__ int draw(candidates c, const sg_draw_settings &s, int most, float u,
                                           weight_bins bins, sample_smem *sm) {
    const bool top_k = s.top_k > 0 && s.top_k < c.n, listed = top_k && shortlist(c, s.top_k, most, sm);
    weight_t n = (weight_t)c.n;
    if (top_k && !listed) {
        __syncthreads();
        const selected kth = select<BY_COUNT>(c, (weight_t)(s.top_k - 1), {0, 0, 0}, 0, sm);
        c.floor = kth.key;
        n = kth.above + kth.here;
    }
    if (listed || (n <= (weight_t)most && list_range(c, 0, 32, most, sm)))
        return draw_listed(c, s, listed ? s.top_k : 0, u, sm);
    return draw_row(c, s, !top_k, most, u, bins, sm);
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
    SHARED(uint32_t, low, [BINS]);
    SHARED(uint32_t, high, [BINS]);
    const int i = (int)blockIdx.x;
    const float *x = p.logits + (int64_t)p.row[i] * p.vocab;
    const sg_draw_settings s = p.settings[p.setting[i]];
    float top = -INFINITY;
    if (s.temperature > 0.0f) {
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
        const candidates c = {x, p.vocab, 0, s.temperature, 1.0f / s.temperature, top_z};
        token = draw(c, s, p.list, p.u[i], {low, high}, sm);
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
