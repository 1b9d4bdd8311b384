#include "run/prometheus.h"

#include "base/file.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* A label's value: backslash, quote and line feed are escaped, nothing else. */
static enum sg_status put_label(struct sg_buf *b, const char *name, const char *value, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_printf(b, err, "%s=\"", name));
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            SG_TRY(sg_buf_str(b, "\\n", err));
        else if (*c == '\\' || *c == '"')
            SG_TRY(sg_buf_printf(b, err, "\\%c", *c));
        else
            SG_TRY(sg_buf_add(b, c, 1, err));
    }
    SG_TRY(sg_buf_str(b, "\"", err));
out:
    return st;
}

/* What is not known is left out: Prometheus has no null. */
static enum sg_status put(struct sg_buf *b, const char *name, const char *help, const struct sg_buf *labels,
                          double value, struct sg_err *err) {
    if (!isfinite(value)) return SG_OK;
    return sg_buf_printf(b, err,
                         "# HELP scope_grid_%s %s\n# TYPE scope_grid_%s gauge\nscope_grid_%s{%s} %.15g\n",
                         name, help, name, name, labels->data, value);
}

void sg__prometheus_write(const struct sg__prometheus *m) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0}, labels = {0};
    char *path = NULL;
    const struct sg_counts *t = m->totals;
    const struct {
        const char *name, *help;
        double value;
    } list[] = {
        {"cells", "cells of the run", (double)m->total},
        {"cells_done", "cells that are done, failed ones included", (double)m->done},
        {"cells_failed", "cells that failed", (double)m->failed},
        {"cells_per_second", "rate over the last half minute", m->cells_per_s},
        {"prompt_tokens", "prompt tokens computed since this start", (double)t->prompt_tokens},
        {"output_tokens", "tokens written since this start", (double)t->output_tokens},
        {"ranks", "ranks that compute", (double)m->ranks},
        {"elapsed_seconds", "since this start", m->seconds},
        {"busy_share", "share of the ranks' time in which their devices worked", m->busy_share},
        {"joules", "energy of the devices since this start", t->metered ? t->joules : NAN},
        {"watts", "power of the devices", t->metered ? t->watts : NAN},
        {"celsius", "temperature of the hottest device", t->metered ? t->celsius : NAN},
        {"updated_seconds", "time of this file, seconds since 1970", (double)time(NULL)},
    };
    SG_TRY(put_label(&labels, "run", m->run_dir, NULL));
    if (*m->job) { /* a label `job` is the scraper's own */
        SG_TRY(sg_buf_str(&labels, ",", NULL));
        SG_TRY(put_label(&labels, "batch_job", m->job, NULL));
    }
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        SG_TRY(put(&b, list[i].name, list[i].help, &labels, list[i].value, NULL));
    SG_TRY(sg_buf_str(&labels, ",", NULL));
    SG_TRY(put_label(&labels, "state", m->state, NULL));
    SG_TRY(put(&b, "state", "1 for the state that the run is in", &labels, 1, NULL));
    SG_TRY(sg_path_join(m->run_dir, "metrics.prom", &path, NULL));
    (void)sg_file_write_soon(path, b.data, b.len, NULL);
out:
    (void)st; /* out of memory: the next report comes in ten seconds */
    free(path);
    sg_buf_free(&labels);
    sg_buf_free(&b);
}
