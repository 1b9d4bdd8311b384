/* schedule - who runs in the next step: pure bookkeeping over groups and pages, no device, no clock and no
 * allocation after init, so that a test drives it for millions of steps. What it decides never changes a
 * result, only when it is computed.
 *
 * Order of preference in a step: a row for every live sample, oldest group first; ready samples, as far as
 * rows and pages allow; chunks of prompts that have begun; new groups from the queue. A group enters only
 * when its prompt and the usual length of its answers find free pages beside what the running groups are
 * still expected to take, so that sending groups back stays rare. */
#ifndef SG_ENGINE_SCHEDULE_H
#define SG_ENGINE_SCHEDULE_H

#include "engine/kv_pool.h"
#include "engine/seq.h"

struct sg_chunk { /* prompt tokens [pos0, pos0 + n) of a group */
    struct sg_seq *seq;
    int32_t pos0, n;
};
struct sg_row { /* the last token of a live sample */
    struct sg_seq *seq;
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
    struct sg_kv_pool *pool;           /* borrowed */
    struct sg_seq_list queue, running; /* running: oldest first */
    int32_t n_open;                    /* samples of running groups that are not done */
    int32_t n_live;
    double usual; /* running mean of answer lengths, tokens */
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
void sg_sched_submit(struct sg_sched *s, struct sg_seq *seq);
bool sg_sched_has_room(const struct sg_sched *s, int32_t n_prompt, int32_t n_samples);

/* Fills s->step; false when there is nothing to do. */
bool sg_sched_next(struct sg_sched *s);

/* What the step did, told by whoever ran it: */
void sg_sched_prefilled(struct sg_sched *s, struct sg_seq *seq, int32_t n);
/* A token for a sample (its first, when it waits). The caller judges whether it was the last and then calls
 * finish_sample. */
void sg_sched_token(struct sg_sched *s, struct sg_seq *seq, int32_t sample, int32_t token, float p_yes);
/* True when that was the group's last sample: the group holds no pages any more and belongs to the caller. */
bool sg_sched_finish_sample(struct sg_sched *s, struct sg_seq *seq, int32_t sample, enum sg_finish finish);
/* A running group fails: it gives back its pages and belongs to the caller. */
void sg_sched_drop(struct sg_sched *s, struct sg_seq *seq);

#endif
