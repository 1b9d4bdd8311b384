#include "store/h5.h"

#include <errno.h>
#include <string.h>

struct innermost {
    char text[256];
};
static herr_t keep_last(unsigned n, const H5E_error2_t *e, void *ctx) {
    (void)n;
    struct innermost *k = ctx;
    size_t len = e->desc ? strlen(e->desc) : 0;
    if (len >= sizeof k->text) len = sizeof k->text - 1;
    if (len) memcpy(k->text, e->desc, len);
    k->text[len] = 0;
    return 0;
}

enum sg_status sg_h5_fail(struct sg_err *err, enum sg_status status, const char *path, const char *what) {
    struct innermost k = {{0}};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_last, &k);
    H5Eclear2(H5E_DEFAULT);
    return sg_fail(err, status, "%s: %s%s%s", path, what, k.text[0] ? ": " : "", k.text);
}

enum sg_status sg__h5_read_failed(const struct sg_h5_in *in, const char *what, struct sg_err *err) {
    const int e = in->source->error;
    if (!e) return sg_h5_fail(err, SG_E_CORRUPT, in->path, what);
    H5Eclear2(H5E_DEFAULT);
    if (e == ENODATA) return sg_fail(err, SG_E_CORRUPT, "%s: has become shorter while it was read", in->path);
    return sg_fail(err, e == ENOMEM ? SG_E_NOMEM : SG_E_IO, "%s: cannot read: %s", in->path, strerror(e));
}
