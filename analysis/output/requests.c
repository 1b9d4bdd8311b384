#include "requests.h"

#include "analysis/sum.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/json.h"
#include "doc.h"
#include "job/question_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 100, CHUNK_BYTES = 1 << 20 };

/* A file of the folder. */
struct part {
    char *name;
    int32_t model;
    int64_t requests, bytes;
    struct sg_sum bill;
};

/* The folder while it is written, under a temporary name. */
struct folder {
    char *dir, *tmp; /* tmp NULL: not made yet */
    struct part *part;
    size_t n, cap;
    int fd; /* of the last part; -1: closed */
    char *path;
    struct sg_buf buf; /* not yet written */
};

/* --- the queries, as they were estimated ---------------------------------------------------------------------- */

static enum sg_status not_there(const struct sg_question_file *f, int64_t i, const char *path,
                                const struct sg_dataset *d, struct sg_err *err) {
    const char *near = sg_nearest(f->items[i].id, (const char *const *)d->r->query, (size_t)d->r->n_queries);
    return sg_fail(
        err, SG_E_INPUT,
        "%s:%lld: query \"%s\" is not in %s%s%s%s; give the file that the job read its queries from", path,
        (long long)f->lines[i], f->items[i].id, d->path, near ? "; did you mean \"" : "", near ? near : "",
        near ? "\"?" : "");
}

/* place[i]: the dataset's query that record i of the file is; -1: one that is not analysed. */
static enum sg_status match(const struct sg_question_file *f, const char *path, const struct sg_dataset *d,
                            int64_t *place, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    struct sg_ids rows = {0};
    int64_t *of_row = NULL, old;
    SG_TRY(SG_NEW(&of_row, r->n_queries, "queries", err));
    for (int64_t i = 0; i < r->n_queries; i++) {
        of_row[i] = -1;
        SG_TRY(sg_ids_add(&rows, r->query[i], strlen(r->query[i]), i, &old, err));
    }
    for (int64_t q = 0; q < d->n; q++) of_row[d->row[q]] = q;
    for (int64_t i = 0; i < f->n; i++) {
        const struct sg_query *query = &f->items[i];
        const int64_t row = sg_ids_get(&rows, query->id, strlen(query->id));
        if (row < 0) {
            st = not_there(f, i, path, d, err);
            goto out;
        }
        if (r->origin.prompt && !sg_digest_equal(r->origin.prompt[row],
                                                 sg_digest_bytes(query->prompt.s, (size_t)query->prompt.n))) {
            st = sg_fail(
                err, SG_E_INPUT,
                "%s:%lld: query \"%s\" has another text than the one that %s estimates; give the file "
                "that the job read, or run the grid again",
                path, (long long)f->lines[i], query->id, d->path);
            goto out;
        }
        place[i] = of_row[row];
    }
    for (int64_t q = 0; q < d->n; q++) {
        const char *id = sg_dataset_query(d, q);
        if (sg_ids_get(&f->ids, id, strlen(id)) >= 0) continue;
        st = sg_fail(
            err, SG_E_INPUT,
            "%s: lacks query \"%s\" of %s; give the file that the job read, or leave it out with --queries",
            path, id, d->path);
        goto out;
    }
out:
    free(of_row);
    sg_ids_free(&rows);
    return st;
}

/* What follows the messages of every body: the members of the JSON object `text`, as they were written. */
static enum sg_status extra_members(const char *text, struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    cJSON *doc = NULL;
    static const char where[] = "--request-body";
    const char *from = text, *end;
    SG_TRY(sg_buf_str(out, "", err));
    if (!text) return SG_OK;
    SG_TRY(sg_json_parse(text, strlen(text), where, 1, &doc, err));
    if (!cJSON_IsObject(doc)) {
        st = sg_fail(err, SG_E_USAGE, "%s: expected a JSON object, as '{\"max_tokens\": 2048}'", where);
        goto out;
    }
    for (const cJSON *e = doc->child; e; e = e->next) {
        if (strcmp(e->string, "model") && strcmp(e->string, "messages")) continue;
        st = sg_fail(err, SG_E_USAGE, "%s: \"%s\" is what the policy says; leave it out", where, e->string);
        goto out;
    }
    if (!doc->child) goto out;
    from = strchr(text, '{') + 1;
    end = strrchr(text, '}');
    SG_TRY(sg_buf_str(out, ", ", err));
    SG_TRY(sg_buf_add(out, from, (size_t)(end - from), err));
    for (char *s = out->data; *s; s++)
        if (*s == '\n' || *s == '\r') *s = ' '; /* one request is one line */
out:
    cJSON_Delete(doc);
    return st;
}

/* --- the folder ------------------------------------------------------------------------------------------------ */

