#include "base/digest.h"
#include "cmd/cmd_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_generate(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid generate --model DIR [options] < LINES\n"
    "\n"
    "Reads {\"ids\": [...]} or {\"prompt\": \"...\"} a line and writes {\"samples\": [{\"ids\": [...], "
    "\"text\": \"...\",\n"
    "\"finish\": \"eos|length\"}, ...]} a line, in the order of the input. A prompt is tokenized as it "
    "stands,\n"
    "control tokens such as <|im_start|> included (the trusted mode); nothing is added around it. ids of a "
    "sample\n"
    "include the EOS token; text leaves special tokens out and is absent when the checkpoint has no\n"
    "tokenizer.json. All lines share the engine's batches, and a prompt gives the same samples alone, among "
    "others\n"
    "and in any order: a sample depends on the prompt, the seed, its own number and the options below. Where "
    "the\n"
    "same prompt stands on several lines, each line draws its own samples.";

/* One line's prompt and, once it is done, its output. */
struct item {
    int32_t *ids, n_ids;
    struct sg_digest digest; /* of ids */
    int64_t repeat;          /* lines before this one with the same ids */
    struct sg_buf out;
    bool done;
};
struct state {
    struct sg_session session;
    struct sg_sampling sampling;
    int64_t samples, seed, max_new_tokens, top_k;
    struct sg_cmd_records records;
    struct item *items;        /* [records.n] */
    struct sg_stream *streams; /* [samples] */
    struct sg_buf text;
    enum sg_status status; /* of the first line that failed */
    struct sg_err err;
};

/* ---- input ------------------------------------------------------------------------------------------- */

static enum sg_status read_item(struct state *s, size_t i, struct sg_err *err) {
    const struct sg_json record = sg_cmd_record(&s->records, i);
    struct item *item = &s->items[i];
    enum sg_status st;
    const char *prompt = NULL;
    struct sg_json ids;
    struct sg_token_ids tokens = {0};
    SG_TRY(sg_json_get_str(&record, "prompt", &prompt, err));
    SG_TRY(sg_json_member(&record, "ids", false, &ids, err));
    if (!prompt == !ids.node) {
        st = sg_fail(err, SG_E_INPUT, "%s: expected one of \"ids\" and \"prompt\"", record.where);
        goto out;
    }
    if (ids.node) {
        SG_TRY(sg_cmd_ids(&record, sg_model_config(s->session.model)->vocab, &item->ids, &item->n_ids, err));
    } else {
        const struct sg_span span = {.text = prompt, .len = strlen(prompt), .trusted = true};
        SG_TRY(sg_session_tokenizer(&s->session, true, err));
        SG_TRY(sg_tokenizer_encode(s->session.tok, s->session.enc, &span, 1, &tokens, err));
        if (tokens.len > INT32_MAX) {
            st = sg_fail(err, SG_E_INPUT, "%s: the prompt has %zu tokens", record.where, tokens.len);
            goto out;
        }
        item->ids = tokens.data;
        item->n_ids = (int32_t)tokens.len;
        tokens = (struct sg_token_ids){0};
    }
    if (item->n_ids == 0)
        st = sg_fail(err, SG_E_INPUT, "%s: the prompt has no tokens", record.where);
    else
        item->digest = sg_digest_bytes(item->ids, (size_t)item->n_ids * sizeof *item->ids);
out:
    sg_token_ids_free(&tokens);
    return st;
}

/* by digest, equal ones in the order of the lines (they are one array) */
static int by_digest(const void *a, const void *b) {
    const struct item *const x = *(struct item *const *)a, *const y = *(struct item *const *)b;
    if (x->digest.hi != y->digest.hi) return x->digest.hi < y->digest.hi ? -1 : 1;
    if (x->digest.lo != y->digest.lo) return x->digest.lo < y->digest.lo ? -1 : 1;
    return x < y ? -1 : x > y;
}

