/* options - option tables of a program or command: reading argv, --help. */
#ifndef SG_OPTIONS_H
#define SG_OPTIONS_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* kind, what follows the option */
enum sg_opt_kind {
    SG_OPT_FLAG, /* bool: set true */
    SG_OPT_STR,  /* const char *: borrowed from argv */
    SG_OPT_I64,  /* int64_t in [min, max] */
    SG_OPT_F64,  /* double in [min, max] */
    SG_OPT_LIST, /* struct sg_opt_list: may stand several times */
};
struct sg_opt_list {
    const char **items; /* owned: free(items); the strings are argv's */
    size_t n, cap;
};
struct sg_opt {
    const char *name; /* without the dashes */
    enum sg_opt_kind kind;
    void *target; /* bool, const char *, int64_t, double or struct sg_opt_list; holds the default on entry */
    double min, max;
    const char *arg;  /* placeholder in --help ("DIR"); NULL for flags */
    const char *help; /* one line; give unit and default */
};

/* --device is taken by every command, so that scripts may pass it to all: the entry of those that compute on
 * none. target: const char *. */
#define SG_OPT_NO_DEVICE(target_)                                                                            \
    {                                                                                                        \
        "device", SG_OPT_STR, (target_), 0, 0, "NAME",                                                       \
            "taken by every command; this one computes on no device"                                         \
    }

/* What a command takes. */
struct sg_opt_spec {
    const char *usage; /* the head of --help */
    const struct sg_opt *opts;
    size_t n_opts;
    const char **pos; /* [max_pos] the positionals, at least min_pos; the rest NULL */
    int min_pos, max_pos;
};

/* Reads --name value, --name=value and positionals. "--" ends the options. --help prints the usage and the table to stdout
 * and sets *help_shown: the caller then returns SG_OK at once. Unknown options are errors that name the nearest. */
enum sg_status sg_options_read(int argc, char **argv, const struct sg_opt_spec *spec, bool *help_shown,
                               struct sg_err *err);

#endif
