/* status - kinds of errors, and how functions report them.
 *
 * Every function that can fail returns `enum sg_status` and takes a `struct sg_err *` as its last
 * argument, which receives one line: what, where, and how to mend it. Results go out through pointers
 * and are written only on success. Callers pass the error up unchanged or add a place with sg_err_at.
 * Three kinds of errors are kept apart: bad input (SG_E_INPUT and the like), a broken invariant (SG_ASSERT)
 * and a missing resource (SG_E_IO, SG_E_NOMEM, SG_E_BUSY), which a run may retry. */
#ifndef SG_BASE_STATUS_H
#define SG_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* code, name, exit code of a program that ends with it (sysexits-like, stable: scripts test them) */
#define SG_STATUS_LIST(X)                                                                                    \
    X(SG_OK, "ok", 0)                                                                                        \
    X(SG_E_USAGE, "usage", 2)             /* the command line is off */                                      \
    X(SG_E_INPUT, "bad input", 3)         /* a file or value the user gave is wrong */                       \
    X(SG_E_UNSUPPORTED, "unsupported", 4) /* well formed, but not something this build can do */             \
    X(SG_E_CORRUPT, "corrupt", 5)         /* a file of ours fails its checksum or its bounds */              \
    X(SG_E_MISMATCH, "mismatch", 6)       /* two things that must agree do not (fingerprint) */              \
    X(SG_E_IO, "i/o error", 7)            /* the system refused a read, write, mkdir, rename */              \
    X(SG_E_NOMEM, "out of memory", 8)     /* host or device memory, or the KV pool */                        \
    X(SG_E_BUSY, "busy", 9)               /* another run holds the directory */                              \
    X(SG_E_PARTIAL, "incomplete", 10)     /* the run ended, some cells failed; results are valid */          \
    X(SG_E_DEVICE, "device error", 11)    /* no such device, or it failed */                                 \
    X(SG_E_STOPPED, "stopped", 75)        /* told to stop (SIGTERM, SIGUSR1): resume completes the run */    \
    X(SG_E_INTERNAL, "internal error", 70)

#define SG_STATUS_ENUM(code, name, exit_code) code,
enum sg_status { SG_STATUS_LIST(SG_STATUS_ENUM) SG_STATUS_COUNT };
#undef SG_STATUS_ENUM

/* One error, owned by the caller (usually on its stack). Zero-initialised means "no error". */
struct sg_err {
    enum sg_status status;
    char text[1024]; /* one line, no newline, valid UTF-8; cut with "..." when longer */
};

/* Short name of a status, never NULL. */
const char *sg_status_name(enum sg_status status);

/* Exit code for a program that ends with `status`. */
int sg_status_exit_code(enum sg_status status);

/* Fills *err (which may be NULL) with a printf-formatted line and returns `status`, so that
 * `return sg_fail(err, SG_E_INPUT, "%s:%d: ...", ...)` is the usual way out. Control characters in the
 * formatted text are shown as '?': the line stays one line whatever the input held. */
enum sg_status sg_fail(struct sg_err *err, enum sg_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "place: " in front of an existing error's text; does nothing when err is NULL or clear. */
void sg_err_at(struct sg_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Three ways out of a function. An early return where nothing is held yet; SG_TRY and one `out:` where
 * something must be freed; a chain of `if (st == SG_OK) st = ...` only where the function may not leave
 * early, because all ranks must reach sg_comm_agree or a later step must be taken after a failure as well. */

/* Jumps to the function's one `out:` label when the call fails; needs a local `enum sg_status st`. */
#define SG_TRY(call)                                                                                         \
    do {                                                                                                     \
        st = (call);                                                                                         \
        if (st != SG_OK) goto out;                                                                           \
    } while (0)

/* A broken invariant of our own code: prints and aborts. On in every build: it is never an input check
 * and never has a side effect. */
#define SG_ASSERT(cond) ((cond) ? (void)0 : sg_assert_failed(#cond, __FILE__, __LINE__))
#ifdef __cplusplus
[[noreturn]] void sg_assert_failed(const char *cond, const char *file, int line);
#else
_Noreturn void sg_assert_failed(const char *cond, const char *file, int line);
#endif

#ifdef __cplusplus
}
#endif
#endif
