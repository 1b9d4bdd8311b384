#include "run/reuse.h"

#include "base/file.h"
#include "cell/estimate.h"
#include "rundir/rundir.h"
#include "store/bytes.h"
#include "store/merge.h"
#include "store/results_cell.h"
#include "store/segment.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FORMAT = 1, SEGMENT_BYTES = 64 << 20 };
static const char MAGIC[8] = {'S', 'G', 'O', 'R', 'I', 'G', 'I', 'N'};

/* origin.bin in memory. Nights by number; the run's own is number 0 here and the last in results.h5. */
struct origin {
    int64_t n_cells;
    int32_t *night; /* [n_cells] */
    char **nights;  /* [n_nights] */
    size_t n_nights, cap_nights;
    char *since; /* NULL: nothing was looked at yet */
    int64_t taken;
    struct sg_arena strings;
};

static void origin_free(struct origin *o) {
    free(o->night);
    free(o->nights);
    sg_arena_free(&o->strings);
}

/* The number of the night of this name, made when new. */
static enum sg_status night_number(struct origin *o, const char *name, int32_t *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0;
    while (i < o->n_nights && strcmp(o->nights[i], name) != 0) i++;
    if (i == o->n_nights) {
        SG_TRY(SG_GROW(&o->nights, &o->cap_nights, i + 1, "nights", err));
        SG_TRY(sg_arena_dup(&o->strings, name, strlen(name), &o->nights[i], err));
        o->n_nights++;
    }
    *out = (int32_t)i;
out:
    return st;
}

/* ---- origin.bin --------------------------------------------------------------------------------------
 *
 * magic[8] | i32 format | i32 looked (0, 1) | i64 cells | i64 taken | string since | i64 nights | string name
 * * | runs of equal nights until all cells are named: {i64 cells, i32 night} | u64 hi, lo of what precedes.
 * string: i64 n | n bytes. Little-endian. */

static enum sg_status put_u64(struct sg_buf *b, uint64_t v, int bytes, struct sg_err *err) {
    unsigned char raw[8];
    sg__save(raw, v, bytes);
    return sg_buf_add(b, raw, (size_t)bytes, err);
}

static enum sg_status put_string(struct sg_buf *b, const char *s, struct sg_err *err) {
    enum sg_status st = put_u64(b, strlen(s), 8, err);
    return st == SG_OK ? sg_buf_str(b, s, err) : st;
}

static enum sg_status write_origin(const char *dir, const struct origin *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *path = NULL;
    SG_TRY(sg_buf_add(&b, MAGIC, sizeof MAGIC, err));
    SG_TRY(put_u64(&b, FORMAT, 4, err));
    SG_TRY(put_u64(&b, o->since != NULL, 4, err));
    SG_TRY(put_u64(&b, (uint64_t)o->n_cells, 8, err));
    SG_TRY(put_u64(&b, (uint64_t)o->taken, 8, err));
    SG_TRY(put_string(&b, o->since ? o->since : "", err));
    SG_TRY(put_u64(&b, o->n_nights, 8, err));
    for (size_t i = 0; i < o->n_nights; i++) SG_TRY(put_string(&b, o->nights[i], err));
    for (int64_t i = 0, j; i < o->n_cells; i = j) {
        for (j = i + 1; j < o->n_cells && o->night[j] == o->night[i];) j++;
        SG_TRY(put_u64(&b, (uint64_t)(j - i), 8, err));
        SG_TRY(put_u64(&b, (uint32_t)o->night[i], 4, err));
    }
    const struct sg_digest d = sg_digest_bytes(b.data, b.len);
    SG_TRY(put_u64(&b, d.hi, 8, err));
    SG_TRY(put_u64(&b, d.lo, 8, err));
    SG_TRY(sg_path_join(dir, "origin.bin", &path, err));
    SG_TRY(sg_file_write_atomic(path, b.data, b.len, err));
out:
    sg_buf_free(&b);
    free(path);
    return st;
}

static enum sg_status take_string(struct sg__cursor *c, struct sg_arena *strings, char **out,
                                  struct sg_err *err) {
    const uint64_t n = sg__take_u64(c);
    const char *s = n <= sg__left(c) ? sg__take(c, (size_t)n) : NULL;
    if (!s) c->bad = true;
    return sg_arena_dup(strings, s ? s : "", s ? (size_t)n : 0, out, err);
}

