/* scope-grid status RUNDIR [--json]: how far a run, or a sweep, is, while it runs and after. */
#include "base/file.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "rundir/rundir.h"
#include "rundir/lock.h"
#include "rundir/shard_files.h"
#include "store/segment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct report {
    const char *state; /* "done", "running", "stopped", ... */
    int64_t done, total, failed;
    bool is_done;
    int32_t tasks; /* of an array run, that hold shards */
    struct sg_run_done end;
    /* of progress.json; doc NULL when there is none */
    cJSON *doc;
    int64_t age; /* s since it was written */
};

/* Kept within whole numbers that fit, whatever the file says. */
static double number(const struct report *r, const char *key) {
    const cJSON *v = r->doc ? cJSON_GetObjectItemCaseSensitive(r->doc, key) : NULL;
    return cJSON_IsNumber(v) ? fmin(fmax(v->valuedouble, -9e15), 9e15) : 0;
}
static const char *string(const struct report *r, const char *key) {
    const cJSON *v = r->doc ? cJSON_GetObjectItemCaseSensitive(r->doc, key) : NULL;
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

/* A progress.json that is missing or half-written counts as none. */
static void read_progress(const char *dir, struct report *r) {
    struct sg_buf text = {0};
    char *path = NULL;
    if (sg_path_join(dir, "progress.json", &path, NULL) == SG_OK &&
        sg_file_read_own(path, 64 << 20, &text, NULL) == SG_OK &&
        sg_json_parse(text.data, text.len, path, 1, &r->doc, NULL) == SG_OK)
        r->age = (int64_t)time(NULL) - (int64_t)number(r, "time");
    free(path);
    sg_buf_free(&text);
}

static enum sg_status look(const char *dir, struct report *r, struct sg_err *err);

/* For a point of a sweep that is not done: reports the run of its group, which computes its cells. */
static enum sg_status look_at_group(const char *dir, const char *group, struct report *r,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL, beside[SG_GROUP_NAME + 4];
    snprintf(beside, sizeof beside, "../%s", group);
    SG_TRY(sg_path_join(dir, beside, &path, err));
    if (!sg_rundir_is(path)) {
        r->state = "stopped";
        goto out;
    }
    SG_TRY(look(path, r, err));
    if (r->is_done) r->state = "stopped"; /* before the point's merge */
    r->is_done = false;
out:
    free(path);
    return st;
}

static enum sg_status look(const char *dir, struct report *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_id id;
    uint8_t *done = NULL;
    char *lock = NULL;
    struct sg_lock_holder h;
    SG_TRY(sg_path_join(dir, "lock", &lock, err));
    SG_TRY(sg_rundir_read_done(dir, &r->is_done, &r->end, err));
    if (r->is_done) {
        read_progress(dir, r);
        r->state = "done";
        r->done = r->total = r->end.total;
        r->failed = r->end.failed;
        goto out;
    }
    SG_TRY(sg_rundir_read_run(dir, &id, err));
    r->total = id.total;
    if (*id.group && strcmp(id.group, ".") != 0) return look_at_group(dir, id.group, r, err);
    read_progress(dir, r);
    const char *state = string(r, "state");
    bool alive = state && (!strcmp(state, "running") || !strcmp(state, "merging")) &&
                 sg_lock_look(lock, NULL, &h, NULL) == SG_E_BUSY;
    if (alive) {
        r->state = !strcmp(state, "merging") ? "merging" : "running";
        r->done = (int64_t)number(r, "done");
        r->failed = (int64_t)number(r, "failed");
        goto out;
    }
    /* Not running: counts what a restart would find. */
    SG_TRY(sg_shard_files_list(dir, NULL, 0, &r->tasks, NULL, err));
    r->state = r->tasks > 0 ? "running" : state && !strcmp(state, "failed") ? "failed" : "stopped";
    SG_TRY(SG_NEW(&done, r->total, "cells", err));
    SG_TRY(sg_segments_scan(dir, id.fingerprint, r->total, done, &r->done, &r->failed, SG_CLEAN_NONE, err));
out:
    free(lock);
    free(done);
    return st;
}

static enum sg_status print_json(const struct report *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(r->end.digest, hex);
    SG_TRY(sg_buf_printf(
        &b, err, "{\"state\": \"%s\", \"done\": %lld, \"total\": %lld, \"failed\": %lld, \"digest\": ",
        r->state, (long long)r->done, (long long)r->total, (long long)r->failed));
    SG_TRY(sg_buf_printf(&b, err, r->is_done ? "\"%s\"" : "null", hex));
    if (r->doc) {
        char *text = cJSON_PrintUnformatted(r->doc);
        st = sg_buf_printf(&b, err, ", \"age_s\": %lld, \"progress\": %s", (long long)r->age,
                           text ? text : "null");
        free(text);
        SG_TRY(st);
    }
    SG_TRY(sg_buf_str(&b, "}\n", err));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

static void print_text(const char *dir, const struct report *r) {
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(r->end.digest, hex);
    printf("%s: %s, %lld of %lld cells, %lld failed", dir, r->state, (long long)r->done, (long long)r->total,
           (long long)r->failed);
    if (r->is_done && r->end.unparsed) printf(", %lld without a verdict", (long long)r->end.unparsed);
    if (r->is_done) {
        printf(", digest %s, finished %s\n", hex, r->end.finished_at);
        return;
    }
    if (r->tasks > 0) {
        printf(", %d task%s of an array at work (counted are cells in closed segments)\n", (int)r->tasks,
               r->tasks == 1 ? "" : "s");
        return;
    }
    if (!strcmp(r->state, "running")) {
        double eta = number(r, "eta_s");
        printf(", %.3g cells/s, %.0f tokens/s", number(r, "cells_per_s"), number(r, "output_tokens_per_s"));
        if (eta >= 0) printf(", ETA %.0f s", eta);
    }
    putchar('\n');
    const char *last = string(r, "error");
    /* a stopped run has no error: it goes on when it is started again */
    if (last) printf("  %s: %s\n", strcmp(r->state, "stopped") == 0 ? "why" : "last error", last);
    const cJSON *ranks = r->doc ? cJSON_GetObjectItemCaseSensitive(r->doc, "ranks") : NULL, *k;
    const char *devices = string(r, "devices");
    if (devices && !strcmp(r->state, "running")) {
        printf("  devices: %s", devices);
        const double watts = number(r, "watts"), joules = number(r, "joules");
        if (joules > 0) printf("; %.0f W, %.0f J so far", watts, joules);
        putchar('\n');
    }
    if (strcmp(r->state, "running") != 0 || cJSON_GetArraySize(ranks) < 2) return;
    cJSON_ArrayForEach(k, ranks) {
        const cJSON *rank = cJSON_GetObjectItemCaseSensitive(k, "rank"),
                    *host = cJSON_GetObjectItemCaseSensitive(k, "host"),
                    *cells = cJSON_GetObjectItemCaseSensitive(k, "cells"),
                    *device = cJSON_GetObjectItemCaseSensitive(k, "device");
        if (cJSON_IsNumber(rank) && cJSON_IsString(host) && cJSON_IsNumber(cells))
            printf("  rank %d on %s%s%s: %.0f cells\n", rank->valueint, host->valuestring,
                   cJSON_IsString(device) ? ", " : "", cJSON_IsString(device) ? device->valuestring : "",
                   cells->valuedouble);
    }
}

/* ---- a sweep ---------------------------------------------------------------------------------------- */

/* Reads DIR/index.json when DIR is a sweep's folder (sweep/sweep_run.h), which has no run of its own. */
static enum sg_status read_index(const char *dir, cJSON **doc, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    char *path = NULL;
    if (sg_rundir_is(dir)) return SG_OK;
    SG_TRY(sg_path_join(dir, "index.json", &path, err));
    if (!sg_file_exists(path)) goto out;
    SG_TRY(sg_file_read_own(path, 64 << 20, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, doc, err));
    const struct sg_json root = {.node = *doc, .where = path};
    struct sg_json points;
    SG_TRY(sg_json_member(&root, "points", true, &points, err));
    if (!cJSON_IsArray(points.node))
        st = sg_fail(err, SG_E_INPUT, "%s: points must be an array, as a sweep writes it", path);
out:
    free(path);
    sg_buf_free(&text);
    return st;
}

struct sweep_report {
    int64_t points, points_done, done, failed; /* done: cells of points, finished or begun */
    bool running;
    struct sg_buf open; /* lines: points and groups begun and not done */
};

/* Adds a folder of the sweep. Its DONE may be newer than the index. */
static enum sg_status add_folder(const char *dir, const char *name, struct sweep_report *s,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct report r = {.state = "?"};
    char *path = NULL;
    SG_TRY(sg_path_join(dir, name, &path, err));
    if (!sg_rundir_is(path)) goto out;
    SG_TRY(look(path, &r, err));
    s->points_done += r.is_done;
    s->done += r.done;
    s->failed += r.failed;
    if (r.is_done) goto out;
    s->running = s->running || !strcmp(r.state, "running") || !strcmp(r.state, "merging");
    SG_TRY(sg_buf_printf(&s->open, err, "  %s: %s, %lld of %lld cells\n", name, r.state, (long long)r.done,
                         (long long)r.total));
out:
    cJSON_Delete(r.doc);
    free(path);
    return st;
}

static enum sg_status sweep_status(const char *dir, const cJSON *index, bool json, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sweep_report s = {0};
    const cJSON *p;
    cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(index, "points")) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(p, "name");
        s.points++;
        if (cJSON_IsString(name)) SG_TRY(add_folder(dir, name->valuestring, &s, err));
    }
    const char *state = s.points_done == s.points ? "done" : s.running ? "running" : "stopped";
    if (json)
        printf("{\"state\": \"%s\", \"points\": %lld, \"points_done\": %lld, \"done\": %lld, \"failed\": "
               "%lld}\n",
               state, (long long)s.points, (long long)s.points_done, (long long)s.done, (long long)s.failed);
    else
        printf("%s: a sweep, %s, %lld of %lld points (see its index.json), %lld cells of points, %lld "
               "failed\n%s",
               dir, state, (long long)s.points_done, (long long)s.points, (long long)s.done,
               (long long)s.failed, s.open.len ? s.open.data : "");
out:
    sg_buf_free(&s.open);
    return st;
}

