/* sim_grid - the grid as it is (plan, leases, messages, segments, merge) around a simulated device: cells
 * answer at random by their own fingerprint, after a set number of steps of a set length. For tests of ranks
 * and faults; the results of two runs of one job must be equal whatever happened on the way.
 *
 * usage: sim_grid JOB|SWEEP [--set A.B=VALUE] [--slots N] [--steps N] [--step-us N] [--root-only] [--fresh]
 *        [--segment-seconds S] [--shuffle-leases SEED] [--no-model-on RANK] [--lose-device RANK]
 *        [--fail-every N] [--crash-cell N] [--other-model-on RANK] [--array] [--traffic] [--model]
 *        [--nodes N] [--other-view-on RANK] [--no-memory WHAT] [--stats] [--tell] */
#include "base/rng.h"
#include "cell/estimate.h"
#include "base/options.h"
#include "run/run.h"
#include "sweep/sweep.h"
#include "sweep/sweep_run.h"
#include "model/digest.h"
#include "store/segment.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct sim {
    struct sg_digest seen; /* the model's digest */
    bool model;            /* the job's model files are read */
    int64_t crash_cell, slots, steps, step_us, no_model_on, lose_device, fail_every, other_model_on;
    int32_t rank;
    const struct sg_plan *plan;
    struct sg_cell_sink sink;
    struct {
        int64_t cell, left; /* steps left; cell -1: free */
        int32_t first;      /* sample to begin with */
    } * running;
    int64_t n_running, n_steps;
    struct sg_cell_sample *samples;
    char (*texts)[64];
    struct sg_digest
        *keys; /* [n_params][n_cells]: fingerprints of the cells, drawn with one sample of these parameters */
    int64_t samples_drawn;
    /* --stats: when this rank began and finished its last cell (ns, one clock for all ranks of a node), CPU
     * seconds and peak memory up to there */
    bool stats;
    int64_t opened, last, cells, opened_kib, last_kib;
    double cpu_opened, cpu_last;
};

/* --model: says who hashes the model's files for its node. */
enum sg_status __real_sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out,
                                    struct sg_err *err);
enum sg_status __wrap_sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out,
                                    struct sg_err *err);
enum sg_status __wrap_sg_model_pass(const struct sg_model_pass *pass, struct sg_digest *out,
                                    struct sg_err *err) {
    puts("hashed");
    return __real_sg_model_pass(pass, out, err);
}

/* --other-view-on RANK: to this rank the model's files look like others. */
static bool other_view;
enum sg_status __real_sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                              struct sg_err *err);
enum sg_status __wrap_sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                              struct sg_err *err);
enum sg_status __wrap_sg_model_files_identity(const struct sg_model_files *f, struct sg_digest *out,
                                              struct sg_err *err) {
    const enum sg_status st = __real_sg_model_files_identity(f, out, err);
    out->lo += other_view;
    return st;
}

/* --no-memory WHAT: a rank finds no memory for what is called so from its first cell on. */
static const char *no_memory;
static bool short_of_memory;

enum sg_status __real_sg_new(void **out, size_t n, size_t size, const char *what, struct sg_err *err);
enum sg_status __wrap_sg_new(void **out, size_t n, size_t size, const char *what, struct sg_err *err);
enum sg_status __wrap_sg_new(void **out, size_t n, size_t size, const char *what, struct sg_err *err) {
    if (short_of_memory && !strcmp(what, no_memory))
        return sg_fail(err, SG_E_NOMEM, "no memory for %s", what);
    return __real_sg_new(out, n, size, what, err);
}

/* --tell: says how many cells a segment has, once it is closed. Unbuffered: tests/faults/power_cut.py reads the order of
 * what is told and of what is written. */
static bool tell;
enum sg_status __real_sg_segment_close(struct sg_segment_writer *w, struct sg_err *err);
enum sg_status __wrap_sg_segment_close(struct sg_segment_writer *w, struct sg_err *err);
enum sg_status __wrap_sg_segment_close(struct sg_segment_writer *w, struct sg_err *err) {
    char text[40];
    const int n = snprintf(text, sizeof text, "closed %lld\n", (long long)sg_segment_count(w));
    const enum sg_status st = __real_sg_segment_close(w, err);
    if (st == SG_OK && tell && write(STDOUT_FILENO, text, (size_t)n) != n) abort();
    return st;
}

static void stamp(int64_t *at, double *cpu, int64_t *kib) {
    struct timespec t;
    struct rusage u;
    clock_gettime(CLOCK_MONOTONIC, &t);
    getrusage(RUSAGE_SELF, &u);
    *at = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    *cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    *kib = u.ru_maxrss;
}

