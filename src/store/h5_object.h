/* h5_object - which objects of an HDF5 file the reader takes.
 *
 * HDF5 can keep the data of a dataset in another file (external storage, virtual datasets) and can follow a name
 * into one (external links): a results file that somebody sends could put lines of any file of the reader into
 * a report. The reader therefore takes what lies in the file itself and refuses the rest by name:
 * - every part of a path is a hard link;
 * - a dataset is of numbers or text, stored compact, contiguous or in chunks, without external files; its filters
 *   are those that the writer uses, so that HDF5 loads no plugin;
 * - a dataset is no larger than its stored bytes can hold, and those are no more than the file has. */
#ifndef SG_STORE_H5_OBJECT_H
#define SG_STORE_H5_OBJECT_H

#include "store/h5.h"

struct sg__h5_dataset {
    hid_t id, space, type;
    int rank;
    hsize_t dims[SG_H5_MAX_RANK];
    uint64_t bytes;  /* of all elements, as stored before compression; UINT64_MAX past that */
    uint64_t stored; /* bytes of it in the file */
    bool deflated;
};

/* *there: the path leads to an object. SG_E_INPUT when a part of it is no hard link. */
enum sg_status sg__h5_find(const struct sg_h5_in *in, const char *name, bool *there, struct sg_err *err);
/* SG_E_INPUT when absent or refused as above (says what was found), SG_E_CORRUPT when damaged. On success the
 * caller closes *d. Sizes are judged by sg__h5_dataset_bounded alone. */
enum sg_status sg__h5_dataset_open(const struct sg_h5_in *in, const char *name, struct sg__h5_dataset *d,
                                   struct sg_err *err);
/* SG_E_CORRUPT when the file cannot hold as many elements as the dataset claims. Before memory is allocated. */
enum sg_status sg__h5_dataset_bounded(const struct sg_h5_in *in, const char *name,
                                      const struct sg__h5_dataset *d, struct sg_err *err);
/* The same, for a dataset that will be read whole, once: also when the datasets claimed so far have more stored bytes
 * than the file, so that a small file cannot give the same bytes to every column. */
enum sg_status sg__h5_dataset_claim(const struct sg_h5_in *in, const char *name,
                                    const struct sg__h5_dataset *d, struct sg_err *err);
void sg__h5_dataset_close(struct sg__h5_dataset *d);

#endif
