#include "run/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing --------------------------------------------------------------------------------------- */

/* What a rank would take; gathered on the root. */
struct wish {
    char uuid[64], name[128], host[SG_HOST_MAX];
    int32_t counts; /* 0: a root that does not compute, or a host backend */
};
struct by_uuid {
    const char *uuid;
    int32_t rank;
};

static int compare(const void *a, const void *b) {
    const struct by_uuid *x = a, *y = b;
    const int d = strcmp(x->uuid, y->uuid);
    return d ? d : x->rank < y->rank ? -1 : x->rank > y->rank;
}

static enum sg_status refuse(const struct wish *w, const struct by_uuid *same, int32_t n,
                             struct sg_err *err) {
    const struct wish *a = &w[same[0].rank], *b = &w[same[1].rank];
    char more[32] = "", there[SG_HOST_MAX + 8] = "";
    if (n > 2) snprintf(more, sizeof more, " and %d more", (int)n - 2);
    if (strcmp(a->host, b->host) != 0) snprintf(there, sizeof there, " and %s", b->host);
    return sg_fail(
        err, SG_E_USAGE,
        "ranks %d%s %d%s on %s%s would share one device, %s (%s): start fewer ranks, give each one its "
        "own (srun --gpus-per-task=1), or add --oversubscribe",
        (int)same[0].rank, n > 2 ? "," : " and", (int)same[1].rank, more, a->host, there, a->name, a->uuid);
}

/* Root: writes sharers[i] of every rank, or refuses. */
static enum sg_status count_sharers(const struct wish *w, int32_t n, bool oversubscribe, int32_t *sharers,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct by_uuid *order = NULL;
    int32_t k = 0;
    SG_TRY(SG_NEW(&order, n, "devices of ranks", err));
    for (int32_t i = 0; i < n; i++) {
        sharers[i] = 1;
        if (w[i].counts) order[k++] = (struct by_uuid){w[i].uuid, i};
    }
    qsort(order, (size_t)k, sizeof *order, compare);
    for (int32_t i = 0, j; i < k; i = j) {
        for (j = i + 1; j < k && strcmp(order[i].uuid, order[j].uuid) == 0;) j++;
        if (j - i > 1 && !oversubscribe) {
            st = refuse(w, &order[i], j - i, err);
            goto out;
        }
        for (int32_t m = i; m < j; m++) sharers[order[m].rank] = j - i;
    }
out:
    free(order);
    return st;
}

/* Index of this rank among the computing ranks of its node. */
static int32_t index_on_node(const struct sg_comm *c, bool root_only) {
    const int32_t local = sg_comm_local_rank(c);
    return root_only && sg_comm_beside_root(c) && local > 0 ? local - 1 : local;
}

enum sg_status sg_device_choose(struct sg_comm *c, const struct sg_compute_maker *maker,
                                const struct sg_job *job, bool root_only, struct sg_compute_place *place,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int32_t rank = sg_comm_rank(c), size = sg_comm_size(c);
    struct sg_dev_place seen = {.count = 0};
    struct wish wish = {.counts = 0}, *all = NULL;
    struct sg_buf sharers = {0};
    place->device = 0;
    place->sharers = sg_comm_local_size(c);
    if (!maker->find) return SG_OK;
    st = maker->find(maker->ctx, job, index_on_node(c, root_only), &seen, err);
    SG_TRY(sg_comm_agree(c, st, err));
    wish.counts = seen.count > 0 && !(root_only && rank == 0);
    memcpy(wish.uuid, seen.uuid, sizeof wish.uuid);
    memcpy(wish.name, seen.name, sizeof wish.name);
    snprintf(wish.host, sizeof wish.host, "%s", sg_comm_host(c));
    if (rank == 0) {
        st = SG_NEW(&all, size, "devices of ranks", err);
        const size_t bytes = (size_t)size * sizeof(int32_t);
        if (st == SG_OK) st = SG_GROW(&sharers.data, &sharers.cap, bytes + 1, "devices of ranks", err);
        sharers.len = st == SG_OK ? bytes : 0;
    }
    SG_TRY(sg_comm_agree(c, st, err));
    sg_comm_gather(c, &wish, sizeof wish, all);
    if (rank == 0)
        st = count_sharers(all, size, job->engine.oversubscribe, (int32_t *)(void *)sharers.data, err);
    SG_TRY(sg_comm_agree(c, st, err));
    SG_TRY(sg_comm_bcast(c, &sharers, err));
    if (seen.count > 0) {
        place->device = seen.device;
        memcpy(&place->sharers, sharers.data + (size_t)rank * sizeof(int32_t), sizeof(int32_t));
    }
out:
    free(all);
    sg_buf_free(&sharers);
    return st;
}