static enum sg_status count_repeats(struct state *s, struct sg_err *err) {
    enum sg_status st;
    struct item **order = NULL;
    SG_TRY(SG_NEW(&order, s->records.n, "prompts", err));
    for (size_t i = 0; i < s->records.n; i++) order[i] = &s->items[i];
    qsort(order, s->records.n, sizeof *order, by_digest);
    for (size_t i = 1; i < s->records.n; i++)
        if (sg_digest_equal(order[i]->digest, order[i - 1]->digest))
            order[i]->repeat = order[i - 1]->repeat + 1;
out:
    free(order);
    return st;
}

/* Reads every line; *context is what the longest of them takes. */
static enum sg_status read_items(struct state *s, int32_t *context, struct sg_err *err) {
    enum sg_status st;
    const int64_t limit = s->session.max_context;
    *context = (int32_t)s->max_new_tokens;
    SG_TRY(SG_NEW(&s->items, s->records.n, "prompts", err));
    for (size_t i = 0; i < s->records.n; i++) {
        SG_TRY(read_item(s, i, err));
        const int64_t need = s->items[i].n_ids + s->max_new_tokens;
        if (need > limit) {
            st = sg_fail(err, SG_E_INPUT,
                         "%s: a prompt of %d tokens and --max-new-tokens %" PRId64
                         " exceed the context of %" PRId64 " (--max-context)",
                         s->records.where[i], s->items[i].n_ids, s->max_new_tokens, limit);
            goto out;
        }
        if (need > *context) *context = (int32_t)need;
    }
    if (s->records.n > 0) SG_TRY(count_repeats(s, err));
out:
    return st;
}

/* ---- output ------------------------------------------------------------------------------------------ */

static enum sg_status write_sample(struct state *s, const struct sg_sample_out *a, struct sg_buf *out,
                                   struct sg_err *err) {
    enum sg_status st;
    SG_TRY(sg_buf_str(out, "{\"ids\": [", err));
    for (int32_t i = 0; i < a->n_tokens; i++)
        SG_TRY(sg_buf_printf(out, err, i ? ", %d" : "%d", a->tokens[i]));
    SG_TRY(sg_buf_str(out, "]", err));
    if (s->session.tok) {
        sg_buf_clear(&s->text);
        SG_TRY(sg_tokenizer_decode(s->session.tok, a->tokens, (size_t)a->n_tokens, true, &s->text, err));
        SG_TRY(sg_buf_str(out, ", \"text\": ", err));
        SG_TRY(sg_json_quote(out, s->text.data ? s->text.data : "", s->text.len, err));
    }
    SG_TRY(sg_buf_printf(out, err, ", \"finish\": \"%s\"}", sg_finish_name(a->finish)));
out:
    return st;
}

static void on_done(void *ctx, const struct sg_group_result *r) {
    struct state *s = ctx;
    struct item *item = &s->items[r->tag];
    struct sg_err why = r->err;
    enum sg_status st = r->status;
    if (st == SG_OK) st = sg_buf_str(&item->out, "{\"samples\": [", &why);
    for (int32_t k = 0; k < r->n_samples && st == SG_OK; k++) {
        if (k) st = sg_buf_str(&item->out, ", ", &why);
        if (st == SG_OK) st = write_sample(s, &r->samples[k], &item->out, &why);
    }
    if (st == SG_OK) st = sg_buf_str(&item->out, "]}\n", &why);
    item->done = true;
    if (st == SG_OK || s->status != SG_OK) return;
    s->status = sg_fail(&s->err, st, "%s: %s", s->records.where[r->tag], why.text);
}

static enum sg_status submit(struct state *s, size_t i, struct sg_err *err) {
    const struct item *item = &s->items[i];
    char prompt[SG_DIGEST_HEX], repeat[32];
    sg_digest_hex(item->digest, prompt);
    snprintf(repeat, sizeof repeat, "%" PRId64, item->repeat);
    for (int64_t k = 0; k < s->samples; k++)
        s->streams[k] = sg_sample_stream(false, (uint64_t)s->seed, prompt, repeat, (int32_t)k);
    const enum sg_status st = sg_engine_submit(s->session.engine, i, item->ids, item->n_ids, s->streams, NULL,
                                               (int32_t)s->samples, err);
    if (st != SG_OK) sg_err_at(err, "%s", s->records.where[i]);
    return st;
}

