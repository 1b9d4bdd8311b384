/* cmd - what the commands of scope-grid share: option tables with --help, and the JSONL loop. A command is
 * `enum sg_status sg_cmd_<name>(int argc, char **argv, struct sg_err *err)` in cmd_<name>.c; argv[0] is the
 * command's name. Results go to stdout, everything else to stderr; main prints the error and sets the exit
 * code. */
#ifndef SG_CMD_H
#define SG_CMD_H

#include "base/json.h"
#include "base/mem.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* kind, what follows the option */
enum sg_opt_kind {
    SG_OPT_FLAG, /* bool: set true */
    SG_OPT_STR,  /* const char *: borrowed from argv */
    SG_OPT_I64,  /* int64_t in [min, max] */
    SG_OPT_F64,  /* double in [min, max] */
    SG_OPT_LIST, /* struct sg_opt_list: may stand several times */
};
struct sg_opt_list {
    const char **items; /* owned: free(items); the strings are argv's */
    size_t n, cap;
};
struct sg_opt {
    const char *name; /* without the dashes */
    enum sg_opt_kind kind;
    void *target; /* bool, const char *, int64_t, double or struct sg_opt_list; holds the default on entry */
    double min, max;
    const char *arg;  /* placeholder in --help ("DIR"); NULL for flags */
    const char *help; /* one line; give unit and default */
};

/* --device is taken by every command, so that scripts may pass it to all: the entry of those that compute on
 * none. target: const char *. */
#define SG_OPT_NO_DEVICE(target_)                                                                            \
    {                                                                                                        \
        .name = "device", .kind = SG_OPT_STR, .target = (target_), .arg = "NAME",                            \
        .help = "taken by every command; this one computes on no device"                                     \
    }

/* Reads --name value, --name=value and positionals (at least min_pos, at most max_pos, into pos[]; the
 * rest NULL). "--" ends the options. --help prints `usage` and the table to stdout and sets *help_shown:
 * the caller then returns SG_OK at once. Unknown options are errors that name the nearest. */
enum sg_status sg_cmd_options(int argc, char **argv, const char *usage, const struct sg_opt *opts,
                              size_t n_opts, const char **pos, int min_pos, int max_pos, bool *help_shown,
                              struct sg_err *err);

/* One input line: handled by appending exactly one line (without newline) to `out`. Errors stop the loop;
 * sg_cmd_jsonl puts "stdin:LINE" in front. */
struct sg_cmd_line {
    struct sg_json record; /* the object on this line; where = "stdin:LINE" */
    int64_t number;        /* from 1 */
};
typedef enum sg_status sg_cmd_line_fn(void *ctx, const struct sg_cmd_line *line, struct sg_buf *out,
                                      struct sg_err *err);
/* Reads stdin line by line (any length up to 1 GiB), parses each as one JSON object, calls fn, prints. Blank
 * lines are skipped. Flushes after each line so that it can serve a pipe. */
enum sg_status sg_cmd_jsonl(sg_cmd_line_fn *fn, void *ctx, struct sg_err *err);

/* For commands that batch all lines: reads the whole of stdin first. docs[i] owned by the caller of
 * sg_cmd_records_free. */
struct sg_cmd_records {
    cJSON **docs;
    int64_t *line; /* line number of each record */
    char (*where)[40];
    size_t n, cap;
};
enum sg_status sg_cmd_read_records(struct sg_cmd_records *out, struct sg_err *err);
void sg_cmd_records_free(struct sg_cmd_records *r);
struct sg_json sg_cmd_record(const struct sg_cmd_records *r, size_t i);

/* The member "ids" of a record as int32 token ids, 0 <= id < vocab (vocab 0: no upper bound). *ids is owned
 * by the caller. An absent or empty array is an error when `required`. */
enum sg_status sg_cmd_ids(const struct sg_json *record, int64_t vocab, int32_t **ids, int32_t *n,
                          struct sg_err *err);

#endif