/* ---- the devices as text ---------------------------------------------------------------------------- */

enum sg_status sg_device_first(const struct sg_rank_facts *ranks, int32_t n, int32_t *first,
                               struct sg_err *err) {
    struct by_uuid *order = NULL;
    enum sg_status st = SG_NEW(&order, n, "devices of ranks", err);
    if (st != SG_OK) return st;
    for (int32_t i = 0; i < n; i++) order[i] = (struct by_uuid){ranks[i].facts.device.uuid, i};
    qsort(order, (size_t)n, sizeof *order, compare);
    for (int32_t i = 0; i < n; i++) {
        const bool same = i > 0 && order[i].uuid[0] && strcmp(order[i].uuid, order[i - 1].uuid) == 0;
        first[order[i].rank] = same ? first[order[i - 1].rank] : order[i].rank;
    }
    free(order);
    return SG_OK;
}

/* One kind of device. */
struct kind {
    const struct sg_rank_facts *like;
    int32_t devices;
    double flops, bytes; /* the lowest measured; 0: none */
};
enum { MAX_KINDS = 4 };

static bool alike(const struct sg_rank_facts *a, const struct sg_rank_facts *b) {
    return strcmp(a->facts.device.name, b->facts.device.name) == 0 &&
           strcmp(a->facts.device.driver, b->facts.device.driver) == 0 &&
           a->facts.device.memory_bytes == b->facts.device.memory_bytes;
}

static double lower(double a, double b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static enum sg_status put_kind(struct sg_buf *out, const struct kind *k, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *driver = k->like->facts.device.driver;
    SG_TRY(sg_buf_printf(out, err, "%d x %s", (int)k->devices, k->like->facts.device.name));
    if (!k->like->facts.device.uuid[0]) goto out;
    SG_TRY(sg_buf_printf(out, err, ", %.0f GiB",
                         (double)k->like->facts.device.memory_bytes / (1024.0 * 1024.0 * 1024.0)));
    if (driver[0]) SG_TRY(sg_buf_printf(out, err, ", driver %s", driver));
    if (k->flops > 0)
        SG_TRY(sg_buf_printf(out, err, ", %.3g Tflop/s, %.3g TB/s", k->flops * 1e-12, k->bytes * 1e-12));
out:
    return st;
}

enum sg_status sg_device_line(const struct sg_rank_facts *ranks, const int32_t *first, int32_t n,
                              struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct kind kinds[MAX_KINDS];
    int32_t k = 0, others = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t j = 0;
        if (first[i] != i) continue;
        while (j < k && !alike(kinds[j].like, &ranks[i])) j++;
        if (j == MAX_KINDS) {
            others++;
            continue;
        }
        if (j == k) kinds[k++] = (struct kind){.like = &ranks[i]};
        kinds[j].devices++;
        kinds[j].flops = lower(kinds[j].flops, ranks[i].facts.device.flops_per_s);
        kinds[j].bytes = lower(kinds[j].bytes, ranks[i].facts.device.bytes_per_s);
    }
    for (int32_t j = 0; j < k; j++) {
        if (j) SG_TRY(sg_buf_str(out, "; ", err));
        SG_TRY(put_kind(out, &kinds[j], err));
    }
    if (others) SG_TRY(sg_buf_printf(out, err, "; %d others", (int)others));
out:
    return st;
}