/* Whether `dir` holds request files alone and none was written to since `limit`. remove: they are removed. */
static bool is_left(DIR *dir, time_t limit, bool remove) {
    bool left = true;
    struct stat s;
    rewinddir(dir);
    for (const struct dirent *e; left && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        left = (sg_ends_with(e->d_name, ".jsonl") || !strcmp(e->d_name, "manifest.json") ||
                sg_temp_is(e->d_name, "manifest.json")) &&
               fstatat(dirfd(dir), e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.st_mode) &&
               s.st_mtime < limit;
        if (left && remove) left = unlinkat(dirfd(dir), e->d_name, 0) == 0;
    }
    return left;
}

/* Removes the folders that killed calls have left beside f->tmp, which is new: folders of such names that nobody has written
 * to for an hour by the file server's clock. Errors are ignored. */
static void tidy_folders(const struct folder *f, const char *parent) {
    enum { AGE = 3600, DIGITS = 20 };
    const char *slash = strrchr(f->dir, '/'), *name = slash ? slash + 1 : f->dir;
    struct stat now, s;
    DIR *all = lstat(f->tmp, &now) == 0 ? sg_dir_open(parent, true) : NULL;
    for (const struct dirent *e; all && (e = readdir(all));) {
        char *path = NULL;
        if (!sg_temp_is(e->d_name, name) || strlen(e->d_name) != strlen(name) + strlen(".tmp.") + DIGITS ||
            fstatat(dirfd(all), e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
            s.st_mtime >= now.st_mtime - AGE || sg_path_join(parent, e->d_name, &path, NULL) != SG_OK)
            continue;
        DIR *one = sg_dir_open(path, false);
        if (one) {
            if (is_left(one, now.st_mtime - AGE, false) && is_left(one, now.st_mtime - AGE, true))
                (void)unlinkat(dirfd(all), e->d_name, AT_REMOVEDIR);
            closedir(one);
        }
        free(path);
    }
    if (all) closedir(all);
}

static enum sg_status folder_open(const char *dir, struct folder *f, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf tmp = {0};
    struct stat s;
    char *parent = NULL;
    size_t n = strlen(dir);
    *f = (struct folder){.fd = -1};
    while (n > 1 && dir[n - 1] == '/') n--;
    SG_TRY(sg_buf_add(&tmp, dir, n, err));
    f->dir = tmp.data;
    tmp = (struct sg_buf){0};
    if (lstat(f->dir, &s) == 0) {
        bool empty = false;
        DIR *list = S_ISDIR(s.st_mode) ? sg_dir_open(f->dir, false) : NULL;
        if (list) {
            const struct dirent *e;
            empty = true;
            while ((e = readdir(list))) empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
            closedir(list);
        }
        if (!empty) {
            st = sg_fail(err, SG_E_INPUT, "--requests %s: %s; give a new folder, or remove that one", f->dir,
                         S_ISDIR(s.st_mode) ? "is not empty" : "is not a folder");
            goto out;
        }
    }
    SG_TRY(sg_path_dir(f->dir, &parent, err));
    SG_TRY(sg_dir_make(parent, err));
    SG_TRY(sg_buf_printf(&tmp, err, "%s.tmp.%020" PRIu64, f->dir, sg_random_number()));
    if (mkdir(tmp.data, 0777) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", tmp.data, strerror(errno));
        goto out;
    }
    f->tmp = tmp.data;
    tmp = (struct sg_buf){0};
    tidy_folders(f, parent);
out:
    sg_buf_free(&tmp);
    free(parent);
    return st;
}

static enum sg_status flush(struct folder *f, struct sg_err *err) {
    const enum sg_status st = sg_fd_write(f->fd, f->buf.data, f->buf.len, f->path, err);
    sg_buf_clear(&f->buf);
    return st;
}

static enum sg_status part_close(struct folder *f, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (f->fd < 0) return SG_OK;
    st = flush(f, err);
    if (st == SG_OK && fsync(f->fd) != 0)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", f->path, strerror(errno));
    if (close(f->fd) != 0 && st == SG_OK)
        st = sg_fail(err, SG_E_IO, "%s: cannot write: %s", f->path, strerror(errno));
    f->fd = -1;
    free(f->path);
    f->path = NULL;
    return st;
}

/* stem: the file's name without number. */
static enum sg_status part_open(struct folder *f, const char *stem, int32_t model, int64_t number,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf name = {0};
    SG_TRY(part_close(f, err));
    SG_TRY(SG_GROW(&f->part, &f->cap, f->n + 1, "request files", err));
    SG_TRY(sg_buf_printf(&name, err, "%s-%04lld.jsonl", stem, (long long)number));
    SG_TRY(sg_path_join(f->tmp, name.data, &f->path, err));
    f->fd = sg_open(f->path, SG_OPEN_NEW);
    if (f->fd < 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot create: %s", f->path, sg_open_reason(errno));
        goto out;
    }
    f->part[f->n++] = (struct part){.name = name.data, .model = model};
    name = (struct sg_buf){0};
out:
    sg_buf_free(&name);
    return st;
}

/* The folder under its own name, which may stand there as an empty folder. */
static enum sg_status folder_commit(struct folder *f, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *parent = NULL;
    SG_TRY(sg_dir_sync(f->tmp, err));
    SG_TRY(sg_path_dir(f->dir, &parent, err));
    if (rename(f->tmp, f->dir) != 0) {
        st = sg_fail(err, SG_E_IO, "%s: cannot rename to %s: %s", f->tmp, f->dir, strerror(errno));
        goto out;
    }
    free(f->tmp);
    f->tmp = NULL;
    SG_TRY(sg_dir_sync(parent, err));
out:
    free(parent);
    return st;
}

static void folder_close(struct folder *f) {
    if (f->fd >= 0) close(f->fd);
    for (size_t i = 0; i < f->n; i++) {
        char *path = NULL;
        if (f->tmp && sg_path_join(f->tmp, f->part[i].name, &path, NULL) == SG_OK) unlink(path);
        free(path);
        free(f->part[i].name);
    }
    if (f->tmp) {
        char *path = NULL;
        if (sg_path_join(f->tmp, "manifest.json", &path, NULL) == SG_OK) unlink(path);
        free(path);
        rmdir(f->tmp);
    }
    free(f->part);
    free(f->dir);
    free(f->tmp);
    free(f->path);
    sg_buf_free(&f->buf);
}

/* --- requests -------------------------------------------------------------------------------------------------- */

/* Names of files for the models, safe on any system: letters, digits, dot, dash and underline, no dot or dash in front,
 * all different in any case of letters. stem [m][NAME_BYTES]. */
static void name_files(const struct sg_dataset *d, char (*stem)[NAME_BYTES]) {
    for (int32_t k = 0; k < d->m; k++) {
        const char *id = sg_dataset_model(d, k);
        size_t n = 0;
        for (; id[n] && n < NAME_BYTES - 20; n++) {
            const unsigned char c = (unsigned char)id[n];
            const bool plain = c < 128 && (isalnum(c) || c == '_' || (n && (c == '.' || c == '-')));
            stem[k][n] = plain ? (char)c : '_';
        }
        stem[k][n] = 0;
        for (int32_t j = 0, next = 2; j < k; j++) {
            if (strcasecmp(stem[j], stem[k])) continue;
            snprintf(stem[k] + n, NAME_BYTES - n, "_%d", (int)next++);
            j = -1;
        }
    }
}

struct job {
    const struct sg_dataset *d;
    const struct sg_asked_policy *policy;
    const struct sg_provider_ids *ids;
    const struct sg_question_file *file;
    const int64_t *place;
    const char *extra;
    int64_t per_file, file_bytes;
};

static enum sg_status request(const struct job *j, const struct sg_query *q, int32_t model, struct sg_buf *b,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_str(b, "{\"custom_id\": ", err));
    SG_TRY(sg_json_quote(b, q->id, strlen(q->id), err));
    SG_TRY(sg_buf_str(
        b, ", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": {\"model\": ", err));
    SG_TRY(sg_json_quote(b, j->ids->id[model], strlen(j->ids->id[model]), err));
    SG_TRY(sg_buf_str(b, ", \"messages\": [{\"role\": \"user\", \"content\": ", err));
    SG_TRY(sg_json_quote(b, q->prompt.s, (size_t)q->prompt.n, err));
    SG_TRY(sg_buf_printf(b, err, "}]%s}}\n", j->extra));
out:
    return st;
}

/* The files of one model; counts it in *models where it answers anything. */
static enum sg_status model_files(const struct job *j, int32_t model, const char *stem, struct folder *f,
                                  int32_t *models, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf line = {0};
    struct part *part = NULL;
    int64_t number = 0;
    for (int64_t i = 0; i < j->file->n; i++) {
        const int64_t q = j->place[i];
        if (q < 0 || j->policy->model[q] != model) continue;
        sg_buf_clear(&line);
        SG_TRY(request(j, &j->file->items[i], model, &line, err));
        if (!part || part->requests == j->per_file || part->bytes + (int64_t)line.len > j->file_bytes) {
            SG_TRY(part_open(f, stem, model, ++number, err));
            part = &f->part[f->n - 1];
        }
        SG_TRY(sg_buf_add(&f->buf, line.data, line.len, err));
        if (f->buf.len > CHUNK_BYTES) SG_TRY(flush(f, err));
        part->requests++;
        part->bytes += (int64_t)line.len;
        sg_sum_add(&part->bill, j->d->c[q * j->d->m + model]);
    }
    *models += part != NULL;
    SG_TRY(part_close(f, err));
out:
    sg_buf_free(&line);
    return st;
}

static enum sg_status manifest(const struct sg_analysis *a, const struct sg_advised *advised,
                               const struct sg_provider_ids *ids, const struct sg_requests_spec *spec,
                               const struct sg_requests_done *done, const struct folder *f,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__doc d;
    char *path = NULL;
    const double n = (double)done->requests;
    sg__doc_open(&d);
    sg__doc_text(&d, d.root, "format", "scope-frontier requests 1");
    sg__doc_results(&d, sg__doc_object(&d, d.root, "results"), a);
    sg__doc_text(&d, d.root, "queries_file", spec->queries);
    sg__doc_text(&d, d.root, "verified", done->prompts_verified ? "ids and prompts" : "ids alone");
    sg__doc_text(&d, d.root, "ask", advised->policy->name);
    sg__doc_number(&d, d.root, "budget", advised->step->budget);
    sg__doc_text(&d, d.root, "advised", sg_candidate_name[advised->step->value->rule.kind]);
    sg__doc_text(&d, d.root, "advice", advised->step->sentence);
    sg__doc_number(&d, d.root, "requests", n);
    sg__doc_number(&d, d.root, "queries_filtered_out", (double)a->data->n_filtered);
    sg__doc_number(&d, d.root, "queries_without_estimate", (double)a->data->n_empty);
    sg__doc_number(&d, d.root, "expected_bill_usd", done->bill);
    sg__doc_value(&d, d.root, "bill_of_the_advice_usd", &advised->step->cost, n);
    sg__doc_value(&d, d.root, "accuracy", &advised->step->accuracy, 1);
    cJSON *files = sg__doc_array(&d, d.root, "files");
    for (size_t i = 0; i < f->n; i++) {
        const struct part *p = &f->part[i];
        cJSON *at = sg__doc_object(&d, files, NULL);
        sg__doc_text(&d, at, "file", p->name);
        sg__doc_text(&d, at, "model", sg_dataset_model(a->data, p->model));
        sg__doc_text(&d, at, "provider_id", ids->id[p->model]);
        sg__doc_number(&d, at, "requests", (double)p->requests);
        sg__doc_number(&d, at, "bytes", (double)p->bytes);
        sg__doc_number(&d, at, "expected_bill_usd", sg_sum_get(&p->bill));
    }
    SG_TRY(sg_path_join(f->tmp, "manifest.json", &path, err));
    SG_TRY(sg__doc_write(&d, path, err));
out:
    sg__doc_close(&d);
    free(path);
    return st;
}

enum sg_status sg_requests_write(const struct sg_analysis *a, const struct sg_advised *advised,
                                 const struct sg_provider_ids *ids, const struct sg_requests_spec *spec,
                                 struct sg_requests_done *done, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    struct sg_question_file file = {0};
    struct folder f = {.fd = -1};
    struct sg_buf extra = {0};
    struct sg_requests_done all = {.prompts_verified = d->r->origin.prompt != NULL};
    struct sg_sum bill = {0, 0};
    int64_t *place = NULL;
    char(*stem)[NAME_BYTES] = NULL;
    SG_TRY(extra_members(spec->body, &extra, err));
    SG_TRY(sg_question_file_read(spec->queries, &file, err));
    SG_TRY(SG_NEW(&place, file.n, "queries", err));
    SG_TRY(SG_NEW(&stem, d->m, "names of files", err));
    SG_TRY(match(&file, spec->queries, d, place, err));
    name_files(d, stem);
    const struct job job = {.d = d,
                            .policy = advised->policy,
                            .ids = ids,
                            .file = &file,
                            .place = place,
                            .extra = extra.data,
                            .per_file = spec->per_file ? spec->per_file : SG_REQUESTS_PER_FILE,
                            .file_bytes = spec->file_bytes ? spec->file_bytes : SG_REQUESTS_FILE_BYTES};
    SG_TRY(folder_open(spec->dir, &f, err));
    for (int32_t k = 0; k < d->m; k++) SG_TRY(model_files(&job, k, stem[k], &f, &all.models, err));
    for (size_t i = 0; i < f.n; i++) {
        all.requests += f.part[i].requests;
        sg_sum_add(&bill, sg_sum_get(&f.part[i].bill));
    }
    all.files = (int64_t)f.n;
    all.bill = sg_sum_get(&bill);
    SG_TRY(manifest(a, advised, ids, spec, &all, &f, err));
    SG_TRY(folder_commit(&f, err));
    *done = all;
out:
    folder_close(&f);
    sg_question_file_free(&file);
    sg_buf_free(&extra);
    free(place);
    free(stem);
    return st;
}
