#include "cmd/cmd_session.h"
#include "base/clock.h"

#include "base/digest.h"
#include "base/rng.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum sg_status sg_cmd_bench(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid bench --model DIR [options]\n"
    "scope-grid bench --random SHAPE [options]\n"
    "\n"
    "Runs cells of random prompts with EOS ignored, after one prompt that is not measured. Prints prefill\n"
    "and decode tokens/s, output tokens/s overall, peak memory, the time of each operator against the\n"
    "machine's own limits (measured first, about a second), and a hash of the tokens: equal hashes mean\n"
    "equal results, whatever the threads and batches.\n"
    "With --json also a hash of each cell's tokens: a cell has the same, however many others run beside it.";

struct state {
    struct sg_session session; /* its seed is that of prompts and draws too */
    const char *random;        /* shape; NULL: a checkpoint */
    struct sg_config shape;
    int64_t cells, samples, prompt_tokens, new_tokens;
    bool json;
    struct sg_digest *digests; /* [cells], by cell: the order in which cells end is not part of the hash */
    int64_t drawn, failed;
    struct sg_err err;
};

/* The measurements of a run. */
struct report {
    double load_s, wall_s, cpu_s;
    double prefill_s, decode_s, mixed_s; /* steps of prompts alone, of answers alone, of both */
    int64_t decode_tokens;               /* drawn in steps of answers alone */
    double flops_limit, bytes_limit;     /* of the machine, a second */
    int64_t peak_rss;
    int64_t memory_free; /* of the device with the model loaded, before cache and workspace; 0: unknown */
    double joules;       /* of the device during the run; NaN: not known */
    char hash[SG_DIGEST_HEX];
    struct sg_engine_stats engine;
    struct sg_engine_memory memory;
    struct sg_stage_stats stage[SG_STAGE_COUNT];
};

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool on_token(void *ctx, uint64_t tag, int32_t sample, int32_t i, int32_t token, float p_yes) {
    (void)tag, (void)sample, (void)i, (void)token, (void)p_yes;
    ((struct state *)ctx)->drawn++;
    return false;
}

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct state *s = ctx;
    if (r->status != SG_OK) {
        s->failed++;
        s->err = r->err;
        return;
    }
    struct sg_digest part[2] = {{0, 0}, {0, 0}};
    for (int32_t k = 0; k < r->n_samples; k++) {
        part[1] = sg_digest_bytes(r->samples[k].tokens, (size_t)r->samples[k].n_tokens * sizeof(int32_t));
        part[0] = sg_digest_bytes(part, sizeof part);
    }
    s->digests[r->tag] = part[0];
}

/* out [s->prompt_tokens] */
static void make_prompt(const struct state *s, int64_t cell, int32_t *out) {
    const uint64_t vocab = (uint64_t)sg_model_config(s->session.model)->vocab;
    for (int64_t i = 0; i < s->prompt_tokens; i++)
        out[i] =
            (int32_t)(sg_random64((uint64_t)s->session.seed + 1, (uint64_t)(cell * s->prompt_tokens + i)) %
                      vocab);
}

/* One prompt before the clock starts: threads and clocks are awake. The memory, the whole KV cache with it, was written when
 * it was taken (session.touch). What the system takes to clear fresh pages is paid once by a process, not by each prompt. Other
 * programs are measured in their second run of the same work (tests/bench/w1_peer.py). */
static enum sg_status warm_up(struct state *s, struct sg_err *err) {
    int32_t *prompt = NULL;
    enum sg_status st;
    SG_TRY(SG_NEW(&prompt, s->prompt_tokens, "prompt", err));
    make_prompt(s, 0, prompt);
    SG_TRY(sg_engine_score(s->session.engine, prompt, (int32_t)s->prompt_tokens, NULL, NULL, err));
out:
    free(prompt);
    return st;
}

/* Submits all cells at once; the engine schedules them. */
static enum sg_status submit_all(struct state *s, struct sg_err *err) {
    enum sg_status st;
    int32_t *prompt = NULL;
    struct sg_stream *streams = NULL;
    SG_TRY(SG_NEW(&prompt, s->prompt_tokens, "prompt", err));
    SG_TRY(SG_NEW(&streams, s->samples, "sample streams", err));
    for (int64_t c = 0; c < s->cells; c++) {
        char name[32];
        snprintf(name, sizeof name, "bench %" PRId64, c);
        make_prompt(s, c, prompt);
        for (int64_t k = 0; k < s->samples; k++)
            streams[k] = sg_sample_stream(true, (uint64_t)s->session.seed, name, "", (int32_t)k);
        SG_TRY(sg_engine_submit(s->session.engine, (uint64_t)c, prompt, (int32_t)s->prompt_tokens, streams,
                                NULL, (int32_t)s->samples, err));
    }
out:
    free(prompt);
    free(streams);
    return st;
}

