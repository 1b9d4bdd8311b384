/* Drawing tokens without a full sort. One pass over the logits leaves the maximum of every SG__CHUNK of
 * them; from then on only chunks that can hold a wanted token are looked at. Candidates become 64-bit keys
 * (logit, then low id first) in a heap and are popped in descending order, as many as the draw needs. */
#include "kernels/cpu/isa.h"

static int32_t chunk_count(int32_t vocab) {
    return (vocab + SG__CHUNK - 1) / SG__CHUNK;
}

/* ---- keys and their heap: plain code, the same for all ------------------------------------------ */

/* Order of floats as unsigned numbers; -0 counts as +0. The lower id makes the larger key. */
static uint64_t make_key(float z, int32_t id) {
    uint32_t bits;
    z += 0.0f;
    memcpy(&bits, &z, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (0xFFFFFFFFu - (uint32_t)id);
}
static float key_z(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float z;
    bits = bits >> 31 ? bits & 0x7FFFFFFFu : ~bits;
    memcpy(&z, &bits, sizeof z);
    return z;
}
static int32_t key_id(uint64_t key) {
    return (int32_t)(0xFFFFFFFFu - (uint32_t)key);
}

static void sift_down(uint64_t *heap, int32_t at, int32_t n) {
    const uint64_t moved = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= moved) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}
static void heap_build(uint64_t *heap, int32_t n) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(heap, i, n);
}
/* The largest of n keys moves to heap[n - 1]; n - 1 stay a heap. Popped keys thus lie in descending order
 * from the end of the array to its front. */
static uint64_t heap_pop(uint64_t *heap, int32_t n) {
    const uint64_t top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    if (n > 2) sift_down(heap, 0, n - 1);
    return top;
}

/* ---- passes over a row of logits ---------------------------------------------------------------- */

/* Maximum of each chunk; false when the row holds a NaN or +inf (maxima are then of no use). */
static bool find_maxima(const float *row, int32_t vocab, float *maxima) {
    struct v16 odd = v16_set1(0); /* NaN once an infinity or a NaN has been added times 0 */
    const struct v16 zero = v16_set1(0);
    for (int32_t c = 0; c < chunk_count(vocab); c++) {
        const int32_t end = (c + 1) * SG__CHUNK < vocab ? (c + 1) * SG__CHUNK : vocab;
        struct v16 top = v16_set1(-INFINITY);
        int32_t j = c * SG__CHUNK;
        for (; j + 16 <= end; j += 16) {
            const struct v16 x = v16_load(row + j);
            top = v16_max(x, top);
            odd = v16_fma(x, zero, odd);
        }
        if (j < end) {
            top = v16_max(v16_load_n(row + j, end - j, -INFINITY), top);
            odd = v16_fma(v16_load_n(row + j, end - j, 0), zero, odd);
        }
        maxima[c] = v16_hmax(top);
    }
    if (v16_sum(odd) == 0) return true;
    for (int32_t j = 0; j < vocab; j++) /* -inf is a token that is ruled out, and fine */
        if (!(row[j] < INFINITY)) return false;
    return true;
}

