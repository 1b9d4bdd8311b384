/* segment_thread - the segments of one rank, written by a thread of their own: opening, writing, fsync and rename
 * take as long as the file system likes, and the thread that drives the device must not wait for it. That
 * thread turns a finished cell into bytes (some microseconds) and leaves it here.
 *
 * A cell is safe once its segment is closed, that is fsynced and renamed. Cells become safe in the order in
 * which they were put. kill -9 loses what is not safe: the open segment, and the one being closed. The thread
 * closes segments by its own clock, however long a compute step takes:
 *
 * a crash loses what is not closed, so a segment closes after a sixtieth of the time the run has taken, 5 s
 * at least and 60 s at most, or at 64 MiB. Early on that loses seconds; after hours it loses a minute at most
 * and makes some 1,000 files a rank and day, not 17,000. */
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

/* Takes a copy of the cell. Waits when more than queue_bytes wait already: a file system that cannot keep up
 * slows the device rather than filling the memory. After a failure of the thread (disk full, read-only) this
 * and sg_segment_thread_check return it, SG_E_IO naming the file; what was not safe then is given up. */
enum sg_status sg_segment_thread_put(struct sg_segment_thread *s, int64_t cell_index,
                                     struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                     struct sg_err *err);
enum sg_status sg_segment_thread_check(struct sg_segment_thread *s, struct sg_err *err);

/* How many of the cells put are safe: the first so many. */
int64_t sg_segment_thread_safe(struct sg_segment_thread *s);

/* Closes the open segment and waits until all is safe. A failure that put or check has told is not told
 * again: SG_OK. More cells may follow. */
enum sg_status sg_segment_thread_finish(struct sg_segment_thread *s, struct sg_err *err);

/* Gives up what is not safe; waits for a write under way. NULL accepted. */
void sg_segment_thread_free(struct sg_segment_thread *s);

#endif
