#include "cmd/cmd.h"
#include "text/verdict.h"
#include "tests/reference/verdict_reference.h"

#include <string.h>

enum sg_status sg_cmd_parse(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid parse [--reference] < LINES\n"
    "\n"
    "Reads one JSON object a line, {\"text\": \"...\"}, and writes the verdict in it:\n"
    "{\"len\": 512, \"correct\": \"yes\", \"confidence\": 1.0}. Other keys are ignored.\n"
    "The default parser takes the last well-formed `Predicted Performance: {len: N, correct: yes|no}` and\n"
    "tolerates cosmetic variants; where there is none it writes {\"len\": null, \"correct\": \"unparsed\",\n"
    "\"confidence\": 0.0}. Lengths above 10,000,000 tokens are not well formed.\n"
    "--reference does what the reference implementation does: the first len and correct anywhere in the "
    "text,\n"
    "correct \"unknown\" and len 0 where there are none, confidence 1.0, 0.9, 0.8 or 0.5.";

static enum sg_status parse_default(const char *text, size_t n, struct sg_buf *out, struct sg_err *err) {
    struct sg_verdict v;
    sg_verdict_parse(text, n, &v);
    if (!v.parsed)
        return sg_buf_str(out, "{\"len\": null, \"correct\": \"unparsed\", \"confidence\": 0.0}", err);
    return sg_buf_printf(out, err, "{\"len\": %lld, \"correct\": \"%s\", \"confidence\": 1.0}",
                         (long long)v.length, v.correct ? "yes" : "no");
}

static enum sg_status parse_reference(const char *text, size_t n, struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_reference_verdict v = {0};
    SG_TRY(sg_verdict_reference(text, n, &v, err));
    SG_TRY(sg_buf_printf(out, err, "{\"len\": %s, \"correct\": ", v.length.data));
    SG_TRY(sg_json_quote(out, v.correct, strlen(v.correct), err));
    SG_TRY(sg_buf_printf(out, err, ", \"confidence\": %.1f}", v.confidence));
out:
    sg_reference_verdict_free(&v);
    return st;
}

static enum sg_status one_line(void *ctx, const struct sg_cmd_line *line, struct sg_buf *out,
                               struct sg_err *err) {
    const bool *reference = ctx;
    const char *text;
    enum sg_status st = sg_json_need_str(&line->record, "text", &text, err);
    if (st != SG_OK) return st;
    return *reference ? parse_reference(text, strlen(text), out, err)
                      : parse_default(text, strlen(text), out, err);
}

enum sg_status sg_cmd_parse(int argc, char **argv, struct sg_err *err) {
    bool help, reference = false;
    const char *device = NULL;
    const struct sg_opt opts[] = {
        {"reference", SG_OPT_FLAG, &reference, 0, 0, NULL, "parse as the reference implementation does"},
        SG_OPT_NO_DEVICE(&device),
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, NULL, 0, 0}, &help, err);
    if (st != SG_OK || help) return st;
    return sg_cmd_jsonl(one_line, &reference, err);
}
