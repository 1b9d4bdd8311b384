/* check_model - not a command: what `scope-grid check --model DIR` says of a checkpoint. */
#ifndef SG_CMD_CHECK_MODEL_H
#define SG_CMD_CHECK_MODEL_H

#include "base/status.h"
#include <stdbool.h>

/* Prints what DIR holds and whether this program computes it on `device`: files, configuration, every tensor's
 * name, shape, dtype and values, tokenizer, special tokens, chat template, memory. Goes on after a refusal
 * with what does not depend on it. The status is that of the first refusal: SG_E_INPUT for damage and gaps,
 * SG_E_UNSUPPORTED for what the program does not compute; each has been printed with its cure. */
enum sg_status sg__check_model(const char *dir, const char *device, bool json, struct sg_err *err);

#endif
