/* What a cell costs the thread that drives the device, beside the device's own steps: its prompt's text and
 * tokens, the hooks that see its answers' tokens, its verdicts and estimate, the in-flight note, its record for the
 * writer thread. The engine is a script: all samples write the same answer of TOKENS tokens or a few less.
 *
 *     build/tests/bench_cell [JOB] [TOKENIZER] [CELLS] [SAMPLES] [TOKENS]
 *
 * Defaults: jobs/demo/job.json, its model's tokenizer, 512 cells, 8 samples of 250 tokens. */
#include "base/clock.h"
#include "run/inflight.h"
#include "run/pipeline.h"
#include "run/segment_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
    struct sg_plan plan;
    struct sg_pipeline *pipeline;
    struct sg_engine_hooks hooks;
    struct sg_segment_thread *scribe;
    struct sg_token_ids answer;
    struct sg_sample_out *samples;
    uint64_t tag;
    int32_t n_prompt, pending;
    int64_t prompt_tokens, put_ns;
};

static enum sg_status submit(void *ctx, uint64_t tag, const int32_t *prompt, int32_t n_prompt,
                             const struct sg_stream *streams, const int32_t *settings, int32_t n_samples,
                             struct sg_err *err) {
    struct bench *b = ctx;
    (void)prompt;
    (void)streams;
    (void)settings;
    (void)n_samples;
    (void)err;
    b->tag = tag;
    b->n_prompt = n_prompt;
    b->prompt_tokens += n_prompt;
    b->pending = 1;
    return SG_OK;
}

static enum sg_status step(void *ctx, bool *busy, struct sg_err *err) {
    struct bench *b = ctx;
    const int32_t n = (int32_t)b->plan.job.sampling.samples, len = (int32_t)b->answer.len;
    (void)err;
    *busy = true;
    for (int32_t k = 0; k < len; k++) /* as the engine: a token of every sample a step */
        for (int32_t i = 0; i < n; i++)
            b->hooks.on_token(b->hooks.ctx, b->tag, i, k, b->answer.data[k], 0.5f);
    const struct sg_group_result r = {
        .tag = b->tag, .prompt_tokens = b->n_prompt, .n_samples = n, .samples = b->samples};
    b->pending = 0;
    b->hooks.on_done(b->hooks.ctx, &r);
    return SG_OK;
}

static int32_t pending(void *ctx) {
    return ((struct bench *)ctx)->pending;
}

static enum sg_status done(void *ctx, int64_t cell_index, const struct sg_cell *cell, struct sg_err *err) {
    struct bench *b = ctx;
    const int64_t from = sg_clock_ns();
    const enum sg_status st =
        sg_segment_thread_put(b->scribe, cell_index, b->plan.cell_fingerprint[cell_index], cell, err);
    b->put_ns += sg_clock_ns() - from;
    return st;
}

/* An answer of at most so many tokens, its verdict at the end. */
static enum sg_status script(struct bench *b, const struct sg_tokenizer *tok, int64_t tokens, float **p_yes,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const char verdict[] = "\nPredicted Performance: {len: 212, correct: yes}";
    struct sg_encoder *enc = NULL;
    struct sg_buf text = {0};
    const int64_t n = b->plan.job.sampling.samples;
    SG_TRY(sg_encoder_new(tok, &enc, err));
    SG_TRY(sg_buf_str(&text, "Analysis: the anchors are of the same kind;", err));
    for (;;) {
        struct sg_token_ids ids = {0};
        const size_t at = text.len;
        SG_TRY(sg_buf_str(&text, verdict, err));
        const struct sg_span span = {text.data, text.len, true};
        SG_TRY(sg_tokenizer_encode(tok, enc, &span, 1, &ids, err));
        if ((int64_t)ids.len > tokens && b->answer.len > 0) {
            sg_token_ids_free(&ids);
            break;
        }
        sg_token_ids_free(&b->answer);
        b->answer = ids;
        text.len = at;
        SG_TRY(sg_buf_str(
            &text, " the model solved most of them and wrote about two hundred tokens for each,", err));
    }
    SG_TRY(SG_NEW(p_yes, b->answer.len, "p_yes", err));
    SG_TRY(SG_NEW(&b->samples, n, "samples", err));
    for (int64_t i = 0; i < n; i++)
        b->samples[i] = (struct sg_sample_out){.tokens = b->answer.data,
                                               .p_yes = *p_yes,
                                               .n_tokens = (int32_t)b->answer.len,
                                               .finish = SG_FINISH_VERDICT};
out:
    sg_encoder_free(enc);
    sg_buf_free(&text);
    return st;
}

