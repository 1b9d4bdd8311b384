/* Guards: a checkpoint that asks for arithmetic we do not have is refused by the name and value of what it
 * asks for, never run as something else; both forms of config.json give the same numbers. */
#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char sizes[] = "\"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                            "\"num_key_value_heads\": 2, \"intermediate_size\": 96, \"vocab_size\": 100, "
                            "\"max_position_embeddings\": 512";

static enum sg_status parse(const char *more, struct sg_config *c, struct sg_err *err) {
    char text[2048];
    snprintf(text, sizeof text,
             "{\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\", %s%s%s}", sizes,
             more[0] ? ", " : "", more);
    memset(err, 0, sizeof *err);
    return sg_config_parse(text, strlen(text), "dir/config.json", c, err);
}

static void test_both_forms(void **state) {
    (void)state;
    struct sg_config a, b;
    struct sg_err err;
    assert_int_equal(
        parse("\"rope_theta\": 5000000.0, \"rope_scaling\": null, \"head_dim\": 32, \"torch_dtype\": "
              "\"bfloat16\", \"tie_word_embeddings\": true, \"eos_token_id\": 7",
              &a, &err),
        SG_OK);
    assert_int_equal(
        parse(
            "\"rope_parameters\": {\"rope_theta\": 5000000.0, \"rope_type\": \"default\"}, \"head_dim\": 32, "
            "\"dtype\": \"bfloat16\", \"tie_word_embeddings\": true, \"eos_token_id\": [7]",
            &b, &err),
        SG_OK);
    assert_true(a.rope_theta == 5e6 && b.rope_theta == 5e6);
    assert_int_equal(a.head_dim, 32);
    assert_int_equal(a.dtype, SG_BF16);
    assert_int_equal(b.dtype, SG_BF16);
    assert_true(a.tied && a.causal);
    assert_int_equal(a.n_eos, 1);
    assert_int_equal(b.eos[0], 7);
    assert_int_equal(parse("\"rope_theta\": 10000.0", &a, &err), SG_OK);
    assert_int_equal(a.head_dim, 16); /* hidden / heads */
    assert_int_equal(a.n_eos, 0);
    assert_false(a.tied);
    assert_int_equal(a.dtype, SG_F32);
}

static void test_generation_config(void **state) {
    (void)state;
    struct sg_config c;
    struct sg_err err = {0};
    static const char two[] = "{\"eos_token_id\": [99, 3], \"temperature\": 0.6}", none[] = "{}",
                      bad[] = "{\"eos_token_id\": [100]}";
    assert_int_equal(parse("\"rope_theta\": 10000.0, \"eos_token_id\": 7", &c, &err), SG_OK);
    assert_int_equal(sg_config_parse_generation(none, strlen(none), "g", &c, &err), SG_OK);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos[0], 7);
    assert_int_equal(sg_config_parse_generation(two, strlen(two), "g", &c, &err), SG_OK);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos[0], 99);
    assert_int_equal(c.eos[1], 3);
    assert_int_equal(sg_config_parse_generation(bad, strlen(bad), "g.json", &c, &err), SG_E_INPUT);
    assert_non_null(strstr(err.text, "g.json: eos_token_id: expected token ids from 0 to 99"));
    assert_int_equal(c.n_eos, 2); /* untouched */
}

