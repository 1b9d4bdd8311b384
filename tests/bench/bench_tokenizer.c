/* bench_tokenizer TOKENIZER TEXT.jsonl [RUNS]: load time, and MB/s of encoding on one thread, in user CPU
 * time (medians of RUNS, default 9). TEXT.jsonl: the "prompt" (or "question", or "text") of each line, as one
 * untrusted span each. "warm" keeps the encoder and its word cache between passes, as a run does; "cold"
 * begins each pass with a new one. `pcre2` is what the file's expression costs through PCRE2 alone: words
 * cut, no encoding. */
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double cpu_seconds(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
           ((double)r.ru_utime.tv_usec + (double)r.ru_stime.tv_usec) * 1e-6;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

struct corpus {
    struct sg_buf bytes;
    struct sg_span *spans;
    size_t n, cap;
};

static enum sg_status read_corpus(const char *path, struct corpus *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf file = {0};
    cJSON *doc = NULL;
    static const char *const keys[] = {"prompt", "question", "text"};
    SG_TRY(sg_file_read(path, (size_t)1 << 30, &file, err));
    int64_t number = 0;
    for (char *line = file.data, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (end) *end = 0;
        number++;
        SG_TRY(sg_json_parse(line, strlen(line), path, number, &doc, err));
        const char *text = NULL;
        for (size_t k = 0; k < 3 && !text; k++)
            text = cJSON_GetStringValue(cJSON_GetObjectItem(doc, keys[k]));
        if (text) {
            SG_TRY(SG_GROW(&c->spans, &c->cap, c->n + 1, "texts", err));
            c->spans[c->n++] = (struct sg_span){.len = strlen(text)};
            SG_TRY(sg_buf_str(&c->bytes, text, err));
        }
        cJSON_Delete(doc);
        doc = NULL;
    }
    for (size_t i = 0, at = 0; i < c->n; at += c->spans[i++].len) c->spans[i].text = c->bytes.data + at;
out:
    cJSON_Delete(doc);
    sg_buf_free(&file);
    return st;
}

static enum sg_status count_word(void *ctx, const char *word, size_t n, struct sg_err *err) {
    (void)word, (void)n, (void)err;
    ++*(size_t *)ctx;
    return SG_OK;
}

/* Passes over the corpus until about 0.1 s of CPU is spent; MB/s. */
static enum sg_status measure(const struct sg_tokenizer *tok, const struct corpus *c, bool warm, double *mb_s,
                              size_t *n_ids, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    double spent = 0, bytes = 0;
    while (spent < 0.1) {
        if (!enc) SG_TRY(sg_encoder_new(tok, &enc, err));
        double t = cpu_seconds();
        ids.len = 0;
        for (size_t i = 0; i < c->n; i++) SG_TRY(sg_tokenizer_encode(tok, enc, &c->spans[i], 1, &ids, err));
        bool first = bytes == 0;
        if (!(first && warm)) spent += cpu_seconds() - t;
        bytes += first && warm ? 1e-9 : (double)c->bytes.len;
        if (!warm) {
            sg_encoder_free(enc);
            enc = NULL;
        }
    }
    *mb_s = bytes / spent / 1e6;
    *n_ids = ids.len;
out:
    sg_encoder_free(enc);
    sg_token_ids_free(&ids);
    return st;
}

static enum sg_status measure_pcre(const struct sg_tokenizer *tok, const struct corpus *c, double *mb_s,
                                   struct sg_err *err) {
    static const char regex[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                                "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    enum sg_status st = SG_OK;
    struct sg__pre pre = {0};
    struct sg__pre_scratch x = {0};
    size_t words = 0;
    SG_TRY(sg__pre_add(&pre, &tok->unicode, regex, sizeof regex - 1, false, true, err));
    SG_TRY(sg__pre_scratch_init(&x, err));
    double t = cpu_seconds();
    for (size_t i = 0; i < c->n; i++)
        SG_TRY(sg__pre_words(&pre, &tok->unicode, &x, c->spans[i].text, c->spans[i].len, count_word, &words,
                             err));
    *mb_s = (double)c->bytes.len / (cpu_seconds() - t) / 1e6;
out:
    sg__pre_scratch_free(&x);
    sg__pre_free(&pre);
    return st;
}

int main(int argc, char **argv) {
    struct sg_err err = {0};
    enum sg_status st = SG_OK;
    struct sg_tokenizer *tok = NULL;
    struct corpus c = {0};
    double v[99];
    int runs = argc > 3 ? atoi(argv[3]) : 9;
    if (argc < 3 || runs < 1 || runs > 99) {
        fprintf(stderr, "usage: bench_tokenizer TOKENIZER TEXT.jsonl [RUNS]\n");
        return 2;
    }
    for (int i = 0; i < runs; i++) {
        sg_tokenizer_close(tok);
        tok = NULL;
        double t = cpu_seconds();
        SG_TRY(sg_tokenizer_open(argv[1], &tok, &err));
        v[i] = cpu_seconds() - t;
    }
    printf("load             %8.3f s\n", median(v, runs));
    SG_TRY(read_corpus(argv[2], &c, &err));
    size_t n_ids = 0;
    for (int warm = 1; warm >= 0; warm--) {
        for (int i = 0; i < runs; i++) SG_TRY(measure(tok, &c, warm, &v[i], &n_ids, &err));
        printf("encode, %s     %8.1f MB/s\n", warm ? "warm" : "cold", median(v, runs));
    }
    for (int i = 0; i < runs; i++) SG_TRY(measure_pcre(tok, &c, &v[i], &err));
    printf("pcre2, words only%8.1f MB/s\n", median(v, runs));
    printf("text             %zu texts, %zu bytes, %zu tokens\n", c.n, c.bytes.len, n_ids);
out:
    if (st != SG_OK) fprintf(stderr, "bench_tokenizer: %s\n", err.text);
    sg_tokenizer_close(tok);
    sg_buf_free(&c.bytes);
    free(c.spans);
    return sg_status_exit_code(st);
}
