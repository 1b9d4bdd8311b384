/* host_memory - how much memory a process may still take. */
#include "kernels/host.h"
#include "base/minmax.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 1024 };

static FILE *open_at(const char *root, const char *dir, const char *name) {
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s%s%s", root, dir, name);
    return n > 0 && n < PATH_BYTES ? fopen(path, "r") : NULL;
}

/* The number after `key` at the start of a line, or -1. key "" takes the file's first word, where "max" means
 * no limit: -1. */
static int64_t number_in(const char *root, const char *dir, const char *name, const char *key) {
    FILE *f = open_at(root, dir, name);
    char line[256];
    int64_t value = -1;
    while (f && value < 0 && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%" SCNd64, &value) != 1)
            value = -1;
        if (!key[0]) break;
    }
    if (f) fclose(f);
    return value;
}

/* What one control group leaves: its limit less what is used and cannot be dropped. */
static int64_t group_free(const char *root, const char *dir, bool v2) {
    const int64_t limit = number_in(root, dir, v2 ? "/memory.max" : "/memory.limit_in_bytes", "");
    const int64_t used = number_in(root, dir, v2 ? "/memory.current" : "/memory.usage_in_bytes", "");
    int64_t idle = number_in(root, dir, "/memory.stat", v2 ? "inactive_file " : "total_inactive_file ");
    if (limit < 0 || used < 0) return INT64_MAX;
    if (idle < 0) idle = 0;
    const int64_t held = used > idle ? used - idle : 0;
    return limit > held ? limit - held : 0;
}

/* The least that a group and those above it leave. Where /proc names a path outside of what is mounted (in a
 * container), the mounted root is the process's own group. */
static int64_t groups_free(const char *root, const char *mount, const char *path, bool v2) {
    char dir[PATH_BYTES];
    const int n = snprintf(dir, sizeof dir, "%s%s", mount, path);
    if (n < 0 || n >= PATH_BYTES) return INT64_MAX;
    const size_t top = strlen(mount);
    int64_t least = INT64_MAX;
    for (;;) {
        least = sg_min64(least, group_free(root, dir, v2));
        char *slash = strrchr(dir + top, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

int64_t sg__host_memory_free(const char *root) {
    const int64_t kib = number_in(root, "/proc", "/meminfo", "MemAvailable:");
    int64_t least = kib >= 0 ? kib << 10 : INT64_MAX;
    FILE *f = open_at(root, "/proc/self", "/cgroup");
    char line[PATH_BYTES];
    while (f && fgets(line, sizeof line, f)) { /* number:controllers:path */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        if (strstr(path, "/..")) path = (char *)"";
        if (!controllers[1])
            least = sg_min64(least, groups_free(root, "/sys/fs/cgroup", path, true));
        else if (strcmp(controllers + 1, "memory") == 0)
            least = sg_min64(least, groups_free(root, "/sys/fs/cgroup/memory", path, false));
    }
    if (f) fclose(f);
    return least == INT64_MAX ? 0 : least;
}
