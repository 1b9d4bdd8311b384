#include "engine/schedule.h"
#include "base/minmax.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

/* ---- init and free ---------------------------------------------------------------------------------- */

int32_t sg_sched_max_groups(const struct sg_sched_limits *lim) {
    /* A group enters while the open samples of all groups fit the decode rows, or when no group runs. */
    return sg_max32(lim->max_decode_rows, lim->max_samples);
}

int64_t sg_sched_bytes(const struct sg_sched_limits *lim) {
    return (int64_t)sg_sched_max_groups(lim) * (int64_t)sizeof(struct sg_chunk) +
           (int64_t)lim->max_decode_rows * (int64_t)sizeof(struct sg_row);
}

enum sg_status sg_sched_init(struct sg_sched *s, const struct sg_sched_limits *lim, struct sg_kv_pool *pool,
                             struct sg_err *err) {
    enum sg_status st;
    memset(s, 0, sizeof *s);
    s->lim = *lim;
    s->pool = pool;
    s->usual = sg_min32(lim->max_new_tokens, 256); /* a guess until answers have finished */
    SG_TRY(SG_NEW(&s->step.chunks, sg_sched_max_groups(lim), "prompt chunks", err));
    SG_TRY(SG_NEW(&s->step.decode, lim->max_decode_rows, "decode rows", err));
out:
    if (st != SG_OK) sg_sched_free(s);
    return st;
}

static void free_list(struct sg_group_list *l) {
    while (l->head) {
        struct sg_group *group = l->head;
        sg_group_list_remove(l, group);
        sg_group_free(group);
    }
}

void sg_sched_free(struct sg_sched *s) {
    free_list(&s->queue);
    free_list(&s->running);
    free(s->step.chunks);
    free(s->step.decode);
    memset(s, 0, sizeof *s);
}

/* ---- pages ------------------------------------------------------------------------------------------ */

/* The last token of an answer is never fed back, so it takes no slot. */
static int32_t suffix_pages(int32_t tokens) {
    return sg_pages_for(tokens - 1);
}

int64_t sg_sched_pages_alone(const struct sg_sched *s, int32_t n_prompt) {
    return (int64_t)sg_pages_for(n_prompt) + suffix_pages(s->lim.max_new_tokens);
}

static int32_t usual_pages(const struct sg_sched *s) {
    return sg_max32(1, suffix_pages((int32_t)s->usual + 1));
}

/* Pages that the running groups are still expected to take. */
static int64_t expected_growth(const struct sg_sched *s) {
    const int32_t usual = usual_pages(s);
    int64_t pages = (int64_t)(s->n_open - s->n_live) * usual;
    for (const struct sg_group *group = s->running.head; group; group = group->next)
        for (int32_t i = 0; i < group->n_samples && group->n_live; i++)
            if (group->samples[i].state == SG_SAMPLE_LIVE)
                pages += sg_max32(1, usual - group->samples[i].n_pages);
    return pages;
}

static void release_suffix(struct sg_sched *s, struct sg_group_sample *a) {
    for (int32_t i = 0; i < a->n_pages; i++) sg_kv_pool_put(s->pool, a->pages[i]);
    a->n_pages = 0;
}

static void release_prompt(struct sg_sched *s, struct sg_group *group) {
    for (int32_t i = 0; i < group->n_prompt_pages; i++) sg_kv_pool_put(s->pool, group->prompt_pages[i]);
    group->n_prompt_pages = 0;
}

/* ---- sending back ----------------------------------------------------------------------------------- */

/* Makes a live sample ready again: it keeps its first token and restarts once pages are free. */
static void take_back_sample(struct sg_sched *s, struct sg_group *group, struct sg_group_sample *a) {
    SG_ASSERT(a->n_drawn == a->n_tokens);
    release_suffix(s, a);
    a->n_tokens = a->n_drawn = 1;
    a->state = SG_SAMPLE_READY;
    a->replay = true;
    group->n_live--;
    s->n_live--;
}

/* Moves a group back to the head of the queue; finished samples keep their answers. */
static void send_back(struct sg_sched *s, struct sg_group *group) {
    for (int32_t i = 0; i < group->n_samples; i++) {
        struct sg_group_sample *a = &group->samples[i];
        if (a->state == SG_SAMPLE_DONE) continue;
        SG_ASSERT(a->n_drawn == a->n_tokens);
        release_suffix(s, a);
        a->n_tokens = a->n_drawn = 0;
        a->state = SG_SAMPLE_WAITS;
        a->replay = false; /* the sample draws its first token again, and on_token then sees index 0 */
    }
    release_prompt(s, group);
    s->n_live -= group->n_live;
    s->n_open -= group->n_samples - group->n_done;
    group->n_live = group->n_prefilled = 0;
    sg_group_list_remove(&s->running, group);
    sg_group_list_push_front(&s->queue, group);
    s->restarts++;
}

/* Frees pages for sample i of group: sends back the youngest group or, when that is `group` itself, takes
 * back its last live sample. False when no sample after i is live: i itself then goes back. */
