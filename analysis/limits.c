#include "limits.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_limits_model(const struct sg_dataset *d, const char *option, const char *id, int32_t *out,
                               struct sg_err *err) {
    for (int32_t k = 0; k < d->m; k++)
        if (!strcmp(sg_dataset_model(d, k), id)) {
            *out = k;
            return SG_OK;
        }
    const char *near = sg_nearest(id, (const char *const *)d->r->model, (size_t)d->r->n_models);
    return sg_fail(err, SG_E_INPUT, "%s: no model \"%s\" in the pool%s%s%s", option, id,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static enum sg_status share(const char *text, double *out, struct sg_err *err) {
    const char *at = strrchr(text, '=');
    char *end = NULL;
    errno = 0;
    *out = at && at > text ? strtod(at + 1, &end) : (double)NAN;
    if (end && end > at + 1 && *end == '%') {
        *out /= 100;
        end++;
    }
    if (!end || end == at + 1 || *end || errno == ERANGE || !(*out >= 0 && *out <= 1))
        return sg_fail(err, SG_E_USAGE,
                       "--at-most %s: expected MODEL=SHARE, a share from 0 to 1 or from 0%% to 100%%", text);
    return SG_OK;
}

enum sg_status sg_limits_caps(const struct sg_dataset *d, const char *const *text, size_t n, double **cap,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *x = NULL, sum = 0, most;
    char *id = NULL;
    if (!n) goto out;
    SG_TRY(SG_NEW(&x, d->m, "limits", err));
    for (int32_t k = 0; k < d->m; k++) x[k] = -1;
    for (size_t i = 0; i < n; i++) {
        int32_t k;
        SG_TRY(share(text[i], &most, err));
        free(id);
        id = NULL;
        const size_t length = (size_t)(strrchr(text[i], '=') - text[i]);
        SG_TRY(SG_NEW(&id, length + 1, "limits", err));
        memcpy(id, text[i], length);
        SG_TRY(sg_limits_model(d, "--at-most", id, &k, err));
        if (x[k] >= 0) {
            st = sg_fail(err, SG_E_USAGE, "--at-most %s: this model has a limit already", text[i]);
            goto out;
        }
        x[k] = most;
    }
    for (int32_t k = 0; k < d->m; k++) {
        if (x[k] < 0) x[k] = 1;
        sum += x[k];
    }
    if (sum < 1 - 1e-9) {
        st = sg_fail(
            err, SG_E_INPUT,
            "--at-most: all models together may answer %.3g %% of the queries; raise a share, or add a model "
            "to the pool",
            100 * sum);
        goto out;
    }
    *cap = x;
    x = NULL;
out:
    free(id);
    free(x);
    return st;
}
