#include "run/journal.h"

#include "base/digest.h"
#include "base/file.h"
#include "cell/estimate.h"
#include "store/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CELLS = 1024, HOST = 64, MAX_TOLD = 4 };
static const char MAGIC[8] = "SGHAND2";

/* The file, as it lies in memory: read back on the same kind of machine. */
struct page {
    char magic[8];
    int32_t signal, rank, n,
        n_more; /* rank -1: a member of an array; n_more: on the device, not in the list */
    char host[HOST];
    uint64_t id; /* of this journal: file names repeat, with the pid */
    int64_t cells[CELLS];
};
struct death {
    int64_t cell;
    int32_t count;
    char by[120]; /* the last: "rank 2 on host: SIGSEGV" */
};
struct deaths {
    struct death *list;
    size_t n, cap;
    uint64_t *counted; /* ids of journals that are in the list and may still be there: a start that was killed
                          while it counted */
    size_t n_counted, cap_counted;
};
struct sg_journal {
    int fd;
    char *path;
    struct page page;
    struct deaths suspects;
};

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { N_CRASHES = sizeof crashes / sizeof *crashes };

static const char *name_of(int sig) {
    static const char *const names[] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"};
    for (int i = 0; i < N_CRASHES; i++)
        if (crashes[i] == sig) return names[i];
    return "a signal";
}

/* ---- a rank's own ----------------------------------------------------------------------------------- */

/* Global because a signal handler can reach nothing else. */
static volatile sig_atomic_t crash_fd = -1;
static struct sigaction before[N_CRASHES];

static void on_crash(int sig) {
    const int32_t signal_number = sig;
    const int fd = crash_fd;
    if (fd >= 0) (void)!pwrite(fd, &signal_number, sizeof signal_number, offsetof(struct page, signal));
    for (int i = 0; i < N_CRASHES; i++)
        if (crashes[i] == sig) sigaction(sig, &before[i], NULL);
    raise(sig); /* whoever caught it before, or the end */
}

static void catch_crashes(int fd) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_crash;
    crash_fd = fd;
    for (int i = 0; i < N_CRASHES; i++) sigaction(crashes[i], &sa, &before[i]);
}

static void leave_crashes(void) {
    for (int i = 0; i < N_CRASHES; i++) sigaction(crashes[i], &before[i], NULL);
    crash_fd = -1;
}

static void write_page(struct sg_journal *j) {
    const size_t n = offsetof(struct page, cells) + (size_t)j->page.n * sizeof j->page.cells[0];
    (void)!pwrite(j->fd, &j->page, n, 0);
}

static char *deaths_path(const char *run_dir) {
    char *path = NULL;
    return sg_path_join(run_dir, "hand/deaths", &path, NULL) == SG_OK ? path : NULL;
}

static void deaths_free(struct deaths *d) {
    free(d->list);
    free(d->counted);
}

/* A line a cell: cell, count, by; and a line "counted ID" a journal. */
static void read_deaths(const char *run_dir, struct deaths *d) {
    char *path = deaths_path(run_dir), line[256];
    FILE *f = path ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        long long cell;
        int count, at;
        uint64_t id;
        if (sscanf(line, "counted %" SCNx64, &id) == 1) {
            if (SG_GROW(&d->counted, &d->cap_counted, d->n_counted + 1, "deaths", NULL) != SG_OK) break;
            d->counted[d->n_counted++] = id;
            continue;
        }
        if (sscanf(line, "%lld %d %n", &cell, &count, &at) != 2 || cell < 0 || count < 1) continue;
        if (SG_GROW(&d->list, &d->cap, d->n + 1, "deaths", NULL) != SG_OK) break;
        struct death *x = &d->list[d->n++];
        *x = (struct death){.cell = cell, .count = count};
        snprintf(x->by, sizeof x->by, "%.*s", (int)strcspn(line + at, "\n"), line + at);
    }
    if (f) fclose(f);
    free(path);
}

