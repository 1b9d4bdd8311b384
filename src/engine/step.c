/* step - launches the steps of the engine and judges each one once its tokens have arrived.
 *
 * With steps ahead, the engine schedules and launches a step while the previous one is still running, and
 * then waits for the tokens of the previous one. The device always has its next step queued as long as the
 * host needs less time for a step than the device. A row whose token the host has not received takes it on
 * the device from the draws of the previous step (sg_op_feed_tokens). A sample that turns out to have ended
 * (EOS, verdict, NaN) has one row in flight, whose draw the engine discards. Results are the same bits,
 * because a row depends on its own inputs alone. */
#include "engine/internal.h"

#include "base/clock.h"

/* Reports ended groups through on_done. A callback may submit; groups that fail there are reported too. */
static void report(struct sg_engine *e) {
    while (e->ended.head) {
        struct sg_group *s = e->ended.head;
        sg_group_list_remove(&e->ended, s);
        for (int32_t i = 0; i < s->n_samples; i++) {
            const struct sg_group_sample *a = &s->samples[i];
            e->results[i] = (struct sg_sample_out){
                .tokens = a->tokens, .p_yes = a->p_yes, .n_tokens = a->n_tokens, .finish = a->finish};
        }
        const struct sg_group_result r = {.tag = s->tag,
                                          .prompt_tokens = s->n_prompt,
                                          .n_samples = s->n_samples,
                                          .samples = s->status == SG_OK ? e->results : NULL,
                                          .status = s->status,
                                          .err = s->err};
        if (e->hooks.on_done) e->hooks.on_done(e->hooks.ctx, &r);
        sg_group_free(s);
    }
}

/* ---- launch ------------------------------------------------------------------------------------------ */

/* Computes the logits of a batch's output rows a slice at a time, and draws from each slice. The batch's draws are
 * the step's from number `at` on. */
static enum sg_status draw(struct sg_engine *e, const struct sg_batcher *b, const void *hidden, int32_t at,
                           struct sg_err *err) {
    const int32_t n_out = b->batch.n_out, slice = e->size.logit_rows;
    enum sg_status st = SG_OK;
    for (int32_t first = 0, k = 0; first < n_out; first += slice, k++) {
        const int32_t rows = n_out - first < slice ? n_out - first : slice, d = b->slice_begin[k];
        SG_TRY(sg_model_logits(e->model, hidden, first, rows, e->logits, err));
        const struct sg_sample_args a = {.logits = e->logits,
                                         .n_rows = rows,
                                         .vocab = e->config->vocab,
                                         .n = b->slice_begin[k + 1] - d,
                                         .row = b->draw_row + d,
                                         .u = b->draw_u + d,
                                         .setting = b->draw_setting + d,
                                         .settings = e->d_settings,
                                         .host_settings = e->settings,
                                         .n_settings = e->n_settings,
                                         .yes_ids = e->d_yes,
                                         .no_ids = e->d_no,
                                         .n_yes = e->n_yes,
                                         .n_no = e->n_no,
                                         .token = e->d_token + at + d,
                                         .p_yes = e->d_p_yes + at + d};
        SG_TRY(sg_op_sample(e->dev, &a, err));
    }
out:
    return st;
}

/* Feeds the batch of a lane and runs the model on it. feeds: also where no row takes a token of the previous step. */
static enum sg_status forward(struct sg_engine *e, int lane, bool feeds, const void **hidden,
                              struct sg_err *err) {
    const struct sg_batcher *b = &e->batcher[lane];
    enum sg_status st;
    if (b->feeds || feeds)
        SG_TRY(sg_op_feed_tokens(e->dev, e->d_token, b->lim.max_draws, b->from, b->batch.n, b->fed, err));
    SG_TRY(sg_model_forward(e->model, e->kv, &e->ws[lane], &b->batch, hidden, err));
out:
    return st;
}

