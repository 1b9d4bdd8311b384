#include "run/inflight.h"

#include "base/file.h"

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

enum { CELLS = 1024, HOST = 64, NAME = 160, MAX_TOLD = 4 };
static const char MAGIC[8] = "SGINFL1";

/* The file's content, in the layout of this kind of machine. */
struct page {
    char magic[8];
    int32_t signal, rank, n, n_more; /* n_more: in flight and not in the list */
    char host[HOST];
    int64_t cells[CELLS];
};
struct crash {
    char name[NAME], by[HOST + 32]; /* the note's; "rank 2 on host: SIGSEGV" */
    int64_t *cells;                 /* [n] */
    int32_t n;
};
struct sg_inflight {
    int fd;
    char *dir, *path;
    struct page page;
    struct crash *crashes;
    size_t n_crashes, cap;
};

static const struct {
    int number;
    const char *name;
} crash_signals[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"}};
enum { N_SIGNALS = sizeof crash_signals / sizeof *crash_signals };

static const char *name_of(int sig) {
    for (int i = 0; i < N_SIGNALS; i++)
        if (crash_signals[i].number == sig) return crash_signals[i].name;
    return "a signal";
}

/* ---- a rank's own note ------------------------------------------------------------------------------ */

/* Global because a signal handler can reach nothing else. */
static volatile sig_atomic_t crash_fd = -1;
static struct sigaction before[N_SIGNALS];

static void on_crash(int sig) {
    const int32_t number = sig;
    const int fd = crash_fd;
    if (fd >= 0) (void)!pwrite(fd, &number, sizeof number, offsetof(struct page, signal));
    for (int i = 0; i < N_SIGNALS; i++)
        if (crash_signals[i].number == sig) sigaction(sig, &before[i], NULL);
    raise(sig); /* now runs the handler before this one, or ends the process */
}

static void write_page(struct sg_inflight *n) {
    const size_t bytes = offsetof(struct page, cells) + (size_t)n->page.n * sizeof n->page.cells[0];
    (void)!pwrite(n->fd, &n->page, bytes, 0);
}

struct sg_inflight *sg_inflight_open(const char *run_dir, int32_t rank) {
    struct sg_inflight *n = NULL;
    struct sg_buf path = {0};
    struct timespec now;
    struct sigaction catch = {.sa_handler = on_crash};
    if (SG_NEW(&n, 1, "in-flight note", NULL) != SG_OK) return NULL;
    n->fd = -1;
    memcpy(n->page.magic, MAGIC, sizeof MAGIC);
    n->page.rank = rank;
    if (gethostname(n->page.host, HOST - 1) != 0) snprintf(n->page.host, HOST, "unknown host");
    clock_gettime(CLOCK_REALTIME, &now); /* pids repeat */
    if (sg_path_join(run_dir, "inflight", &n->dir, NULL) == SG_OK && sg_dir_make(n->dir, NULL) == SG_OK &&
        sg_buf_printf(&path, NULL, "%s/%05d-%s-%ld-%" PRIx64, n->dir, (int)rank, n->page.host, (long)getpid(),
                      (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) == SG_OK)
        n->fd = sg_open(path.data, SG_OPEN_NEW);
    n->path = path.data;
    if (n->fd < 0) {
        free(n->dir);
        free(n->path);
        free(n);
        return NULL;
    }
    sigemptyset(&catch.sa_mask);
    crash_fd = n->fd;
    for (int i = 0; i < N_SIGNALS; i++) sigaction(crash_signals[i].number, &catch, &before[i]);
    return n;
}

void sg_inflight_begin(struct sg_inflight *n, int64_t cell) {
    if (!n) return;
    if (n->page.n < CELLS)
        n->page.cells[n->page.n++] = cell;
    else
        n->page.n_more++;
    write_page(n);
}

void sg_inflight_end(struct sg_inflight *n, int64_t cell) {
    if (!n) return;
    int32_t i = 0;
    while (i < n->page.n && n->page.cells[i] != cell) i++;
    if (i < n->page.n)
        n->page.cells[i] = n->page.cells[--n->page.n];
    else if (n->page.n_more > 0)
        n->page.n_more--;
    write_page(n);
}

void sg_inflight_close(struct sg_inflight *n) {
    if (!n) return;
    for (int i = 0; i < N_SIGNALS; i++) sigaction(crash_signals[i].number, &before[i], NULL);
    crash_fd = -1;
    close(n->fd);
    unlink(n->path);
    for (size_t i = 0; i < n->n_crashes; i++) free(n->crashes[i].cells);
    free(n->crashes);
    free(n->dir);
    free(n->path);
    free(n);
}

/* ---- the notes of others ---------------------------------------------------------------------------- */

/* The names that sg_inflight_open gives: users may keep other files there. */
static bool is_note(const char *name) {
    return strspn(name, "0123456789") == 5 && name[5] == '-';
}

/* False when the file is no whole note: its rank died before it had cells in flight, or it is no note. */
static bool read_page(int dir, const char *name, struct page *p) {
    memset(p, 0, sizeof *p);
    const int fd = is_note(name) ? sg_open_at(dir, name, SG_OPEN_OWN) : -1;
    const ssize_t n = fd < 0 ? -1 : read(fd, p, sizeof *p);
    if (fd >= 0) close(fd);
    p->host[HOST - 1] = 0;
    return n >= (ssize_t)offsetof(struct page, cells) && !memcmp(p->magic, MAGIC, sizeof MAGIC) &&
           p->n >= 0 && p->n <= CELLS &&
           n >= (ssize_t)(offsetof(struct page, cells) + (size_t)p->n * sizeof p->cells[0]);
}

/* Prints a line on what the rank had in flight, up to MAX_TOLD. *told: lines so far, updated. */
static void tell(const struct page *p, const struct sg_plan *plan, int *told) {
    if (!plan || ++*told > MAX_TOLD) return;
    fprintf(stderr, "scope-grid: rank %d on %s %s%s with %d cells in flight", (int)p->rank, p->host,
            p->signal ? "crashed by " : "ended without a word (killed, or its node was lost)",
            p->signal ? name_of(p->signal) : "", (int)(p->n + p->n_more));
    if (p->n && p->cells[0] >= 0 && p->cells[0] < plan->n_cells)
        fprintf(stderr, "; the first: %s %s, model %s", sg_plan_row_kind(plan, p->cells[0]),
                plan->queries[p->cells[0] / plan->n_models].id,
                plan->models[p->cells[0] % plan->n_models].id);
    fputc('\n', stderr);
}

static void tell_rest(int told) {
    if (told > MAX_TOLD) fprintf(stderr, "scope-grid: and %d more ranks\n", told - MAX_TOLD);
}

void sg_inflight_read(struct sg_inflight *n, const struct sg_plan *plan) {
    struct page p;
    int told = 0;
    DIR *d = n ? sg_dir_open(n->dir, false) : NULL;
    for (const struct dirent *e; d && (e = readdir(d));) {
        size_t i = 0;
        while (i < n->n_crashes && strcmp(n->crashes[i].name, e->d_name) != 0) i++;
        if (i < n->n_crashes || strlen(e->d_name) >= NAME) continue;
        if (!read_page(dirfd(d), e->d_name, &p) || !p.signal) continue;
        struct crash c = {.n = p.n};
        memcpy(c.name, e->d_name, strlen(e->d_name));
        snprintf(c.by, sizeof c.by, "rank %d on %s: %s", (int)p.rank, p.host, name_of(p.signal));
        if (SG_GROW(&n->crashes, &n->cap, n->n_crashes + 1, "crashes", NULL) != SG_OK ||
            SG_NEW(&c.cells, p.n, "crashes", NULL) != SG_OK)
            break;
        memcpy(c.cells, p.cells, (size_t)p.n * sizeof *c.cells);
        n->crashes[n->n_crashes++] = c;
        tell(&p, plan, &told);
    }
    if (d) closedir(d);
    tell_rest(told);
}

int32_t sg_inflight_crashes(const struct sg_inflight *n, int64_t cell, const char **by) {
    int32_t crashes = 0;
    for (size_t i = 0; n && i < n->n_crashes; i++) {
        const struct crash *c = &n->crashes[i];
        int32_t k = 0;
        while (k < c->n && c->cells[k] != cell) k++;
        if (k == c->n) continue;
        crashes++;
        *by = c->by;
    }
    return crashes;
}

void sg_inflight_tidy(const char *run_dir, const struct sg_plan *plan, bool forget) {
    char *dir = NULL;
    struct page p;
    int told = 0;
    DIR *d = sg_path_join(run_dir, "inflight", &dir, NULL) == SG_OK ? sg_dir_open(dir, false) : NULL;
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (!is_note(e->d_name)) continue;
        const bool whole = read_page(dirfd(d), e->d_name, &p);
        if (whole && (p.n || p.signal)) tell(&p, plan, &told);
        if (forget || !whole || !p.signal) (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d) closedir(d);
    free(dir);
    tell_rest(told);
}
