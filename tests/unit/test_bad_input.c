// Bad config.json, generation_config.json and plans are refused; the rules are in bad_input.h.
#include "bad_input.h"

#include <jansson.h>

#include "hf/generation_config.h"
#include "hf/tp_plan_rules.h"
#include "model/model_config.h"

// ---- config.json ----

// The keys of a case, put over these, make a config.json; "absent" takes a key away.
static const char good_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 64,"
    "\"intermediate_size\": 172, \"num_hidden_layers\": 2, \"num_attention_heads\": 8, "
    "\"num_key_value_heads\": 4,"
    "\"vocab_size\": 512, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
    "\"max_position_embeddings\": 512,"
    "\"hidden_act\": \"silu\", \"torch_dtype\": \"bfloat16\"}";

static enum status open_config(const char *path)
{
    struct model_config config;
    return model_config_read(path, &config);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
#define MISTRAL "\"architectures\": [\"MistralForCausalLM\"], \"model_type\": \"mistral\", "
#define AS(type) "{\"architectures\": \"absent\", \"model_type\": \"" type "\", "
    // keys over good_config, words
    static const struct {
        const char *keys;
        const char *words[3];
    } cases[] = {
        {"{\"architectures\": \"absent\", \"model_type\": \"absent\"}",
         {"\"model_type\"", "missing", "\"llama\""}},
        {"{\"architectures\": [\"Peft\"], \"model_type\": \"absent\"}",
         {"\"architectures\" names Peft;", "nearest"}},
        {"{\"architectures\": null, \"model_type\": \"gpt2\"}",
         {"\"model_type\" is \"gpt2\"", "nearest"}},
        {"{\"hidden_size\": 64.0}", {"\"hidden_size\"", "64.0", "integer"}},
        {"{\"quantization_config\": {\"load_in_4bit\": true, \"load_in_8bit\": true}}",
         {"\"quantization_config\"", "load_in_4bit", "expected one"}},
        {"{\"quantization_config\": {\"bits\": 4}}",
         {"\"quantization_config\"", "quant_method", "expected one of"}},
        {"{\"rms_norm_eps\": -1}", {"\"rms_norm_eps\"", "-1"}},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", {"\"factor\"", "is 0"}},
        {"{\"hidden_size\": 0}", {"\"hidden_size\"", "is 0", "from 2"}},
        {"{\"hidden_size\": -64}", {"\"hidden_size\"", "-64"}},
        {"{\"hidden_size\": null}", {"\"hidden_size\"", "missing"}},
        {"{\"hidden_size\": \"64\"}", {"\"hidden_size\"", "\"64\"", "integer"}},
        {"{\"hidden_size\": 64.5}", {"\"hidden_size\"", "64.5", "integer"}},
        {"{\"hidden_size\": true}", {"\"hidden_size\"", "true", "integer"}},
        {"{\"hidden_size\": [64]}", {"\"hidden_size\"", "an array", "integer"}},
        {"{\"hidden_size\": 1000000000000000000}",
         {"\"hidden_size\"", "1000000000000000000", "131072"}},
        {"{\"hidden_size\": 68}", {"\"hidden_size\"", "68", "multiple of num_attention_heads"}},
        {"{\"hidden_size\": 8}", {"\"hidden_size\"", "1 elements", "2 to 512"}},
        {"{\"hidden_size\": 65536}", {"\"hidden_size\"", "8192 elements", "2 to 512"}},
        {"{\"intermediate_size\": 0}", {"\"intermediate_size\"", "is 0"}},
        {"{\"intermediate_size\": 99999999}", {"\"intermediate_size\"", "99999999", "1048576"}},
        {"{\"num_hidden_layers\": 0}", {"\"num_hidden_layers\"", "is 0"}},
        {"{\"num_hidden_layers\": -1}", {"\"num_hidden_layers\"", "-1"}},
        {"{\"num_hidden_layers\": 100000}", {"\"num_hidden_layers\"", "100000", "1024"}},
        {"{\"num_attention_heads\": 0}", {"\"num_attention_heads\"", "is 0"}},
        {"{\"num_attention_heads\": 2000}", {"\"num_attention_heads\"", "2000", "1024"}},
        {"{\"num_key_value_heads\": 0}", {"\"num_key_value_heads\"", "is 0"}},
        {"{\"num_key_value_heads\": 3}", {"\"num_key_value_heads\"", "is 3", "divisor"}},
        {"{\"num_key_value_heads\": 16}", {"\"num_key_value_heads\"", "is 16", "divisor"}},
        {"{" MISTRAL "\"num_key_value_heads\": \"absent\", \"num_attention_heads\": 4}",
         {"\"num_key_value_heads\"", "is 8 (absent, the default)", "divisor"}},
        {"{\"vocab_size\": 0}", {"\"vocab_size\"", "is 0"}},
        {"{\"vocab_size\": 4294967296}", {"\"vocab_size\"", "4294967296", "16777216"}},
        {"{\"head_dim\": 0}", {"\"head_dim\"", "is 0"}},
        {"{\"head_dim\": 15}", {"\"head_dim\"", "15", "even"}},
        {"{\"head_dim\": 4096}", {"\"head_dim\"", "4096", "512"}},
        {"{\"max_position_embeddings\": 0}", {"\"max_position_embeddings\"", "is 0"}},
        {"{\"max_position_embeddings\": 1e30}", {"\"max_position_embeddings\"", "1e30", "integer"}},
        {"{\"rms_norm_eps\": -1e-5}", {"\"rms_norm_eps\"", "-1e-5"}},
        {"{\"rms_norm_eps\": \"1e-5\"}", {"\"rms_norm_eps\"", "\"1e-5\"", "a number"}},
        {"{\"hidden_act\": \"mish\"}", {"\"hidden_act\"", "\"mish\"", "silu"}},
        {"{\"hidden_act\": 3}", {"\"hidden_act\"", "is 3", "a string"}},
        {"{\"quantization_config\": {\"quant_method\": \"gptq\"}}",
         {"\"quantization_config\"", "\"bits\" is 0", "expected 2, 3, 4 or 8"}},
        {"{\"tie_word_embeddings\": \"yes\"}",
         {"\"tie_word_embeddings\"", "\"yes\"", "true or false"}},
        {"{\"attention_bias\": 1}", {"\"attention_bias\"", "is 1", "true or false"}},
        {"{" MISTRAL "\"attention_bias\": true}", {"\"attention_bias\"", "no biases"}},
        {"{" MISTRAL "\"mlp_bias\": true}", {"\"mlp_bias\"", "no biases"}},
        {"{" MISTRAL "\"sliding_window\": 0}", {"\"sliding_window\"", "is 0"}},
        {"{" MISTRAL "\"sliding_window\": \"4k\"}", {"\"sliding_window\"", "\"4k\"", "integer"}},
        {"{" MISTRAL "\"layer_types\": [\"sliding_attention\", \"full_attention\"]}",
         {"\"layer_types\"", "layer 1", "\"sliding_attention\""}},
        {"{\"layer_types\": [\"full_attention\", 3]}", {"\"layer_types\"", "3 for layer 1"}},
        {"{\"rope_scaling\": [1]}", {"\"rope_scaling\"", "an array", "an object"}},
        {"{\"rope_scaling\": \"x\"}", {"\"rope_scaling\"", "\"x\"", "an object"}},
        {"{\"rope_parameters\": []}", {"\"rope_parameters\"", "an array", "an object"}},
        {"{\"rope_theta\": 0}", {"\"rope_theta\"", "is 0"}},
        {"{\"rope_theta\": -10000}", {"\"rope_theta\"", "-10000"}},
        {"{\"rope_theta\": \"10000\"}", {"\"rope_theta\"", "\"10000\"", "a number"}},
        {"{\"rope_scaling\": \"linear\"}", {"\"rope_scaling\"", "\"linear\"", "an object"}},
        {"{\"rope_scaling\": {\"type\": \"magic\"}}", {"rope_scaling", "\"magic\"", "llama3"}},
        {"{\"rope_scaling\": {\"type\": 1}}", {"rope_scaling: key \"type\"", "is 1", "a string"}},
        {"{\"rope_parameters\": {\"rope_type\": \"spiral\"}}",
         {"rope_parameters", "\"spiral\"", "yarn"}},
        {"{\"rope_parameters\": {\"rope_type\": \"longrope\"}}",
         {"rope_parameters", "\"short_factor\"", "missing"}},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", {"rope_scaling: key \"factor\"", "missing"}},
        {"{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 1e9}}",
         {"key \"factor\"", "1e9", "1e+06"}},
        {"{\"rope_parameters\": {\"rope_theta\": -1, \"rope_type\": \"default\"}}",
         {"rope_parameters: key \"rope_theta\"", "-1"}},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"high_freq_factor\": 4}}",
         {"key \"low_freq_factor\"", "missing"}},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, "
         "\"original_max_position_embeddings\": 0}}",
         {"key \"original_max_position_embeddings\"", "is 0"}},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, \"truncate\": 1}}",
         {"key \"truncate\"", "is 1", "true or false"}},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 8, \"rope_theta\": 1}}",
         {"key \"rope_theta\"", "is 1", "more than 1"}},
        {"{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}}",
         {"rope_parameters", "full_attention", "one set"}},
        {"{\"rope_scaling\": {\"type\": \"default\", \"mrope_section\": [16, 24, 24]}}",
         {"\"mrope_section\""}},
        {"{\"partial_rotary_factor\": 0.5}", {"\"partial_rotary_factor\"", "0.5", "expected 1"}},
        {"{\"head_dim\": 2, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}}",
         {"\"head_dim\"", "is 2", "at least 4"}},
        {"{\"hidden_act\": \"xielu\"}", {"\"hidden_act\"", "\"xielu\"", "silu"}},
        {AS("apertus") "\"hidden_act\": \"xelu\"}", {"\"hidden_act\"", "\"xelu\"", "silu"}},
        {AS("glm") "\"partial_rotary_factor\": 0.001}",
         {"partial_rotary_factor 0.001", "2 or more"}},
        {AS("glm4") "\"partial_rotary_factor\": 1.5}", {"\"partial_rotary_factor\"", "1.5"}},
        {AS("glm4") "\"attention_bias\": \"no\"}", {"\"attention_bias\"", "true or false"}},
        {AS("ministral3") "\"rope_parameters\": {\"llama_4_scaling_beta\": \"x\"}}",
         {"rope_parameters: key \"llama_4_scaling_beta\"", "\"x\"", "a number"}},
        {AS("cohere2") "\"sliding_window\": null}", {"\"sliding_window\" is null", "layer 0"}},
        {AS("cohere2") "\"sliding_window_pattern\": 0}", {"\"sliding_window_pattern\"", "is 0"}},
        {AS("cohere2") "\"layer_types\": [\"sliding_attention\"]}",
         {"\"layer_types\" has nothing for layer 1"}},
        {AS("cohere2") "\"logit_scale\": \"1\"}", {"\"logit_scale\"", "\"1\"", "a number"}},
        {AS("exaone4") "\"sliding_window\": null, \"layer_types\": [\"full_attention\", "
                       "\"sliding_attention\"]}",
         {"\"sliding_window\" is null", "layer 1"}},
        {AS("exaone4") "\"sliding_window_pattern\": \"LLLG\"}",
         {"\"sliding_window_pattern\"", "\"LLLG\"", "integer"}},
        {AS("exaone4") "\"layer_types\": [\"chunked\"]}", {"\"chunked\"", "layer 0"}},
        {AS("hunyuan_v1_dense") "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 1, "
                                "\"alpha\": -1}}",
         {"rope_scaling: key \"alpha\"", "-1"}},
        {AS("stablelm") "\"qk_layernorm\": 1}", {"\"qk_layernorm\"", "is 1"}},
        {AS("stablelm") "\"partial_rotary_factor\": 0.4}", {"3 of the 8", "even number"}},
        {AS("phi") "\"layer_norm_eps\": -1}", {"\"layer_norm_eps\"", "-1"}},
        {AS("starcoder2") "\"norm_epsilon\": \"x\"}", {"\"norm_epsilon\"", "\"x\""}},
        {AS("gpt_neox") "\"rotary_pct\": 2}", {"\"rotary_pct\"", "is 2"}},
        {AS("gpt_neox") "\"rotary_emb_base\": 0}", {"\"rotary_emb_base\"", "is 0"}},
        {AS("bloom") "\"num_attention_heads\": \"absent\", \"n_head\": 7}",
         {"\"hidden_size\" is 64", "7"}},
        {AS("bloom") "\"num_hidden_layers\": null, \"n_layer\": 0}", {"\"n_layer\"", "is 0"}},
        {AS("bloom") "\"n_embed\": \"x\"}", {"\"n_embed\"", "\"x\"", "integer"}},
        {AS("internlm3") "\"qkv_bias\": true}", {"\"qkv_bias\" is true", "\"bias\" false"}},
        {AS("seed_oss") "\"attention_out_bias\": 0}", {"\"attention_out_bias\"", "is 0"}},
        {AS("ernie4_5") "\"use_bias\": \"x\"}", {"\"use_bias\"", "\"x\""}},
    };