static enum sg_status parse_origin(struct sg__cursor *c, int64_t n_cells, struct origin *o,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *since;
    (void)sg__take(c, sizeof MAGIC + 4);
    const bool looked = sg__take_i32(c) != 0;
    o->n_cells = sg__take_i64(c);
    o->taken = sg__take_i64(c);
    SG_TRY(take_string(c, &o->strings, &since, err));
    o->since = looked ? since : NULL;
    const int64_t n = sg__take_i64(c);
    for (int64_t i = 0; i < n && !c->bad; i++) {
        SG_TRY(SG_GROW(&o->nights, &o->cap_nights, i + 1, "nights", err));
        SG_TRY(take_string(c, &o->strings, &o->nights[i], err));
        o->n_nights++;
    }
    if (c->bad || o->n_cells != n_cells || o->taken < 0 || o->taken > n_cells || n < 1) goto bad;
    SG_TRY(SG_NEW(&o->night, n_cells, "nights of cells", err));
    for (int64_t i = 0; i < n_cells;) {
        const int64_t run = sg__take_i64(c);
        const int32_t night = sg__take_i32(c);
        if (c->bad || run < 1 || run > n_cells - i || night < 0 || night >= n) goto bad;
        for (const int64_t end = i + run; i < end; i++) o->night[i] = night;
    }
    if (!sg__left(c)) goto out;
bad:
    c->bad = true;
out:
    return st;
}

/* *exists = false, and nothing else, where there is none. */
static enum sg_status read_origin(const char *dir, int64_t n_cells, bool *exists, struct origin *o,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_map map = {0};
    char *path = NULL;
    *exists = false;
    SG_TRY(sg_path_join(dir, "origin.bin", &path, err));
    if (!sg_file_exists(path)) goto out;
    SG_TRY(sg_map_open(path, &map, err));
    const size_t body = map.size < 16 ? 0 : map.size - 16;
    struct sg__cursor tail = sg__cursor(map.data + body, map.size - body), c = sg__cursor(map.data, body);
    const struct sg_digest want = {sg__take_u64(&tail), sg__take_u64(&tail)};
    if (body < sizeof MAGIC + 4 || memcmp(map.data, MAGIC, sizeof MAGIC) != 0 ||
        !sg_digest_equal(want, sg_digest_bytes(map.data, body))) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: damaged; it says in which night cells were computed", path);
        goto out;
    }
    if (sg__load(map.data + sizeof MAGIC, 4) != FORMAT) {
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: format %d, this program reads and writes %d", path,
                     (int)sg__load(map.data + sizeof MAGIC, 4), FORMAT);
        goto out;
    }
    SG_TRY(parse_origin(&c, n_cells, o, err));
    if (c.bad) {
        st = sg_fail(err, SG_E_CORRUPT, "%s: does not fit the plan of %lld cells beside it", path,
                     (long long)n_cells);
        goto out;
    }
    *exists = true;
out:
    sg_map_close(&map);
    free(path);
    return st;
}

bool sg_reuse_settled(const char *dir) {
    unsigned char head[sizeof MAGIC + 8] = {0};
    char *path = NULL;
    FILE *f = sg_path_join(dir, "origin.bin", &path, NULL) == SG_OK ? fopen(path, "rb") : NULL;
    const size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    free(path);
    return n == sizeof head && sg__load(head + sizeof MAGIC + 4, 4) == 1;
}

enum sg_status sg_reuse_survives(const char *dir, const char *const *since, size_t n_since,
                                 struct sg_err *err) {
    char own[PATH_MAX], file[PATH_MAX];
    if (!realpath(dir, own)) return SG_OK;
    const size_t n = strlen(own);
    for (size_t i = 0; i < n_since; i++)
        if (realpath(since[i], file) && !strncmp(file, own, n) && file[n] == '/')
            return sg_fail(
                err, SG_E_USAGE,
                "--fresh would remove %s, which --since wants to take from; use another --night or "
                "output.dir",
                since[i]);
    return SG_OK;
}

