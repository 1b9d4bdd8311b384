#include "metrics.h"

#include "base/mem.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>

static int by_xy(const void *a, const void *b) {
    const struct sg_xy *p = a, *q = b;
    return p->x != q->x ? (p->x < q->x ? -1 : 1) : p->y != q->y ? (p->y > q->y ? -1 : 1) : 0;
}

int64_t sg_hull_nondecreasing(struct sg_xy *pt, int64_t n) {
    int64_t kept = 0, h = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(pt[i].x) && !isnan(pt[i].y)) pt[kept++] = pt[i];
    qsort(pt, (size_t)kept, sizeof *pt, by_xy);
    for (int64_t i = 0; i < kept; i++) {
        const struct sg_xy x = pt[i];
        if (h && x.y <= pt[h - 1].y) continue;
        while (h > 1 && (pt[h - 1].y - pt[h - 2].y) * (x.x - pt[h - 1].x) <=
                            (x.y - pt[h - 1].y) * (pt[h - 1].x - pt[h - 2].x))
            h--;
        pt[h++] = x;
    }
    return h;
}

double sg_hull_at(const struct sg_xy *hull, int64_t n, double x) {
    if (!n || isnan(x) || x < hull[0].x) return (double)NAN;
    int64_t i = 0;
    while (i + 1 < n && hull[i + 1].x <= x) i++;
    if (i + 1 == n) return hull[i].y;
    return hull[i].y + (hull[i + 1].y - hull[i].y) * (x - hull[i].x) / (hull[i + 1].x - hull[i].x);
}

/* Integral of the hull over [a, b]; 0 before its first point. */
static double area(const struct sg_xy *hull, int64_t n, double a, double b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double left = fmax(a, hull[i].x), right = i + 1 < n ? fmin(b, hull[i + 1].x) : b;
        if (right > left)
            sum += (right - left) * 0.5 * (sg_hull_at(hull, n, left) + sg_hull_at(hull, n, right));
    }
    return sum;
}

double sg_aiq(const struct sg_xy *hull, int64_t n, double x_min, double x_max) {
    return n && x_max > x_min ? area(hull, n, x_min, x_max) / (x_max - x_min) : (double)NAN;
}

double sg_pgr(double r, double weak, double strong) {
    return strong == weak ? (double)NAN : (r - weak) / (strong - weak);
}

enum sg_status sg_route_llm(const double *margin, const double *y_weak, const double *y_strong, int64_t n,
                            double *apgr, const double *level, double *cpt, int32_t n_levels,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    uint32_t *order = NULL;
    double weak = 0, strong = 0;
    SG_TRY(SG_NEW(&order, n, "margins", err));
    SG_TRY(sg_sort_order(margin, n, true, order, err));
    for (int64_t q = 0; q < n; q++) {
        weak += y_weak[q];
        strong += y_strong[q];
    }
    *apgr = 0;
    for (int32_t i = 0; i < n_levels; i++) cpt[i] = (double)NAN;
    double r = weak;
    int next = 1;
    for (int64_t k = 0; k <= n; k++) {
        if (k) r += y_strong[order[k - 1]] - y_weak[order[k - 1]];
        const double pgr = sg_pgr(r, weak, strong);
        while (next <= 10 && k == llround((double)n * next / 10)) {
            *apgr += pgr / 10;
            next++;
        }
        for (int32_t i = 0; i < n_levels; i++)
            if (isnan(cpt[i]) && pgr >= level[i]) cpt[i] = (double)k / (double)n;
    }
out:
    free(order);
    return st;
}

double sg_qnc(const struct sg_xy *hull, int64_t n, double accuracy, double cost) {
    for (int64_t i = 0; i < n; i++) {
        if (hull[i].y < accuracy) continue;
        double x = hull[i].x;
        if (i)
            x = hull[i - 1].x +
                (x - hull[i - 1].x) * (accuracy - hull[i - 1].y) / (hull[i].y - hull[i - 1].y);
        return x / cost;
    }
    return (double)NAN;
}

double sg_router_arena(double accuracy, double cost, double low, double high) {
    const double b = 0.1;
    if (!(low > 0) || !(high > low) || !(cost > 0)) return (double)NAN;
    const double c = fmin(1, fmax(0, (log2(high) - log2(cost)) / (log2(high) - log2(low))));
    return b * accuracy + c > 0 ? (1 + b) * accuracy * c / (b * accuracy + c) : 0;
}