static enum sg_status run(struct state *s, struct report *r, struct sg_err *err) {
    enum sg_status st;
    struct sg_engine_stats before = {0}, after;
    bool busy = true;
    sg_dev_stats_reset(s->session.dev);
    struct sg_dev_power begin, end;
    sg_dev_power(s->session.dev, &begin);
    const int64_t began = sg_clock_ns();
    const double cpu = cpu_seconds();
    SG_TRY(submit_all(s, err));
    while (busy) {
        const int64_t drawn = s->drawn;
        SG_TRY(sg_engine_step(s->session.engine, &busy, err));
        sg_engine_stats(s->session.engine, &after);
        if (after.decode_ns > before.decode_ns) r->decode_tokens += s->drawn - drawn;
        before = after;
    }
    r->wall_s = sg_clock_since(began);
    r->cpu_s = cpu_seconds() - cpu;
    sg_dev_power(s->session.dev, &end);
    r->joules = end.joules - begin.joules;
    if (s->failed)
        st = sg_fail(err, s->err.status, "%" PRId64 " of %" PRId64 " cells failed: %s", s->failed, s->cells,
                     s->err.text);
    sg_engine_stats(s->session.engine, &r->engine);
    sg_dev_stats(s->session.dev, r->stage);
    r->prefill_s = 1e-9 * (double)r->engine.prefill_ns;
    r->decode_s = 1e-9 * (double)r->engine.decode_ns;
    r->mixed_s = 1e-9 * (double)r->engine.mixed_ns;
    sg_digest_hex(sg_digest_bytes(s->digests, (size_t)s->cells * sizeof *s->digests), r->hash);
out:
    return st;
}

/* ---- output ------------------------------------------------------------------------------------------ */

static double rate(double amount, double s) {
    return s > 0 ? amount / s : 0;
}

static double percent(double amount, double s, double limit) {
    return limit > 0 ? 100 * rate(amount, s) / limit : 0;
}

struct rates {
    double prefill, decode, output, flops, bytes;
    double joules; /* per 1,000 output tokens; NaN: not known */
};

static struct rates rates_of(const struct state *s, const struct report *r) {
    struct rates x = {.prefill = rate((double)r->engine.prefill_tokens, r->prefill_s + r->mixed_s),
                      .decode = rate((double)r->decode_tokens, r->decode_s),
                      .output = rate((double)(s->cells * s->samples * s->new_tokens), r->wall_s),
                      .joules = r->joules * 1e3 / (double)(s->cells * s->samples * s->new_tokens)};
    for (int i = 0; i < SG_STAGE_COUNT; i++) {
        x.flops += r->stage[i].flops;
        x.bytes += r->stage[i].bytes;
    }
    return x;
}

/* Microseconds. */
static double per_step(const struct sg_engine_stats *e, int64_t ns) {
    return rate(1e-3 * (double)ns, (double)e->steps);
}