static void test_refused(void **state) {
    (void)state;
    static const char R[] = "\"rope_theta\": 10000.0, ";
    static const struct {
        const char *more, *says;
        enum sg_status status;
    } cases[] = {
        {"\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}", "rope_scaling.rope_type \"yarn\"",
         SG_E_UNSUPPORTED},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", "rope_scaling.type \"linear\"",
         SG_E_UNSUPPORTED},
        {"\"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"llama3\"}",
         "rope_parameters.rope_type \"llama3\"", SG_E_UNSUPPORTED},
        {"\"rope_parameters\": {\"rope_theta\": 20000.0}",
         "rope_theta is 10000, but rope_parameters.rope_theta is 20000", SG_E_INPUT},
        {"\"partial_rotary_factor\": 0.5", "config.json: partial_rotary_factor 0.5", SG_E_UNSUPPORTED},
        {"\"rope_parameters\": {\"rope_theta\": 10000.0, \"partial_rotary_factor\": 0.5}",
         "rope_parameters.partial_rotary_factor 0.5", SG_E_UNSUPPORTED},
        {"\"attention_bias\": true", "attention_bias true", SG_E_UNSUPPORTED},
        {"\"use_sliding_window\": true", "use_sliding_window true", SG_E_UNSUPPORTED},
        {"\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
         "layer_types[1] \"sliding_attention\"", SG_E_UNSUPPORTED},
        {"\"layer_types\": [\"full_attention\"]", "layer_types must be a list of num_hidden_layers = 2",
         SG_E_INPUT},
        {"\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}", "quant_method \"gptq\"",
         SG_E_UNSUPPORTED},
        {"\"hidden_act\": \"gelu\"", "hidden_act \"gelu\"", SG_E_UNSUPPORTED},
        {"\"head_dim\": 20", "head_dim 20", SG_E_UNSUPPORTED},
        {"\"head_dim\": 512", "head_dim 512", SG_E_UNSUPPORTED},
        {"\"head_dim\": \"128\"", "head_dim must be a whole number", SG_E_INPUT},
        {"\"dtype\": \"int8\"", "dtype \"int8\"", SG_E_UNSUPPORTED},
        {"\"eos_token_id\": -1", "eos_token_id: expected token ids from 0 to 99", SG_E_INPUT},
        {"\"rms_norm_eps\": -1", "rms_norm_eps", SG_E_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sg_config c;
        struct sg_err err;
        char more[512];
        snprintf(more, sizeof more, "%s%s", R, cases[i].more);
        const enum sg_status st = parse(more, &c, &err);
        if (st != cases[i].status || !strstr(err.text, cases[i].says) ||
            strncmp(err.text, "dir/config.json: ", 17) != 0)
            fail_msg("%s gives %s: %s", cases[i].more, sg_status_name(st), err.text);
    }
}

/* Replaces one piece of a good config. */
static void expect_changed(const char *from, const char *to, enum sg_status status, const char *says) {
    char good[2048], text[4096];
    struct sg_config c;
    struct sg_err err = {0};
    snprintf(
        good, sizeof good,
        "{\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\", %s, \"rope_theta\": 1e6}",
        sizes);
    const char *at = strstr(good, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    const enum sg_status st = sg_config_parse(text, strlen(text), "c.json", &c, &err);
    if (st != status || !strstr(err.text, says))
        fail_msg("%s gives %s: %s", to, sg_status_name(st), err.text);
}

static void test_changed(void **state) {
    (void)state;
    expect_changed("\"qwen3\"", "\"llama\"", SG_E_UNSUPPORTED, "model_type \"llama\"");
    expect_changed("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", SG_E_UNSUPPORTED,
                   "architecture Qwen3MoeForCausalLM");
    expect_changed("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", SG_E_UNSUPPORTED,
                   "num_attention_heads 4 over num_key_value_heads 3");
    expect_changed("\"num_attention_heads\": 4", "\"num_attention_heads\": 32", SG_E_UNSUPPORTED,
                   "num_attention_heads 32 over num_key_value_heads 2");
    expect_changed("\"hidden_size\": 64", "\"hidden_size\": 0", SG_E_INPUT, "hidden_size is 0");
    expect_changed("\"vocab_size\": 100, ", "", SG_E_INPUT, "vocab_size is missing");
    expect_changed("\"vocab_size\": 100", "\"vocab_size\": 1.5", SG_E_INPUT, "vocab_size");
    expect_changed("\"rope_theta\": 1e6", "\"a\": 1", SG_E_INPUT,
                   "neither rope_theta nor rope_parameters.rope_theta");
    expect_changed("\"hidden_size\": 64", "\"hidden_size\": 64, \"hidden_size\": 64", SG_E_INPUT,
                   "hidden_size");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_forms),
                                       cmocka_unit_test(test_generation_config),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_changed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
