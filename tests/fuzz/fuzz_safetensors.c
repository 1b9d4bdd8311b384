/* safetensors headers: whatever the bytes of a file are, the parse ends with an error or with tensors that
 * lie inside the file, do not overlap and have the size their shape says. The file's bytes stand at the end
 * of a block of their own, so that a read past them is seen. */
#include "model/safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sg_err err = {0};
    struct sg_arena arena = {0};
    struct sg_tensor *t = NULL;
    size_t n = 0, total = 0;
    unsigned char *bytes = malloc(size ? size : 1);
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    const enum sg_status st = sg_safetensors_parse(bytes, size, "fuzz.safetensors", &arena, &t, &n, &err);
    if (st == SG_OK) {
        for (size_t i = 0; i < n; i++) {
            SG_ASSERT(t[i].data >= bytes + 8 && t[i].data + t[i].bytes <= bytes + size);
            SG_ASSERT(i == 0 || t[i].data == t[i - 1].data + t[i - 1].bytes);
            SG_ASSERT(t[i].n_dims >= 0 && t[i].n_dims <= SG_TENSOR_DIMS);
            total += t[i].bytes;
        }
        SG_ASSERT(total <= size);
    } else {
        SG_ASSERT(err.status == st && err.text[0] != 0);
    }
    sg_arena_free(&arena);
    free(bytes);
    return 0;
}