static void print_text(const struct state *s, const struct report *r) {
    const struct rates x = rates_of(s, r);
    const double mib = 1.0 / (1 << 20);
    printf("%s%s on %s, %d threads\n", s->session.dir, s->random ? ", random weights" : "",
           sg_dev_info(s->session.dev)->name, sg_dev_info(s->session.dev)->threads);
    printf("%" PRId64 " cells x %" PRId64 " samples, %" PRId64 " prompt and %" PRId64
           " new tokens each; steps of up to %" PRId64 " tokens\n\n",
           s->cells, s->samples, s->prompt_tokens, s->new_tokens, s->session.max_batch_tokens);
    printf("wall            %10.2f s   (cpu %.2f s, loading %.2f s)\n", r->wall_s, r->cpu_s, r->load_s);
    printf("prefill         %10.1f tokens/s (steps with prompts: %.2f s)\n", x.prefill,
           r->prefill_s + r->mixed_s);
    printf("decode          %10.1f tokens/s (steps of answers alone: %.2f s)\n", x.decode, r->decode_s);
    printf("output overall  %10.1f tokens/s\n", x.output);
    printf("peak memory     %10.1f MiB (weights %.1f, KV cache %.1f of which %.1f used, workspace %.1f)\n",
           (double)r->peak_rss * mib, (double)r->memory.weight_bytes * mib, (double)r->memory.kv_bytes * mib,
           (double)r->memory.kv_bytes * mib * r->engine.pages_peak / r->engine.pages,
           (double)r->memory.workspace_bytes * mib);
    printf("machine         %10.1f GFLOP/s, %.1f GB/s; used %.1f %% and %.1f %%\n", 1e-9 * r->flops_limit,
           1e-9 * r->bytes_limit, percent(x.flops, r->wall_s, r->flops_limit),
           percent(x.bytes, r->wall_s, r->bytes_limit));
    if (!isnan(r->joules))
        printf("energy          %10.1f J   (%.4g J per 1,000 output tokens, mean %.1f W)\n", r->joules,
               x.joules, rate(r->joules, r->wall_s));
    const struct sg_engine_stats *e = &r->engine;
    printf("steps           %10" PRId64 "   restarts %" PRId64 "\n", e->steps, e->restarts);
    printf("per step        %10.1f us  (the host: %.1f us beside %.1f us of launches, waiting %.1f us)\n",
           per_step(e, e->prefill_ns + e->decode_ns + e->mixed_ns), per_step(e, e->host_ns),
           per_step(e, e->launch_ns), per_step(e, e->wait_ns));
    if (e->replays || e->record_errors)
        printf("replayed        %10" PRId64 " steps of %" PRId64 " records%s\n", e->replays, e->records,
               e->record_errors ? "; one could not be taken, the rest ran operator by operator" : "");
    if (e->halved) printf("in two halves   %10" PRId64 " steps\n", e->halved);
    printf("rows for nobody %10" PRId64 "   (answers that had ended %" PRId64 ", padding %" PRId64 ")\n",
           e->wasted_rows + e->padded_rows, e->wasted_rows, e->padded_rows);
    printf("tokens' hash    %s\n\n", r->hash);
    printf("%-14s %8s %9s %7s %10s %7s %9s %7s\n", "operator", "calls", "seconds", "%time", "GFLOP/s",
           "%limit", "GB/s", "%limit");
    for (int i = 0; i < SG_STAGE_COUNT; i++) {
        const struct sg_stage_stats *t = &r->stage[i];
        const double sec = 1e-9 * (double)t->ns;
        if (!t->calls) continue;
        printf("%-14s %8" PRId64 " %9.3f %7.1f %10.1f %7.1f %9.2f %7.1f\n", sg_stage_name((enum sg_stage)i),
               t->calls, sec, percent(sec, r->wall_s, 1), 1e-9 * rate(t->flops, sec),
               percent(t->flops, sec, r->flops_limit), 1e-9 * rate(t->bytes, sec),
               percent(t->bytes, sec, r->bytes_limit));
    }
}

/* null when it is not known */
static enum sg_status put_number(struct sg_buf *b, const char *key, double value, struct sg_err *err) {
    char text[SG_JSON_NUMBER];
    sg_json_number(value, text);
    return sg_buf_printf(b, err, ", \"%s\": %s", key, text);
}