static bool make_room(struct sg_sched *s, struct sg_group *group, int32_t i) {
    struct sg_group *youngest = s->running.tail;
    if (youngest != group) {
        send_back(s, youngest);
        return true;
    }
    for (int32_t k = group->n_samples - 1; k > i; k--)
        if (group->samples[k].state == SG_SAMPLE_LIVE) {
            take_back_sample(s, group, &group->samples[k]);
            return true;
        }
    if (group->samples[i].state == SG_SAMPLE_LIVE) take_back_sample(s, group, &group->samples[i]);
    return false;
}

/* Gives sample i the pages for all its drawn tokens. False when it cannot have a row in this step. */
static bool hold_pages(struct sg_sched *s, struct sg_group *group, int32_t i) {
    struct sg_group_sample *a = &group->samples[i];
    while (a->n_pages < sg_pages_for(a->n_drawn)) {
        const int32_t page = sg_kv_pool_get(s->pool);
        if (page >= 0) {
            a->pages[a->n_pages++] = page;
            continue;
        }
        if (s->n_flying > 0) { /* the sample keeps the pages it has for the next try */
            s->must_collect = true;
            return false;
        }
        if (!make_room(s, group, i)) return false;
    }
    return true;
}

/* Whether a sample has tokens left to draw. */
static bool draws_more(const struct sg_sched *s, const struct sg_group_sample *a) {
    return a->n_drawn < s->lim.max_new_tokens;
}

/* ---- one step --------------------------------------------------------------------------------------- */

static void add_row(struct sg_step *step, struct sg_group *group, int32_t sample) {
    if (!step->n_decode || step->decode[step->n_decode - 1].group != group) step->n_groups++;
    step->decode[step->n_decode++] = (struct sg_row){.group = group, .sample = sample};
    step->n_rows++;
}

/* A ready sample may start when free pages cover its usual length, or when no sample is live. */
static bool may_start(const struct sg_sched *s) {
    if (s->n_live == 0) return true;
    const int64_t waiting = (int64_t)(s->n_open - s->n_live) * usual_pages(s);
    return s->pool->n_free >= expected_growth(s) - waiting + usual_pages(s);
}

static void add_group_rows(struct sg_sched *s, struct sg_group *group) {
    for (int32_t i = 0; i < group->n_samples && s->step.n_decode < s->lim.max_decode_rows; i++) {
        const struct sg_group_sample *a = &group->samples[i];
        if (a->state == SG_SAMPLE_LIVE && draws_more(s, a) && hold_pages(s, group, i))
            add_row(&s->step, group, i);
        if (s->must_collect) return;
    }
    for (int32_t i = 0; i < group->n_samples && s->n_live < s->lim.max_decode_rows; i++) {
        struct sg_group_sample *a = &group->samples[i];
        if (a->state != SG_SAMPLE_READY || !draws_more(s, a) || !may_start(s)) continue;
        if (!hold_pages(s, group, i)) return;
        a->state = SG_SAMPLE_LIVE;
        group->n_live++;
        s->n_live++;
        add_row(&s->step, group, i);
    }
}

static void add_chunk(struct sg_sched *s, struct sg_group *group) {
    struct sg_step *step = &s->step;
    const int32_t n = sg_min32(group->n_prompt - group->n_prefilled, s->lim.max_rows - step->n_rows);
    if (n <= 0) return;
    step->chunks[step->n_chunks++] = (struct sg_chunk){.group = group, .pos0 = group->n_prefilled, .n = n};
    step->n_rows += n;
}

static bool fits(const struct sg_sched *s, int32_t n_prompt, int32_t n_samples) {
    if (s->running.n == 0) return true;
    if (s->n_open + n_samples > s->lim.max_decode_rows) return false;
    const int64_t need = sg_pages_for(n_prompt) + (int64_t)n_samples * usual_pages(s);
    return s->pool->n_free >= expected_growth(s) + need;
}

/* Starts the group at the head of the queue and gives it the pages of its whole prompt. */
static bool admit(struct sg_sched *s) {
    struct sg_group *group = s->queue.head;
    if (!group || !fits(s, group->n_prompt, group->n_samples - group->n_done)) return false;
    const int32_t need = sg_pages_for(group->n_prompt);
    if (need > s->pool->n_free) return false; /* pages are held outside the schedule */
    for (int32_t i = 0; i < need; i++) group->prompt_pages[i] = sg_kv_pool_get(s->pool);
    group->n_prompt_pages = need;
    sg_group_list_remove(&s->queue, group);
    sg_group_list_push(&s->running, group);
    s->n_open += group->n_samples - group->n_done;
    return true;
}

static void clear_step(struct sg_step *step) {
    step->n_rows = step->n_chunks = step->n_decode = step->n_groups = 0;
}

