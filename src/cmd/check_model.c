#include "cmd/check_model.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "model/qwen3.h"
#include "model/safetensors.h"
#include "text/tokenizer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct model_check {
    const char *dir, *device;
    enum sg_status first; /* status of the first refusal; SG_OK: none */
    int32_t n_refusals, n_notes;
    struct sg_buf lines;           /* for people */
    struct sg_buf refusals, notes; /* JSON, with commas between */
    bool has_config, has_weights;
    struct sg_config config;
    int64_t params, weight_bytes, workspace_bytes, token_bytes, free_bytes;
};

/* ---- what is said ------------------------------------------------------------------------------------ */

static enum sg_status say(struct model_check *c, struct sg_err *err, const char *part, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static enum sg_status note(struct model_check *c, struct sg_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum sg_status say(struct model_check *c, struct sg_err *err, const char *part, const char *fmt, ...) {
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sg_buf_printf(&c->lines, err, "  %-10s %s\n", part, text);
}

/* Something to know that is no refusal. */
static enum sg_status note(struct model_check *c, struct sg_err *err, const char *fmt, ...) {
    enum sg_status st = SG_OK;
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    SG_TRY(say(c, err, "note", "%s", text));
    if (c->n_notes++) SG_TRY(sg_buf_str(&c->notes, ", ", err));
    SG_TRY(sg_json_quote(&c->notes, text, strlen(text), err));
out:
    return st;
}

static enum sg_status refuse(struct model_check *c, enum sg_status status, const char *part, const char *why,
                             const char *cure, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_printf(&c->lines, err, "  %-10s refused: %s\n  %-10s cure: %s\n", part, why, "", cure));
    SG_TRY(
        sg_buf_printf(&c->refusals, err, "%s{\"part\": \"%s\", \"why\": ", c->n_refusals ? ", " : "", part));
    SG_TRY(sg_json_quote(&c->refusals, why, strlen(why), err));
    SG_TRY(sg_buf_str(&c->refusals, ", \"cure\": ", err));
    SG_TRY(sg_json_quote(&c->refusals, cure, strlen(cure), err));
    SG_TRY(sg_buf_str(&c->refusals, "}", err));
    if (!c->n_refusals++) c->first = status;
out:
    return st;
}

/* What mends an error of the readers, by words of its text behind the folder's name; the first that fits. */
static const char *cure_of(const char *dir, const char *why) {
    static const struct {
        const char *words, *cure;
    } cures[] = {
        {"tokenizer.json", "take tokenizer.json from the checkpoint that the model was fine-tuned from"},
        {"model_type", "this program computes dense Qwen3 alone: take a fine-tuned Qwen3 (model_type qwen3)"},
        {"architecture",
         "this program computes dense Qwen3 alone: take a Qwen3ForCausalLM, or a Qwen3Model for "
         "embeddings"},
        {"quantised",
         "take the checkpoint in bf16, or load the quantised one with transformers, dequantise it and "
         "save_pretrained it; model.weight_type fp8 rounds bf16 weights as they are loaded"},
        {"rope",
         "take the checkpoint without RoPE scaling (Qwen3 reaches 32,768 tokens and more without it); if "
         "scaling was only switched on for longer texts, delete rope_scaling from config.json"},
        {"sliding", "the checkpoint was trained for another attention; take one of full attention"},
        {"layer_types", "the checkpoint was trained for another attention; take one of full attention"},
        {"attention_bias", "the checkpoint has biases that Qwen3 as published has not; take one without"},
        {"tie_word_embeddings",
         "the head was trained apart from the embedding: set tie_word_embeddings to false in "
         "config.json"},
        {"(is it cut short?)", "load the file again: its size is not what its header says"},
        {"in a file of", "load the file again: it is cut short"},
        {"it is in no shard", "load the shards again: one is missing or of another checkpoint"},
        {"has shape", "config.json and the weights are of two checkpoints: take both from one"},
        {"belongs to no part",
         "this is not a plain Qwen3: merge adapters (peft: merge_and_unload) and save the whole "
         "model"},
        {"is missing", "load the folder again: a part is missing, or it is of another checkpoint"},
        {"cannot open", "load the folder again: a file is missing"},
        {"broken JSON", "load the file again: it is damaged"},
        {"expected one dtype",
         "save the checkpoint in one dtype: save_pretrained after model.to(torch.bfloat16)"},
    };
    if (!strncmp(why, dir, strlen(dir))) why += strlen(dir);
    for (size_t i = 0; i < sizeof cures / sizeof *cures; i++)
        if (strstr(why, cures[i].words)) return cures[i].cure;
    return "load the folder again from its source, and compare with a Qwen3 that works";
}

/* Makes a refusal of an error that the checkpoint caused; gives others back. */
static enum sg_status absorb(struct model_check *c, const char *part, enum sg_status st, struct sg_err *err) {
    if (st != SG_E_INPUT && st != SG_E_UNSUPPORTED && st != SG_E_MISMATCH) return st;
    const struct sg_err why = *err;
    memset(err, 0, sizeof *err);
    return refuse(c, st, part, why.text, cure_of(c->dir, why.text), err);
}

static double gib(int64_t bytes) {
    return (double)bytes / (double)(1 << 30);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static const char LFS[] = "version https://git-lfs.github.com/spec/";

static bool is_pointer(const char *path) {
    char head[sizeof LFS] = {0};
    const int fd = sg_open(path, SG_OPEN_INPUT);
    if (fd < 0) return false;
    const ssize_t n = read(fd, head, sizeof LFS - 1);
    close(fd);
    return n == (ssize_t)sizeof LFS - 1 && !memcmp(head, LFS, sizeof LFS - 1);
}

struct listing {
    int32_t n_weights, n_pickles, n_ggufs;
    int64_t weight_bytes;
    bool adapter;
    struct sg_buf pointers; /* names with blanks between */
};

static enum sg_status list_files(const char *dir, struct listing *l, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL;
    DIR *d = sg_dir_open(dir, true);
    if (!d) return sg_fail(err, SG_E_INPUT, "%s: no such model directory", dir);
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat s;
        free(path);
        path = NULL;
        SG_TRY(sg_path_join(dir, e->d_name, &path, err));
        if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) continue;
        const bool adapter = !strncmp(e->d_name, "adapter_", 8);
        l->adapter |= adapter;
        if (is_pointer(path)) SG_TRY(sg_buf_printf(&l->pointers, err, " %s", e->d_name));
        if (sg_ends_with(e->d_name, ".safetensors") && !adapter) {
            l->n_weights++;
            l->weight_bytes += s.st_size;
        }
        l->n_ggufs += sg_ends_with(e->d_name, ".gguf");
        l->n_pickles += sg_ends_with(e->d_name, ".bin") || sg_ends_with(e->d_name, ".pt") ||
                        sg_ends_with(e->d_name, ".pth");
    }
out:
    free(path);
    closedir(d);
    return st;
}

