#include "base/status.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sg_status_name(enum sg_status status) {
    switch (status) {
#define SG_STATUS_NAME(code, name, exit_code)                                                                \
    case code:                                                                                               \
        return name;
        SG_STATUS_LIST(SG_STATUS_NAME)
#undef SG_STATUS_NAME
    case SG_STATUS_COUNT:
        break;
    }
    return "unknown status";
}

int sg_status_exit_code(enum sg_status status) {
    switch (status) {
#define SG_STATUS_EXIT(code, name, exit_code)                                                                \
    case code:                                                                                               \
        return exit_code;
        SG_STATUS_LIST(SG_STATUS_EXIT)
#undef SG_STATUS_EXIT
    case SG_STATUS_COUNT:
        break;
    }
    return 70;
}

/* Keeps an error one line of valid UTF-8: control characters (sg_utf8_control) become '?', and a cut never splits a sequence. */
static void make_one_line(char *text, size_t cap, int wanted) {
    if (wanted >= 0 && (size_t)wanted >= cap) {
        size_t end = cap - 4;
        while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) end--;
        memcpy(text + end, "...", 4);
    }
    char *to = text;
    for (const char *p = text; *p;) {
        const size_t control = sg_utf8_control(p, NULL);
        *to++ = control ? '?' : *p;
        p += control ? control : 1;
    }
    *to = 0;
}

enum sg_status sg_fail(struct sg_err *err, enum sg_status status, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->status = status;
        int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        make_one_line(err->text, sizeof err->text, n);
    }
    return status;
}

void sg_err_at(struct sg_err *err, const char *fmt, ...) {
    if (!err || err->status == SG_OK) return;
    char old[sizeof err->text], place[256];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(place, sizeof place, fmt, ap);
    va_end(ap);
    int n = snprintf(err->text, sizeof err->text, "%s: %s", place, old);
    make_one_line(err->text, sizeof err->text, n);
}

_Noreturn void sg_assert_failed(const char *cond, const char *file, int line) {
    fprintf(stderr, "scope-grid: internal error: %s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}
