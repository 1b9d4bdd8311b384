#include "cmd/cmd_session.h"

#include <stdlib.h>

enum sg_status sg_cmd_score(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid score --model DIR [options] < LINES\n"
    "\n"
    "Reads {\"ids\": [...]} a line and writes {\"last_logits\": [...], \"logprobs\": [...]} a line: the "
    "logits\n"
    "after the last token, one for each id of the vocabulary, and the log-probability (natural logarithm,\n"
    "temperature 1) of each token given those before it: one number less than ids, for the first token has "
    "none\n"
    "before it.";

struct state {
    struct sg_session session;
    float *logits, *logprobs;
    size_t cap;
};

static enum sg_status score_line(void *ctx, const struct sg_cmd_line *line, struct sg_buf *out,
                                 struct sg_err *err) {
    struct state *s = ctx;
    const int32_t vocab = sg_model_config(s->session.model)->vocab;
    enum sg_status st;
    int32_t *ids = NULL, n = 0;
    SG_TRY(sg_cmd_ids(&line->record, vocab, &ids, &n, err));
    SG_TRY(SG_GROW(&s->logprobs, &s->cap, n + 1, "log-probabilities", err));
    SG_TRY(sg_engine_score(s->session.engine, ids, n, s->logits, s->logprobs, err));
    SG_TRY(sg_buf_str(out, "{\"last_logits\": ", err));
    SG_TRY(sg_json_floats(out, s->logits, vocab, err));
    SG_TRY(sg_buf_str(out, ", \"logprobs\": ", err));
    SG_TRY(sg_json_floats(out, s->logprobs + 1, n - 1, err));
    SG_TRY(sg_buf_str(out, "}", err));
out:
    free(ids);
    return st;
}

enum sg_status sg_cmd_score(int argc, char **argv, struct sg_err *err) {
    enum sg_status st;
    struct state s = {.session = SG_SESSION_DEFAULTS};
    bool help;
    SG_TRY(sg_session_start(&s.session, usage, argc, argv, &help, err));
    if (help) return SG_OK;
    SG_TRY(SG_NEW(&s.logits, sg_model_config(s.session.model)->vocab, "logits", err));
    SG_TRY(sg_cmd_jsonl(score_line, &s, err));
out:
    sg_session_close(&s.session);
    free(s.logits);
    free(s.logprobs);
    return st;
}