/* *whole: the files are what they seem, so that the readers' errors mean something. */
static enum sg_status check_files(struct model_check *c, bool *whole, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct listing l = {0};
    const int32_t before = c->n_refusals;
    SG_TRY(list_files(c->dir, &l, err));
    if (l.pointers.len) {
        char why[500];
        snprintf(why, sizeof why, "%.100s: Git LFS pointers stand in place of files:%.300s", c->dir,
                 l.pointers.data);
        SG_TRY(refuse(c, SG_E_INPUT, "files", why, "git lfs pull in the folder, or load the files themselves",
                      err));
    } else if (!l.n_weights) {
        const char *why = l.adapter     ? "a LoRA adapter (adapter_*), and no whole model"
                          : l.n_ggufs   ? "GGUF files, and no safetensors"
                          : l.n_pickles ? "weights as pickles (.bin, .pt), and no safetensors"
                                        : "no safetensors";
        SG_TRY(refuse(
            c, l.adapter || l.n_ggufs || l.n_pickles ? SG_E_UNSUPPORTED : SG_E_INPUT, "files", why,
            l.adapter   ? "merge it into its base model and save the whole: PeftModel.from_pretrained(BASE, "
                          "DIR).merge_and_unload().save_pretrained(OUT)"
            : l.n_ggufs ? "take the checkpoint that the GGUF was made from, in bf16"
            : l.n_pickles ? "load it with transformers and save_pretrained it (safe_serialization=True)"
                          : "load the folder again: the weights are missing",
            err));
    } else {
        SG_TRY(say(c, err, "files", "%d safetensors, %.2f GiB", l.n_weights, gib(l.weight_bytes)));
        if (l.adapter) SG_TRY(note(c, err, "an adapter lies beside the weights; it is not applied"));
    }
out:
    *whole = c->n_refusals == before;
    sg_buf_free(&l.pointers);
    return st;
}