int main(int argc, char **argv) {
    enum sg_status st = SG_OK;
    struct sg_err e = {0}, *err = &e;
    struct bench b = {0};
    struct sg_job job = {0};
    struct sg_tokenizer *tok = NULL;
    struct sg_inflight *note = NULL;
    float *p_yes = NULL;
    int64_t submit_ns = 0, step_ns = 0, note_ns = 0;
    const char *path = argc > 1 ? argv[1] : "jobs/demo/job.json";
    const char *model = argc > 2 ? argv[2] : "jobs/demo/model";
    int64_t cells = argc > 3 ? atoll(argv[3]) : 512;
    const int64_t tokens = argc > 5 ? atoll(argv[5]) : 250;
    char set[64], dir[] = "/tmp/sg-bench-XXXXXX", command[64];
    const char *const sets[] = {set};
    snprintf(set, sizeof set, "sampling.samples=%s", argc > 4 ? argv[4] : "8");
    const struct sg_plan_inputs in = {.numerics = "bench"};
    if (!mkdtemp(dir)) return 1;
    SG_TRY(sg_job_read(path, sets, 1, &job, err));
    SG_TRY(sg_plan_build(&job, &in, &b.plan, err));
    SG_TRY(sg_tokenizer_open(model, &tok, err));
    const struct sg_segment_thread_options so = {
        .run_dir = dir, .head = {b.plan.fingerprint, 0, "bench", NULL}, .segment_seconds = -1};
    SG_TRY(sg_segment_thread_open(&so, &b.scribe, err));
    const struct sg_pipeline_options po = {.plan = &b.plan, .tok = tok, .sink = {&b, done}};
    SG_TRY(sg_pipeline_new(&po, &b.pipeline, err));
    b.hooks = sg_pipeline_hooks(b.pipeline);
    const struct sg_token_engine engine = {&b, submit, step, pending, 2048};
    sg_pipeline_set_engine(b.pipeline, &engine);
    const struct sg_compute c = sg_pipeline_compute(b.pipeline);
    SG_TRY(script(&b, tok, tokens, &p_yes, err));
    note = sg_inflight_open(dir, 0);
    if (cells > b.plan.n_cells) cells = b.plan.n_cells;
    for (int64_t i = 0; i < cells; i++) {
        const int64_t t0 = sg_clock_ns();
        sg_inflight_begin(note, i);
        const int64_t t1 = sg_clock_ns();
        SG_TRY(c.submit(c.ctx, i, 0, err));
        const int64_t t2 = sg_clock_ns();
        SG_TRY(c.step(c.ctx, err));
        const int64_t t3 = sg_clock_ns();
        sg_inflight_end(note, i);
        note_ns += t1 - t0 + sg_clock_ns() - t3;
        submit_ns += t2 - t1;
        step_ns += t3 - t2;
    }
    SG_TRY(sg_segment_thread_finish(b.scribe, err));
    printf("%lld cells, %.0f prompt tokens and %lld samples of %lld tokens each; us a cell: prompt %.1f, "
           "hooks and verdicts %.1f, record %.1f, note %.1f\n",
           (long long)cells, (double)b.prompt_tokens / (double)cells, (long long)b.plan.job.sampling.samples,
           (long long)b.answer.len, 1e-3 * (double)submit_ns / (double)cells,
           1e-3 * (double)(step_ns - b.put_ns) / (double)cells, 1e-3 * (double)b.put_ns / (double)cells,
           1e-3 * (double)note_ns / (double)cells);
out:
    sg_inflight_close(note);
    sg_pipeline_free(b.pipeline);
    sg_segment_thread_free(b.scribe);
    sg_token_ids_free(&b.answer);
    free(b.samples);
    free(p_yes);
    sg_tokenizer_close(tok);
    sg_plan_free(&b.plan);
    sg_job_free(&job);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (st != SG_OK) fprintf(stderr, "bench_cell: %s\n", e.text);
    return system(command) != 0 || st != SG_OK;
}