enum sg_go sg_sched_next(struct sg_sched *s) {
    struct sg_step *step = &s->step;
    clear_step(step);
    s->must_collect = false;
    /* make_room removes groups at the tail only, never `group` */
    for (struct sg_group *group = s->running.head; group && !s->must_collect; group = group->next)
        add_group_rows(s, group);
    if (s->must_collect) {
        clear_step(step);
        return SG_GO_COLLECT;
    }
    for (struct sg_group *group = s->running.head; group; group = group->next) add_chunk(s, group);
    while (step->n_rows < s->lim.max_rows && admit(s)) add_chunk(s, s->running.tail);
    return step->n_rows > 0 ? SG_GO_STEP : SG_GO_IDLE;
}

void sg_step_halve(struct sg_step *step, struct sg_step half[2]) {
    int32_t cut = step->n_decode, first = step->n_chunks, groups = 0;
    for (int32_t k = step->n_decode - 1; k > 0 && step->n_decode - k <= (step->n_decode + 1) / 2; k--)
        if (step->decode[k].group != step->decode[k - 1].group) {
            cut = k;
            groups++;
        }
    int32_t rows = step->n_decode - cut;
    for (int32_t k = step->n_chunks - 1; k >= 0; k--) {
        const struct sg_chunk c = step->chunks[k];
        if (rows + c.n > (step->n_rows + 1) / 2) continue;
        rows += c.n;
        step->chunks[k] = step->chunks[--first];
        step->chunks[first] = c;
    }
    half[0] = (struct sg_step){.n_rows = step->n_rows - rows,
                               .n_chunks = first,
                               .n_decode = cut,
                               .n_groups = step->n_groups - groups,
                               .chunks = step->chunks,
                               .decode = step->decode};
    half[1] = (struct sg_step){.n_rows = rows,
                               .n_chunks = step->n_chunks - first,
                               .n_decode = step->n_decode - cut,
                               .n_groups = groups,
                               .chunks = step->chunks + first,
                               .decode = step->decode + cut};
}

void sg_sched_submit(struct sg_sched *s, struct sg_group *group) {
    sg_group_list_push(&s->queue, group);
}

bool sg_sched_has_room(const struct sg_sched *s, int32_t n_prompt, int32_t n_samples) {
    return s->queue.n == 0 && fits(s, n_prompt, n_samples);
}

/* ---- outcome of a step ------------------------------------------------------------------------------ */

void sg_sched_launched(struct sg_sched *s, const struct sg_row *draws, int32_t n) {
    for (int32_t k = 0; k < s->step.n_chunks; k++) {
        struct sg_group *group = s->step.chunks[k].group;
        group->n_prefilled += s->step.chunks[k].n;
        SG_ASSERT(group->n_prefilled <= group->n_prompt);
    }
    for (int32_t k = 0; k < n; k++) {
        struct sg_group_sample *a = &draws[k].group->samples[draws[k].sample];
        SG_ASSERT(a->state == SG_SAMPLE_LIVE || a->state == SG_SAMPLE_WAITS);
        SG_ASSERT(draws_more(s, a));
        if (a->state == SG_SAMPLE_WAITS) a->state = SG_SAMPLE_READY;
        a->n_drawn++;
        a->draw_at = k;
    }
    s->n_flying += n;
}

void sg_sched_landed(struct sg_sched *s, int32_t n) {
    SG_ASSERT(n <= s->n_flying);
    s->n_flying -= n;
}

void sg_sched_token(struct sg_sched *s, struct sg_group *group, int32_t sample, int32_t token, float p_yes) {
    struct sg_group_sample *a = &group->samples[sample];
    SG_ASSERT(a->state != SG_SAMPLE_DONE && a->n_tokens < a->n_drawn);
    (void)s;
    a->tokens[a->n_tokens] = token;
    a->p_yes[a->n_tokens] = p_yes;
    a->n_tokens++;
}

/* Frees the sample's pages although a row in flight may still write to them. That is safe: the next owner
 * uses them in a step launched later, and a device runs its steps in order. */
bool sg_sched_finish_sample(struct sg_sched *s, struct sg_group *group, int32_t sample,
                            enum sg_finish finish) {
    struct sg_group_sample *a = &group->samples[sample];
    SG_ASSERT(a->state != SG_SAMPLE_DONE);
    release_suffix(s, a);
    if (a->state == SG_SAMPLE_LIVE) {
        group->n_live--;
        s->n_live--;
    }
    a->state = SG_SAMPLE_DONE;
    a->finish = finish;
    group->n_done++;
    s->n_open--;
    s->usual += (a->n_tokens - s->usual) / 64;
    if (group->n_done < group->n_samples) return false;
    release_prompt(s, group);
    sg_group_list_remove(&s->running, group);
    return true;
}

void sg_sched_drop(struct sg_sched *s, struct sg_group *group) {
    for (int32_t i = 0; i < group->n_samples; i++) release_suffix(s, &group->samples[i]);
    release_prompt(s, group);
    s->n_live -= group->n_live;
    s->n_open -= group->n_samples - group->n_done;
    group->n_live = 0;
    sg_group_list_remove(&s->running, group);
}
