/* Linked into scope-grid-emu: lets a test choose the instruction set of the cpu backend, which no job can, and
 * see the uniforms that tokens are drawn at. Without the two variables the program is as it is.
 *   SG_TEST_ISA       scalar, avx2, avx512, avx512bf16
 *   SG_TEST_UNIFORMS  a file: "key stratum position u" a line, for one rank */
#include "engine/engine.h"
#include "kernels/kernels.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum sg_status __real_sg_dev_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err);
enum sg_status __wrap_sg_dev_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err);
float __real_sg_stream_uniform(const struct sg_stream *s, uint32_t position);
float __wrap_sg_stream_uniform(const struct sg_stream *s, uint32_t position);

enum sg_status __wrap_sg_dev_open(const struct sg_dev_options *opt, struct sg_dev **out, struct sg_err *err) {
    struct sg_dev_options steered = *opt;
    if (getenv("SG_TEST_ISA")) steered.isa = getenv("SG_TEST_ISA");
    return __real_sg_dev_open(&steered, out, err);
}

float __wrap_sg_stream_uniform(const struct sg_stream *s, uint32_t position) {
    const float u = __real_sg_stream_uniform(s, position);
    const char *path = getenv("SG_TEST_UNIFORMS");
    if (path) {
        FILE *f = fopen(path, "a");
        if (!f || fprintf(f, "%016" PRIx64 " %" PRId32 " %" PRIu32 " %a\n", s->key, s->stratum, position,
                          (double)u) < 0)
            abort();
        fclose(f);
    }
    return u;
}
