/* scope-grid run JOB: the main command, on one rank or under mpirun or srun. */
#include "cmd/cmd.h"
#include "run/run.h"
#include "run/runner.h"
#include "sweep/sweep.h"
#include "sweep/sweep_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_run(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "usage: scope-grid run JOB [OPTIONS], or mpirun -n RANKS scope-grid run JOB [OPTIONS]\n\n"
    "Computes every cell of the job's grid that is not finished yet and writes results.h5 into the job's "
    "output.dir.\n"
    "Stopped or killed at any moment, the same command goes on where it was. SIGTERM, SIGINT, SIGHUP "
    "and SIGUSR1\n"
    "stop it with the finished cells safe.\n\n"
    "JOB may be a sweep: {\"job\": JOB, \"axes\": {KEY: [VALUES]}, \"dir\": DIR}. Every combination becomes "
    "a "
    "results\n"
    "file below DIR, listed in DIR/index.json; what they have in common is computed once.";

struct options {
    struct sg_run_options grid;
    struct sg_opt_list set, since;
    const char *device, *cells;
    char *cells_override;
    char device_override[80];
    bool oversubscribe;
};

static enum sg_status read_options(int argc, char **argv, struct options *o, bool *help, struct sg_err *err) {
    const struct sg_opt opts[] = {
        {"set", SG_OPT_LIST, &o->set, 0, 0, "A.B=VALUE",
         "override a key of the job; may stand several times"},
        {"since", SG_OPT_LIST, &o->since, 0, 0, "LAST.h5",
         "take over unchanged cells from these results; may stand several times; missing: a first night"},
        {"extend", SG_OPT_FLAG, &o->grid.extend, 0, 0, NULL,
         "draw only the samples that the finished run in output.dir lacks; nothing else may differ"},
        {"cells", SG_OPT_STR, &o->cells, 0, 0, "FILE",
         "only these cells get sampling.samples, QUERY,MODEL a line (as sampling.cells); with --since or "
         "--extend the others keep the number they have"},
        {"night", SG_OPT_STR, &o->grid.night, 0, 0, "NAME",
         "name of the night, also for {night} in output.dir (default: the date, UTC)"},
        {"retry-failed", SG_OPT_FLAG, &o->grid.retry_failed, 0, 0, NULL,
         "compute failed cells again, each alone on its rank"},
        {"device", SG_OPT_STR, &o->device, 0, 0, "NAME",
         "what computes: cpu, cuda, auto, ... (default: the job's engine.device)"},
        {"oversubscribe", SG_OPT_FLAG, &o->oversubscribe, 0, 0, NULL,
         "let ranks share a GPU (as engine.oversubscribe)"},
        {"root-only", SG_OPT_FLAG, &o->grid.root_only, 0, 0, NULL,
         "rank 0 leases and merges, and does not compute (hundreds of ranks)"},
        {"array", SG_OPT_FLAG, &o->grid.array, 0, 0, NULL,
         "one of several processes that share output.dir without MPI; start as many as you like"},
        {"fresh", SG_OPT_FLAG, &o->grid.fresh, 0, 0, NULL,
         "discard what output.dir holds of an earlier or another run"},
        {"quiet", SG_OPT_FLAG, &o->grid.quiet, 0, 0, NULL, "no progress on stderr"},
        {"segment-seconds", SG_OPT_F64, &o->grid.segment_seconds, 0, 86400, "S",
         "make finished cells safe every S seconds; 0 at once (default: 5 to 60 with the run's age)"},
        {"shuffle-leases", SG_OPT_I64, &o->grid.shuffle_leases, 0, 9e15, "SEED",
         "cells in a random order; changes no result (default: heavy first)"},
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, &o->grid.job_path, 1, 1},
        help, err);
    if (st != SG_OK || *help) return st;
    for (size_t i = 0; i < o->since.n; i++) /* empty: most likely an unset variable of a script */
        if (!*o->since.items[i])
            return sg_fail(err, SG_E_USAGE, "run: --since: the name of the earlier results is empty");
    if (o->device) {
        /* last, so that it overrides an engine.device of --set */
        if (strlen(o->device) > 64)
            return sg_fail(err, SG_E_USAGE, "run: --device %s: no such device", o->device);
        snprintf(o->device_override, sizeof o->device_override, "engine.device=%s", o->device);
        SG_TRY(SG_GROW(&o->set.items, &o->set.cap, o->set.n + 1, "options", err));
        o->set.items[o->set.n++] = o->device_override;
    }
    if (o->cells) SG_TRY(sg_cmd_set_cells(&o->set, o->cells, &o->cells_override, err));
    if (o->oversubscribe) {
        SG_TRY(SG_GROW(&o->set.items, &o->set.cap, o->set.n + 1, "options", err));
        o->set.items[o->set.n++] = "engine.oversubscribe=true";
    }
    o->grid.overrides = o->set.items;
    o->grid.n_overrides = o->set.n;
    o->grid.since = o->since.items;
    o->grid.n_since = o->since.n;