static enum sg_status print_json(const struct state *s, const struct report *r, struct sg_err *err) {
    const struct rates x = rates_of(s, r);
    enum sg_status st;
    struct sg_buf b = {0};
    SG_TRY(sg_buf_str(&b, "{\"model\": ", err));
    SG_TRY(sg_json_quote(&b, s->session.dir, strlen(s->session.dir), err));
    SG_TRY(sg_buf_printf(&b, err, ", \"random_weights\": %s, \"device\": ", s->random ? "true" : "false"));
    SG_TRY(
        sg_json_quote(&b, sg_dev_info(s->session.dev)->name, strlen(sg_dev_info(s->session.dev)->name), err));
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"threads\": %d, \"cells\": %" PRId64 ", \"samples\": %" PRId64
                         ", \"prompt_tokens\": %" PRId64 ", \"new_tokens\": %" PRId64
                         ", \"wall_s\": %.6f, \"cpu_s\": %.6f, \"load_s\": %.6f",
                         sg_dev_info(s->session.dev)->threads, s->cells, s->samples, s->prompt_tokens,
                         s->new_tokens, r->wall_s, r->cpu_s, r->load_s));
    SG_TRY(sg_buf_printf(
        &b, err,
        ", \"prefill_tokens_per_s\": %.6g, \"decode_tokens_per_s\": %.6g, \"output_tokens_per_s\": %.6g"
        ", \"peak_rss_bytes\": %" PRId64 ", \"weight_bytes\": %" PRId64 ", \"kv_bytes\": %" PRId64
        ", \"workspace_bytes\": %" PRId64 ", \"device_bytes\": %" PRId64 ", \"device_free_bytes\": %" PRId64,
        x.prefill, x.decode, x.output, r->peak_rss, r->memory.weight_bytes, r->memory.kv_bytes,
        r->memory.workspace_bytes, sg_dev_info(s->session.dev)->memory_bytes, r->memory_free));
    SG_TRY(sg_buf_printf(
        &b, err,
        ", \"machine_flops_per_s\": %.6g, \"machine_bytes_per_s\": %.6g, \"flops_percent\": %.4g"
        ", \"bytes_percent\": %.4g, \"steps\": %" PRId64 ", \"restarts\": %" PRId64
        ", \"hash\": \"%s\", \"cell_hashes\": [",
        r->flops_limit, r->bytes_limit, percent(x.flops, r->wall_s, r->flops_limit),
        percent(x.bytes, r->wall_s, r->bytes_limit), r->engine.steps, r->engine.restarts, r->hash));
    for (int64_t c = 0; c < s->cells; c++) {
        char hash[SG_DIGEST_HEX];
        sg_digest_hex(s->digests[c], hash);
        SG_TRY(sg_buf_printf(&b, err, "%s\"%s\"", c ? ", " : "", hash));
    }
    SG_TRY(sg_buf_str(&b, "], \"operators\": {", err));
    for (int i = 0; i < SG_STAGE_COUNT; i++)
        SG_TRY(sg_buf_printf(&b, err,
                             "%s\"%s\": {\"calls\": %" PRId64
                             ", \"seconds\": %.6f, \"flops\": %.6g, \"bytes\": %.6g}",
                             i ? ", " : "", sg_stage_name((enum sg_stage)i), r->stage[i].calls,
                             1e-9 * (double)r->stage[i].ns, r->stage[i].flops, r->stage[i].bytes));
    SG_TRY(sg_buf_str(&b, "}", err));
    const struct sg_engine_stats *e = &r->engine;
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"records\": %" PRId64 ", \"replays\": %" PRId64 ", \"record_errors\": %" PRId64
                         ", \"wasted_rows\": %" PRId64 ", \"padded_rows\": %" PRId64 ", \"halved\": %" PRId64,
                         e->records, e->replays, e->record_errors, e->wasted_rows, e->padded_rows,
                         e->halved));
    SG_TRY(put_number(&b, "step_us", per_step(e, e->prefill_ns + e->decode_ns + e->mixed_ns), err));
    SG_TRY(put_number(&b, "host_us_per_step", per_step(e, e->host_ns), err));
    SG_TRY(put_number(&b, "launch_us_per_step", per_step(e, e->launch_ns), err));
    SG_TRY(put_number(&b, "wait_us_per_step", per_step(e, e->wait_ns), err));
    SG_TRY(put_number(&b, "joules", r->joules, err));
    SG_TRY(put_number(&b, "joules_per_1000_output_tokens", x.joules, err));
    SG_TRY(sg_buf_str(&b, "}\n", err));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

/* ---- the command ------------------------------------------------------------------------------------- */

static enum sg_status options(struct state *s, int argc, char **argv, bool *help, struct sg_err *err) {
    const struct sg_opt opts[] = {
        SG_SESSION_OPTIONS(&s->session),
        {"random", SG_OPT_STR, &s->random, 0, 0, "SHAPE",
         "no checkpoint: qwen3-0.6b, -1.7b, -4b, -8b, -14b, -32b or a config.json, weights made on the "
         "device"},
        {"cells", SG_OPT_I64, &s->cells, 1, 1000000, "C", "prompts (default 4)"},
        {"samples", SG_OPT_I64, &s->samples, 1, 10000, "N", "samples a prompt (default 8)"},
        {"prompt-tokens", SG_OPT_I64, &s->prompt_tokens, 1, 1000000, "P",
         "tokens of each prompt (default 800)"},
        {"new-tokens", SG_OPT_I64, &s->new_tokens, 1, 1000000, "M", "tokens of each sample (default 64)"},
        {"seed", SG_OPT_I64, &s->session.seed, 0, 9007199254740992.0, "S",
         "seed of prompts, draws and random weights (default 0)"},
        {"operators", SG_OPT_FLAG, &s->session.apart, 0, 0, NULL,
         "on a GPU: time every operator by itself (steps are then not replayed from records)"},
        {"json", SG_OPT_FLAG, &s->json, 0, 0, NULL, "one JSON object instead of a table"},
    };
    return sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, NULL, 0, 0}, help, err);
}

