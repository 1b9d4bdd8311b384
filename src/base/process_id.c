#include "base/process_id.h"

#include "base/digest.h"
#include "base/file.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a small file; "" when it cannot be read. Control characters become '?', so that the text
 * fits on one line of the lock file. */
static void first_line(const char *path, char out[SG_PROCESS_TEXT]) {
    out[0] = 0;
    int fd = sg_open(path, SG_OPEN_INPUT);
    if (fd < 0) return;
    ssize_t n = read(fd, out, SG_PROCESS_TEXT - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

static void one_word(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 127) *s = '?';
}

/* State letter and start time out of /proc/PID/stat. The command name in it may hold spaces and
 * parentheses, so fields are counted from the last ')'. 0 when there is no such process, -1 when /proc
 * cannot tell. */
static int proc_stat(int64_t pid, char *state, uint64_t *start) {
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int fd = sg_open(path, SG_OPEN_INPUT);
    if (fd < 0) return errno == ENOENT && access("/proc/self/stat", R_OK) == 0 ? 0 : -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return n < 0 && errno == ESRCH ? 0 : -1;
    text[n] = 0;
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ') return -1;
    p += 2;
    *state = *p;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p) return -1;
        p++;
    }
    *start = strtoull(p, NULL, 10);
    return 1;
}

void sg_process_self(struct sg_process_id *out) {
    memset(out, 0, sizeof *out);
    if (gethostname(out->host, sizeof out->host - 1) != 0)
        (void)snprintf(out->host, sizeof out->host, "unknown");
    if (!out->host[0]) (void)snprintf(out->host, sizeof out->host, "unknown");
    first_line("/etc/machine-id", out->machine);
    first_line("/proc/sys/kernel/random/boot_id", out->boot);
    ssize_t n = readlink("/proc/self/ns/pid", out->space, sizeof out->space - 1);
    out->space[n > 0 ? n : 0] = 0;
    one_word(out->host);
    one_word(out->machine);
    one_word(out->boot);
    one_word(out->space);
    out->pid = (int64_t)getpid();
    char state;
    if (proc_stat(out->pid, &state, &out->start) != 1) out->start = 0;
}

uint64_t sg_process_pid_domain(const struct sg_process_id *o) {
    if (!o->boot[0] || !o->space[0]) return 0;
    char text[2 * SG_PROCESS_TEXT + 2];
    const int n = snprintf(text, sizeof text, "%s %s", o->boot, o->space);
    return sg_hash64(text, (size_t)n);
}

enum sg_process_state sg_process_pid_life(int64_t pid, uint64_t start) {
    char state = 0;
    uint64_t now = 0;
    if (pid <= 0) return SG_LIFE_DEAD;
    /* A zombie has ended; its parent has not waited for it yet. */
    if (proc_stat(pid, &state, &now) == 1)
        return state == 'Z' || state == 'X' || (start && now != start) ? SG_LIFE_DEAD : SG_LIFE_ALIVE;
    /* /proc may hide other users' processes (hidepid), so a missing entry alone proves nothing. */
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH ? SG_LIFE_DEAD : SG_LIFE_UNKNOWN;
}

enum sg_process_state sg_process_life(const struct sg_process_id *o, const struct sg_process_id *self) {
    const uint64_t domain = sg_process_pid_domain(o);
    if (domain && domain == sg_process_pid_domain(self)) return sg_process_pid_life(o->pid, o->start);
    /* The same machine and name, another boot: no process of that boot lives. Without a machine id it may be
     * another host of the same name, so the heartbeat decides. */
    if (o->machine[0] && o->boot[0] && self->boot[0] && !strcmp(o->machine, self->machine) &&
        !strcmp(o->host, self->host) && strcmp(o->boot, self->boot) != 0)
        return SG_LIFE_DEAD;
    return SG_LIFE_UNKNOWN;
}