static void facts(const struct sim *s, struct sg_compute_facts *out) {
    out->model = sg_digest_bytes("simulated", 9);
    out->model.lo += s->rank == s->other_model_on;
    snprintf(out->numerics, sizeof out->numerics, "simulated 1");
    snprintf(out->device.name, sizeof out->device.name, "simulated device");
}

static enum sg_status sim_look(void *ctx, const struct sg_job *job, const struct sg_compute_place *place,
                               struct sg_compute_facts *out, struct sg_err *err) {
    struct sim *s = ctx;
    if (s->rank == s->no_model_on)
        return sg_fail(err, SG_E_INPUT, "%s/config.json: no such file or folder", job->model_path);
    facts(s, out);
    if (s->model) {
        SG_ASSERT(place->model);
        enum sg_status st = sg_model_digest(job->model_path, 1, &out->model, err);
        if (st == SG_OK && !sg_digest_equal(out->model, *place->model))
            st = sg_fail(err, SG_E_CORRUPT, "%s: rank %d sees other files than were hashed", job->model_path,
                         (int)s->rank);
        if (st != SG_OK) return st;
    }
    s->seen = out->model;
    return SG_OK;
}

static bool sim_has_room(void *ctx, int64_t cell) {
    (void)cell;
    struct sim *s = ctx;
    return s->n_running < s->slots;
}

static enum sg_status sim_submit(void *ctx, int64_t cell, int32_t first, struct sg_err *err) {
    (void)err;
    struct sim *s = ctx;
    short_of_memory = no_memory != NULL;
    if (cell == s->crash_cell) raise(SIGSEGV);
    for (int64_t i = 0; i < s->slots; i++) {
        if (s->running[i].cell >= 0) continue;
        s->running[i].cell = cell;
        s->running[i].first = first;
        s->running[i].left = s->steps + cell % 3; /* not all alike */
        s->n_running++;
        return SG_OK;
    }
    return sg_fail(err, SG_E_INTERNAL, "submitted without room");
}

static enum sg_status finish(struct sim *s, int64_t c, int32_t first, struct sg_err *err) {
    const struct sg_plan *p = s->plan;
    const int32_t n = (int32_t)sg_plan_cell_samples(p, c);
    struct sg_cell cell = {.query = (int32_t)(c / p->n_models),
                           .model = (int32_t)(c % p->n_models),
                           .prompt_tokens = 100,
                           .estimator_prompt_tokens = 700,
                           .n_samples = n - first,
                           .samples = s->samples + first};
    for (int32_t at = 0, d = 0, i = 0; at < n; at++, i++) {
        if (i == p->params[d].samples) d++, i = 0;
        const struct sg_digest key = s->keys[d * p->n_cells + c];
        uint64_t r = sg_random64(key.lo, (uint64_t)i);
        struct sg_cell_sample *a = &s->samples[at];
        memset(a, 0, sizeof *a);
        a->correct = r % 10 == 0 ? SG_ANSWER_UNPARSED : (int8_t)(r >> 8 & 1);
        a->finish = 3;
        a->tokens = 20 + (int32_t)(r >> 16 & 63);
        a->length = a->correct == SG_ANSWER_UNPARSED ? -1 : (int64_t)(r >> 24 & 1023);
        a->p_yes = a->correct == SG_ANSWER_UNPARSED ? NAN : sg_uniform(key.hi, (uint32_t)i);
        a->text = s->texts[at];
        a->text_bytes = snprintf(s->texts[at], sizeof s->texts[at], "sample %d of %016llx", (int)i,
                                 (unsigned long long)key.hi);
    }
    if (s->fail_every > 0 && c % s->fail_every == 1) {
        cell.status = SG_E_INPUT;
        cell.reason = "prompt of 9000 tokens is longer than the context";
        cell.n_samples = 0;
        cell.samples = NULL;
    }
    sg_cell_estimate(&cell, p->models[cell.model].price);
    return s->sink.done(s->sink.ctx, c, &cell, err);
}

static enum sg_status sim_step(void *ctx, struct sg_err *err) {
    struct sim *s = ctx;
    if (s->rank == s->lose_device && ++s->n_steps > 10)
        return sg_fail(err, SG_E_DEVICE, "the simulated device is lost");
    bool any = false;
    if (s->step_us > 0)
        nanosleep(&(struct timespec){s->step_us / 1000000, s->step_us % 1000000 * 1000}, NULL);
    for (int64_t i = 0; i < s->slots; i++) {
        int64_t cell = s->running[i].cell;
        if (cell < 0 || --s->running[i].left > 0) continue;
        s->running[i].cell = -1;
        s->n_running--;
        s->samples_drawn += sg_plan_cell_samples(s->plan, cell) - s->running[i].first;
        enum sg_status st = finish(s, cell, s->running[i].first, err);
        if (st != SG_OK) return st;
        s->cells++;
        any = true;
    }
    if (any && s->stats) stamp(&s->last, &s->cpu_last, &s->last_kib);
    return SG_OK;
}

