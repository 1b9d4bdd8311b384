/* device - which device each rank uses, and the text that names the ranks' devices. Two ranks on one device
 * would halve each other's speed and need memory for the weights twice: sg_device_choose refuses that unless
 * the job allows it. */
#ifndef SG_RUN_DEVICE_H
#define SG_RUN_DEVICE_H

#include "run/comm.h"
#include "run/compute.h"

/* What every rank sends the root about its node. */
struct sg_rank_facts {
    struct sg_compute_facts facts;
    char host[SG_HOST_MAX];
};

/* Collective. Writes place->device and place->sharers of every rank. A rank takes the device whose index,
 * among those it sees, is the rank's index among the computing ranks of its node, modulo their number. A
 * process by itself, such as a task of an array, takes the first. Devices of other runs are not avoided.
 * SG_E_USAGE, before anything is opened, when the job's engine.oversubscribe is false and two ranks would
 * have one device: one uuid, whatever index each process has for it. root_only: the root does not compute and
 * is not counted. */
enum sg_status sg_device_choose(struct sg_comm *c, const struct sg_compute_maker *maker,
                                const struct sg_job *job, bool root_only, struct sg_compute_place *place,
                                struct sg_err *err);

/* Writes first[n]: first[i] is the lowest rank that has the device of rank i, and i itself on the host. */
enum sg_status sg_device_first(const struct sg_rank_facts *ranks, int32_t n, int32_t *first,
                               struct sg_err *err);

/* Appends "4 x NVIDIA H100 80GB HBM3, 79 GiB, driver 580.65.06, CUDA 13.0, 690 Tflop/s, 3.02 TB/s; 2 x ...":
 * the ranks' devices, each once, equal ones with the lowest of their rates. first: of sg_device_first. */
enum sg_status sg_device_line(const struct sg_rank_facts *ranks, const int32_t *first, int32_t n,
                              struct sg_buf *out, struct sg_err *err);

#endif
