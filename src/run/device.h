/* device - which device each rank drives, and what the ranks' devices are, in words. One rank a device: two
 * on one would halve each other and could not hold the weights twice, so that is refused unless it is asked
 * for. */
#ifndef SG_RUN_DEVICE_H
#define SG_RUN_DEVICE_H

#include "run/comm.h"
#include "run/compute.h"

/* What every rank tells the root about its node. */
struct sg_rank_facts {
    struct sg_compute_facts facts;
    char host[SG_HOST_MAX];
};

/* Collective. Writes place->device and place->sharers of every rank. Of the devices that a rank sees it takes
 * the one at its place among the computing ranks of its node, counted round: its own where a launcher has
 * bound a device to each task, the next one where all see all. A process by itself, such as a task of an
 * array, takes the first that it sees; other runs on the node are not looked at.
 * SG_E_USAGE, before anything is opened, when the job's engine.oversubscribe is false and two ranks would
 * have one device. Devices are told apart by their uuid, whatever each process calls them. root_only: the root
 * does not compute and does not count. */
enum sg_status sg_device_choose(struct sg_comm *c, const struct sg_compute_maker *maker,
                                const struct sg_job *job, bool root_only, struct sg_compute_place *place,
                                struct sg_err *err);

/* first[i]: the lowest rank that has the device of rank i, i itself on the host. first [n], written. */
enum sg_status sg_device_first(const struct sg_rank_facts *ranks, int32_t n, int32_t *first,
                               struct sg_err *err);

/* "4 x NVIDIA H100 80GB HBM3, 79 GiB, driver 580.65.06, CUDA 13.0, 690 Tflop/s, 3.02 TB/s; 2 x ...": the
 * ranks' devices, each once, alike ones together with the lowest of their rates. first from sg_device_first.
 */
enum sg_status sg_device_line(const struct sg_rank_facts *ranks, const int32_t *first, int32_t n,
                              struct sg_buf *out, struct sg_err *err);

#endif