#undef MISTRAL
#undef AS
    size_t n = sizeof cases / sizeof cases[0];
    int errors = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *root = json_loads(good_config, 0, NULL), *keys = json_loads(cases[i].keys, 0, NULL),
               *value;
        const char *key;
        assert_non_null(root);
        assert_non_null(keys);
        json_object_foreach(keys, key, value)
        {
            bool absent = json_is_string(value) && strcmp(json_string_value(value), "absent") == 0;
            assert_int_equal(
                absent ? json_object_del(root, key) : json_object_set(root, key, value), 0);
        }
        char *text = json_dumps(root, 0);
        struct bad_case bad = {
            cases[i].keys, {{.name = "config.json", .text = text}}, {"config.json"}};
        memcpy(&bad.words[1], cases[i].words, sizeof cases[i].words);
        errors += run_case(&bad, open_config);
        free(text);
        json_decref(root);
        json_decref(keys);
    }
    print_message("%zu bad inputs\n", n);
    assert_int_equal(errors, 0);
}

#define CONFIG(json)                                                                               \
    {                                                                                              \
        {                                                                                          \
            .name = "config.json", .text = json                                                    \
        }                                                                                          \
    }

static const struct bad_case config_files[] = {
    {"empty file", CONFIG(""), {"config.json", "not valid JSON"}},
    {"cut", CONFIG("{\"hidden_size\": 64, \"inter"), {"config.json", "not valid JSON", "line 1"}},
    {"an array", CONFIG("[1]"), {"config.json", "an array", "an object"}},
    {"NaN", CONFIG("{\"model_type\": \"llama\", \"hidden_size\": NaN}"), {"config.json", "NaN"}},
    {"big integer",
     CONFIG("{\"model_type\": \"llama\", \"hidden_size\": 99999999999999999999}"),
     {"config.json", "\"hidden_size\" is 1e20"}},
    {"trailing text", CONFIG("{} {}"), {"config.json", "not valid JSON"}},
    {"no UTF-8", CONFIG("{\"a\": \"\xff\"}"), {"config.json", "not valid JSON", "0xff"}},
    {"deep",
     CONFIG("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
     {"config.json", "deeper than 64"}},
    {"missing", {{.name = "README.md", .text = ""}}, {"config.json", "missing"}},
    {"a folder", {{.name = "config.json"}}, {"config.json", "regular file"}},
};

static void bad_config_files_are_refused(void **state)
{
    (void)state;
    run_cases(CASES(config_files), open_config);
}

static enum status open_huge_config(const char *path)
{
    char file[FILE_PATH_MAX];
    TRY(file_join(path, "config.json", file));
    assert_int_equal(truncate(file, 1LL << 40), 0); // sparse
    return open_config(path);
}

static void a_huge_config_is_refused(void **state)
{
    (void)state;
    static const struct bad_case bad = {
        "huge", CONFIG("{}"), {"config.json", "1099511627776", "1048576"}};
    run_cases(&bad, 1, open_huge_config);
}

static void paths_that_are_no_folder_are_refused(void **state)
{
    (void)state;
    assert_int_equal(open_config("/nowhere/model"), ERR_INPUT);
    assert_non_null(strstr(status_message(), "/nowhere/model: does not exist; expected a folder"));
    assert_int_equal(open_config(SOURCE_DIR "/LICENSE"), ERR_INPUT);
    assert_non_null(strstr(status_message(), "LICENSE: is a file; expected a folder"));
}

// ---- generation_config.json ----

static enum status open_generation(const char *path)
{
    struct generation_config config;
    return generation_config_read(path, 512, &config);
}

#define GENERATION(json)                                                                           \
    {                                                                                              \
        {                                                                                          \
            .name = "generation_config.json", .text = json                                         \
        }                                                                                          \
    }
#define GENERATION_FILE "generation_config.json"

static const struct bad_case generation_cases[] = {
    {"do_sample", GENERATION("{\"do_sample\": 1}"), {GENERATION_FILE, "\"do_sample\"", "is 1"}},
    {"no JSON", GENERATION("{\"top_k\": }"), {GENERATION_FILE, "not valid JSON"}},
    {"an array", GENERATION("[]"), {GENERATION_FILE, "an array", "an object"}},
};

static void bad_generation_configs_are_refused(void **state)
{
    (void)state;
    run_cases(generation_cases, sizeof generation_cases / sizeof generation_cases[0],
              open_generation);
}

// ---- tp_plan ----

static enum status open_plan(const char *path)
{
    char file[FILE_PATH_MAX];
    struct tp_plan_rules rules;
    TRY(file_join(path, "plan.json", file));
    enum status status = tp_plan_file(file, (const char *const[]){"llama", NULL}, &rules);
    tp_plan_close(&rules);
    return status;
}

#define PLAN(json)                                                                                 \
    {                                                                                              \
        {                                                                                          \
            .name = "plan.json", .text = json                                                      \
        }                                                                                          \
    }

static const struct bad_case plan_cases[] = {
    {"unknown style",
     PLAN("{\"lm_head\": \"diagonal\"}"),
     {"plan.json", "rule \"lm_head\"", "\"diagonal\"", "colwise_gather_output"}},
    {"style in capitals",
     PLAN("{\"lm_head\": \"Colwise\"}"),
     {"plan.json", "rule \"lm_head\"", "\"Colwise\""}},
    {"style with NUL",
     PLAN("{\"lm_head\": \"colwise\\u0000\"}"),
     {"plan.json", "rule \"lm_head\"", "unknown style"}},
    {"pattern with NUL",
     PLAN("{\"lm_head\\u0000x\": \"colwise\"}"),
     {"plan.json", "rule \"lm_head\"", "NUL"}},
    {"style is a number",
     PLAN("{\"lm_head\": 1}"),
     {"plan.json", "rule \"lm_head\" is 1", "the name of a style"}},
    {"style is null", PLAN("{\"lm_head\": null}"), {"plan.json", "rule \"lm_head\" is null"}},
    {"nested",
     PLAN("{\"model\": {\"lm_head\": \"colwise\"}}"),
     {"plan.json", "rule \"model\" is an object"}},
    {"empty pattern",
     PLAN("{\"\": \"colwise\"}"),
     {"plan.json", "rule \"\"", "0 bytes", "1 to 1023"}},
    {"no family's plan",
     PLAN("{\"plans\": {\"bloom\": {}}}"),
     {"plan.json", "1 families' plans", "none for model_type \"llama\""}},
    {"a family's plan is a text",
     PLAN("{\"plans\": {\"llama\": \"colwise\"}}"),
     {"plan.json", "a family's plan is a string", "base_model_tp_plan"}},
    {"a family's rules are a list",
     PLAN("{\"base_model_tp_plan\": {}, \"causal_lm_tp_plan\": []}"),
     {"plan.json", "\"causal_lm_tp_plan\" is an array", "an object of rules"}},
    {"a family's rule",
     PLAN("{\"base_model_tp_plan\": {\"norm\": \"x\"}}"),
     {"plan.json", "rule \"norm\"", "unknown style"}},
    {"an array", PLAN("[\"colwise\"]"), {"plan.json", "an array", "an object of rules"}},
    {"no JSON", PLAN("{'lm_head': 'colwise'}"), {"plan.json", "not valid JSON"}},
    {"a folder", {{.name = "plan.json"}}, {"plan.json", "regular file"}},
};

static void bad_plans_are_refused(void **state)
{
    (void)state;
    run_cases(CASES(plan_cases), open_plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(bad_config_files_are_refused),
        cmocka_unit_test(a_huge_config_is_refused),
        cmocka_unit_test(paths_that_are_no_folder_are_refused),
        cmocka_unit_test(bad_generation_configs_are_refused),
        cmocka_unit_test(bad_plans_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
