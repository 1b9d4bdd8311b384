/* io_shim - a library for LD_PRELOAD between a program and its file system. It counts the program's calls on files below
 * one folder and lets one of them fail, keeps a journal of what they did, and sets clock and node of the process.
 * tests/faults/io_faults.py, power_cut.py and clocks.py drive it by the environment:
 *
 *   SG_IO_PREFIX   the folder; calls on other files pass
 *   SG_IO_STATE    a file of sizeof(struct sg_io_state) zeros: mapped by every process of the trial
 *   SG_IO_FAIL     KIND:K:ERRNO[:HOW], a name in io_shim.c, the call's number from 1, and the number of the error. HOW:
 *                  "before" (the default) the call has no effect; "after" it has, and the answer is lost, as on NFS;
 *                  "short" a write or read does half of its bytes and says so; "on" this call and all that follow
 *   SG_IO_JOURNAL  a file to which every change is appended (see journal() in io_shim.c)
 *   SG_IO_NODE     a name: host, machine and boot of this process are those of a node of that name
 *   SG_IO_SERVER   set: clock_s is the node's alone; times of files are the file server's, which are true
 */
#ifndef SG_TESTS_IO_SHIM_H
#define SG_TESTS_IO_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define SG_IO_KINDS(X)                                                                                       \
    X(open)                                                                                                  \
    X(read)                                                                                                  \
    X(write)                                                                                                 \
    X(sync) X(rename) X(link) X(mkdir) X(unlink) X(close) X(truncate) X(lock) X(stat) X(list) X(touch)

enum sg_io_kind {
#define X(name) SG_IO_##name,
    SG_IO_KINDS(X)
#undef X
        SG_IO_N
};

struct sg_io_state {
    _Atomic int64_t count[SG_IO_N]; /* calls so far */
    _Atomic int64_t hits;           /* calls that failed */
    _Atomic int64_t clock_s; /* what CLOCK_REALTIME and new times of files are ahead of the true time */
    char what[448];          /* the first call that failed, and its path */
};

#endif