/* ---- configuration and weights ------------------------------------------------------------------------ */

static enum sg_status check_config(struct model_check *c, struct sg_err *err) {
    enum sg_status st = sg_config_read(c->dir, &c->config, err);
    if (st != SG_OK) return absorb(c, "config", st, err);
    const struct sg_config *g = &c->config;
    c->has_config = true;
    return say(c, err, "config",
               "%s: %d layers of %d, %d query and %d key heads of %d, MLP of %d, vocabulary %d%s, context %d",
               g->causal ? "Qwen3ForCausalLM" : "Qwen3Model", g->layers, g->hidden, g->q_heads, g->kv_heads,
               g->head_dim, g->intermediate, g->vocab, g->tied ? " (tied)" : "", g->max_position);
}

/* Elements that are no finite numbers, and whether any is not 0. Bit patterns: exponents of all ones. */
static void look_at_values(const struct sg_tensor *t, int64_t *bad, bool *nonzero) {
    const bool wide = !strcmp(t->dtype, "F32");
    const uint32_t mask = wide ? 0x7F800000u : !strcmp(t->dtype, "F16") ? 0x7C00u : 0x7F80u;
    const size_t width = wide ? 4 : 2, n = t->bytes / width;
    uint32_t any = 0;
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = 0; /* little-endian, at any alignment */
        if (wide) {
            memcpy(&v, t->data + i * 4, 4);
        } else {
            uint16_t half;
            memcpy(&half, t->data + i * 2, 2);
            v = half;
        }
        any |= wide ? v << 1 : v << 17; /* without the sign */
        count += (v & mask) == mask;
    }
    *bad = count;
    *nonzero = any != 0;
}

/* Damage that no header shows: not-a-number, or a tensor that is 0 everywhere, as a file with holes has it. */
static enum sg_status check_values(struct model_check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_safetensors s = {0};
    char why[500];
    int64_t count[3] = {0};
    static const char *const dtypes[3] = {"BF16", "F16", "F32"};
    SG_TRY(sg_safetensors_open(c->dir, &s, err));
    for (size_t i = 0; i < s.n; i++) {
        const struct sg_tensor *t = &s.tensors[i];
        int64_t bad = 0;
        bool nonzero = false;
        int k = 0;
        while (k < 3 && strcmp(dtypes[k], t->dtype) != 0) k++;
        if (k == 3) continue; /* a rotary table of another dtype, which is not loaded */
        count[k]++;
        look_at_values(t, &bad, &nonzero);
        if (!bad && (nonzero || !t->bytes)) continue;
        snprintf(why, sizeof why, "%.200s: tensor %.120s %s", s.paths[t->file], t->name,
                 bad ? "holds values that are no finite numbers" : "is 0 everywhere");
        st = refuse(c, SG_E_INPUT, "values", why,
                    bad ? "the training or a conversion went wrong: take another checkpoint of the run"
                        : "load the file again: a part of it was never written",
                    err);
        goto out; /* one names the trouble; a damaged file has many */
    }
    st = say(c, err, "values", "finite: %lld tensors in bf16, %lld in f16, %lld in float32",
             (long long)count[0], (long long)count[1], (long long)count[2]);
out:
    sg_safetensors_close(&s);
    return st;
}

enum { CONTEXT = 32768, SAMPLES = 8, PROMPT = 2000, ANSWER = 250 };

