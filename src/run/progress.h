/* progress - reports of a run while it computes. Root only; failures to write are ignored.
 *
 *   stderr                a bar on a terminal; elsewhere a line every ten seconds
 *   RUNDIR/progress.json  for `scope-grid status`; replaced every second
 *   RUNDIR/metrics.jsonl  for dashboards; a line every ten seconds and at every change of state, appended by
 *                         every start of the run
 *   RUNDIR/metrics.prom   the same totals in Prometheus' text format, for node_exporter's textfile collector; replaced
 *                         when a line is appended */
#ifndef SG_RUN_PROGRESS_H
#define SG_RUN_PROGRESS_H

#include "run/comm.h"
#include <stdbool.h>
#include <stdint.h>

struct sg_progress_rank {
    char host[SG_HOST_MAX];
    const char *device; /* its name, borrowed */
    int32_t device_of;  /* the lowest rank that has the same device */
    bool computes;      /* false: the root under --root-only */
    struct sg_counts counts;
};
enum { SG_PROGRESS_WINDOW = 32 };
struct sg_progress {
    const char *run_dir; /* borrowed */
    int64_t total, done_before, failed_before;
    struct sg_progress_rank *ranks; /* [n_ranks], borrowed */
    const char *devices;            /* the text of sg_device_line, borrowed; NULL: not known */
    int32_t n_ranks;
    char job[64];                   /* the batch system's id of this start, "" outside of one */
    bool quiet, terminal, drawn;
    bool shared;                                         /* some ranks share a device */
    int64_t started, last_line, last_file, last_metrics; /* ns */
    double startup_s; /* from the program's start to the first lease: plan, model, directory */
    struct sg_startup {
        double weights_s, plan_s, load_s; /* parts of it: files hashed; plan; model and engine */
        double first_cell_s;              /* from the program's start; 0: none finished yet */
    } start;
    struct {
        int64_t at, cells, tokens; /* totals over ranks */
    } window[SG_PROGRESS_WINDOW];  /* one sample a second: rates over the last half minute */
    int64_t n_window;
};

void sg_progress_begin(struct sg_progress *p, const char *run_dir, int64_t total, int64_t done,
                       int64_t failed, struct sg_progress_rank *ranks, int32_t n_ranks, bool quiet);
/* Writes what is due. Cheap when nothing is. */
void sg_progress_update(struct sg_progress *p);
/* Last update: state is "merging", "done", "stopped" or "failed"; error may be NULL. */
void sg_progress_end(struct sg_progress *p, const char *state, const char *error);

/* Totals over the ranks of this run. A shared device's meter counts once. celsius: of the hottest device. */
struct sg_counts sg_progress_totals(const struct sg_progress *p);
double sg_progress_seconds(const struct sg_progress *p);

#endif
