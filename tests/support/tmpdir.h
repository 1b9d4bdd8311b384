/* tmpdir - a fresh folder for one test program, and short ways to put files into it. */
#ifndef SG_TEST_TMPDIR_H
#define SG_TEST_TMPDIR_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tmpdir[200];

static inline int tmpdir_make(void **state) {
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(tmpdir, sizeof tmpdir, "%s/sg-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(tmpdir) ? 0 : -1;
}

/* rm -r; links are removed, not followed. */
static inline int tmpdir_remove_tree(const char *path) {
    if (remove(path) == 0) return 0; /* a file, or an empty folder */
    DIR *d = opendir(path);
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) {
        char child[1024];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(child, sizeof child, "%.500s/%s", path, e->d_name);
        tmpdir_remove_tree(child);
    }
    closedir(d);
    return remove(path);
}

static inline int tmpdir_remove(void **state) {
    (void)state;
    return tmpdir_remove_tree(tmpdir);
}

/* tmpdir/name, in one of a few static buffers: good until the eighth call from here. */
static inline const char *tmp_path(const char *name) {
    static char buffers[8][300];
    static int next;
    char *p = buffers[next++ % 8];
    snprintf(p, sizeof buffers[0], "%s/%s", tmpdir, name);
    return p;
}

static inline void tmp_put_bytes(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(tmp_path(name), "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
        perror(tmp_path(name));
        abort();
    }
}

static inline void tmp_put(const char *name, const char *text) {
    tmp_put_bytes(name, text, strlen(text));
}

#endif