static enum sg_status check_memory(struct model_check *c, struct sg_dev *dev, const struct sg_model *m,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_config *g = &c->config;
    const struct sg_dev_info *info = sg_dev_info(dev);
    struct sg_engine_memory e;
    c->token_bytes = (int64_t)2 * g->layers * g->kv_heads * g->head_dim * (int64_t)sg_dtype_bytes(info->act);
    const int64_t cell = (PROMPT + SAMPLES * ANSWER) * c->token_bytes;
    const struct sg_engine_options opt = {.max_batch_tokens = sg_engine_batch_tokens(dev, 0),
                                          .kv_cache_bytes = cell,
                                          .max_context = sg_model_max_context(m),
                                          .max_samples = SAMPLES,
                                          .sampling = {.top_p = 1, .max_new_tokens = ANSWER}};
    SG_TRY(sg_engine_plan(dev, m, &opt, &e, err));
    c->weight_bytes = e.weight_bytes;
    c->workspace_bytes = e.workspace_bytes;
    c->free_bytes = sg_dev_memory_free(dev);
    SG_TRY(say(
        c, err, "memory",
        "%.2f GiB a rank on %s: weights %.2f, workspace %.2f; and KV cache, %.1f KiB a token, %.2f GiB for "
        "a cell of a %d-token prompt and %d answers of %d (scope-grid plan JOB for a job)",
        gib(e.weight_bytes + e.workspace_bytes), info->backend, gib(e.weight_bytes), gib(e.workspace_bytes),
        (double)c->token_bytes / 1024, gib(cell), PROMPT, SAMPLES, ANSWER));
    if (c->free_bytes > 0 && e.weight_bytes + e.workspace_bytes + cell > c->free_bytes)
        SG_TRY(note(c, err, "that does not fit here now: %.2f GiB are free on %s", gib(c->free_bytes),
                    info->name));
out:
    return st;
}

static enum sg_status check_weights(struct model_check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_dev *dev = NULL;
    struct sg_model *m = NULL;
    const struct sg_dev_options options = {.backend = c->device};
    const struct sg_model_options model = {
        .max_context = c->config.max_position < CONTEXT ? c->config.max_position : CONTEXT};
    SG_TRY(sg_dev_open(&options, &dev, err));
    st = sg_model_plan(dev, c->dir, &model, &m, err);
    if (st != SG_OK) {
        st = absorb(c, "weights", st, err);
        goto out;
    }
    c->has_weights = true;
    c->params = sg_model_params(m);
    SG_TRY(say(c, err, "weights", "%lld parameters, all tensors of such a model and no others",
               (long long)c->params));
    SG_TRY(check_values(c, err));
    SG_TRY(check_memory(c, dev, m, err));
out:
    sg_model_close(m);
    sg_dev_close(dev);
    return st;
}

/* ---- tokenizer, special tokens, chat template ---------------------------------------------------------- */

static enum sg_status round_trip(const struct sg_tokenizer *tok, bool *same, struct sg_err *err) {
    static const char text[] =
        "Reply yes or no.\n\t12 + 30 = 42, \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x99\x82 <|x|>\n";
    enum sg_status st = SG_OK;
    struct sg_encoder *enc = NULL;
    struct sg_token_ids ids = {0};
    struct sg_buf back = {0};
    const struct sg_span span = {.text = text, .len = sizeof text - 1};
    SG_TRY(sg_encoder_new(tok, &enc, err));
    SG_TRY(sg_tokenizer_encode(tok, enc, &span, 1, &ids, err));
    SG_TRY(sg_tokenizer_decode(tok, ids.data, ids.len, false, &back, err));
    *same = back.len == sizeof text - 1 && !memcmp(back.data, text, back.len);
out:
    sg_encoder_free(enc);
    sg_token_ids_free(&ids);
    sg_buf_free(&back);
    return st;
}

static bool ends_answer(const struct sg_config *g, int32_t id) {
    for (int32_t i = 0; i < g->n_eos; i++)
        if (g->eos[i] == id) return true;
    return false;
}