/* Calls the operators of the first batcher's step, from sg_op_feed_tokens to the draws. */
static enum sg_status run_operators(struct sg_engine *e, bool padded, struct sg_err *err) {
    const void *hidden;
    enum sg_status st;
    /* padded: a replay of this recording may have rows to feed */
    SG_TRY(forward(e, 0, padded, &hidden, err));
    SG_TRY(draw(e, &e->batcher[0], hidden, 0, err));
out:
    return st;
}

/* The same of two batches, side by side up to their hidden states. The draws wait for both: they write what both
 * are fed from, and one array of logits (300 MB) serves for both. */
static enum sg_status run_halves(struct sg_engine *e, struct sg_err *err) {
    const void *hidden[SG_DEV_LANES];
    enum sg_status st = sg_dev_fork(e->dev, err);
    if (st != SG_OK) return st;
    for (int i = 0; st == SG_OK && i < SG_DEV_LANES; i++) {
        st = sg_dev_lane(e->dev, i, err);
        if (st == SG_OK) st = forward(e, i, false, &hidden[i], err);
    }
    const enum sg_status joined = sg_dev_join(e->dev, st == SG_OK ? err : NULL);
    if (st == SG_OK) st = joined;
    for (int32_t i = 0, at = 0; st == SG_OK && i < SG_DEV_LANES; at += e->batcher[i++].n_draws)
        st = draw(e, &e->batcher[i], hidden[i], at, err);
    return st;
}

/* Records the step. After a failed recording the engine runs all steps operator by operator: slower, with the
 * same results. If the device itself has failed, running the step reports it. */
static enum sg_status take_record(struct sg_engine *e, struct sg_graph *r, struct sg_err *err) {
    struct sg_err why = {0};
    enum sg_status st = sg_dev_record_begin(e->dev, &why);
    if (st == SG_OK) {
        st = run_operators(e, true, &why);
        const enum sg_status end =
            sg_dev_record_end(e->dev, st == SG_OK ? &r->run : NULL, st == SG_OK ? &why : NULL);
        if (st == SG_OK) st = end;
    }
    if (st == SG_E_INTERNAL) return sg_fail(err, st, "%s", why.text);
    if (st == SG_OK) {
        e->stats.records++;
    } else {
        e->stats.record_errors++;
        e->no_records = true;
    }
    return SG_OK;
}

/* Runs a step of a bucket. The first step runs operator by operator, so that every operator has run once with
 * these shapes. The second is recorded; it and all later ones are replays. */
static enum sg_status run_bucket(struct sg_engine *e, const struct sg_bucket *bucket, struct sg_err *err) {
    bool fresh = true;
    struct sg_graph *r = NULL;
    enum sg_status st = SG_OK;
    if (e->size.record && !e->no_records) r = sg_graph_cache_find(&e->records, e->dev, bucket, &fresh);
    if (r && !fresh && !r->run) st = take_record(e, r, err);
    if (st != SG_OK) return st;
    if (!r || !r->run) return run_operators(e, true, err);
    const struct sg_groups *g = &e->batcher[0].batch.groups;
    const struct sg_decode_args now = {.q_heads = e->config->q_heads,
                                       .kv_heads = e->config->kv_heads,
                                       .head_dim = e->config->head_dim,
                                       .n_groups = g->n_groups,
                                       .n_rows = g->n_rows,
                                       .host_row_begin = g->host_row_begin,
                                       .host_prompt_len = g->host_prompt_len,
                                       .host_suffix_len = g->host_suffix_len};
    e->stats.replays++;
    return sg_dev_replay(e->dev, r->run, &now, err);
}

/* Lays out the schedule's step in one batch or, true in *halves, in two. */
static enum sg_status lay_out(struct sg_engine *e, struct sg_row *draws, bool *halves, int32_t *n_draws,
                              struct sg_err *err) {
    struct sg_step *step = &e->sched.step, half[SG_DEV_LANES];
    enum sg_status st = SG_OK;
    *halves = false;
    if (e->size.overlap_rows && step->n_rows >= e->size.overlap_rows) {
        sg_step_halve(step, half);
        *halves = half[1].n_rows > 0 && half[1].n_rows >= e->size.overlap_rows / 4;
    }
    *n_draws = 0;
    for (int i = 0; *halves && i < SG_DEV_LANES; i++) {
        SG_TRY(sg_batcher_build(&e->batcher[i], &half[i], NULL, draws + *n_draws, err));
        *n_draws += e->batcher[i].n_draws;
    }
out:
    return st;
}

