/* stage_relay - the checkpoint's files from the root's file system to one rank of every node. Inside stage.c.
 */
#ifndef SG_RUN_STAGE_RELAY_H
#define SG_RUN_STAGE_RELAY_H

#include "run/comm.h"
#include "model/files.h"

enum { SG__RELAY_SLOTS = 4 }; /* pieces of SG_MODEL_PIECE under way, each a buffer */

struct sg__relay; /* owned by the caller of open */
struct sg__relay_options {
    const struct sg_model_files *files;
    const char *from; /* the root: the folder to read; NULL elsewhere */
    const char *to;   /* where NAME.part are written; NULL on a root that has a copy */
    int threads;      /* beside the caller's, which makes the MPI calls: they read, hash and write */
};
/* Not collective: opens the files, takes the memory. What options point to is borrowed until close. */
enum sg_status sg__relay_open(const struct sg__relay_options *options, struct sg__relay **out,
                              struct sg_err *err);
/* Collective over the stream. The digest is that of what was read, or has arrived here. When one rank fails
 * or is told to stop, all end soon: that one with its error, the others with *broken = true. */
enum sg_status sg__relay_run(struct sg__relay *r, const struct sg_comm *comm, struct sg_comm_stream *stream,
                             struct sg_digest *digest, bool *broken, struct sg_err *err);
void sg__relay_close(struct sg__relay *r); /* NULL accepted */

#endif