/* The prompt is wrapped in <|im_start|> and <|im_end|>, and p(yes) is read from the tokens of yes and no. */
static enum sg_status check_special(struct model_check *c, const struct sg_tokenizer *tok,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const char *const wrap[] = {"<|im_start|>", "<|im_end|>"}, *const answers[] = {"yes", "no"};
    const struct sg_config *g = &c->config;
    struct sg_token_ids ids = {0};
    char why[300];
    int32_t wrap_id[2];
    for (int i = 0; i < 2; i++) {
        wrap_id[i] = sg_tokenizer_id(tok, wrap[i]);
        if (wrap_id[i] >= 0 && sg_tokenizer_is_special(tok, wrap_id[i])) continue;
        snprintf(why, sizeof why, "%.200s/tokenizer.json: has no special token %s", c->dir, wrap[i]);
        SG_TRY(refuse(
            c, SG_E_UNSUPPORTED, "special", why,
            "SCOPE's prompt is a Qwen chat turn: take a model fine-tuned from a Qwen3 chat model, with its "
            "tokenizer.json",
            err));
        goto out;
    }
    for (int i = 0; i < 2; i++) {
        ids.len = 0;
        SG_TRY(sg_tokenizer_answer_ids(tok, answers[i], &ids, err));
        if (ids.len) continue;
        snprintf(why, sizeof why, "%.200s/tokenizer.json: no token reads \"%s\"", c->dir, answers[i]);
        SG_TRY(refuse(c, SG_E_UNSUPPORTED, "special", why,
                      "p(yes) is read from those tokens: take a tokenizer whose vocabulary has them", err));
        goto out;
    }
    SG_TRY(say(c, err, "special", "%s %d, %s %d, %d tokens end an answer", wrap[0], wrap_id[0], wrap[1],
               wrap_id[1], g->n_eos));
    if (!c->has_config) goto out;
    if (!ends_answer(g, wrap_id[1]))
        SG_TRY(
            note(c, err,
                 "eos_token_id does not hold %s (%d): an answer without a verdict runs on to max_new_tokens; "
                 "add it to generation_config.json",
                 wrap[1], wrap_id[1]));
    for (int32_t i = 0; i < g->n_eos; i++) {
        const char *bytes;
        size_t n;
        if (!sg_tokenizer_piece(tok, g->eos[i], &bytes, &n))
            SG_TRY(note(c, err, "eos_token_id %d is no token of tokenizer.json", g->eos[i]));
    }
out:
    sg_token_ids_free(&ids);
    return st;
}

/* chat_template.jinja, or the member of tokenizer_config.json; *text is empty when there is none. */
static enum sg_status read_chat_template(const char *dir, struct sg_buf *text, struct sg_err *err) {
    enum { MAX_BYTES = 64 << 20 };
    enum sg_status st = SG_OK;
    struct sg_buf config = {0};
    cJSON *doc = NULL;
    char *own = NULL, *in_config = NULL;
    const char *member = NULL;
    SG_TRY(sg_path_join(dir, "chat_template.jinja", &own, err));
    SG_TRY(sg_path_join(dir, "tokenizer_config.json", &in_config, err));
    if (sg_file_exists(own)) {
        st = sg_file_read(own, MAX_BYTES, text, err);
    } else if (sg_file_exists(in_config)) {
        SG_TRY(sg_file_read(in_config, MAX_BYTES, &config, err));
        SG_TRY(sg_json_parse(config.data, config.len, in_config, 1, &doc, err));
        const struct sg_json root = {.node = doc, .where = in_config, .path = ""};
        SG_TRY(sg_json_get_str(&root, "chat_template", &member, err));
        if (member) SG_TRY(sg_buf_str(text, member, err));
    }
out:
    cJSON_Delete(doc);
    sg_buf_free(&config);
    free(own);
    free(in_config);
    return st;
}

/* The program writes its own wrapper; the template is what the model was trained with. It is read as text, not
 * run: it shows whether the two can be the same. */
static enum sg_status check_template(struct model_check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    st = read_chat_template(c->dir, &text, err);
    if (st != SG_OK) {
        st = absorb(c, "template", st, err);
        goto out;
    }
    if (!text.len) {
        st = note(c, err,
                  "no chat template in the folder: the prompt is <|im_start|>user ... <|im_end|> "
                  "<|im_start|>assistant; was the model trained so?");
        goto out;
    }
    SG_TRY(sg_buf_add(&text, "", 1, err)); /* a text, for strstr */
    const char *last = text.data, *turn = NULL;
    for (const char *p = text.data; (p = strstr(p, "add_generation_prompt")); p++) last = p;
    if (!strstr(text.data, "<|im_start|>") || !strstr(text.data, "<|im_end|>") ||
        !(turn = strstr(last, "assistant"))) {
        st = refuse(c, SG_E_UNSUPPORTED, "template",
                    "the chat template does not write <|im_start|>, <|im_end|> and an assistant's turn",
                    "SCOPE's prompt is a Qwen chat turn: take a model fine-tuned with that template", err);
        goto out;
    }
    SG_TRY(say(c, err, "template", "a Qwen chat, %016llx",
               (unsigned long long)sg_digest_bytes(text.data, text.len).lo));
    /* right behind the turn, in the same string of the template; Qwen3's own has it further on, where thinking is
     * switched off */
    if (!strncmp(turn, "assistant\\n<think>", 18))
        SG_TRY(note(c, err,
                    "the template begins an answer with <think>; this program leaves that to the model"));
    for (const char *p = text.data; (p = strstr(p, "You are ")); p++)
        if (strncmp(p, "You are provided", 16) != 0) { /* the head of a list of tools */
            SG_TRY(note(c, err, "the template has a default system message; this program sends none"));
            break;
        }
out:
    sg_buf_free(&text);
    return st;
}