static int64_t sim_pending(void *ctx) {
    return ((struct sim *)ctx)->n_running;
}

static enum sg_status sim_open(void *ctx, const struct sg_plan *plan, const struct sg_cell_sink *sink,
                               struct sg_compute *out, struct sg_err *err) {
    struct sim *s = ctx;
    enum sg_status st = SG_OK;
    s->plan = plan;
    s->sink = *sink;
    SG_TRY(SG_NEW(&s->running, s->slots, "slots", err));
    SG_TRY(SG_NEW(&s->samples, plan->n_samples, "samples", err));
    SG_TRY(SG_NEW(&s->texts, plan->n_samples, "texts", err));
    struct sg_compute_facts f;
    facts(s, &f);
    const struct sg_plan_inputs in = {.model_digest = s->seen, .numerics = f.numerics};
    SG_TRY(SG_NEW(&s->keys, plan->n_params * plan->n_cells, "keys", err));
    for (int32_t d = 0; d < plan->n_params; d++) {
        struct sg_sampling_params one = plan->params[d];
        one.samples = 1; /* the first samples are the same however many follow */
        SG_TRY(sg_plan_fingerprints_of(plan, &in, &one, s->keys + d * plan->n_cells, err));
    }
    for (int64_t i = 0; i < s->slots; i++) s->running[i].cell = -1;
    if (s->stats) stamp(&s->opened, &s->cpu_opened, &s->opened_kib);
    *out = (struct sg_compute){
        .ctx = s, .has_room = sim_has_room, .submit = sim_submit, .step = sim_step, .pending = sim_pending};
out:
    return st;
}

static void sim_close(void *ctx) {
    struct sim *s = ctx;
    free(s->running);
    free(s->samples);
    free(s->texts);
    free(s->keys);
    s->running = NULL; /* the next group of a sweep opens the same device again */
    s->samples = NULL;
    s->texts = NULL;
    s->keys = NULL;
    s->n_running = 0;
}

static void say_point(const char *point, const struct sg_run_summary *s) {
    printf("point %s cells %lld computed %lld taken %lld", point, (long long)s->total, (long long)s->computed,
           (long long)s->reuse.taken);
    putchar('\n');
}

