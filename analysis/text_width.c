#include "text_width.h"

#include "base/utf8.h"
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The code point at *s, which moves on; bytes that are no UTF-8 come one by one as control characters. */
static uint32_t next(const char **s) {
    const unsigned char *p = (const unsigned char *)*s;
    const int more = p[0] < 0x80 ? 0 : p[0] >= 0xF0 ? 3 : p[0] >= 0xE0 ? 2 : p[0] >= 0xC2 ? 1 : -1;
    uint32_t c = more < 1 ? p[0] : p[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            (*s)++;
            return 0x80;
        }
        c = c << 6 | (p[i] & 0x3F);
    }
    *s += more > 0 ? more + 1 : 1;
    return more < 0 ? 0x80 : c;
}

/* Ranges of two columns: East Asian wide scripts and pictographs (Unicode annex 11, in outline). */
static int columns(uint32_t c) {
    static const uint32_t wide[][2] = {
        {0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
        {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (c >= wide[i][0] && c <= wide[i][1]) return 2;
    return 1;
}

int sg_text_width(const char *s) {
    int width = 0;
    while (*s) width += columns(next(&s));
    return width;
}

/* Writes s up to `width` columns; the columns taken. */
static int put(const char *s, int width, char **to, const char *end) {
    int taken = 0;
    while (*s) {
        const char *from = s;
        const uint32_t c = next(&s);
        const size_t n = sg_utf8_is_control(c) ? 1 : (size_t)(s - from);
        if (taken + columns(c) > width || *to + n >= end) break;
        if (sg_utf8_is_control(c))
            **to = '?';
        else
            memcpy(*to, from, n);
        *to += n;
        taken += columns(c);
    }
    return taken;
}

static int cut(const char *s, int width, char **to, const char *end) {
    if (sg_text_width(s) <= width) return put(s, width, to, end);
    const int dots = width > 3 ? 3 : 0;
    const int taken = put(s, width - dots, to, end);
    return taken + put("...", dots, to, end);
}

char *sg_text_cut(const char *s, int width, char *buf, size_t n) {
    char *to = buf;
    cut(s, width, &to, buf + n);
    *to = 0;
    return buf;
}

char *sg_text_fit(const char *s, int width, char *buf, size_t n) {
    char *to = buf;
    for (int taken = cut(s, width, &to, buf + n); taken < width && to + 1 < buf + n; taken++) *to++ = ' ';
    *to = 0;
    return buf;
}

const char *sg_text_short_name(const char *id) {
    const char *slash = strrchr(id, '/');
    return slash && slash[1] ? slash + 1 : id;
}

char *sg_text_signed(double x, int digits, char *buf, size_t n) {
    const int most = digits + 3;
    while (digits < most && x != 0 && fabs(x) < 0.5 * pow(10, -digits)) digits++;
    if (fabs(x) < 0.5 * pow(10, -digits)) digits = most - 3, x = 0; /* nor -0.0 */
    snprintf(buf, n, "%+.*f", digits, x);
    return buf;
}