out:
    return st;
}

static void print_summary(const struct sg_run_summary *s) {
    char hex[SG_DIGEST_HEX], cells[SG_CELLS_TEXT];
    sg_digest_hex(s->digest, hex);
    sg_cells_text(s->total, s->calibration, cells);
    if (s->already) {
        printf("%s was done before: digest %s, %s, %lld failed", s->run_dir, hex, cells,
               (long long)s->failed);
        if (s->unparsed) printf(", %lld without a verdict", (long long)s->unparsed);
        printf("; nothing computed\n");
        return;
    }
    printf("%s/results.h5: digest %s, %s, %lld failed, ", s->run_dir, hex, cells, (long long)s->failed);
    if (s->unparsed) printf("%lld without a verdict, ", (long long)s->unparsed);
    if (s->reuse.taken) printf("%lld taken over, ", (long long)s->reuse.taken);
    if (s->reuse.extended) printf("%lld extended, ", (long long)s->reuse.extended);
    printf("%lld computed", (long long)s->computed);
    if (s->seconds > 0) /* 0 for a point of a sweep: its group computes */
        printf(" in %.1f s, %.0f output tokens/s", s->seconds, (double)s->output_tokens / s->seconds);
    putchar('\n');
}

/* ---- a sweep ---------------------------------------------------------------------------------------- */

static void say_point(const char *point, const struct sg_run_summary *s) {
    (void)point; /* the folder names it */
    print_summary(s);
    fflush(stdout);
}

/* Collective. *is, the same on all ranks: the coordinator's file is a sweep's. */
static enum sg_status is_sweep(struct sg_comm *comm, const char *path, bool *is, struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = SG_OK;
    if (sg_comm_rank(comm) == 0 && sg_sweep_is(path)) st = sg_buf_str(&b, "sweep", err);
    SG_TRY(sg_comm_agree(comm, st, err));
    SG_TRY(sg_comm_bcast(comm, &b, err));
    *is = b.len > 0;
out:
    sg_buf_free(&b);
    return st;
}

enum sg_status sg_cmd_run(int argc, char **argv, struct sg_err *err) {
    struct options o = {.grid = {.segment_seconds = -1, .shuffle_leases = -1}};
    struct sg_comm *comm = NULL;
    struct sg_runner *runner = NULL;
    struct sg_run_summary summary = {0};
    bool help = false;
    for (int i = 1; i < argc; i++) help = help || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    if (help) { /* the same on all ranks: no agreement needed */
        enum sg_status st = read_options(argc, argv, &o, &help, err);
        free(o.set.items);
        free(o.since.items);
        free(o.cells_override);
        return st;
    }
    bool array = false;
    for (int i = 1; i < argc; i++) array = array || !strcmp(argv[i], "--array");
    enum sg_status st = array ? sg_comm_open_alone(&comm, err) : sg_comm_open(&comm, err);
    if (st != SG_OK) goto out;
    const bool root = sg_comm_rank(comm) == 0;
    st = read_options(argc, argv, &o, &help, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    st = sg_runner_new(&runner, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    const struct sg_compute_maker maker = sg_runner_maker(runner);
    bool sweep;
    SG_TRY(is_sweep(comm, o.grid.job_path, &sweep, err));
    if (sweep) {
        sg_runner_keep(runner); /* a model that several groups have in common is loaded once */
        st = sg_sweep_run(comm, &o.grid, &maker, say_point, err);
        goto out;
    }
    st = sg_run(comm, &o.grid, &maker, &summary, err);
    if (root && (st == SG_OK || st == SG_E_PARTIAL)) print_summary(&summary);
out:
    if (comm) sg_cmd_speak(comm, st, err);
    free(summary.run_dir);
    free(o.set.items);
    free(o.since.items);
    free(o.cells_override);
    sg_runner_free(runner);
    sg_comm_close(comm);
    return st;
}
