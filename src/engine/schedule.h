/* schedule - chooses the rows of the next step. Pure bookkeeping over groups and pages: no device, no clock
 * and no allocation after init, so that a test can drive it for millions of steps. A choice never changes a
 * result, only when it is computed.
 *
 * The schedule may fill a step before the host has the tokens of the previous one. It therefore counts drawn
 * tokens, and a sample whose last token ended it has one row too many. The schedule sends no group back while
 * draws are in flight: it asks the caller to collect them first.
 *
 * Order within a step: group by group, oldest first, a row for every live sample, then ready samples as far
 * as rows and pages allow; then chunks of running prompts; then new groups from the queue. A group enters
 * only when the free pages cover its prompt, its answers at their usual length, and the expected growth of
 * the running groups, so that groups are rarely sent back. */
#ifndef SG_ENGINE_SCHEDULE_H
#define SG_ENGINE_SCHEDULE_H

#include "engine/kv_pool.h"
#include "engine/group.h"

struct sg_chunk { /* prompt tokens [pos0, pos0 + n) of a group */
    struct sg_group *group;
    int32_t pos0, n;
};
struct sg_row { /* the last token of a live sample, or a draw for a sample */
    struct sg_group *group;
    int32_t sample;
};
struct sg_step {
    int32_t n_rows; /* of all chunks and decode rows */
    int32_t n_chunks, n_decode, n_groups;
    struct sg_chunk *chunks; /* [max_groups] */
    struct sg_row *decode;   /* [max_decode_rows], the rows of one group adjacent */
};

/* Shares a step out to two halves, for two lanes (sg_dev_fork): decode rows by whole groups, so that the rows of a
 * shared prompt stay together, and whole chunks, whose later rows read what the earlier ones write. half[1] has at
 * most half of the decode rows and half of all rows, rounded up, and of those as many as come together; it may be
 * empty. The halves point into the step, whose chunks are put in another order; half[0]'s come first. */
void sg_step_halve(struct sg_step *step, struct sg_step half[2]);

struct sg_sched_limits {
    int32_t max_rows;        /* of a step */
    int32_t max_decode_rows; /* of a step; at most max_rows */
    int32_t max_samples;     /* of a group */
    int32_t max_new_tokens;
};
struct sg_sched {
    struct sg_sched_limits lim;
    struct sg_kv_pool *pool;             /* borrowed */
    struct sg_group_list queue, running; /* running: oldest first */
    int32_t n_open;                      /* samples of running groups that are not done */
    int32_t n_live;
    int32_t n_flying;  /* draws launched and not landed */
    bool must_collect; /* set within sg_sched_next: a sample needs a page and draws are in flight */
    double usual;      /* running mean of answer lengths, tokens */
    int64_t restarts;
    struct sg_step step;
};
/* Most groups that run at once; also the most draws in one step. */
int32_t sg_sched_max_groups(const struct sg_sched_limits *lim);
enum sg_status sg_sched_init(struct sg_sched *s, const struct sg_sched_limits *lim, struct sg_kv_pool *pool,
                             struct sg_err *err);
void sg_sched_free(struct sg_sched *s); /* frees all groups too; zeroed accepted */
int64_t sg_sched_bytes(const struct sg_sched_limits *lim);

/* Pages that a group takes when it runs alone with one sample. It can never run if the pool has fewer. */
int64_t sg_sched_pages_alone(const struct sg_sched *s, int32_t n_prompt);
/* Queues a group that the pool can hold (sg_sched_pages_alone). The schedule owns it until
 * sg_sched_finish_sample returns true or sg_sched_drop. */
void sg_sched_submit(struct sg_sched *s, struct sg_group *group);
bool sg_sched_has_room(const struct sg_sched *s, int32_t n_prompt, int32_t n_samples);

enum sg_go {
    SG_GO_IDLE,   /* nothing to run, or nothing before the draws in flight have landed */
    SG_GO_STEP,   /* the caller runs s->step */
    SG_GO_COLLECT /* no page is free: draws in flight must land before a group is sent back */
};
/* Fills s->step. */
enum sg_go sg_sched_next(struct sg_sched *s);

/* The caller has launched s->step. Its chunks count as prefilled, and each of its n draws (the first token of
 * a waiting sample, the next of a live one) as one more token drawn. */
void sg_sched_launched(struct sg_sched *s, const struct sg_row *draws, int32_t n);
/* The host has received all n draws of the oldest step in flight. */
void sg_sched_landed(struct sg_sched *s, int32_t n);
/* Appends the next drawn token to a sample that is not done. If it was the last one, the caller then calls
 * sg_sched_finish_sample. */
void sg_sched_token(struct sg_sched *s, struct sg_group *group, int32_t sample, int32_t token, float p_yes);
/* True when that was the group's last sample: the group then holds no pages and the caller owns it. */
bool sg_sched_finish_sample(struct sg_sched *s, struct sg_group *group, int32_t sample,
                            enum sg_finish finish);
/* Ends a running group that failed: its pages become free and the caller owns it. */
void sg_sched_drop(struct sg_sched *s, struct sg_group *group);

#endif
