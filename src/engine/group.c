#include "engine/group.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

const char *sg_finish_name(enum sg_finish f) {
#define NAME(code, name) name,
    static const char *const names[] = {SG_FINISH_LIST(NAME)};
#undef NAME
    return (unsigned)f < SG_FINISH_COUNT ? names[f] : "?";
}

/* Hashes the strings' lengths and hashes: the block has a fixed size, so no allocation can fail. */
struct sg_stream sg_sample_stream(bool stratified, uint64_t seed, const char *query_id, const char *model_id,
                                  int32_t sample) {
    const size_t nq = strlen(query_id), nm = strlen(model_id);
    const uint64_t block[6] = {
        seed, nq, sg_hash64(query_id, nq), nm, sg_hash64(model_id, nm), (uint64_t)sample};
    const size_t n = stratified ? 3 : 6; /* seed and query, or all */
    return (struct sg_stream){sg_hash64(block, n * sizeof *block), stratified ? sample : -1};
}

float sg_stream_uniform(const struct sg_stream *s, uint32_t position) {
    return s->stratum < 0 ? sg_uniform(s->key, position)
                          : sg_uniform_stratified(s->key, position, (uint32_t)s->stratum);
}

/* Bytes of the block of sg_group_new, parts of 8-byte alignment first; false on overflow. */
static bool block_size(int32_t n_prompt, int32_t n_samples, int32_t max_new, size_t *out) {
    size_t per_sample = sizeof(struct sg_group_sample), all, prompt;
    const size_t words = 2 * (size_t)max_new + (size_t)sg_pages_for(max_new);
    per_sample += words * sizeof(int32_t);
    prompt = ((size_t)n_prompt + (size_t)sg_pages_for(n_prompt)) * sizeof(int32_t);
    return sg_mul_size(per_sample, (size_t)n_samples, &all) && sg_add_size(all, prompt, &all) &&
           sg_add_size(all, sizeof(struct sg_group), out);
}

enum sg_status sg_group_new(uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                            const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                            int32_t max_new, struct sg_group **out, struct sg_err *err) {
    struct sg_group *s = NULL;
    size_t bytes;
    if (!block_size(n_prompt, n_samples, max_new, &bytes))
        return sg_fail(err, SG_E_NOMEM, "group of %d samples overflows the address space", n_samples);
    const enum sg_status st = sg_new((void **)&s, 1, bytes, "group", err);
    if (st != SG_OK) return st;
    s->tag = tag;
    s->n_prompt = n_prompt;
    s->n_samples = n_samples;
    s->samples = (struct sg_group_sample *)(s + 1);
    int32_t *words = (int32_t *)(s->samples + n_samples);
    s->prompt = words;
    words += n_prompt;
    s->prompt_pages = words;
    words += sg_pages_for(n_prompt);
    memcpy(s->prompt, prompt, (size_t)n_prompt * sizeof *prompt);
    for (int32_t i = 0; i < n_samples; i++) {
        struct sg_group_sample *a = &s->samples[i];
        a->stream = streams[i];
        a->setting = settings ? settings[i] : 0;
        a->tokens = words;
        a->p_yes = (float *)(void *)(words + max_new);
        a->pages = words + 2 * (size_t)max_new;
        words += 2 * (size_t)max_new + (size_t)sg_pages_for(max_new);
    }
    *out = s;
    return SG_OK;
}

void sg_group_free(struct sg_group *s) {
    free(s);
}

void sg_group_list_push(struct sg_group_list *l, struct sg_group *s) {
    s->next = NULL;
    s->prev = l->tail;
    *(l->tail ? &l->tail->next : &l->head) = s;
    l->tail = s;
    l->n++;
}

void sg_group_list_push_front(struct sg_group_list *l, struct sg_group *s) {
    s->prev = NULL;
    s->next = l->head;
    *(l->head ? &l->head->prev : &l->tail) = s;
    l->head = s;
    l->n++;
}

void sg_group_list_remove(struct sg_group_list *l, struct sg_group *s) {
    *(s->prev ? &s->prev->next : &l->head) = s->next;
    *(s->next ? &s->next->prev : &l->tail) = s->prev;
    s->prev = s->next = NULL;
    l->n--;
}