/* Submits prompts while the engine has room, and prints each line once all lines before it are printed. */
static enum sg_status run(struct state *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t next = 0, printed = 0;
    while (printed < s->records.n) {
        bool busy;
        while (next < s->records.n &&
               (sg_engine_pending(s->session.engine) == 0 ||
                sg_engine_has_room(s->session.engine, s->items[next].n_ids, (int32_t)s->samples)))
            SG_TRY(submit(s, next++, err));
        SG_TRY(sg_engine_step(s->session.engine, &busy, err));
        for (; printed < next && s->items[printed].done && s->status == SG_OK; printed++) {
            struct item *item = &s->items[printed];
            if (fwrite(item->out.data, 1, item->out.len, stdout) != item->out.len || fflush(stdout) != 0) {
                st = sg_fail(err, SG_E_IO, "stdout: cannot write: %s", strerror(errno));
                goto out;
            }
            sg_buf_free(&item->out);
        }
        if (s->status != SG_OK) {
            st = sg_fail(err, s->status, "%s", s->err.text);
            goto out;
        }
    }
out:
    return st;
}

static void free_state(struct state *s) {
    sg_session_close(&s->session);
    for (size_t i = 0; s->items && i < s->records.n; i++) {
        free(s->items[i].ids);
        sg_buf_free(&s->items[i].out);
    }
    free(s->items);
    free(s->streams);
    sg_buf_free(&s->text);
    sg_cmd_records_free(&s->records);
}

static enum sg_status options(struct state *s, int argc, char **argv, bool *help, struct sg_err *err) {
    const struct sg_opt opts[] = {
        SG_SESSION_OPTIONS(&s->session),
        {"samples", SG_OPT_I64, &s->samples, 1, 100000, "N", "samples a prompt (default 1)"},
        {"temperature", SG_OPT_F64, &s->sampling.temperature, 0, 10, "T", "0 is greedy (default 0.6)"},
        {"top-p", SG_OPT_F64, &s->sampling.top_p, 1e-9, 1, "P",
         "nucleus, after top-k; 1 is off (default 0.95)"},
        {"top-k", SG_OPT_I64, &s->top_k, 0, 1000000, "K", "likeliest tokens kept; 0 is off (default 20)"},
        {"seed", SG_OPT_I64, &s->seed, 0, 9007199254740992.0, "S", "seed of all draws (default 0)"},
        {"max-new-tokens", SG_OPT_I64, &s->max_new_tokens, 1, 1000000, "M",
         "tokens a sample at most (default 1536)"},
    };
    return sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, NULL, 0, 0}, help, err);
}

enum sg_status sg_cmd_generate(int argc, char **argv, struct sg_err *err) {
    enum sg_status st;
    struct state s = {.session = SG_SESSION_DEFAULTS,
                      .sampling = {.temperature = 0.6, .top_p = 0.95},
                      .samples = 1,
                      .top_k = 20,
                      .max_new_tokens = 1536};
    const struct sg_engine_hooks hooks = {.ctx = &s, .on_done = on_done};
    int32_t context = 0;
    bool help;
    SG_TRY(options(&s, argc, argv, &help, err));
    if (help) return SG_OK;
    s.sampling.top_k = (int32_t)s.top_k;
    s.sampling.max_new_tokens = (int32_t)s.max_new_tokens;
    SG_TRY(sg_cmd_read_records(&s.records, err));
    SG_TRY(sg_session_model(&s.session, argv[0], err));
    SG_TRY(sg_session_tokenizer(&s.session, false, err));
    SG_TRY(read_items(&s, &context, err));
    if (s.records.n == 0) goto out;
    SG_TRY(SG_NEW(&s.streams, s.samples, "sample streams", err));
    SG_TRY(sg_session_engine(&s.session, context, (int32_t)s.samples, &s.sampling, &hooks, err));
    SG_TRY(run(&s, err));
out:
    free_state(&s);
    return st;
}