/* Never again the same, and not 0. */
static uint64_t new_id(const struct page *p) {
    struct {
        struct timespec now;
        int64_t pid, rank;
        char host[HOST];
    } seed;
    memset(&seed, 0, sizeof seed);
    clock_gettime(CLOCK_REALTIME, &seed.now);
    seed.pid = (int64_t)getpid();
    seed.rank = p->rank;
    memcpy(seed.host, p->host, HOST);
    return sg_hash64(&seed, sizeof seed) | 1;
}

struct sg_journal *sg_journal_open(const char *run_dir, int32_t rank, const char *member) {
    struct sg_journal *j = NULL;
    struct sg_buf path = {0};
    if (SG_NEW(&j, 1, "journal", NULL) != SG_OK) return NULL;
    memcpy(j->page.magic, MAGIC, sizeof MAGIC);
    j->page.rank = member ? -1 : rank;
    if (gethostname(j->page.host, HOST - 1) != 0) snprintf(j->page.host, HOST, "unknown host");
    j->page.id = new_id(&j->page);
    read_deaths(run_dir, &j->suspects);
    j->fd = -1;
    if (sg_buf_printf(&path, NULL, "%s/hand", run_dir) == SG_OK && sg_dir_make(path.data, NULL) == SG_OK &&
        (member
             ? sg_buf_printf(&path, NULL, "/%05d-%s", (int)rank, member)
             : sg_buf_printf(&path, NULL, "/%05d-%s-%ld", (int)rank, j->page.host, (long)getpid())) == SG_OK)
        j->fd = open(path.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    j->path = path.data;
    if (j->fd < 0) {
        deaths_free(&j->suspects);
        free(j->path);
        free(j);
        return NULL;
    }
    catch_crashes(j->fd);
    return j;
}

void sg_journal_reload(struct sg_journal *j, const char *run_dir) {
    if (!j) return;
    j->suspects.n = j->suspects.n_counted = 0;
    read_deaths(run_dir, &j->suspects);
}

void sg_journal_begin(struct sg_journal *j, int64_t cell) {
    if (!j) return;
    if (j->page.n < CELLS)
        j->page.cells[j->page.n++] = cell;
    else
        j->page.n_more++;
    write_page(j);
}

void sg_journal_end(struct sg_journal *j, int64_t cell) {
    if (!j) return;
    int32_t i = 0;
    while (i < j->page.n && j->page.cells[i] != cell) i++;
    if (i < j->page.n)
        j->page.cells[i] = j->page.cells[--j->page.n];
    else if (j->page.n_more > 0)
        j->page.n_more--;
    write_page(j);
}

bool sg_journal_suspect(const struct sg_journal *j, int64_t cell) {
    for (size_t i = 0; j && i < j->suspects.n; i++)
        if (j->suspects.list[i].cell == cell) return true;
    return false;
}

void sg_journal_close(struct sg_journal *j) {
    if (!j) return;
    leave_crashes();
    close(j->fd);
    unlink(j->path);
    free(j->path);
    deaths_free(&j->suspects);
    free(j);
}

/* ---- the next start --------------------------------------------------------------------------------- */

struct collecting {
    const struct sg_plan *plan;
    struct deaths deaths; /* its `counted`: of this start */
    struct deaths before; /* what an earlier start had counted */
    const struct sg_journal_rules *rules;
    int64_t told;
};

/* "rank 2 on host" */
static const char *who(const struct page *p, char out[HOST + 32]) {
    if (p->rank < 0)
        snprintf(out, HOST + 32, "an array's member on %s", p->host);
    else
        snprintf(out, HOST + 32, "rank %d on %s", (int)p->rank, p->host);
    return out;
}

/* Is this file name, in hand/, the journal of one that has died? */
static bool of_the_dead(const char *name, const struct sg_journal_rules *rules) {
    const char *dash = strchr(name, '-');
    if (name[0] < '0' || name[0] > '9' || !dash) return false;
    return !rules->lives || !rules->lives(rules->ctx, dash + 1);
}

static enum sg_status add_death(struct collecting *c, const struct page *p, int64_t cell,
                                struct sg_err *err) {
    struct deaths *d = &c->deaths;
    size_t i = 0;
    while (i < d->n && d->list[i].cell != cell) i++;
    if (i == d->n) {
        enum sg_status st = SG_GROW(&d->list, &d->cap, d->n + 1, "deaths", err);
        if (st != SG_OK) return st;
        d->list[d->n++] = (struct death){.cell = cell};
    }
    d->list[i].count++;
    char by[HOST + 32];
    snprintf(d->list[i].by, sizeof d->list[i].by, "%s: %s", who(p, by), name_of(p->signal));
    return SG_OK;
}

static void tell(struct collecting *c, const struct page *p) {
    const struct sg_plan *plan = c->plan;
    char name[HOST + 32];
    if (c->rules->quiet || ++c->told > MAX_TOLD) return;
    fprintf(stderr, "scope-grid: in an earlier start %s %s%s with %d cells in hand", who(p, name),
            p->signal ? "crashed by " : "ended without a word (killed, or its node was lost)",
            p->signal ? name_of(p->signal) : "", (int)(p->n + p->n_more));
    if (p->n)
        fprintf(stderr, "; the first: query %s, model %s", plan->queries[p->cells[0] / plan->n_models].id,
                plan->models[p->cells[0] % plan->n_models].id);
    fputc('\n', stderr);
}

static enum sg_status collect_one(struct collecting *c, const char *path, struct sg_err *err) {
    struct page p = {0};
    enum sg_status st = SG_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, &p, sizeof p);
    if (fd >= 0) close(fd);
    p.host[HOST - 1] = 0;
    if (n < (ssize_t)offsetof(struct page, cells) || memcmp(p.magic, MAGIC, sizeof MAGIC) != 0 || p.n < 0 ||
        p.n > CELLS || n < (ssize_t)(offsetof(struct page, cells) + (size_t)p.n * sizeof p.cells[0]))
        return SG_OK; /* died before it had anything in hand, or not ours */
    for (int32_t i = 0; i < p.n; i++)
        if (p.cells[i] < 0 || p.cells[i] >= c->plan->n_cells) return SG_OK;
    if (p.n || p.signal) tell(c, &p);
    if (!p.signal) goto out;
    struct deaths *d = &c->deaths;
    SG_TRY(SG_GROW(&d->counted, &d->cap_counted, d->n_counted + 1, "deaths", err));
    d->counted[d->n_counted++] = p.id;
    for (size_t i = 0; i < c->before.n_counted; i++)
        if (c->before.counted[i] == p.id) goto out;
    for (int32_t i = 0; i < p.n; i++) SG_TRY(add_death(c, &p, p.cells[i], err));
out:
    return st;
}

