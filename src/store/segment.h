/* segment - finished cells on disk while a run goes on. One writer appends to a segment of its own; a closed
 * segment is complete, fsynced, renamed to its final name and never changed again. A crash loses at most the
 * open segments. Directory: RUNDIR/segments/.
 *
 * File: header {magic, format version, run fingerprint, writer (rank, process, host), night, earlier
 * results}, then records {length, cell, payload}, then a footer {count, index of cells with the checksums of
 * the records, magic} (segment_format.h). Little-endian; every length is checked before it is used. A file
 * under a final name without a valid footer is damaged. */
#ifndef SG_STORE_SEGMENT_H
#define SG_STORE_SEGMENT_H

#include "base/digest.h"
#include "base/mem.h"
#include "base/status.h"
#include "cell/cell.h"
#include <stdint.h>

struct sg_segment_writer; /* owned by the caller of open */

/* What all cells of a segment have in common. Strings are copied. */
struct sg_segment_head {
    struct sg_digest fingerprint; /* of the run */
    int32_t rank;                 /* of the writer */
    const char *night;            /* in which the cells were computed */
    const char *since; /* the earlier results that they were taken over from; NULL: the run computed them */
};

/* Opens a new segment under a temporary name that no other writer can have: rank, pid domain (boot and pid
 * namespace), pid, start time and counter are in it. */
enum sg_status sg_segment_open(const char *run_dir, const struct sg_segment_head *head,
                               struct sg_segment_writer **out, struct sg_err *err);
/* Appends one cell with its own fingerprint; data is copied into the file's buffer. SG_E_IO (disk full,
 * read-only) leaves the segment unusable: abandon it. */
enum sg_status sg_segment_append(struct sg_segment_writer *w, int64_t cell_index,
                                 struct sg_digest cell_fingerprint, const struct sg_cell *cell,
                                 struct sg_err *err);
/* The same in two steps: one thread encodes a cell, the writer thread puts it into the segment. */
struct sg_segment_record; /* owned by the caller of encode */
enum sg_status sg_segment_encode(int64_t cell_index, struct sg_digest cell_fingerprint,
                                 const struct sg_cell *cell, struct sg_segment_record **out,
                                 struct sg_err *err);
size_t sg_segment_record_bytes(const struct sg_segment_record *r); /* memory that it takes */
void sg_segment_record_free(struct sg_segment_record *r);          /* NULL accepted */
enum sg_status sg_segment_put(struct sg_segment_writer *w, const struct sg_segment_record *r,
                              struct sg_err *err);
int64_t sg_segment_count(const struct sg_segment_writer *w); /* cells appended so far */
int64_t sg_segment_bytes(const struct sg_segment_writer *w);
/* Footer, fsync, rename, fsync of the directory. Frees w in any case; an empty segment leaves no file. */
enum sg_status sg_segment_close(struct sg_segment_writer *w, struct sg_err *err);
void sg_segment_abandon(struct sg_segment_writer *w); /* removes the temporary file; NULL accepted */

enum sg_segments_clean {
    SG_CLEAN_NONE,
    SG_CLEAN_DEAD,  /* of writers that the process table knows to be dead */
    SG_CLEAN_SILENT /* also of those on other machines that were silent for SG_STALE_SECONDS: only when no
                       other process writes here */
};
/* What a scan says of a cell. */
enum { SG_CELL_OPEN, SG_CELL_COMPUTED, SG_CELL_TAKEN_OVER };

/* Lists what segments/ holds. done[n_cells], set by the call: SG_CELL_*, whether a closed segment has the
 * cell (any status), and whether the run computed it or took it over (of two segments, by the first). Errors:
 * SG_E_MISMATCH names the first segment of another fingerprint, SG_E_CORRUPT the first damaged one and what
 * is wrong (nothing is skipped silently). `clean` says whose temporary files are removed. failed (may be
 * NULL): cells whose status is not SG_OK. A cell in two segments counts once. */
enum sg_status sg_segments_scan(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                uint8_t *done, int64_t *n_done, int64_t *n_failed,
                                enum sg_segments_clean clean, struct sg_err *err);

/* Reads all cells of all segments in file order; the cell's arrays are valid during the call only. */
typedef enum sg_status sg_segment_cell_fn(void *ctx, int64_t cell_index, struct sg_digest cell_fingerprint,
                                          const struct sg_cell *cell, struct sg_err *err);
enum sg_status sg_segments_read(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                sg_segment_cell_fn *fn, void *ctx, struct sg_err *err);

#endif
