#include "base/utf8.h"
#include "cmd/cmd.h"
#include "text/scan.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_tokenize(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "scope-grid tokenize --tokenizer PATH [--trusted] [--decode] [--skip-special] < LINES\n"
    "\n"
    "Reads one JSON object a line and writes one a line: {\"text\": \"...\"} -> {\"ids\": [...]}, or with "
    "--decode\n"
    "{\"ids\": [...]} -> {\"text\": \"...\"}. Other keys are ignored. Plain text never gives a control token "
    "unless\n"
    "--trusted says that added tokens such as <|im_end|> are meant. Nothing is added around the text.\n"
    "Decoding writes U+FFFD for bytes that are not UTF-8.";

struct state {
    struct sg_tokenizer *tok;
    struct sg_encoder *enc;
    bool trusted, decode, skip_special;
    struct sg_token_ids ids;
    struct sg_buf text, out;
};

static enum sg_status read_ids(struct state *s, struct sg_scan *j, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more;
    SG_TRY(sg_scan_open(j, '[', err));
    for (;;) {
        SG_TRY(sg_scan_more(j, ']', &first, &more, err));
        if (!more) break;
        int64_t id;
        const char *piece, *at = j->p;
        size_t len;
        SG_TRY(sg_scan_int(j, 0, INT32_MAX, &id, err));
        if (!sg_tokenizer_piece(s->tok, (int32_t)id, &piece, &len))
            return sg_scan_fail(j, at, SG_E_INPUT, err, "id %lld is not in the tokenizer (%d ids)",
                                (long long)id, sg_tokenizer_size(s->tok));
        SG_TRY(SG_GROW(&s->ids.data, &s->ids.cap, s->ids.len + 1, "token ids", err));
        s->ids.data[s->ids.len++] = (int32_t)id;
    }
out:
    return st;
}

/* Reads the line's "text" or "ids". Texts may hold NUL, which the cJSON records of other commands cannot. */
static enum sg_status read_line(struct state *s, struct sg_scan *j, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true, more, got = false;
    const char *wanted = s->decode ? "ids" : "text";
    SG_TRY(sg_scan_open(j, '{', err));
    for (;;) {
        struct sg_scan_str k, v;
        SG_TRY(sg_scan_more(j, '}', &first, &more, err));
        if (!more) break;
        const char *at = j->p;
        SG_TRY(sg_scan_key(j, &k, err));
        if (!sg_scan_str_is(k, wanted)) {
            SG_TRY(sg_scan_skip(j, err));
            continue;
        }
        if (got) return sg_scan_fail(j, at, SG_E_INPUT, err, "\"%s\" stands twice", wanted);
        got = true;
        if (s->decode) {
            SG_TRY(read_ids(s, j, err));
        } else {
            SG_TRY(sg_scan_string(j, &v, err));
            SG_TRY(sg_buf_add(&s->text, v.s, v.n, err));
        }
    }
    SG_TRY(sg_scan_finish(j, err));
    if (!got) st = sg_scan_fail(j, j->begin, SG_E_INPUT, err, "\"%s\" is missing", wanted);
out:
    return st;
}

static enum sg_status one_line(struct state *s, const char *line, size_t n, int64_t number,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_scan j;
    size_t bad;
    sg_scan_init(&j, line, n, "stdin", number);
    s->ids.len = 0;
    sg_buf_clear(&s->text);
    sg_buf_clear(&s->out);
    if (!sg_utf8_valid(line, n, &bad)) return sg_scan_fail(&j, line + bad, SG_E_INPUT, err, "invalid UTF-8");
    SG_TRY(read_line(s, &j, err));
    if (s->decode) {
        SG_TRY(sg_tokenizer_decode(s->tok, s->ids.data, s->ids.len, s->skip_special, &s->text, err));
        SG_TRY(sg_buf_str(&s->out, "{\"text\": ", err));
        SG_TRY(sg_json_quote(&s->out, s->text.data ? s->text.data : "", s->text.len, err));
        SG_TRY(sg_buf_str(&s->out, "}\n", err));
    } else {
        struct sg_span span = {s->text.data ? s->text.data : "", s->text.len, s->trusted};
        st = sg_tokenizer_encode(s->tok, s->enc, &span, 1, &s->ids, err);
        if (st != SG_OK) {
            sg_err_at(err, "stdin:%lld", (long long)number);
            goto out;
        }
        SG_TRY(sg_buf_str(&s->out, "{\"ids\": [", err));
        for (size_t i = 0; i < s->ids.len; i++)
            SG_TRY(sg_buf_printf(&s->out, err, i ? ", %d" : "%d", s->ids.data[i]));
        SG_TRY(sg_buf_str(&s->out, "]}\n", err));
    }
    if (fwrite(s->out.data, 1, s->out.len, stdout) != s->out.len || fflush(stdout) != 0)
        st = sg_fail(err, SG_E_IO, "stdout: cannot write: %s", strerror(errno));
out:
    sg_scan_free(&j);
    return st;
}

static bool blank(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r' && s[i] != '\n') return false;
    return true;
}

enum sg_status sg_cmd_tokenize(int argc, char **argv, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct state s = {0};
    const char *path = NULL, *device = NULL;
    char *line = NULL;
    size_t cap = 0;
    bool help;
    const struct sg_opt opts[] = {
        {"tokenizer", SG_OPT_STR, &path, 0, 0, "PATH", "tokenizer.json, or the directory that holds it"},
        {"trusted", SG_OPT_FLAG, &s.trusted, 0, 0, NULL,
         "added tokens in the text are control tokens (default: plain text)"},
        {"decode", SG_OPT_FLAG, &s.decode, 0, 0, NULL, "from ids to text"},
        {"skip-special", SG_OPT_FLAG, &s.skip_special, 0, 0, NULL,
         "with --decode: leave special tokens out of the text"},
        SG_OPT_NO_DEVICE(&device),
    };
    SG_TRY(sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, NULL, 0, 0}, &help, err));
    if (help) return SG_OK;
    if (!path) return sg_fail(err, SG_E_USAGE, "tokenize: --tokenizer PATH is missing");
    SG_TRY(sg_tokenizer_open(path, &s.tok, err));
    SG_TRY(sg_encoder_new(s.tok, &s.enc, err));
    for (int64_t number = 1;; number++) {
        errno = 0;
        ssize_t n = getline(&line, &cap, stdin);
        if (n < 0) {
            if (errno)
                st = sg_fail(err, SG_E_IO, "stdin:%lld: cannot read: %s", (long long)number, strerror(errno));
            break;
        }
        /* a byte order mark at the start of the input is no part of it */
        const size_t mark = number == 1 && n >= 3 && !memcmp(line, "\xEF\xBB\xBF", 3) ? 3 : 0;
        if (!blank(line + mark, (size_t)n - mark))
            SG_TRY(one_line(&s, line + mark, (size_t)n - mark, number, err));
    }
out:
    free(line);
    sg_encoder_free(s.enc);
    sg_tokenizer_close(s.tok);
    sg_token_ids_free(&s.ids);
    sg_buf_free(&s.text);
    sg_buf_free(&s.out);
    return st;
}