enum sg_status sg_reuse_origin(const char *dir, const char *otherwise, struct sg_results *r,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct origin o = {0};
    struct sg_origin *to = &r->origin;
    bool exists;
    const int64_t n_cells = r->n_queries * r->n_models;
    SG_TRY(read_origin(dir, n_cells, &exists, &o, err));
    SG_TRY(sg_results_set_night(r, exists ? o.nights[0] : otherwise, err));
    if (!exists) goto out;
    free(to->nights);
    to->nights = NULL;
    to->n_nights = 0;
    SG_TRY(SG_NEW(&to->nights, o.n_nights, "nights", err));
    /* the run's own goes last, the others keep their order */
    const int32_t last = (int32_t)o.n_nights - 1;
    for (int32_t i = 0; i <= last; i++)
        SG_TRY(
            sg_arena_dup(&r->strings, o.nights[i], strlen(o.nights[i]), &to->nights[i ? i - 1 : last], err));
    to->n_nights = last + 1;
    for (int64_t i = 0; i < n_cells; i++) to->night[i] = o.night[i] ? o.night[i] - 1 : last;
    to->taken_over = o.taken;
    if (o.since && *o.since) SG_TRY(sg_arena_dup(&r->strings, o.since, strlen(o.since), &to->since, err));
out:
    origin_free(&o);
    return st;
}

/* ---- one earlier file ------------------------------------------------------------------------------- */

struct known {
    struct sg_digest fingerprint;
    int64_t cell;
};

static int by_fingerprint(const void *a, const void *b) {
    const struct sg_digest x = ((const struct known *)a)->fingerprint,
                           y = ((const struct known *)b)->fingerprint;
    if (x.hi != y.hi) return x.hi < y.hi ? -1 : 1;
    return x.lo < y.lo ? -1 : x.lo > y.lo;
}

struct source {
    const char *path;
    struct sg_results r;
    struct sg_results_texts *texts;
    struct known *known; /* by fingerprint: cells that were computed and did not fail */
    size_t n_known;
    struct sg_digest *of_plan; /* the plan's cells, drawn with the source's number of samples; NULL: the
                                  plan's own */
    int64_t taken;
};

static void source_close(struct source *s) {
    sg_results_texts_close(s->texts);
    sg_results_free(&s->r);
    free(s->known);
    free(s->of_plan);
}

static enum sg_status source_open(struct source *s, const struct sg_plan *plan, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_results_read(s->path, SG_RESULTS_VERIFY, &s->r, err));
    const int64_t cells = s->r.n_queries * s->r.n_models;
    if (!s->r.origin.fingerprint) {
        st =
            sg_fail(err, SG_E_UNSUPPORTED,
                    "%s: does not say what its cells were computed from, so none can be taken over", s->path);
        goto out;
    }
    if (plan->job.output.texts) SG_TRY(sg_results_texts_open(s->path, &s->texts, err));
    SG_TRY(SG_NEW(&s->known, cells, "cells of earlier results", err));
    for (int64_t i = 0; i < cells; i++)
        if (s->r.status[i] == SG_OK && s->r.origin.night[i] >= 0)
            s->known[s->n_known++] = (struct known){s->r.origin.fingerprint[i], i};
    if (s->n_known > 1) qsort(s->known, s->n_known, sizeof *s->known, by_fingerprint);
out:
    return st;
}

/* Makes ready to look for cells that are drawn in one of the plan's ways. *fits = false: the file cannot have
 * them, for it holds fewer samples or no texts. */
static enum sg_status source_match(struct source *s, const struct sg_plan *plan,
                                   const struct sg_plan_inputs *in, const struct sg_plan_draws *how,
                                   bool *fits, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan_draws as_there = *how;
    *fits = s->r.n_samples >= how->samples && (s->texts || !plan->job.output.texts);
    if (!*fits || (plan->n_draws == 1 && s->r.n_samples == how->samples)) goto out;
    as_there.samples = s->r.n_samples;
    if (!s->of_plan) SG_TRY(SG_NEW(&s->of_plan, plan->n_cells, "cell fingerprints", err));
    SG_TRY(sg_plan_fingerprints_of(plan, in, &as_there, s->of_plan, err));
out:
    return st;
}

static bool measured(const struct sg_plan *plan, int64_t cell) {
    return plan->truth && plan->truth[cell].known && plan->truth[cell].prompt_tokens >= 0;
}

