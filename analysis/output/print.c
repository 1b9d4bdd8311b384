#include "writers.h"

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
