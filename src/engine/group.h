/* group - a prompt and its n samples, with the KV pages they hold. Plain data; schedule.c changes its state.
 * sg_group_new takes all memory as one block. */
#ifndef SG_ENGINE_GROUP_H
#define SG_ENGINE_GROUP_H

#include "base/status.h"
#include "engine/engine.h"
#include <stdbool.h>
#include <stdint.h>

/* A sample WAITS for the prompt's last logits, is READY once its first token is drawn, is LIVE while it has
 * pages of its own and a row in every step, and is DONE when its answer is complete. The device may have
 * drawn a token that the host has not received; the next step then takes that token on the device. */
enum sg_sample_state { SG_SAMPLE_WAITS, SG_SAMPLE_READY, SG_SAMPLE_LIVE, SG_SAMPLE_DONE };

struct sg_group_sample {
    struct sg_stream stream;
    int32_t setting;         /* index into the engine's settings */
    int32_t *tokens, *pages; /* [max_new_tokens], [pages_for(max_new_tokens)] */
    float *p_yes;            /* [max_new_tokens] */
    int32_t n_tokens;        /* received: tokens[0 .. n_tokens) */
    int32_t n_drawn;         /* drawn by launched steps: n_tokens plus those not received yet */
    int32_t draw_at;         /* index of the last draw among the draws of its step */
    int32_t n_pages;
    enum sg_sample_state state;
    enum sg_finish finish;
    bool replay; /* on_token has seen tokens that were taken back: call it again from the first */
};

struct sg_group {
    struct sg_group *prev, *next; /* in a sg_group_list */
    uint64_t tag;
    int32_t n_prompt, n_prefilled, n_samples;
    int32_t n_live, n_done;
    int32_t n_prompt_pages; /* held now: 0 or pages_for(n_prompt) */
    int32_t *prompt;        /* [n_prompt] */
    int32_t *prompt_pages;  /* [pages_for(n_prompt)] */
    struct sg_group_sample *samples;
    enum sg_status status; /* SG_OK, or why the group failed */
    struct sg_err err;
};

/* Copies prompt, streams and settings (NULL: all 0). With max_new = 0 there are no samples (score and embed).
 * Freed by sg_group_free. */
enum sg_status sg_group_new(uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                            const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                            int32_t max_new, struct sg_group **out, struct sg_err *err);
void sg_group_free(struct sg_group *s); /* NULL accepted */

/* Doubly linked list of groups; zeroed is empty. */
struct sg_group_list {
    struct sg_group *head, *tail;
    int32_t n;
};
void sg_group_list_push(struct sg_group_list *l, struct sg_group *s);       /* at the tail */
void sg_group_list_push_front(struct sg_group_list *l, struct sg_group *s); /* at the head */
void sg_group_list_remove(struct sg_group_list *l, struct sg_group *s);

#endif
