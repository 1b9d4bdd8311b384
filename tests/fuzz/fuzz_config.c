/* Any bytes as a config.json, and behind a zero byte as a generation_config.json: an error of one line, or sizes that the
 * model's arithmetic can be laid out with. */
#include "model/config.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(enum sg_status st, const char *where, const struct sg_err *err) {
    if (st != SG_OK && (!strstr(err->text, where) || strchr(err->text, '\n'))) abort();
}

static void check(const struct sg_config *c) {
    const int32_t sizes[] = {c->hidden,   c->layers,       c->q_heads, c->kv_heads,
                             c->head_dim, c->intermediate, c->vocab,   c->max_position};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1) abort();
    if (c->q_heads % c->kv_heads || c->head_dim % 2) abort();
    if (!(c->rms_eps >= 0) || !isfinite(c->rms_eps) || !(c->rope_theta > 0) || !isfinite(c->rope_theta))
        abort();
    if (c->n_eos < 0 || c->n_eos > SG_MAX_EOS) abort();
    for (int32_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] < 0 || c->eos[i] >= c->vocab) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sg_config c = {0};
    struct sg_err err = {0};
    char *text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    const size_t n = strlen(text);
    enum sg_status st = sg_config_parse(text, n, "fuzz/config.json", &c, &err);
    judge(st, "fuzz/config.json", &err);
    if (st == SG_OK) {
        check(&c);
        if (n < size) {
            st = sg_config_parse_generation(text + n + 1, size - n - 1, "fuzz/generation.json", &c, &err);
            judge(st, "fuzz/generation.json", &err);
            if (st == SG_OK) check(&c);
        }
    }
    free(text);
    return 0;
}
