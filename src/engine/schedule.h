/* schedule - who runs in the next step: pure bookkeeping over groups and pages, no device, no clock and no
 * allocation after init, so that a test drives it for millions of steps. What it decides never changes a
 * result, only when it is computed.
 *
 * A step is scheduled while the tokens of the one before may still be unknown: what a sample has drawn is
 * what counts, and a sample whose last token turns out to have ended it has had one row too many. Nobody is
 * sent back while draws are unknown: the schedule asks for them first.
 *
 * Order of preference in a step: a row for every live sample, oldest group first; ready samples, as far as
 * rows and pages allow; chunks of prompts that have begun; new groups from the queue. A group enters only
 * when its prompt and the usual length of its answers find free pages beside what the running groups are
 * still expected to take, so that sending groups back stays rare. */
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
    struct sg_row *decode;   /* [max_decode_rows], the rows of one group beside each other */
};

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
    int32_t n_flying;  /* draws that were launched and have not landed */
    bool must_collect; /* of this call of next */
    double usual;      /* running mean of answer lengths, tokens */
    int64_t restarts;
    struct sg_step step;
};
/* Groups that run at once, and draws in one step, at most. */
int32_t sg_sched_max_groups(const struct sg_sched_limits *lim);
enum sg_status sg_sched_init(struct sg_sched *s, const struct sg_sched_limits *lim, struct sg_kv_pool *pool,
                             struct sg_err *err);
void sg_sched_free(struct sg_sched *s); /* frees all groups too; zeroed accepted */
int64_t sg_sched_bytes(const struct sg_sched_limits *lim);

/* Pages a group of this size takes when it runs alone with one sample: more than the pool has means never. */
int64_t sg_sched_pages_alone(const struct sg_sched *s, int32_t n_prompt);
/* Queues a group that sg_sched_pages_alone lets in; the schedule owns it until finish or drop. */
void sg_sched_submit(struct sg_sched *s, struct sg_group *group);
bool sg_sched_has_room(const struct sg_sched *s, int32_t n_prompt, int32_t n_samples);

enum sg_go {
    SG_GO_IDLE,   /* nothing can be done, before the draws in flight have landed if there are any */
    SG_GO_STEP,   /* s->step is to be run */
    SG_GO_COLLECT /* the pool is dry: the draws in flight must land before anybody is sent back */
};
/* Fills s->step. */
enum sg_go sg_sched_next(struct sg_sched *s);

/* What became of the step, told by whoever ran it. First, that it is on its way: its chunks are prefilled,
 * each of its n draws (the first token of a waiting sample, the next of a live one) is one more token drawn.
 */
void sg_sched_launched(struct sg_sched *s, const struct sg_row *draws, int32_t n);
/* All n draws of a step, the oldest not landed, are known. */
void sg_sched_landed(struct sg_sched *s, int32_t n);
/* The next drawn token of a sample that is not done. The caller judges whether it was the last and then calls
 * finish_sample. */
void sg_sched_token(struct sg_sched *s, struct sg_group *group, int32_t sample, int32_t token, float p_yes);
/* True when that was the group's last sample: the group holds no pages any more and belongs to the caller. */
bool sg_sched_finish_sample(struct sg_sched *s, struct sg_group *group, int32_t sample,
                            enum sg_finish finish);
/* A running group fails: it gives back its pages and belongs to the caller. */
void sg_sched_drop(struct sg_sched *s, struct sg_group *group);

#endif
