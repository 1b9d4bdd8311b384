/* finish - why a sample ended. Here and not in engine.h, because src/store writes the names into results
 * files and does not include the engine. */
#ifndef SG_BASE_FINISH_H
#define SG_BASE_FINISH_H

/* finish, name in files and JSON */
#define SG_FINISH_LIST(X)                                                                                    \
    X(SG_FINISH_NONE, "running")                                                                             \
    X(SG_FINISH_EOS, "eos")         /* drew one of the EOS ids; it is counted and kept as the last token */  \
    X(SG_FINISH_LENGTH, "length")   /* max_new_tokens reached */                                             \
    X(SG_FINISH_VERDICT, "verdict") /* on_token said stop */                                                 \
    X(SG_FINISH_FAILED, "failed")   /* see sg_group_result.status */
#define SG_FINISH_ENUM(code, name) code,
enum sg_finish { SG_FINISH_LIST(SG_FINISH_ENUM) SG_FINISH_COUNT };
#undef SG_FINISH_ENUM

#endif
