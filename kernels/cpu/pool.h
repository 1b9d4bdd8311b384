/* pool - the cpu backend's threads. Work is cut into tasks that are handed out one by one; the caller works
 * too. A worker that sleeps or is not scheduled never holds up a run: only those that joined are waited for.
 */
#ifndef SG_KERNELS_CPU_POOL_H
#define SG_KERNELS_CPU_POOL_H

#include "base/status.h"
#include <stdint.h>

struct sg__pool;
/* task 0 <= task < n_tasks, each exactly once; thread 0 <= thread < threads, the caller is 0. */
typedef void sg__task_fn(void *ctx, int64_t task, int thread);

/* threads counts the caller: threads - 1 are created. *out is owned by the caller. SG_E_DEVICE when the
 * system refuses a thread: nothing is left behind. */
enum sg_status sg__pool_open(int threads, struct sg__pool **out, struct sg_err *err);
void sg__pool_close(struct sg__pool *p); /* NULL accepted; joins the threads */
int sg__pool_threads(const struct sg__pool *p);
/* Returns when all tasks are done; what they wrote is visible. Never from two threads at once. */
void sg__pool_run(struct sg__pool *p, int64_t n_tasks, sg__task_fn *fn, void *ctx);

#endif
