#include "base/options.h"

#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sg_status print_help(const char *usage, const struct sg_opt *opts, size_t n) {
    printf("%s\n", usage);
    if (n) printf("\nOptions\n");
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", opts[i].name, opts[i].arg ? " " : "",
                 opts[i].arg ? opts[i].arg : "");
        printf("  %-28s %s\n", left, opts[i].help);
    }
    printf("  %-28s %s\n", "--help", "this text");
    return SG_OK;
}

static enum sg_status set_value(const struct sg_opt *o, const char *value, struct sg_err *err) {
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case SG_OPT_FLAG:
        return sg_fail(err, SG_E_USAGE, "--%s takes no value", o->name);
    case SG_OPT_STR:
        *(const char **)o->target = value;
        return SG_OK;
    case SG_OPT_I64: {
        long long v = strtoll(value, &end, 10);
        if (end == value || *end || errno || (double)v < o->min || (double)v > o->max)
            return sg_fail(err, SG_E_USAGE, "--%s %s: expected a whole number from %.0f to %.0f", o->name,
                           value, o->min, o->max);
        *(int64_t *)o->target = v;
        return SG_OK;
    }
    case SG_OPT_F64: {
        double v = strtod(value, &end);
        if (end == value || *end || !isfinite(v) || v < o->min || v > o->max)
            return sg_fail(err, SG_E_USAGE, "--%s %s: expected a number from %g to %g", o->name, value,
                           o->min, o->max);
        *(double *)o->target = v;
        return SG_OK;
    }
    case SG_OPT_LIST: {
        struct sg_opt_list *l = o->target;
        enum sg_status st = SG_GROW(&l->items, &l->cap, l->n + 1, "options", err);
        if (st == SG_OK) l->items[l->n++] = value;
        return st;
    }
    }
    return SG_E_INTERNAL;
}

static enum sg_status unknown(const char *name, const struct sg_opt *opts, size_t n, const char *cmd,
                              struct sg_err *err) {
    const char *names[64];
    size_t k = n < 64 ? n : 64;
    for (size_t i = 0; i < k; i++) names[i] = opts[i].name;
    const char *near = sg_nearest(name, names, k);
    return near ? sg_fail(err, SG_E_USAGE, "%s: unknown option --%s; did you mean --%s?", cmd, name, near)
                : sg_fail(err, SG_E_USAGE, "%s: unknown option --%s; see %s --help", cmd, name, cmd);
}

enum sg_status sg_options_read(int argc, char **argv, const struct sg_opt_spec *spec, bool *help_shown,
                               struct sg_err *err) {
    const struct sg_opt *opts = spec->opts;
    const size_t n_opts = spec->n_opts;
    int n_pos = 0;
    bool only_pos = false;
    *help_shown = false;
    for (int i = 0; i < spec->max_pos; i++) spec->pos[i] = NULL;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (only_pos || a[0] != '-' || !a[1]) {
            if (n_pos >= spec->max_pos)
                return sg_fail(err, SG_E_USAGE, "%s: unexpected argument %s", argv[0], a);
            spec->pos[n_pos++] = a;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_pos = true;
            continue;
        }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            *help_shown = true;
            return print_help(spec->usage, opts, n_opts);
        }
        if (strncmp(a, "--", 2) != 0)
            return sg_fail(err, SG_E_USAGE, "%s: unknown option %s; options begin with --", argv[0], a);
        char name[64];
        const char *eq = strchr(a, '=');
        size_t len = eq ? (size_t)(eq - a - 2) : strlen(a + 2);
        if (len >= sizeof name) return sg_fail(err, SG_E_USAGE, "%s: unknown option %s", argv[0], a);
        memcpy(name, a + 2, len);
        name[len] = 0;
        const struct sg_opt *o = NULL;
        for (size_t k = 0; k < n_opts && !o; k++)
            if (!strcmp(opts[k].name, name)) o = &opts[k];
        if (!o) return unknown(name, opts, n_opts, argv[0], err);
        if (o->kind == SG_OPT_FLAG && !eq) {
            *(bool *)o->target = true;
            continue;
        }
        const char *value = eq ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value)
            return sg_fail(err, SG_E_USAGE, "%s: --%s needs a value (%s)", argv[0], o->name,
                           o->arg ? o->arg : "VALUE");
        enum sg_status st = set_value(o, value, err);
        if (st != SG_OK) return st;
    }
    if (n_pos < spec->min_pos)
        return sg_fail(err, SG_E_USAGE, "%s: an argument is missing; see --help", argv[0]);
    return SG_OK;
}
