#include "job/question_file.h"

#include "job/corpus.h"
#include <stdlib.h>
#include <string.h>

enum sg_status sg_question_file_read(const char *path, struct sg_question_file *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__records r = {.fd = -1};
    struct sg__questions q = {0};
    struct sg_question_file f = {0};
    SG_TRY(sg__records_open(path, &r, err));
    SG_TRY(sg__questions_read(&r, "queries", false, &f.strings, &q, err));
    f.items = q.items;
    f.lines = q.lines;
    f.n = q.n;
    f.ids = q.ids;
    *out = f;
    memset(&f, 0, sizeof f);
out:
    sg__records_close(&r);
    sg_question_file_free(&f);
    return st;
}

void sg_question_file_free(struct sg_question_file *f) {
    if (!f) return;
    free(f->items);
    free(f->lines);
    sg_ids_free(&f->ids);
    sg_arena_free(&f->strings);
    memset(f, 0, sizeof *f);
}