/* The source's cell that serves as the plan's, or -1. */
static int64_t find(const struct source *s, const struct sg_plan *plan, int64_t cell) {
    const struct known key = {s->of_plan ? s->of_plan[cell] : plan->cell_fingerprint[cell], 0};
    const struct known *k =
        s->n_known ? bsearch(&key, s->known, s->n_known, sizeof key, by_fingerprint) : NULL;
    if (!k) return -1;
    if (s->r.prompt_source[k->cell] == SG_PROMPT_MEASURED && !measured(plan, cell)) return -1;
    return k->cell;
}

/* ---- taking over ------------------------------------------------------------------------------------ */

struct taking {
    const char *dir;
    const struct sg_plan *plan;
    uint8_t *done;
    int64_t *n_done;
    bool resumed; /* a start that died while taking over may have left cells: they count as taken */
    int64_t shared;
    struct origin *o;
    struct sg_segment_writer *w;
    struct sg_cell_buf room;
};

/* Puts a cell into the run's segment of cells taken over. */
static enum sg_status put_cell(struct taking *t, int64_t cell, struct sg_cell *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    c->query = (int32_t)(cell / plan->n_models);
    c->model = (int32_t)(cell % plan->n_models);
    if (measured(plan, cell)) c->prompt_tokens = plan->truth[cell].prompt_tokens;
    sg_cell_estimate(c, plan->models[c->model].input, plan->models[c->model].output);
    if (!t->w) SG_TRY(sg_segment_open(t->dir, plan->fingerprint, 0, &t->w, err));
    SG_TRY(sg_segment_append(t->w, cell, plan->cell_fingerprint[cell], c, err));
    t->done[cell] = 1;
    ++*t->n_done;
    if (sg_segment_bytes(t->w) < SEGMENT_BYTES) goto out;
    struct sg_segment_writer *w = t->w;
    t->w = NULL;
    SG_TRY(sg_segment_close(w, err));
out:
    return st;
}

static enum sg_status take_cell(struct taking *t, struct source *s, int64_t cell, int64_t from,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *plan = t->plan;
    const char *night = s->r.origin.nights[s->r.origin.night[from]];
    struct sg_cell c;
    if (!t->done[cell]) {
        st = sg_results_cell(&s->r, s->texts, from, plan->n_samples, &t->room, &c, err);
        if (st != SG_OK) {
            sg_err_at(err, "%s", s->path);
            goto out;
        }
        SG_TRY(put_cell(t, cell, &c, err));
    }
    SG_TRY(night_number(t->o, night, &t->o->night[cell], err));
    t->o->taken++;
    s->taken++;
out:
    return st;
}

/* Cells that an earlier file has given are in `given`. */
static enum sg_status take_from(struct taking *t, struct source *s, const struct sg_plan_inputs *in,
                                uint8_t *given, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool fits;
    SG_TRY(source_match(s, t->plan, in, t->plan->draws, &fits, err));
    if (!fits) goto out;
    for (int64_t cell = 0; cell < t->plan->n_cells; cell++) {
        if (given[cell] || (t->done[cell] && !t->resumed)) continue;
        const int64_t from = find(s, t->plan, cell);
        if (from < 0) continue;
        SG_TRY(take_cell(t, s, cell, from, err));
        given[cell] = 1;
    }
out:
    return st;
}

/* True when there is nothing at path; a link that leads nowhere is an error. */
static enum sg_status is_first(const char *path, bool *first, struct sg_err *err) {
    struct stat s;
    *first = false;
    if (stat(path, &s) == 0 || errno != ENOENT) return SG_OK; /* reading it says what is wrong */
    if (lstat(path, &s) == 0)
        return sg_fail(err, SG_E_INPUT,
                       "%s: points at results that are gone; name others with --since, or remove it", path);
    *first = true;
    return SG_OK;
}