/* A cache that holds all cells at once, but not more than half the host's memory, or most of what a device
 * has left. */
static int64_t cache_mib(const struct state *s) {
    const struct sg_config *c = sg_model_config(s->session.model);
    const double page = (double)sg_kv_page_bytes(s->session.dev, c->layers, c->kv_heads, c->head_dim);
    const double pages = (double)s->cells * (sg_pages_for((int32_t)s->prompt_tokens) +
                                             (double)s->samples * sg_pages_for((int32_t)s->new_tokens));
    const bool host = sg_dev_info(s->session.dev)->host_memory;
    const double most = host ? 0.5 * (double)sg_dev_info(s->session.dev)->memory_bytes
                             : 0.85 * (double)sg_dev_memory_free(s->session.dev);
    const double need = pages * page;
    return (int64_t)((most > 0 && need > most ? most : need) / (1 << 20)) + 1;
}

/* What --random says. */
static enum sg_status choose_model(struct state *s, struct sg_err *err) {
    if (s->random && s->session.dir)
        return sg_fail(err, SG_E_USAGE, "bench: --model and --random exclude each other");
    if (!s->random && !s->session.dir)
        return sg_fail(err, SG_E_USAGE, "bench: --model DIR or --random SHAPE is missing");
    if (!s->random) return SG_OK;
    s->session.dir = s->random;
    s->session.random = &s->shape;
    return sg_config_shape(s->random, &s->shape, err);
}

static enum sg_status measure(struct state *s, struct report *r, struct sg_err *err) {
    const int32_t context = (int32_t)(s->prompt_tokens + s->new_tokens);
    const struct sg_sampling sampling = {.temperature = 0.6,
                                         .top_p = 0.95,
                                         .top_k = 20,
                                         .max_new_tokens = (int32_t)s->new_tokens,
                                         .ignore_eos = true};
    const struct sg_engine_hooks hooks = {.ctx = s, .on_token = on_token, .on_done = on_done};
    enum sg_status st;
    const int64_t began = sg_clock_ns();
    SG_TRY(choose_model(s, err));
    if (!s->session.max_context) s->session.max_context = context;
    SG_TRY(sg_session_model(&s->session, "bench", err));
    r->load_s = sg_clock_since(began);
    r->memory_free = sg_dev_memory_free(s->session.dev);
    if (s->session.kv_cache_mib == 0) s->session.kv_cache_mib = cache_mib(s);
    const struct sg_engine_options plan = {.max_batch_tokens = (int32_t)s->session.max_batch_tokens,
                                           .kv_cache_bytes = s->session.kv_cache_mib << 20,
                                           .overlap_rows = (int32_t)s->session.overlap_rows,
                                           .max_context = context,
                                           .max_samples = (int32_t)s->samples,
                                           .records = s->session.apart ? SG_GRAPHS_OFF : SG_GRAPHS_AUTO,
                                           .sampling = sampling};
    SG_TRY(sg_engine_plan(s->session.dev, s->session.model, &plan, &r->memory, err));
    SG_TRY(sg_dev_measure(s->session.dev, &r->flops_limit, &r->bytes_limit, err));
    SG_TRY(sg_session_engine(&s->session, context, (int32_t)s->samples, &sampling, &hooks, err));
    SG_TRY(SG_NEW(&s->digests, s->cells, "digests", err));
    SG_TRY(warm_up(s, err));
    SG_TRY(run(s, r, err));
    struct rusage usage_now;
    getrusage(RUSAGE_SELF, &usage_now);
    r->peak_rss = (int64_t)usage_now.ru_maxrss * 1024;
out:
    return st;
}

enum sg_status sg_cmd_bench(int argc, char **argv, struct sg_err *err) {
    enum sg_status st;
    struct state s = {
        .session = SG_SESSION_DEFAULTS, .cells = 4, .samples = 8, .prompt_tokens = 800, .new_tokens = 64};
    struct report r = {0};
    bool help;
    s.session.kv_cache_mib = 0;
    s.session.touch = true;
    SG_TRY(options(&s, argc, argv, &help, err));
    if (help) return SG_OK;
    SG_TRY(measure(&s, &r, err));
    if (s.json)
        SG_TRY(print_json(&s, &r, err));
    else
        print_text(&s, &r);
out:
    sg_session_close(&s.session);
    free(s.digests);
    return st;
}