static enum sg_status write_deaths(const char *run_dir, const struct deaths *d, struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = SG_OK;
    char *path = deaths_path(run_dir);
    for (size_t i = 0; i < d->n; i++)
        SG_TRY(sg_buf_printf(&b, err, "%lld %d %s\n", (long long)d->list[i].cell, (int)d->list[i].count,
                             d->list[i].by));
    for (size_t i = 0; i < d->n_counted; i++)
        SG_TRY(sg_buf_printf(&b, err, "counted %016" PRIx64 "\n", d->counted[i]));
    if (path) SG_TRY(sg_file_write_atomic(path, b.data ? b.data : "", b.len, err));
out:
    sg_buf_free(&b);
    free(path);
    return st;
}

static enum sg_status quarantine(const char *run_dir, const struct collecting *c, uint8_t *done,
                                 int64_t *n_done, int64_t *n_failed, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_segment_writer *w = NULL;
    const struct sg_plan *plan = c->plan;
    for (size_t i = 0; i < c->deaths.n; i++) {
        const struct death *d = &c->deaths.list[i];
        if (d->count < SG_JOURNAL_DEATHS || d->cell >= plan->n_cells || done[d->cell]) continue;
        char why[256];
        snprintf(why, sizeof why,
                 "quarantined: in hand at %d crashes, the last of %s; run --retry-failed tries it alone",
                 (int)d->count, d->by);
        struct sg_cell cell = {.query = (int32_t)(d->cell / plan->n_models),
                               .model = (int32_t)(d->cell % plan->n_models),
                               .prompt_tokens = -1,
                               .status = SG_E_DEVICE,
                               .reason = why};
        sg_cell_estimate(&cell, plan->models[cell.model].input, plan->models[cell.model].output);
        if (!w) {
            const struct sg_segment_head head = {plan->fingerprint, 0, c->rules->night, NULL};
            SG_TRY(sg_segment_open(run_dir, &head, &w, err));
        }
        SG_TRY(sg_segment_append(w, d->cell, plan->cell_fingerprint[d->cell], &cell, err));
        done[d->cell] = 1;
        ++*n_done;
        ++*n_failed;
        if (!c->rules->quiet)
            fprintf(stderr, "scope-grid: query %s, model %s is %s\n", plan->queries[cell.query].id,
                    plan->models[cell.model].id, why);
    }
    if (w) {
        struct sg_segment_writer *closing = w;
        w = NULL;
        st = sg_segment_close(closing, err);
    }
out:
    sg_segment_abandon(w);
    return st;
}