static enum sg_status note_source(const struct source *s, const struct sg_plan *plan, bool quiet,
                                  struct origin *o, struct sg_err *err) {
    struct sg_buf all = {0};
    enum sg_status st = SG_OK;
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(s->r.digest, hex);
    SG_TRY(sg_buf_printf(&all, err, "%s%s%s (digest %s)", o->since, *o->since ? ", " : "", s->path, hex));
    SG_TRY(sg_arena_dup(&o->strings, all.data, all.len, &o->since, err));
    if (!quiet) {
        if (plan->job.output.texts && !s->texts)
            fprintf(stderr, "scope-grid: %s keeps no texts, this job does: nothing is taken over from it\n",
                    s->path);
        else
            fprintf(stderr, "scope-grid: %lld of %lld cells are taken over from %s\n", (long long)s->taken,
                    (long long)plan->n_cells, s->path);
    }
out:
    sg_buf_free(&all);
    return st;
}

/* ---- a pass ------------------------------------------------------------------------------------------ */

struct from_pass {
    struct taking *t;
    const struct sg_plan *pass;
    struct sg_digest *of_pass; /* [n_cells]: the pass's cells, drawn the plan's way alone */
    int64_t first;             /* of a cell's samples: the plan's */
    uint8_t *given;            /* [n_cells] */
};

static enum sg_status take_of_pass(void *ctx, int64_t cell, struct sg_digest fingerprint,
                                   const struct sg_cell *all, struct sg_err *err) {
    const struct from_pass *f = ctx;
    struct taking *t = f->t;
    const struct sg_plan *plan = t->plan;
    const bool quarantined = all->status == SG_E_DEVICE;
    enum sg_status st = SG_OK;
    struct sg_cell c = *all;
    (void)fingerprint;
    if ((t->done[cell] && !t->resumed) || (all->status != SG_OK && !quarantined)) goto out;
    if (!sg_digest_equal(f->of_pass[cell], plan->cell_fingerprint[cell])) goto out;
    if (measured(f->pass, cell) && !measured(plan, cell)) goto out;
    if (t->done[cell]) { /* by the start that died: it is this run's own, whatever the files have */
        f->given[cell] = 1;
        goto out;
    }
    if (!quarantined && all->n_samples != f->pass->n_samples) {
        st = sg_fail(err, SG_E_CORRUPT, "a cell of a pass has %d samples, expected %lld", all->n_samples,
                     (long long)f->pass->n_samples);
        goto out;
    }
    c.n_samples = quarantined ? 0 : (int32_t)plan->n_samples;
    SG_TRY(SG_GROW(&t->room.samples, &t->room.cap, plan->n_samples, "samples", err));
    for (int32_t i = 0; i < c.n_samples; i++) {
        t->room.samples[i] = all->samples[f->first + i];
        if (plan->job.output.texts) continue;
        t->room.samples[i].text = NULL;
        t->room.samples[i].text_bytes = 0;
    }
    c.samples = t->room.samples;
    SG_TRY(put_cell(t, cell, &c, err));
    f->given[cell] = 1;
    t->shared++;
out:
    return st;
}

/* given[n_cells]: 1 where the pass had the cell. */
static enum sg_status take_pass(struct taking *t, const char *dir, const struct sg_plan_inputs *in,
                                uint8_t *given, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan_draws *how = t->plan->draws;
    struct sg_plan pass = {0};
    struct from_pass f = {.t = t, .pass = &pass, .given = given};
    int32_t d = 0;
    SG_TRY(sg_rundir_read_plan(dir, &pass, err));
    for (; d < pass.n_draws && !sg_plan_same_draws(&pass.draws[d], how); d++)
        f.first += pass.draws[d].samples;
    if (d == pass.n_draws || pass.draws[d].samples < how->samples || pass.n_cells != t->plan->n_cells ||
        (t->plan->job.output.texts && !pass.job.output.texts))
        goto out; /* it was made before the sweep's file changed */
    SG_TRY(SG_NEW(&f.of_pass, pass.n_cells, "cell fingerprints", err));
    SG_TRY(sg_plan_fingerprints_of(&pass, in, how, f.of_pass, err));
    SG_TRY(sg_segments_read(dir, pass.fingerprint, pass.n_cells, take_of_pass, &f, err));
out:
    if (st != SG_OK) sg_err_at(err, "%s", dir);
    free(f.of_pass);
    sg_plan_free(&pass);
    return st;
}

