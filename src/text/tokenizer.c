#include "text/tokenizer.h"

#include "base/file.h"
#include "text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

void sg_token_ids_free(struct sg_token_ids *ids) {
    if (!ids) return;
    free(ids->data);
    memset(ids, 0, sizeof *ids);
}

enum sg_status sg_tokenizer_parse(const char *text, size_t n, const char *where, struct sg_tokenizer **out,
                                  struct sg_err *err) {
    struct sg_tokenizer *tok = NULL;
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&tok, 1, "tokenizer", err));
    SG_TRY(sg__tokenizer_read(tok, text, n, where, err));
    *out = tok;
    tok = NULL;
out:
    sg_tokenizer_close(tok);
    return st;
}

enum sg_status sg_tokenizer_open(const char *path, struct sg_tokenizer **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_map map = {0};
    char *inside = NULL;
    if (sg_dir_exists(path)) {
        SG_TRY(sg_path_join(path, "tokenizer.json", &inside, err));
        path = inside;
    }
    SG_TRY(sg_map_open(path, &map, err));
    SG_TRY(sg_tokenizer_parse(map.size ? (const char *)map.data : "", map.size, path, out, err));
out:
    sg_map_close(&map);
    free(inside);
    return st;
}

static void free_set(struct sg__added_set *set) {
    for (size_t i = 0; i < set->n; i++) free(set->items[i].content);
    free(set->items);
}

void sg_tokenizer_close(struct sg_tokenizer *tok) {
    if (!tok) return;
    sg__unicode_free(&tok->unicode);
    sg__pre_free(&tok->pre);
    sg__bpe_free(&tok->bpe);
    free(tok->tokens);
    sg_buf_free(&tok->names);
    sg_buf_free(&tok->bytes);
    free(tok->slots);
    free_set(&tok->raw);
    free_set(&tok->normalized);
    sg_token_ids_free(&tok->before);
    sg_token_ids_free(&tok->after);
    free(tok);
}

static const struct sg__token *token_of(const struct sg_tokenizer *tok, int32_t id) {
    if (id < 0 || (size_t)id >= tok->size || !tok->tokens[id].flags) return NULL;
    return &tok->tokens[id];
}

bool sg_tokenizer_piece(const struct sg_tokenizer *tok, int32_t id, const char **bytes, size_t *len) {
    const struct sg__token *t = token_of(tok, id);
    *bytes = t && t->bytes_len ? tok->bytes.data + t->bytes : "";
    *len = t ? t->bytes_len : 0;
    return t != NULL;
}

bool sg_tokenizer_is_special(const struct sg_tokenizer *tok, int32_t id) {
    const struct sg__token *t = token_of(tok, id);
    return t && (t->flags & SG__TOKEN_SPECIAL);
}

int32_t sg_tokenizer_id(const struct sg_tokenizer *tok, const char *content) {
    return sg__tokenizer_find(tok, content, strlen(content));
}

int32_t sg_tokenizer_size(const struct sg_tokenizer *tok) {
    return (int32_t)tok->size;
}

void sg_tokenizer_wrap(const struct sg_tokenizer *tok, const int32_t **before, size_t *n_before,
                       const int32_t **after, size_t *n_after) {
    *before = tok->before.data;
    *n_before = tok->before.len;
    *after = tok->after.data;
    *n_after = tok->after.len;
}

enum sg_status sg_tokenizer_decode(const struct sg_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf raw = {0};
    for (size_t i = 0; i < n; i++) {
        const struct sg__token *t = token_of(tok, ids[i]);
        if (!t || (skip_special && (t->flags & SG__TOKEN_SPECIAL))) continue;
        SG_TRY(sg_buf_add(&raw, tok->bytes.data + t->bytes, t->bytes_len, err));
    }
    SG_TRY(sg_utf8_lossy(raw.data ? raw.data : "", raw.len, out, err));
out:
    sg_buf_free(&raw);
    return st;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

enum sg_status sg_tokenizer_answer_ids(const struct sg_tokenizer *tok, const char *word,
                                       struct sg_token_ids *ids, struct sg_err *err) {
    size_t n = strlen(word);
    for (size_t id = 0; id < tok->size; id++) {
        const struct sg__token *t = &tok->tokens[id];
        if (!t->flags || (t->flags & SG__TOKEN_ADDED) || t->bytes_len < n) continue;
        const char *s = tok->bytes.data + t->bytes;
        size_t space = t->bytes_len - n, k = 0;
        while (k < space && (s[k] == ' ' || (s[k] >= '\t' && s[k] <= '\r'))) k++;
        if (k < space) continue;
        while (k - space < n && lower(s[k]) == lower(word[k - space])) k++;
        if (k - space < n) continue;
        enum sg_status st = SG_GROW(&ids->data, &ids->cap, ids->len + 1, "answer ids", err);
        if (st != SG_OK) return st;
        ids->data[ids->len++] = (int32_t)id;
    }
    return SG_OK;
}