bool sg_journal_deaths(const char *run_dir, const struct sg_journal_rules *rules) {
    char *dir = NULL;
    bool any = false;
    if (sg_path_join(run_dir, "hand", &dir, NULL) != SG_OK) return false;
    DIR *d = opendir(dir);
    for (struct dirent *e; !any && d && (e = readdir(d));) any = of_the_dead(e->d_name, rules);
    if (d) closedir(d);
    free(dir);
    return any;
}

enum sg_status sg_journal_collect(const char *run_dir, const struct sg_plan *plan,
                                  const struct sg_journal_rules *rules, uint8_t *done, int64_t *n_done,
                                  int64_t *n_failed, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct collecting c = {.plan = plan, .rules = rules};
    char **dead = NULL, *dir = NULL; /* dead[n]: paths */
    size_t n = 0, cap = 0;
    DIR *d = NULL;
    SG_TRY(sg_path_join(run_dir, "hand", &dir, err));
    if (!(d = opendir(dir))) goto out;
    read_deaths(run_dir, &c.before);
    if (!rules->forget) {
        c.deaths.list = c.before.list;
        c.deaths.n = c.before.n;
        c.deaths.cap = c.before.cap;
        c.before.list = NULL;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (!of_the_dead(e->d_name, rules)) continue;
        SG_TRY(SG_GROW(&dead, &cap, n + 1, "journals", err));
        dead[n] = NULL;
        SG_TRY(sg_path_join(dir, e->d_name, &dead[n++], err));
        SG_TRY(collect_one(&c, dead[n - 1], err));
    }
    if (!rules->quiet && c.told > MAX_TOLD)
        fprintf(stderr, "scope-grid: and %lld more ranks\n", (long long)(c.told - MAX_TOLD));
    if (rules->forget) c.deaths.n = 0;
    SG_TRY(write_deaths(run_dir, &c.deaths, err));
    SG_TRY(quarantine(run_dir, &c, done, n_done, n_failed, err));
    /* Last: who is killed on the way here is followed by one that finds them again. */
    for (size_t i = 0; i < n; i++) (void)unlink(dead[i]);
out:
    if (d) closedir(d);
    deaths_free(&c.deaths);
    deaths_free(&c.before);
    for (size_t i = 0; i < n; i++) free(dead[i]);
    free(dead);
    free(dir);
    return st;
}