/* Marks the cells of a pass that the files have for all of its points. */
static enum sg_status spare(const struct sg_plan *plan, const struct sg_reuse_options *opt, uint8_t *done,
                            int64_t *n_done, int64_t *spared, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct source s = {0};
    uint8_t *have = NULL; /* [n_draws][n_cells] */
    bool first, fits;
    *spared = 0;
    if (!opt->n_since) goto out;
    SG_TRY(SG_NEW(&have, plan->n_draws * plan->n_cells, "cells", err));
    for (size_t i = 0; i < opt->n_since; i++) {
        SG_TRY(is_first(opt->since[i], &first, err));
        if (first) continue;
        s.path = opt->since[i];
        SG_TRY(source_open(&s, plan, err));
        for (int32_t d = 0; d < plan->n_draws; d++) {
            SG_TRY(source_match(&s, plan, opt->inputs, &plan->draws[d], &fits, err));
            for (int64_t c = 0; fits && c < plan->n_cells; c++)
                if (find(&s, plan, c) >= 0) have[d * plan->n_cells + c] = 1;
        }
        source_close(&s);
        memset(&s, 0, sizeof s);
    }
    for (int64_t c = 0; c < plan->n_cells; c++) {
        bool all = !done[c];
        for (int32_t d = 0; d < plan->n_draws; d++) all = all && have[d * plan->n_cells + c];
        if (!all) continue;
        done[c] = 1;
        ++*n_done;
        ++*spared;
    }
out:
    source_close(&s);
    free(have);
    return st;
}

/* ---- all together ------------------------------------------------------------------------------------ */

static enum sg_status take_all(struct taking *t, const struct sg_reuse_options *opt, struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint8_t *given = NULL;
    struct source s = {0};
    SG_TRY(SG_NEW(&given, t->plan->n_cells, "cells", err));
    SG_TRY(sg_arena_dup(&t->o->strings, "", 0, &t->o->since, err));
    if (opt->pass) SG_TRY(take_pass(t, opt->pass, opt->inputs, given, err));
    for (size_t i = 0; i < opt->n_since; i++) {
        bool first;
        SG_TRY(is_first(opt->since[i], &first, err));
        if (first) {
            if (!opt->quiet)
                fprintf(stderr, "scope-grid: %s does not exist: a first night, every cell is computed\n",
                        opt->since[i]);
            continue;
        }
        memset(&s, 0, sizeof s);
        s.path = opt->since[i];
        SG_TRY(source_open(&s, t->plan, err));
        SG_TRY(take_from(t, &s, opt->inputs, given, err));
        SG_TRY(note_source(&s, t->plan, opt->quiet, t->o, err));
        source_close(&s);
        memset(&s, 0, sizeof s);
    }
    if (t->w) {
        struct sg_segment_writer *w = t->w;
        t->w = NULL;
        SG_TRY(sg_segment_close(w, err));
    }
out:
    source_close(&s);
    free(given);
    return st;
}

enum sg_status sg_reuse_begin(const char *dir, const struct sg_plan *plan, const struct sg_reuse_options *opt,
                              uint8_t *done, int64_t *n_done, struct sg_reuse_found *found,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct origin o = {0};
    struct taking t = {.dir = dir, .plan = plan, .done = done, .n_done = n_done, .o = &o};
    bool exists;
    if (plan->n_draws > 1) {
        SG_TRY(spare(plan, opt, done, n_done, &found->taken, err));
        goto out;
    }
    SG_TRY(read_origin(dir, plan->n_cells, &exists, &o, err));
    if (exists && (o.since || !(opt->n_since || opt->pass))) {
        found->taken = o.taken;
        goto out;
    }
    if (!exists) {
        int32_t zero;
        o.n_cells = plan->n_cells;
        SG_TRY(SG_NEW(&o.night, plan->n_cells, "nights of cells", err));
        SG_TRY(night_number(&o, opt->night, &zero, err));
        t.resumed = true;
    }
    if (opt->n_since || opt->pass) SG_TRY(take_all(&t, opt, err));
    /* Only now: a crash before this line leaves cells that are taken over again, never a cell that says of
     * another night what this one has computed. */
    SG_TRY(write_origin(dir, &o, err));
    found->taken = o.taken;
    found->shared = t.shared;
out:
    sg_segment_abandon(t.w);
    sg_cell_buf_free(&t.room);
    origin_free(&o);
    return st;
}
