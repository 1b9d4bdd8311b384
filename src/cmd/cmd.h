/* cmd - what the commands of scope-grid share: the JSONL loop over stdin. A command is
 * `enum sg_status sg_cmd_<name>(int argc, char **argv, struct sg_err *err)` in cmd_<name>.c; argv[0] is the
 * command's name. Results go to stdout, everything else to stderr; main prints the error and sets the exit
 * code. */
#ifndef SG_CMD_H
#define SG_CMD_H

#include "base/json.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

/* "512 cells and 64 calibration cells", of `total` cells with those of calibration; written into `room`. */
enum { SG_CELLS_TEXT = 80 };
const char *sg_cells_text(int64_t total, int64_t calibration, char room[SG_CELLS_TEXT]);

/* One input line. The handler appends exactly one line (without newline) to `out`. An error stops the loop;
 * sg_cmd_jsonl puts "stdin:LINE" in front of it. */
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
enum { SG_CMD_WHERE = 40 }; /* bytes of "stdin:LINE" */
struct sg_cmd_records {
    cJSON **docs;
    int64_t *line; /* line number of each record */
    char (*where)[SG_CMD_WHERE];
    size_t n, cap;
};
enum sg_status sg_cmd_read_records(struct sg_cmd_records *out, struct sg_err *err);
void sg_cmd_records_free(struct sg_cmd_records *r);
struct sg_json sg_cmd_record(const struct sg_cmd_records *r, size_t i);

/* The member "ids" of a record as int32 token ids, 0 <= id < vocab (vocab 0: no upper bound). *ids is owned
 * by the caller. An absent or empty array is an error when `required`. */
enum sg_status sg_cmd_ids(const struct sg_json *record, int64_t vocab, int32_t **ids, int32_t *n,
                          struct sg_err *err);

/* --cells FILE: appends to `set` the override that names the file of sampling.cells, a path from the current folder and
 * not the job's. *item holds its text and is the caller's to free. */
enum sg_status sg_cmd_set_cells(struct sg_opt_list *set, const char *file, char **item, struct sg_err *err);

struct sg_comm; /* run/comm.h */
/* Of several ranks only the coordinator prints the error. It does so before any rank ends: when the first
 * rank exits with an error, mpirun kills the others. Clears *err, so that main prints nothing. */
void sg_cmd_speak(const struct sg_comm *comm, enum sg_status st, struct sg_err *err);

#endif