/* Launches the schedule's step and queues the fetch of its draws. */
static enum sg_status launch(struct sg_engine *e, struct sg__inflight_step *f, struct sg_err *err) {
    const struct sg_step *step = &e->sched.step;
    struct sg_batcher *b = &e->batcher[0];
    struct sg_bucket bucket;
    bool halves, padded = false;
    enum sg_status st;
    SG_TRY(lay_out(e, f->draws, &halves, &f->n_draws, err));
    if (!halves) {
        padded = e->size.pad && sg_bucket_of(step, &b->lim, &bucket);
        SG_TRY(sg_batcher_build(b, step, padded ? &bucket : NULL, f->draws, err));
        f->n_draws = b->n_draws;
    }
    f->launched = sg_clock_ns();
    f->n_decode = step->n_decode;
    f->n_prefill = step->n_rows - step->n_decode;
    SG_TRY(halves ? run_halves(e, err) : padded ? run_bucket(e, &bucket, err) : run_operators(e, false, err));
    if (padded) e->stats.padded_rows += bucket.rows - step->n_decode;
    e->stats.halved += halves;
    /* a step without draws fetches one word, so that collect can wait for the step */
    const size_t words = f->n_draws ? (size_t)(b->lim.max_draws + f->n_draws) : 1;
    SG_TRY(sg_dev_fetch(e->dev, f->slot, f->landing, e->d_token, words * sizeof *e->d_token, err));
    sg_sched_launched(&e->sched, f->draws, f->n_draws);
    f->up = true;
    e->stats.launch_ns += sg_clock_ns() - f->launched;
out:
    return st;
}

/* ---- collect ----------------------------------------------------------------------------------------- */

static bool is_eos(const struct sg_engine *e, int32_t token) {
    for (int32_t i = 0; i < e->config->n_eos; i++)
        if (e->config->eos[i] == token) return true;
    return false;
}

/* Passes a token to on_token; true when the hook says that the sample is complete. */
static bool tell(struct sg_engine *e, const struct sg_group *group, int32_t sample, int32_t index) {
    const struct sg_group_sample *a = &group->samples[sample];
    return e->hooks.on_token &&
           e->hooks.on_token(e->hooks.ctx, group->tag, sample, index, a->tokens[index], a->p_yes[index]);
}

static enum sg_finish judge(struct sg_engine *e, const struct sg_group *group, int32_t sample) {
    const struct sg_group_sample *a = &group->samples[sample];
    const bool stop = tell(e, group, sample, a->n_tokens - 1);
    if (!e->sampling.ignore_eos && is_eos(e, a->tokens[a->n_tokens - 1])) return SG_FINISH_EOS;
    if (stop) return SG_FINISH_VERDICT;
    return a->n_tokens == e->sampling.max_new_tokens ? SG_FINISH_LENGTH : SG_FINISH_NONE;
}

static void fail_group(struct sg_engine *e, struct sg_group *group, int32_t place) {
    sg_sched_drop(&e->sched, group);
    group->status =
        sg_fail(&group->err, SG_E_INPUT,
                "%s: the logits after %d tokens are not finite: the checkpoint holds NaN or infinite "
                "weights, or weights that overflow",
                sg_model_dir(e->model), group->n_prompt + place);
    sg_group_list_push(&e->ended, group);
}

static void count_step(struct sg_engine *e, const struct sg__inflight_step *f) {
    struct sg_engine_stats *s = &e->stats;
    const int64_t now = sg_clock_ns(), since = f->launched > e->collected ? f->launched : e->collected;
    s->steps++;
    s->prefill_tokens += f->n_prefill;
    *(!f->n_decode ? &s->prefill_ns : !f->n_prefill ? &s->decode_ns : &s->mixed_ns) += now - since;
    e->collected = now;
}

