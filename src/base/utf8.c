#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

bool sg_utf8_valid(const char *text, size_t n, size_t *bad) {
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < n) {
        if (n - i >= 8) { /* eight ASCII bytes at once: most text is ASCII */
            uint64_t w;
            memcpy(&w, s + i, 8);
            if (!(w & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        unsigned char c = s[i];
        size_t len = c < 0x80                 ? 1
                     : c >= 0xC2 && c <= 0xDF ? 2
                     : (c & 0xF0) == 0xE0     ? 3
                     : c >= 0xF0 && c <= 0xF4 ? 4
                                              : 0;
        if (len == 0 || n - i < len) goto bad;
        if (len > 1) {
            unsigned char lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
            unsigned char hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
            if (s[i + 1] < lo || s[i + 1] > hi) goto bad;
            for (size_t k = 2; k < len; k++)
                if ((s[i + k] & 0xC0) != 0x80) goto bad;
        }
        i += len;
    }
    return true;
bad:
    if (bad) *bad = i;
    return false;
}

size_t sg_utf8_prefix(const char *s, size_t n, size_t max) {
    size_t i = 0;
    while (i < n) {
        if (((unsigned char)s[i] & 0xC0) != 0x80) {
            if (max == 0) return i;
            max--;
        }
        i++;
    }
    return n;
}

bool sg_utf8_is_control(uint32_t c) {
    const bool direction = c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
                           (c >= 0x2066 && c <= 0x2069);
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || direction;
}

size_t sg_utf8_control(const char *text, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c = s[0];
    size_t n = 1;
    if (!c) return 0;
    if (c >= 0xC2 && c <= 0xDF && (s[1] & 0xC0) == 0x80) {
        c = (c & 0x1F) << 6 | (s[1] & 0x3F);
        n = 2;
    } else if (c == 0xE2 && (s[1] & 0xC0) == 0x80 && (s[2] & 0xC0) == 0x80) {
        c = (c & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 | (s[2] & 0x3F);
        n = 3;
    } else if (c > 0x7F) {
        return 0;
    }
    if (!sg_utf8_is_control(c)) return 0;
    if (code) *code = c;
    return n;
}
