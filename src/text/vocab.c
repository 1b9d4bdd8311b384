/* The vocabulary while it is read and afterwards: tokens by id, and ids by the name the file spells. */
#include "text/tokenizer_impl.h"

#include "base/digest.h"

#include <stdlib.h>
#include <string.h>

void sg__byte_map_init(struct sg__byte_map *m) {
    memset(m->byte, -1, sizeof m->byte);
    uint16_t next = 256;
    for (int b = 0; b < 256; b++) {
        bool self = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        m->cp[b] = self ? (uint16_t)b : next++;
        m->byte[m->cp[b]] = (int16_t)b;
    }
}

static uint32_t name_hash(const char *s, size_t n) {
    uint64_t h = sg_hash64(s, n);
    uint32_t v = (uint32_t)(h ^ h >> 32);
    return v ? v : 1;
}

/* The slot of the name, or the empty one where it belongs. */
static size_t name_slot(const struct sg_tokenizer *tok, uint32_t hash, const char *s, size_t n) {
    size_t mask = ((size_t)1 << tok->slot_bits) - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const struct sg__name_slot *e = &tok->slots[i];
        if (!e->hash) return i;
        const struct sg__token *t = &tok->tokens[e->id];
        if (e->hash == hash && t->name_len == n && !memcmp(tok->names.data + t->name, s, n)) return i;
    }
}

int32_t sg__tokenizer_find(const struct sg_tokenizer *tok, const char *name, size_t n) {
    if (!tok->slots) return -1;
    const struct sg__name_slot *e = &tok->slots[name_slot(tok, name_hash(name, n), name, n)];
    return e->hash ? e->id : -1;
}

static enum sg_status grow_names(struct sg_tokenizer *tok, struct sg_err *err) {
    unsigned bits = tok->slots ? tok->slot_bits + 1 : 12;
    struct sg__name_slot *slots;
    enum sg_status st = SG_NEW(&slots, (size_t)1 << bits, "vocabulary", err);
    if (st != SG_OK) return st;
    size_t mask = ((size_t)1 << bits) - 1;
    for (size_t k = 0; tok->slots && k < (size_t)1 << tok->slot_bits; k++) {
        if (!tok->slots[k].hash) continue;
        size_t i = tok->slots[k].hash & mask;
        while (slots[i].hash) i = (i + 1) & mask;
        slots[i] = tok->slots[k];
    }
    free(tok->slots);
    tok->slots = slots;
    tok->slot_bits = bits;
    return SG_OK;
}

/* Appends the bytes that a token's name stands for: every character mapped back, or the name itself when one
 * of them is no byte. */
static enum sg_status add_bytes(struct sg_buf *b, const struct sg__byte_map *map, const char *name, size_t n,
                                struct sg_err *err) {
    size_t start = b->len;
    enum sg_status st = sg_buf_add(b, name, n, err); /* room; overwritten below, never longer */
    if (st != SG_OK) return st;
    unsigned char *out = (unsigned char *)b->data + start;
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        unsigned len;
        uint32_t c = sg_utf8_at((const unsigned char *)name + i, &len);
        int byte = c < sizeof map->byte / sizeof *map->byte ? map->byte[c] : -1;
        if (byte < 0) {
            memcpy(out, name, n);
            return SG_OK;
        }
        out[k++] = (unsigned char)byte;
        i += len;
    }
    b->len = start + k;
    return SG_OK;
}

enum sg_status sg__vocab_add(struct sg_tokenizer *tok, const struct sg__byte_map *map, const char *name,
                             size_t n, int32_t id, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!tok->slots || 2 * (tok->n_names + 1) > (size_t)1 << tok->slot_bits) SG_TRY(grow_names(tok, err));
    uint32_t hash = name_hash(name, n);
    size_t slot = name_slot(tok, hash, name, n);
    if (tok->slots[slot].hash)
        return sg_fail(err, SG_E_INPUT, "token \"%.*s\" stands twice in the vocabulary",
                       (int)(n < 100 ? n : 100), name);
    if ((size_t)id >= tok->size) {
        size_t old = tok->size;
        SG_TRY(SG_GROW(&tok->tokens, &tok->cap_tokens, (size_t)id + 1, "vocabulary", err));
        tok->size = (size_t)id + 1;
        memset(tok->tokens + old, 0, (tok->size - old) * sizeof *tok->tokens);
    }
    struct sg__token *t = &tok->tokens[id];
    if (t->flags) return sg_fail(err, SG_E_INPUT, "id %d belongs to two tokens", id);
    uint32_t bytes = (uint32_t)tok->bytes.len, at = (uint32_t)tok->names.len;
    SG_TRY(sg_buf_add(&tok->names, name, n, err));
    SG_TRY(add_bytes(&tok->bytes, map, name, n, err));
    *t = (struct sg__token){.name = at,
                            .name_len = (uint32_t)n,
                            .bytes = bytes,
                            .bytes_len = (uint32_t)(tok->bytes.len - bytes),
                            .flags = SG__TOKEN_PRESENT};
    tok->slots[slot] = (struct sg__name_slot){hash, id};
    tok->n_names++;
out:
    return st;
}