static float max_of(const float *x, int32_t n) {
    float top = -INFINITY;
    for (int32_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* sum of exp(x / temperature - top), sixteen chains and the tree of v16_sum. */
static float sum_exp(const float *row, int32_t vocab, float temperature, float top) {
    struct v16 sum = v16_set1(0);
    for (int32_t j = 0; j < vocab; j += 16) {
        const struct v16 x = v16_load_n(row + j, vocab - j < 16 ? vocab - j : 16, -INFINITY);
        const struct v16 z = temperature == 1 ? x : v16_div(x, v16_set1(temperature));
        sum = v16_add(sum, v16_exp(v16_sub(z, v16_set1(top))));
    }
    return v16_sum(sum);
}

/* A row and what was found out about it. */
struct row {
    const float *logits, *maxima;
    int32_t vocab;
    float temperature, top; /* top: of logits / temperature */
    uint64_t *heap;         /* [vocab] */
};

/* Keys of all tokens with logit / temperature >= least, in a heap; returns their number. */
static int32_t collect(const struct row *r, float least) {
    int32_t n = 0;
    const struct v16 t = v16_set1(r->temperature), lim = v16_set1(least);
    for (int32_t c = 0; c < chunk_count(r->vocab); c++) {
        if (!(r->maxima[c] / r->temperature >= least)) continue;
        const int32_t begin = c * SG__CHUNK,
                      end = begin + SG__CHUNK < r->vocab ? begin + SG__CHUNK : r->vocab;
        for (int32_t j = begin; j < end; j += 16) {
            const int32_t lanes = end - j < 16 ? end - j : 16;
            const struct v16 z = v16_div(v16_load_n(r->logits + j, lanes, 0), t);
            uint32_t hits = v16_mask_ge(z, lim) & ((1u << lanes) - 1u);
            float f[16];
            v16_store(f, z);
            for (; hits; hits &= hits - 1) {
                const int lane = __builtin_ctz(hits);
                r->heap[n++] = make_key(f[lane], j + lane);
            }
        }
    }
    heap_build(r->heap, n);
    return n;
}

static float weight_of(const struct row *r, uint64_t key) {
    return v16_exp1(key_z(key) - r->top);
}

/* The inverse of the CDF over the first `kept` popped keys (from heap[n - 1] downward), whose weights sum to
 * mass in this order. */
static int32_t invert(const struct row *r, int32_t n, int32_t kept, float mass, float u) {
    const float target = u * mass;
    float cdf = 0;
    int32_t last = 0;
    for (int32_t i = 0; i < kept; i++) {
        const float p = weight_of(r, r->heap[n - 1 - i]);
        cdf += p;
        if (p > 0) last = i;
        if (cdf > target) break;
    }
    return key_id(r->heap[n - 1 - last]);
}

/* top_k keeps z >= the k-th largest, 0 < k < vocab; then top_p. */
static int32_t draw_top_k(const struct row *r, int32_t k, float top_p, float u) {
    /* k chunks have a maximum of at least the k-th largest maximum, so the k-th largest logit has it too */
    const int32_t chunks = chunk_count(r->vocab);
    float least = -INFINITY;
    if (chunks > k) {
        for (int32_t c = 0; c < chunks; c++) r->heap[c] = make_key(r->maxima[c] / r->temperature, c);
        heap_build(r->heap, chunks);
        for (int32_t i = 0; i < k; i++) least = key_z(heap_pop(r->heap, chunks - i));
    }
    const int32_t n = collect(r, least);
    int32_t kept = 0;
    float mass = 0, kth = 0;
    while (kept < n && (kept < k || key_z(r->heap[0]) == kth)) {
        const uint64_t key = heap_pop(r->heap, n - kept++);
        kth = key_z(key);
        mass += weight_of(r, key);
    }
    if (top_p < 1) {
        const float limit = top_p * mass;
        int32_t m = 0;
        for (mass = 0; m < kept && mass < limit; m++) mass += weight_of(r, r->heap[n - 1 - m]);
        kept = m ? m : 1;
    }
    return invert(r, n, kept, mass, u);
}

/* No top_k: the mass of the whole vocabulary comes from one pass; keys are popped only as far as needed. */
static int32_t draw_top_p(const struct row *r, float top_p, float u) {
    static const float depths[] = {4, 16, 87}; /* below top - 87 exp is 0 */
    const float mass = sum_exp(r->logits, r->vocab, r->temperature, r->top);
    const float limit = top_p < 1 ? top_p * mass : u * mass;
    for (int round = 0;; round++) {
        const int32_t n = collect(r, r->top - depths[round]);
        int32_t popped = 0;
        float sum = 0;
        bool reached = false;
        while (popped < n && !reached) {
            sum += weight_of(r, heap_pop(r->heap, n - popped++));
            reached = top_p < 1 ? sum >= limit : sum > limit;
        }
        if (!reached && round < 2) continue; /* deeper: a longer head of the same order */
        if (top_p < 1) return invert(r, n, popped, sum, u);
        return invert(r, n, popped, mass, u);
    }
}

static float p_yes(const float *row, const struct sg_sample_args *a) {
    if (!a->n_yes || !a->n_no) return NAN;
    float top = -INFINITY, yes = 0, no = 0;
    for (int32_t i = 0; i < a->n_yes; i++) top = row[a->yes_ids[i]] > top ? row[a->yes_ids[i]] : top;
    for (int32_t i = 0; i < a->n_no; i++) top = row[a->no_ids[i]] > top ? row[a->no_ids[i]] : top;
    for (int32_t i = 0; i < a->n_yes; i++) yes += v16_exp1(row[a->yes_ids[i]] - top);
    for (int32_t i = 0; i < a->n_no; i++) no += v16_exp1(row[a->no_ids[i]] - top);
    return yes / (yes + no);
}

static float log_softmax(const float *row, int32_t vocab, int32_t id, float top) {
    return (float)((double)row[id] - ((double)top + log((double)sum_exp(row, vocab, 1, top))));
}

static int32_t first_of(const float *row, const float *maxima, float top) {
    int32_t c = 0, j;
    while (maxima[c] != top) c++;
    for (j = c * SG__CHUNK; row[j] != top; j++) {
    }
    return j;
}

/* Task: one draw. */
void SG_ISA_NAME(sample)(void *ctx, int64_t task, int thread) {
    const struct sg__sample_job *j = ctx;
    const struct sg_sample_args *a = j->a;
    const struct sg__thread_scratch *scratch = &j->threads[thread];
    const float *logits = a->logits + (int64_t)a->row[task] * a->vocab;
    const struct sg_draw_settings s = a->settings[a->setting[task]];
    const bool sound = find_maxima(logits, a->vocab, scratch->maxima);
    const float top = sound ? max_of(scratch->maxima, chunk_count(a->vocab)) : INFINITY;
    const float scaled = s.temperature > 0 ? top / s.temperature : top;
    int32_t token = -1;
    if (sound && scaled > -INFINITY && scaled < INFINITY) {
        const struct row r = {logits, scratch->maxima, a->vocab, s.temperature, scaled, scratch->heap};
        const float u = a->u[task];
        if (s.temperature == 0)
            token = first_of(logits, scratch->maxima, top);
        else if (s.top_k > 0 && s.top_k < a->vocab)
            token = draw_top_k(&r, s.top_k, s.top_p, u);
        else
            token = draw_top_p(&r, s.top_p, u);
    }
    a->token[task] = token;
    if (a->p_yes) a->p_yes[task] = token < 0 ? NAN : p_yes(logits, a);
    if (a->logprob) a->logprob[task] = token < 0 ? NAN : log_softmax(logits, a->vocab, token, top);
}

/* Task: one row. */
void SG_ISA_NAME(logprob)(void *ctx, int64_t task, int thread) {
    (void)thread;
    const struct sg__logprob_job *j = ctx;
    const float *row = j->logits + task * j->vocab;
    struct v16 most = v16_set1(-INFINITY);
    for (int32_t i = 0; i < j->vocab; i += 16)
        most = v16_max(v16_load_n(row + i, j->vocab - i < 16 ? j->vocab - i : 16, -INFINITY), most);
    j->out[task] = log_softmax(row, j->vocab, j->target[task], v16_hmax(most));
}
