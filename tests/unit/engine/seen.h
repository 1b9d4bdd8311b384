/* seen - all that can be seen of a small model in an engine, to be compared byte by byte. The test that includes this has
 * defined GROUPS, SAMPLES, MAX_NEW, PROMPT, VOCAB and HIDDEN. */
#ifndef SG_TESTS_SEEN_H
#define SG_TESTS_SEEN_H

#include "engine/engine.h"
#include "unit/model/tiny.h"

struct seen {
    int32_t n[GROUPS][SAMPLES], tokens[GROUPS][SAMPLES][MAX_NEW];
    float p_yes[GROUPS][SAMPLES][MAX_NEW];
    float logits[VOCAB], logprobs[PROMPT], hidden[HIDDEN];
    int64_t bytes; /* the test's own */
};

/* The engine's hook; ctx: the struct seen. */
static void seen_done(void *ctx, const struct sg_group_result *g) {
    struct seen *s = ctx;
    if (g->status != SG_OK) fail_msg("%s", g->err.text);
    for (int32_t k = 0; k < SAMPLES; k++) {
        s->n[g->tag][k] = g->samples[k].n_tokens;
        memcpy(s->tokens[g->tag][k], g->samples[k].tokens, (size_t)g->samples[k].n_tokens * sizeof(int32_t));
        memcpy(s->p_yes[g->tag][k], g->samples[k].p_yes, (size_t)g->samples[k].n_tokens * sizeof(float));
    }
}

/* Samples of random prompts, the first of PROMPT tokens and each next one `shorter` by that many, all of the first with
 * stratified draws or not; then logits and embedding of the last prompt's tokens. */
static void seen_fill(struct seen *s, struct sg_engine *e, int32_t shorter, bool first_stratified) {
    int32_t prompt[PROMPT];
    for (int32_t g = 0; g < GROUPS; g++) {
        struct sg_stream streams[SAMPLES];
        for (int32_t i = 0; i < PROMPT; i++)
            prompt[i] = (int32_t)(sg_random64((uint64_t)g, (uint64_t)i) % VOCAB);
        for (int32_t k = 0; k < SAMPLES; k++)
            streams[k] = sg_sample_stream(g || first_stratified, 3, g ? "a" : "b", "m", k);
        TINY_OK(sg_engine_submit(e, (uint64_t)g, prompt, PROMPT - shorter * g, streams, NULL, SAMPLES, err));
    }
    for (bool busy = true; busy;) TINY_OK(sg_engine_step(e, &busy, err));
    TINY_OK(sg_engine_score(e, prompt, PROMPT, s->logits, s->logprobs, err));
    TINY_OK(sg_engine_embed(e, prompt, PROMPT, s->hidden, err));
}

#endif