static enum sg_status check_tokenizer(struct model_check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_tokenizer *tok = NULL;
    char why[300];
    bool same = false;
    st = sg_tokenizer_open(c->dir, &tok, err);
    if (st != SG_OK) {
        st = absorb(c, "tokenizer", st, err);
        goto out;
    }
    const int32_t n = sg_tokenizer_size(tok);
    SG_TRY(round_trip(tok, &same, err));
    if (!same || (c->has_config && n > c->config.vocab)) {
        if (same)
            snprintf(why, sizeof why,
                     "%.100s: tokenizer.json has token id %d, but config.json says vocab_size %d", c->dir,
                     n - 1, c->config.vocab);
        else
            snprintf(why, sizeof why, "%.100s/tokenizer.json: a text does not come back as it was encoded",
                     c->dir);
        SG_TRY(refuse(c, SG_E_INPUT, "tokenizer", why, cure_of(c->dir, why), err));
    } else {
        SG_TRY(say(c, err, "tokenizer", "byte-level BPE, ids up to %d", n - 1));
    }
    /* an embedding model is shown texts as they are */
    if (c->has_config && !c->config.causal) goto out;
    SG_TRY(check_special(c, tok, err));
    SG_TRY(check_template(c, err));
out:
    sg_tokenizer_close(tok);
    return st;
}

/* ---- the verdict --------------------------------------------------------------------------------------- */

static enum sg_status print_json(const struct model_check *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    SG_TRY(sg_buf_str(&b, "{\"path\": ", err));
    SG_TRY(sg_json_quote(&b, c->dir, strlen(c->dir), err));
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"kind\": \"checkpoint\", \"verdict\": \"%s\", \"parameters\": %lld, \"memory\": "
                         "{\"weights\": %lld, \"workspace\": %lld, \"kv_token\": %lld, \"free\": %lld}, "
                         "\"refusals\": [%s], \"notes\": [%s]}\n",
                         sg_status_name(c->first), (long long)c->params, (long long)c->weight_bytes,
                         (long long)c->workspace_bytes, (long long)c->token_bytes, (long long)c->free_bytes,
                         c->refusals.data ? c->refusals.data : "", c->notes.data ? c->notes.data : ""));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

enum sg_status sg__check_model(const char *dir, const char *device, bool json, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct model_check c = {.dir = dir, .device = device ? device : "auto"};
    bool whole = false;
    SG_TRY(check_files(&c, &whole, err));
    SG_TRY(check_config(&c, err));
    if (whole && c.has_config) SG_TRY(check_weights(&c, err));
    SG_TRY(check_tokenizer(&c, err));
    if (json) {
        SG_TRY(print_json(&c, err));
    } else {
        printf("%s\n%s", dir, c.lines.data ? c.lines.data : "");
        if (c.first == SG_OK)
            printf("yes: this program computes it%s\n",
                   c.config.causal
                       ? ""
                       : ", as an embedding model (prompt.similarity.model): it gives no answers");
    }
    if (c.first != SG_OK)
        st = sg_fail(err, c.first, "%s: no: refused for %d reason%s", dir, c.n_refusals,
                     c.n_refusals == 1 ? "" : "s, the first of them decides the exit code");
out:
    sg_buf_free(&c.lines);
    sg_buf_free(&c.refusals);
    sg_buf_free(&c.notes);
    return st;
}
