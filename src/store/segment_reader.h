/* segment_reader - all closed segments of a run, open and checked, with every cell's place: what scan, read
 * and merge stand on. Files are mapped, not read into memory. */
#ifndef SG_STORE_SEGMENT_READER_H
#define SG_STORE_SEGMENT_READER_H

#include "base/file.h"
#include "store/segment.h"
#include "store/segment_format.h"

/* A writer on another machine counts as dead when its file has not changed for this long. */
enum { SG_STALE_SECONDS = 300 };

/* A process may hold some 65,000 mappings (Linux, vm.max_map_count), and a day of 64 ranks makes as many
 * segments. Files past this many are read into memory instead. */
enum { SG_SEGMENTS_MAPPED = 50000 };

#define SG__SEGMENT_SUFFIX      ".seg"
#define SG__SEGMENT_OPEN_SUFFIX ".open"

struct sg__segment_file {
    char *path;
    struct sg_map map;  /* or, for files past SG_SEGMENTS_MAPPED, */
    struct sg_buf copy; /* the whole file */
    struct sg__segment_view view;
};
struct sg__segment_reader {
    struct sg__segment_file *files; /* [n_files], by name: the canonical order */
    int64_t n_files;
};

/* Opens and checks every segment of run_dir/segments (no such directory: an empty set). Errors as
 * sg_segments_scan. Owner: the caller, sg__segment_reader_close; zeroed accepted. */
enum sg_status sg__segment_reader_open(const char *run_dir, struct sg_digest fingerprint, int64_t n_cells,
                                       struct sg__segment_reader *out, struct sg_err *err);
void sg__segment_reader_close(struct sg__segment_reader *s);

/* Removes unfinished segments whose writers are dead, as `clean` says. */
enum sg_status sg__segments_clean(const char *run_dir, enum sg_segments_clean clean, struct sg_err *err);

#endif
