/* segment_thread - a thread that writes the segments of one rank. Opening, writing, fsync and rename may take
 * long on a shared file system, and the thread that drives the device must not wait for them. That thread
 * encodes a finished cell (some microseconds) and puts it into this one's queue.
 *
 * A cell is safe once its segment is closed, that is fsynced and renamed. Cells become safe in the order in
 * which they were put. A crash or kill -9 loses the cells that are not safe: those in the queue, in the open
 * segment, and in the one being closed.
 *
 * The thread closes a segment after a sixtieth of the time the run has taken, 5 s at least and 60 s at most,
 * or at 64 MiB, however long a compute step takes. Early on a crash loses seconds; after hours it loses about
 * a minute, and the run makes some 1,000 files a rank and day, not 17,000. */
#ifndef SG_RUN_SEGMENT_THREAD_H
#define SG_RUN_SEGMENT_THREAD_H

#include "base/status.h"
#include "store/segment.h"
#include <stddef.h>
#include <stdint.h>

struct sg_segment_thread; /* owned by the caller of open; used by one thread */

struct sg_segment_thread_options {
    const char *run_dir; /* borrowed */
    struct sg_segment_head head;
    double segment_seconds; /* < 0: the rule above; 0: a segment for every cell */
    size_t queue_bytes;     /* of cells that wait to be written; 0: 64 MiB */
};

enum sg_status sg_segment_thread_open(const struct sg_segment_thread_options *opt,
                                      struct sg_segment_thread **out, struct sg_err *err);

/* Copies the cell into the queue. Waits while the queue would exceed queue_bytes: a slow file system slows
 * the device and does not fill the memory. After a failure of the thread (disk full, read-only) this function
 * and sg_segment_thread_check return it, SG_E_IO naming the file; cells that were not safe then are lost. */
enum sg_status sg_segment_thread_put(struct sg_segment_thread *s, int64_t cell_index,
                                     struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                     struct sg_err *err);
enum sg_status sg_segment_thread_check(struct sg_segment_thread *s, struct sg_err *err);

/* The number n of cells that are safe: the first n that were put. */
int64_t sg_segment_thread_safe(struct sg_segment_thread *s);

/* Closes the open segment and waits until all cells are safe. SG_OK also after a failure that put or check
 * has returned before. More cells may follow. */
enum sg_status sg_segment_thread_finish(struct sg_segment_thread *s, struct sg_err *err);

/* Waits for a write under way and drops the cells that are not safe. NULL accepted. */
void sg_segment_thread_free(struct sg_segment_thread *s);

#endif
