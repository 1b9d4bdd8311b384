#include "cmd/cmd_session.h"

#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_embed(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid embed --model DIR [options] < LINES\n"
    "\n"
    "Reads {\"ids\": [...]} or {\"text\": \"...\"} a line and writes {\"embedding\": [...]} a line: the "
    "last\n"
    "token's hidden state after the final norm, L2-normalised. ids are taken as they are. A text is "
    "tokenized\n"
    "as plain text (nothing in it gives a control token) and gets what the tokenizer's post-processor puts\n"
    "around a text; where it has none, <|endoftext|> is appended, as Qwen3-Embedding was trained.";

struct state {
    struct sg_session session;
    struct sg_token_ids ids;
    float *embedding;
};

static enum sg_status add_ids(struct sg_token_ids *to, const int32_t *ids, size_t n, struct sg_err *err) {
    const enum sg_status st = SG_GROW(&to->data, &to->cap, to->len + n + 1, "token ids", err);
    if (st != SG_OK) return st;
    if (n) memcpy(to->data + to->len, ids, n * sizeof *ids);
    to->len += n;
    return SG_OK;
}

static enum sg_status text_ids(struct state *s, const char *text, struct sg_err *err) {
    static const char end_name[] = "<|endoftext|>";
    enum sg_status st;
    const int32_t *before, *after;
    size_t n_before, n_after;
    SG_TRY(sg_session_tokenizer(&s->session, true, err));
    sg_tokenizer_wrap(s->session.tok, &before, &n_before, &after, &n_after);
    const int32_t end = sg_tokenizer_id(s->session.tok, end_name);
    if (!n_before && !n_after && end < 0)
        return sg_fail(err, SG_E_INPUT,
                       "%s: the tokenizer has neither a post-processor nor a token %s to end a text with",
                       s->session.dir, end_name);
    const struct sg_span span = {.text = text, .len = strlen(text), .trusted = false};
    SG_TRY(add_ids(&s->ids, before, n_before, err));
    SG_TRY(sg_tokenizer_encode(s->session.tok, s->session.enc, &span, 1, &s->ids, err));
    if (n_before || n_after)
        SG_TRY(add_ids(&s->ids, after, n_after, err));
    else
        SG_TRY(add_ids(&s->ids, &end, 1, err));
out:
    return st;
}

static enum sg_status embed_line(void *ctx, const struct sg_cmd_line *line, struct sg_buf *out,
                                 struct sg_err *err) {
    struct state *s = ctx;
    const struct sg_config *c = sg_model_config(s->session.model);
    enum sg_status st;
    const char *text = NULL;
    int32_t *given = NULL, n = 0;
    struct sg_json ids;
    s->ids.len = 0;
    SG_TRY(sg_json_get_str(&line->record, "text", &text, err));
    SG_TRY(sg_json_member(&line->record, "ids", false, &ids, err));
    if (!text == !ids.node) {
        st = sg_fail(err, SG_E_INPUT, "expected one of \"ids\" and \"text\"");
        goto out;
    }
    if (text) {
        SG_TRY(text_ids(s, text, err));
    } else {
        SG_TRY(sg_cmd_ids(&line->record, c->vocab, &given, &n, err));
        SG_TRY(add_ids(&s->ids, given, (size_t)n, err));
    }
    if (s->ids.len > INT32_MAX) {
        st = sg_fail(err, SG_E_INPUT, "the text has %zu tokens", s->ids.len);
        goto out;
    }
    SG_TRY(sg_engine_embed(s->session.engine, s->ids.data, (int32_t)s->ids.len, s->embedding, err));
    SG_TRY(sg_buf_str(out, "{\"embedding\": ", err));
    SG_TRY(sg_json_floats(out, s->embedding, c->hidden, err));
    SG_TRY(sg_buf_str(out, "}", err));
out:
    free(given);
    return st;
}

enum sg_status sg_cmd_embed(int argc, char **argv, struct sg_err *err) {
    enum sg_status st;
    struct state s = {.session = SG_SESSION_DEFAULTS};
    bool help;
    SG_TRY(sg_session_start(&s.session, usage, argc, argv, &help, err));
    if (help) return SG_OK;
    SG_TRY(SG_NEW(&s.embedding, sg_model_config(s.session.model)->hidden, "embedding", err));
    SG_TRY(sg_cmd_jsonl(embed_line, &s, err));
out:
    sg_session_close(&s.session);
    sg_token_ids_free(&s.ids);
    free(s.embedding);
    return st;
}