/* Clears the group of every draw in flight whose group has ended: report frees the group before they land. */
static void forget_ended(struct sg_engine *e) {
    for (int i = 0; i < 2; i++) {
        struct sg__inflight_step *f = &e->inflight[i];
        for (int32_t k = 0; f->up && k < f->n_draws; k++) {
            const struct sg_group *group = f->draws[k].group;
            if (group && (group->status != SG_OK || group->n_done == group->n_samples))
                f->draws[k].group = NULL;
        }
    }
}

/* Judges one draw; true when it is discarded because its sample or group has ended. */
static bool take_draw(struct sg_engine *e, const struct sg_row *d, int32_t token, float p_yes) {
    struct sg_group *group = d->group;
    if (!group || group->status != SG_OK || group->samples[d->sample].state == SG_SAMPLE_DONE) return true;
    struct sg_group_sample *a = &group->samples[d->sample];
    if (token < 0) {
        fail_group(e, group, a->n_tokens);
        return false;
    }
    if (a->replay) {
        a->replay = false;
        (void)tell(e, group, d->sample, 0);
    }
    sg_sched_token(&e->sched, group, d->sample, token, p_yes);
    const enum sg_finish finish = judge(e, group, d->sample);
    if (finish == SG_FINISH_NONE) return false;
    e->stats.decode_tokens += a->n_tokens;
    if (sg_sched_finish_sample(&e->sched, group, d->sample, finish)) sg_group_list_push(&e->ended, group);
    return false;
}

/* Waits for a step and judges its draws. It adds groups that end to `ended` and does not free them: later
 * draws of the same step still point to them. */
static enum sg_status collect(struct sg_engine *e, struct sg__inflight_step *f, struct sg_err *err) {
    const int64_t t0 = sg_clock_ns();
    const enum sg_status st = sg_dev_fetch_wait(e->dev, f->slot, err);
    if (st != SG_OK) return st;
    e->stats.wait_ns += sg_clock_ns() - t0;
    count_step(e, f);
    f->up = false;
    sg_sched_landed(&e->sched, f->n_draws);
    const int32_t *token = f->landing;
    const float *p_yes = (const float *)f->landing + e->batcher[0].lim.max_draws;
    for (int32_t k = 0; k < f->n_draws; k++)
        e->stats.wasted_rows += take_draw(e, &f->draws[k], token[k], p_yes[k]);
    if (e->ended.n) forget_ended(e);
    return SG_OK;
}

enum sg_status sg__engine_settle(struct sg_engine *e, struct sg_err *err) {
    struct sg__inflight_step *f = &e->inflight[e->newest]; /* the other has landed: at most one is ahead */
    return f->up ? collect(e, f, err) : SG_OK;
}

/* ---- step -------------------------------------------------------------------------------------------- */

enum sg_status sg_engine_step(struct sg_engine *e, bool *busy, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t t0 = sg_clock_ns(), apart = e->stats.launch_ns + e->stats.wait_ns;
    report(e); /* groups that failed at submit */
    enum sg_go go = sg_sched_next(&e->sched);
    if (go != SG_GO_STEP && e->inflight[e->newest].up) {
        SG_TRY(sg__engine_settle(e, err));
        report(e);
        go = sg_sched_next(&e->sched);
    }
    if (go == SG_GO_STEP) {
        struct sg__inflight_step *last = &e->inflight[e->newest];
        SG_TRY(launch(e, &e->inflight[e->newest ^= 1], err));
        if (last->up) SG_TRY(collect(e, last, err));
        if (!e->size.ahead) SG_TRY(sg__engine_settle(e, err));
        report(e);
    }
    e->stats.host_ns += sg_clock_ns() - t0 - (e->stats.launch_ns + e->stats.wait_ns - apart);
    *busy = sg_engine_pending(e) > 0;
out:
    return st;
}
