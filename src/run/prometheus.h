/* prometheus - a run's totals in Prometheus' text format (exposition format 0.0.4), for the textfile collector of
 * node_exporter: a symbolic link in its folder leads to RUNDIR/metrics.prom, which is replaced by renaming. */
#ifndef SG_RUN_PROMETHEUS_H
#define SG_RUN_PROMETHEUS_H

#include "run/comm.h"
#include <stdint.h>

struct sg__prometheus {
    const char *run_dir, *job, *state; /* job: of the batch system, "" outside of one */
    int64_t done, total, failed;       /* cells of the run, earlier starts included */
    int32_t ranks;                     /* that compute */
    double seconds, cells_per_s, busy_share;
    const struct sg_counts *totals; /* of this start */
};
/* Replaces RUNDIR/metrics.prom as a whole. Failures to write are ignored, like those of the other reports. */
void sg__prometheus_write(const struct sg__prometheus *m);

#endif
