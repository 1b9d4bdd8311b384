#include "store/h5_trial.h"

#include "base/file.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SECONDS = 10, /* of computing: a file of 100 MB takes 0.05 s, with sanitizers ten times that */
    BYTES_A_SECOND = 10 << 20, /* one more for each of these of the file */
    MEMORY_FACTOR = 64,        /* address space for each byte of the file ... */
};
#define MEMORY_BYTES ((rlim_t)512 << 20) /* ... beside this and what this process has */

static void limit(int what, rlim_t most) {
    struct rlimit l;
    if (getrlimit(what, &l) != 0) return;
    if (l.rlim_max == RLIM_INFINITY || l.rlim_max > most) l.rlim_max = most;
    if (l.rlim_cur == RLIM_INFINITY || l.rlim_cur > l.rlim_max) l.rlim_cur = l.rlim_max;
    (void)setrlimit(what, &l);
}

/* Address space of this process; 0 when unknown. */
static rlim_t own_memory(void) {
    char text[32] = "";
    const int fd = sg_open("/proc/self/statm", SG_OPEN_INPUT);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    return n > 0 ? (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) : 0;
}

struct report { /* in memory that both processes see */
    enum sg_status status;
    struct sg_err err;
    bool whole; /* the child came to its end */
};

static _Noreturn void child(int fd, const struct sg_h5_in *in, unsigned seconds, const struct sg_h5_try *what,
                            struct report *report) {
    struct sg_h5_in mine = *in;
    const rlim_t own = own_memory();
    /* Handlers of this program and of sanitizers would report the crash as the program's own. */
    for (int s = 1; s < 32; s++) (void)signal(s, SIG_DFL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, seconds);
#if !defined(__SANITIZE_ADDRESS__) /* which reserves terabytes */
    if (own) limit(RLIMIT_AS, own + MEMORY_BYTES + MEMORY_FACTOR * (rlim_t)in->size);
#else
    (void)own;
#endif
    close(STDERR_FILENO); /* what the C library says of a broken heap is not the program's one line */
    mine.trial = true;
    mine.file = sg__h5_driver_open(fd, in->path, in->source);
    report->status = mine.file < 0 ? sg__h5_read_failed(&mine, "damaged or cut short", &report->err)
                                   : what->read(&mine, what->ctx, &report->err);
    if (mine.file >= 0) H5Fclose(mine.file); /* which crashes on some, too */
    report->whole = true;
    _exit(0);
}

enum sg_status sg__h5_try(int fd, const struct sg_h5_in *in, const struct sg_h5_try *what,
                          struct sg_err *err) {
    const unsigned seconds = what->seconds ? what->seconds : SECONDS + (unsigned)(in->size / BYTES_A_SECOND);
    int how = 0;
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) return SG_OK;
    const pid_t pid = fork();
    if (pid == 0) child(fd, in, seconds, what, report);
    pid_t ended = pid;
    if (pid > 0) do
            ended = waitpid(pid, &how, 0);
        while (ended < 0 && errno == EINTR);
    enum sg_status st = SG_OK;
    const int sig = ended > 0 && WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    if (sig == SIGXCPU || sig == SIGKILL)
        st =
            sg_fail(err, SG_E_CORRUPT, "%s: damaged, or made so: HDF5 reads its structure for more than %u s",
                    in->path, seconds);
    else if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP)
        st = sg_fail(err, SG_E_STOPPED, "%s: stopped while it was read", in->path);
    else if (sig)
        st = sg_fail(err, SG_E_CORRUPT, "%s: damaged, or made so: HDF5 crashes on it (%s)", in->path,
                     strsignal(sig));
    else if (ended > 0 && !report->whole) /* a sanitizer, or HDF5, called exit */
        st = sg_fail(err, SG_E_CORRUPT, "%s: damaged, or made so: HDF5 crashes on it", in->path);
    else if (ended > 0 && report->status != SG_OK)
        st = sg_fail(err, report->status, "%.*s", (int)sizeof report->err.text - 1, report->err.text);
    munmap(report, sizeof *report);
    return st;
}
