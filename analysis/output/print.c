#include "writers.h"

#include "analysis/text_width.h"

#include <math.h>
#include <string.h>

const char *sg__measure(const struct sg_analysis *a) {
    return sg_results_graded(a->data->r) ? "score" : "accuracy";
}

const char *sg__heading(const struct sg_analysis *a, const struct sg__table_column *c, char *buf, size_t n) {
    const char *word = "accuracy", *at = c->heading ? strstr(c->heading, word) : NULL;
    if (!at || !sg_results_graded(a->data->r)) return c->heading;
    snprintf(buf, n, "%.*s%s%s", (int)(at - c->heading), c->heading, sg__measure(a), at + strlen(word));
    return buf;
}

char *sg__print_number(double x, int digits, char *buf, size_t n) {
    if (isfinite(x))
        snprintf(buf, n, "%.*f", digits, x);
    else
        snprintf(buf, n, "n/a");
    return buf;
}

char *sg__print_percent(double x, char *buf, size_t n) {
    return sg__print_number(100 * x, 1, buf, n);
}

char *sg__print_usd(double x, char *buf, size_t n) {
    if (isnan(x))
        snprintf(buf, n, "n/a");
    else if (x == 0)
        snprintf(buf, n, "0");
    else {
        int digits = 3 - (int)floor(log10(fabs(x)));
        snprintf(buf, n, "%.*f", digits < 0 ? 0 : digits > 12 ? 12 : digits, x);
    }
    return buf;
}

char *sg__print_band(const struct sg_value *v, double times, int digits, bool sign, char *buf, size_t n) {
    const double all[3] = {v->value, v->low, v->high};
    char x[3][32];
    for (int i = 0; i < 3; i++) {
        const double y = times * all[i];
        if (sign)
            sg_text_signed(y, digits, x[i], sizeof x[i]);
        else /* what would print as -0.0 is 0 */
            snprintf(x[i], sizeof x[i], "%.*f", digits, fabs(y) < 0.5 * pow(10, -digits) ? 0 : y);
    }
    if (!isfinite(v->value))
        snprintf(buf, n, "-");
    else if (isnan(v->low))
        snprintf(buf, n, "%s", x[0]);
    else
        snprintf(buf, n, "%s [%s, %s]", x[0], x[1], x[2]);
    return buf;
}

char *sg__print_bill(const struct sg_value *v, double times, char *buf, size_t n) {
    char x[3][32];
    if (isnan(v->low))
        return isnan(v->value) ? sg__print_band(v, 1, 0, false, buf, n)
                               : sg__print_usd(times * v->value, buf, n);
    snprintf(buf, n, "%s [%s, %s]", sg__print_usd(times * v->value, x[0], sizeof x[0]),
             sg__print_usd(times * v->low, x[1], sizeof x[1]),
             sg__print_usd(times * v->high, x[2], sizeof x[2]));
    return buf;
}