enum sg_status sg_cmd_status(int argc, char **argv, struct sg_err *err);

enum sg_status sg_cmd_status(int argc, char **argv, struct sg_err *err) {
    bool json = false, help;
    const char *dir, *device = NULL;
    const struct sg_opt opts[] = {
        {"json", SG_OPT_FLAG, &json, 0, 0, NULL,
         "print one JSON object: state, done, total, "
         "failed, digest (null until done), progress; of a sweep points, points_done"},
        SG_OPT_NO_DEVICE(&device),
    };
    enum sg_status st = sg_options_read(argc, argv,
                                        &(struct sg_opt_spec){"usage: scope-grid status RUNDIR [--json]",
                                                              opts, sizeof opts / sizeof *opts, &dir, 1, 1},
                                        &help, err);
    if (st != SG_OK || help) return st;
    struct report r = {.state = "?"};
    cJSON *index = NULL;
    st = read_index(dir, &index, err);
    if (st == SG_OK && index) st = sweep_status(dir, index, json, err);
    if (st != SG_OK || index) {
        cJSON_Delete(index);
        return st;
    }
    st = look(dir, &r, err);
    if (st == SG_OK) {
        if (json)
            st = print_json(&r, err);
        else
            print_text(dir, &r);
    }
    cJSON_Delete(r.doc);
    return st;
}