int main(int argc, char **argv) {
    struct sim s = {
        .crash_cell = -1, .slots = 8, .steps = 3, .no_model_on = -1, .lose_device = -1, .other_model_on = -1};
    struct sg_run_options o = {.segment_seconds = -1, .shuffle_leases = -1, .quiet = true};
    struct sg_opt_list set = {0}, since = {0};
    struct sg_run_summary sum = {0};
    struct sg_comm *comm = NULL;
    struct sg_err err = {0};
    int64_t nodes = 0, other_view_on = -1;
    bool help, drawn = false, traffic = false, loud = false;
    const struct sg_opt opts[] = {
        {.name = "set", .kind = SG_OPT_LIST, .target = &set},
        {.name = "slots", .kind = SG_OPT_I64, .target = &s.slots, .min = 1, .max = 1e6},
        {.name = "steps", .kind = SG_OPT_I64, .target = &s.steps, .min = 1, .max = 1e6},
        {.name = "step-us", .kind = SG_OPT_I64, .target = &s.step_us, .min = 0, .max = 1e9},
        {.name = "no-model-on", .kind = SG_OPT_I64, .target = &s.no_model_on, .min = 0, .max = 1e6},
        {.name = "other-model-on", .kind = SG_OPT_I64, .target = &s.other_model_on, .min = 0, .max = 1e6},
        {.name = "lose-device", .kind = SG_OPT_I64, .target = &s.lose_device, .min = 0, .max = 1e6},
        {.name = "crash-cell", .kind = SG_OPT_I64, .target = &s.crash_cell, .min = 0, .max = 1e15},
        {.name = "fail-every", .kind = SG_OPT_I64, .target = &s.fail_every, .min = 0, .max = 1e9},
        {.name = "segment-seconds", .kind = SG_OPT_F64, .target = &o.segment_seconds, .min = -1, .max = 1e6},
        {.name = "shuffle-leases", .kind = SG_OPT_I64, .target = &o.shuffle_leases, .min = 0, .max = 1e15},
        {.name = "no-memory", .kind = SG_OPT_STR, .target = &no_memory},
        {.name = "root-only", .kind = SG_OPT_FLAG, .target = &o.root_only},
        {.name = "array", .kind = SG_OPT_FLAG, .target = &o.array},
        {.name = "fresh", .kind = SG_OPT_FLAG, .target = &o.fresh},
        {.name = "model", .kind = SG_OPT_FLAG, .target = &s.model},
        {.name = "other-view-on", .kind = SG_OPT_I64, .target = &other_view_on, .min = 0, .max = 1e6},
        {.name = "nodes", .kind = SG_OPT_I64, .target = &nodes, .min = 1, .max = 1e6},
        {.name = "since", .kind = SG_OPT_LIST, .target = &since},
        {.name = "extend", .kind = SG_OPT_FLAG, .target = &o.extend},
        {.name = "drawn", .kind = SG_OPT_FLAG, .target = &drawn},
        {.name = "night", .kind = SG_OPT_STR, .target = &o.night},
        {.name = "retry-failed", .kind = SG_OPT_FLAG, .target = &o.retry_failed},
        {.name = "stats", .kind = SG_OPT_FLAG, .target = &s.stats},
        {.name = "tell", .kind = SG_OPT_FLAG, .target = &tell},
        {.name = "traffic", .kind = SG_OPT_FLAG, .target = &traffic},
        {.name = "progress", .kind = SG_OPT_FLAG, .target = &loud},
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){"", opts, sizeof opts / sizeof *opts, &o.job_path, 1, 1}, &help,
        &err);
    if (st == SG_OK)
        st = o.array ? sg_comm_open_alone(&comm, &err) : sg_comm_open_pretended((int32_t)nodes, &comm, &err);
    if (st == SG_OK) {
        s.rank = sg_comm_rank(comm);
        other_view = s.rank == other_view_on;
        o.overrides = set.items;
        o.n_overrides = set.n;
        o.since = since.items;
        o.n_since = since.n;
        o.quiet = !loud;
        const struct sg_compute_maker maker = {
            .ctx = &s, .reads_model = s.model, .probe = sim_look, .open = sim_open, .close = sim_close};
        const bool sweep = sg_sweep_is(o.job_path); /* every rank sees the file here */
        if (sweep)
            st = sg_sweep_run(comm, &o, &maker, say_point, &err);
        else
            st = sg_run(comm, &o, &maker, &sum, &err);
        if (s.rank == 0 && sum.run_dir && (st == SG_OK || st == SG_E_PARTIAL)) {
            char hex[SG_DIGEST_HEX];
            sg_digest_hex(sum.digest, hex);
            printf("digest %s cells %lld failed %lld computed %lld%s", hex, (long long)sum.total,
                   (long long)sum.failed, (long long)sum.computed, sum.already ? " already" : "");
            if (sum.reuse.taken) printf(" taken %lld", (long long)sum.reuse.taken);
            if (sum.reuse.extended) printf(" extended %lld", (long long)sum.reuse.extended);
            putchar('\n');
        }
        if (drawn) printf("rank %d drew %lld samples\n", (int)s.rank, (long long)s.samples_drawn);
        int64_t messages, bytes;
        sg_comm_traffic(comm, &messages, &bytes);
        if (traffic)
            printf("rank %d sent %lld messages, %lld bytes\n", (int)s.rank, (long long)messages,
                   (long long)bytes);
        if (s.stats) {
            int64_t end, kib;
            double cpu;
            stamp(&end, &cpu, &kib);
            printf("{\"rank\": %d, \"cells\": %lld, \"messages\": %lld, \"bytes\": %lld, \"opened\": %lld, "
                   "\"last\": "
                   "%lld, \"end\": %lld, \"cpu_opened\": %.3f, \"cpu_last\": %.3f, \"cpu\": %.3f, "
                   "\"kib_opened\": %lld, \"kib_last\": %lld, \"kib\": %lld}\n",
                   (int)s.rank, (long long)s.cells, (long long)messages, (long long)bytes,
                   (long long)s.opened, (long long)s.last, (long long)end, s.cpu_opened, s.cpu_last, cpu,
                   (long long)s.opened_kib, (long long)s.last_kib, (long long)kib);
        }
        if (s.rank != 0) err.text[0] = 0;
    }
    if (err.text[0]) fprintf(stderr, "sim_grid: %s\n", err.text);
    free(sum.run_dir);
    free(set.items);
    free(since.items);
    sg_comm_close(comm);
    return sg_status_exit_code(st);
}
