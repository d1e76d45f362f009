#include "testing.h"

#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/nearest_name.h"
#include "model/family.h"

#define LLAMA                                                                                      \
    "\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, \"intermediate_size\": 172,"  \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 8, \"vocab_size\": 512"
#define MISTRAL                                                                                    \
    "\"architectures\": [\"MistralForCausalLM\"], \"hidden_size\": 128, \"intermediate_size\": "   \
    "172,"                                                                                         \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 16, \"vocab_size\": 512"

static struct model_config parse(const char *text)
{
    struct model_config config;
    enum status status = model_config_parse("config.json", text, strlen(text), &config);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    return config;
}

static const struct attention_config *attention_of(const struct model_config *config)
{
    return &model_config_first(config, MIX_ATTENTION)->attention;
}

static const struct mlp_config *mlp_of(const struct model_config *config)
{
    return &model_config_first(config, MIX_MLP)->mlp;
}

static int64_t window_of(const char *text)
{
    struct model_config config = parse(text);
    return attention_of(&config)->sliding_window;
}

static void assert_close(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-12 * fabs(b));
}

static void absent_keys_follow_transformers(void **state)
{
    (void)state;
    struct model_config config = parse("{" LLAMA "}");
    assert_string_equal(config.family->model_type, "llama");
    assert_string_equal(config.architecture, "LlamaForCausalLM");
    assert_string_equal(config.model_type, "llama");
    assert_int_equal(attention_of(&config)->num_key_value_heads, 8);
    assert_int_equal(attention_of(&config)->head_dim, 8);
    assert_int_equal(config.max_position_embeddings, 2048);
    assert_int_equal(attention_of(&config)->sliding_window, 0);
    assert_int_equal(config.dtype, ELEMENT_NONE);
    assert_close((double)config.final_norm.eps, (double)1e-6f);
    assert_close(config.ropes[0].theta, 10000);
    assert_int_equal(config.ropes[0].type, ROPE_DEFAULT);
    assert_false(config.tie_word_embeddings || attention_of(&config)->q_bias ||
                 mlp_of(&config)->up_bias);

    config = parse("{" MISTRAL "}");
    assert_string_equal(config.family->model_type, "mistral");
    assert_int_equal(attention_of(&config)->num_key_value_heads, 8); // MistralConfig's own default
    assert_int_equal(config.max_position_embeddings, 131072);
    assert_int_equal(attention_of(&config)->sliding_window, 4096);
}

static void null_is_not_absent(void **state)
{
    (void)state;
    struct model_config config =
        parse("{" MISTRAL ", \"sliding_window\": null, \"num_key_value_heads\": null,"
              "\"head_dim\": null, \"rope_scaling\": null, \"torch_dtype\": null}");
    assert_int_equal(attention_of(&config)->sliding_window, 0);
    assert_int_equal(attention_of(&config)->num_key_value_heads, 16);
    assert_int_equal(attention_of(&config)->head_dim, 8);
    assert_int_equal(config.dtype, ELEMENT_NONE);
}

static void keys_are_read(void **state)
{
    (void)state;
    struct model_config config = parse("{" LLAMA ", \"num_key_value_heads\": 2, \"head_dim\": 16, "
                                       "\"attention_bias\": true, \"mlp_bias\": true,"
                                       "\"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-5, "
                                       "\"max_position_embeddings\": 4096}");
    assert_int_equal(attention_of(&config)->num_key_value_heads, 2);
    assert_int_equal(attention_of(&config)->head_dim, 16);
    assert_true(config.tie_word_embeddings && attention_of(&config)->o_bias &&
                mlp_of(&config)->down_bias);
    assert_close((double)config.final_norm.eps, (double)1e-5f);
    assert_int_equal(config.max_position_embeddings, 4096);
}

static void both_spellings_of_the_type(void **state)
{
    (void)state;
    assert_int_equal(parse("{" LLAMA ", \"torch_dtype\": \"bfloat16\"}").dtype, ELEMENT_BF16);
    assert_int_equal(parse("{" LLAMA ", \"torch_dtype\": \"torch.float16\"}").dtype, ELEMENT_F16);
    assert_int_equal(parse("{" LLAMA ", \"dtype\": \"float32\"}").dtype, ELEMENT_F32);
    assert_int_equal(
        parse("{" LLAMA ", \"dtype\": \"float32\", \"torch_dtype\": \"float16\"}").dtype,
        ELEMENT_F32);
}

// As getattr(torch, …) knows them; what it does not know stops only who asks the file for a type.
static void other_spellings_of_the_type(void **state)
{
    (void)state;
    static const struct {
        const char *value, *fault; // a fault as it stands in the sentence; NULL: `type` is meant
        enum element_type type;
    } cases[] = {
        {"\"half\"", NULL, ELEMENT_F16},
        {"\"float\"", NULL, ELEMENT_F32},
        {"\"double\"", NULL, ELEMENT_F32}, // computed in float32
        {"\"float64\"", NULL, ELEMENT_F32},
        {"\"auto\"", NULL, ELEMENT_NONE},
        {"null", NULL, ELEMENT_NONE},
        {"{}", NULL, ELEMENT_NONE},
        {"\"bf16\"", "is \"bf16\"; expected bfloat16", ELEMENT_NONE},
        {"\"fp16\"", "is \"fp16\"; expected", ELEMENT_NONE},
        {"\"fp32\"", "is \"fp32\"; expected", ELEMENT_NONE},
        {"\"\"", "is \"\"; expected", ELEMENT_NONE},
        {"\"int8\"", "is \"int8\"; expected", ELEMENT_NONE},
        {"\"float8_e4m3fn\"", "is \"float8_e4m3fn\"; expected", ELEMENT_NONE},
        {"16", "is 16; expected", ELEMENT_NONE},
        {"[]", "is an array; expected", ELEMENT_NONE},
        {"{\"\": \"bfloat16\"}", "is an object; expected", ELEMENT_NONE},
    };
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        const char *key = i % 2 ? "dtype" : "torch_dtype", *fault = cases[i / 2].fault;
        char text[512], wanted[128];
        snprintf(text, sizeof text, "{" LLAMA ", \"%s\": %s}", key, cases[i / 2].value);
        struct model_config config = parse(text);
        assert_int_equal(config.dtype, cases[i / 2].type);
        enum status status = model_config_check_dtype(&config, "folder");
        assert_int_equal(status, fault ? ERR_UNSUPPORTED : OK);
        snprintf(wanted, sizeof wanted, "folder: key \"%s\" %s", key, fault ? fault : "");
        if (fault)
            assert_non_null(strstr(status_message(), wanted));
    }
}

static void both_spellings_of_rope(void **state)
{
    (void)state;
    const char *old =
        "{" LLAMA
        ", \"rope_theta\": 500000.0, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}";
    const char *new =
        "{" LLAMA ", \"rope_parameters\": {\"rope_type\": \"linear\", \"rope_theta\": 500000.0,"
        "\"factor\": 2.0}}";
    struct rope_config a = parse(old).ropes[0], b = parse(new).ropes[0];
    assert_int_equal(a.type, ROPE_LINEAR);
    assert_int_equal(b.type, ROPE_LINEAR);
    assert_close(a.theta, 500000);
    assert_close(b.theta, 500000);
    assert_close(a.factor, 2);
    assert_close(b.factor, 2);
    // An empty rope_scaling says nothing; where both speak, rope_scaling wins, as in Transformers.
    static const char *const empty[] = {"{}", "[]", "\"\"", "0", "false", "null"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{" LLAMA ", \"rope_scaling\": %s, \"rope_parameters\": {\"rope_type\": "
                 "\"dynamic\", \"factor\": 2}}",
                 empty[i]);
        assert_int_equal(parse(text).ropes[0].type, ROPE_DYNAMIC);
        snprintf(text, sizeof text, "{" LLAMA ", \"rope_scaling\": %s}", empty[i]);
        assert_int_equal(parse(text).ropes[0].type, ROPE_DEFAULT);
    }
    assert_int_equal(
        parse("{" LLAMA
              ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\":"
              "{\"rope_type\": \"dynamic\", \"factor\": 2}}")
            .ropes[0]
            .type,
        ROPE_LINEAR);
}

static void llama3_and_dynamic_rope(void **state)
{
    (void)state;
    struct rope_config rope =
        parse("{" LLAMA
              ", \"max_position_embeddings\": 131072, \"rope_scaling\": {\"rope_type\": \"llama3\","
              "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
              "\"original_max_position_embeddings\": 8192}}")
            .ropes[0];
    assert_int_equal(rope.type, ROPE_LLAMA3);
    assert_close(rope.low_freq_factor, 1);
    assert_close(rope.high_freq_factor, 4);
    assert_int_equal(rope.original_max_position_embeddings, 8192);

    rope = parse("{" LLAMA
                 ", \"max_position_embeddings\": 1024, \"rope_scaling\": {\"type\": \"dynamic\","
                 "\"factor\": 2, \"original_max_position_embeddings\": 64}}")
               .ropes[0];
    assert_int_equal(rope.type, ROPE_DYNAMIC);
    assert_int_equal(rope.original_max_position_embeddings,
                     1024); // the other key is not read for it
}

static void yarn_rope(void **state)
{
    (void)state;
    struct rope_config rope =
        parse("{" LLAMA ", \"max_position_embeddings\": 1024, \"rope_parameters\":"
              "{\"rope_type\": \"yarn\", \"factor\": 4}}")
            .ropes[0];
    assert_int_equal(rope.type, ROPE_YARN);
    assert_int_equal(rope.original_max_position_embeddings, 1024);
    assert_close(rope.beta_fast, 32);
    assert_close(rope.beta_slow, 1);
    assert_true(rope.attention_factor <= 0 && rope.mscale <= 0 && rope.mscale_all_dim <= 0);
    assert_true(rope.truncate);

    rope =
        parse("{" LLAMA
              ", \"max_position_embeddings\": 1024, \"rope_parameters\": {\"rope_type\": \"yarn\","
              "\"factor\": null, \"original_max_position_embeddings\": 128, \"beta_fast\": 16, "
              "\"beta_slow\": 2,"
              "\"attention_factor\": 1.25, \"mscale\": 1, \"mscale_all_dim\": 0.5, \"truncate\": "
              "false}}")
            .ropes[0];
    assert_close(rope.factor, 8); // max_position_embeddings / original
    assert_close(rope.beta_fast, 16);
    assert_close(rope.beta_slow, 2);
    assert_close(rope.attention_factor, 1.25);
    assert_close(rope.mscale_all_dim, 0.5);
    assert_false(rope.truncate);
    // mscale alone does not count.
    rope =
        parse("{" LLAMA ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"mscale\": 1}}")
            .ropes[0];
    assert_true(rope.mscale <= 0);
    // A length beside the dictionary goes before the one in it.
    rope =
        parse("{" LLAMA
              ", \"original_max_position_embeddings\": 256, \"rope_scaling\": {\"type\": \"yarn\","
              "\"factor\": 4, \"original_max_position_embeddings\": 128}}")
            .ropes[0];
    assert_int_equal(rope.original_max_position_embeddings, 256);
}

static void a_window_of_llama_is_ignored(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    assert_int_equal(window_of("{" LLAMA ", \"sliding_window\": 4096}"), 0);
    log_set_level(LOG_INFO);
    assert_int_equal(
        window_of("{" MISTRAL
                  ", \"sliding_window\": 48, \"layer_types\": [\"sliding_attention\"]}"),
        48);
}

static void real_configs_parse_or_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *refused; // why; NULL: it parses
    } files[] = {
        {"llama-3-8b", NULL}, {"llama-3-70b", NULL}, {"qwen2-0_5b", NULL},
        {"qwen2-72b", NULL},  {"qwen3-0.6b", NULL},  {"qwen3-32b", NULL},
        {"qwen3-30b", NULL},  {"qwen3-235b", NULL},  {"deepseek-r1", NULL},
    };
    if (!have_shared()) {
        print_message("skipped: shared/ is not there\n");
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[FILE_PATH_MAX];
        struct bytes text;
        struct model_config config;
        bytes_init(&text);
        snprintf(path, sizeof path, SHARED_DIR "/data/configs/%s.config.json", files[i].file);
        assert_int_equal(file_read(path, CONFIG_BYTES_MAX, &text), OK);
        enum status status = model_config_parse(path, text.data, text.length, &config);
        bytes_fini(&text);
        assert_int_equal(status, files[i].refused ? ERR_UNSUPPORTED : OK);
        if (files[i].refused)
            assert_non_null(strstr(status_message(), files[i].refused));
    }
}

static void golden_folders_parse(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        enum rope_type rope;
        enum element_type dtype;
        int layers;
    } folders[] = {
        {"llama2", ROPE_DEFAULT, ELEMENT_BF16, 2},
        {"llama3", ROPE_LLAMA3, ELEMENT_BF16, 3},
        {"llama-bias-linear", ROPE_LINEAR, ELEMENT_BF16, 2},
        {"llama-f16-sharded", ROPE_DYNAMIC, ELEMENT_F16, 4},
        {"llama-yarn-f32", ROPE_YARN, ELEMENT_F32, 2},
        {"mistral", ROPE_DEFAULT, ELEMENT_BF16, 3},
    };
    if (!have_shared()) {
        print_message("skipped: shared/ is not there\n");
        return;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[FILE_PATH_MAX];
        struct model_config config;
        snprintf(path, sizeof path, SHARED_DIR "/goldens/%s", folders[i].folder);
        assert_int_equal(model_config_read(path, &config), OK);
        assert_int_equal(config.ropes[0].type, folders[i].rope);
        assert_int_equal(config.dtype, folders[i].dtype);
        assert_int_equal(config.num_hidden_layers, folders[i].layers);
    }
}

#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 128"

// Of a multimodal model the text part is read; what the whole says of ties and types counts.
static void text_parts_are_read(void **state)
{
    (void)state;
    struct model_config config = parse(
        "{\"model_type\": \"mistral3\", \"torch_dtype\": \"float16\", \"text_config\": {" SIZES
        ", \"sliding_window\": null, \"tie_word_embeddings\": false}}");
    assert_string_equal(config.family->model_type, "mistral"); // where it says nothing
    assert_string_equal(config.model_type, "mistral3");
    assert_string_equal(config.architecture, "Mistral3ForConditionalGeneration");
    assert_int_equal(config.dtype, ELEMENT_F16);
    assert_true(config.tie_word_embeddings);
    config =
        parse("{\"model_type\": \"mistral3\", \"tie_word_embeddings\": false, "
              "\"text_config\": {\"model_type\": \"qwen3\", \"dtype\": \"float32\", " SIZES "}}");
    assert_string_equal(config.family->model_type, "qwen3");
    assert_int_equal(config.dtype, ELEMENT_F32);
    assert_false(config.tie_word_embeddings);
    // the newer form and the older one, whose keys are the file's own
    config = parse("{\"architectures\": [\"Qwen2_5_VLForConditionalGeneration\"], "
                   "\"text_config\": {\"tie_word_embeddings\": true, " SIZES "}}");
    assert_string_equal(config.family->model_type, "qwen2_5_vl_text");
    assert_true(config.tie_word_embeddings);
    config =
        parse("{\"model_type\": \"qwen2_5_vl\", " SIZES ", \"rope_scaling\": {\"type\": \"mrope\", "
              "\"mrope_section\": [2, 3, 3]}}");
    assert_string_equal(config.family->model_type, "qwen2_5_vl_text");
    assert_int_equal(config.ropes[0].type, ROPE_DEFAULT);
    assert_close(config.ropes[0].theta, 1000000);
    assert_false(config.tie_word_embeddings);
    config = parse("{\"model_type\": \"qwen3_vl\", \"text_config\": {" SIZES "}}");
    assert_close(config.ropes[0].theta, 500000);
}

static void parts_of_gemma4_differ_by_layer(void **state)
{
    (void)state;
    struct model_config config = parse(
        "{\"model_type\": \"gemma4_text\", \"hidden_size\": 64, \"intermediate_size\": 96, "
        "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
        "\"head_dim\": 8, \"global_head_dim\": 16, \"num_global_key_value_heads\": 1, "
        "\"attention_k_eq_v\": true, \"vocab_size\": 128, \"vocab_size_per_layer_input\": 128, "
        "\"hidden_size_per_layer_input\": 6, \"num_kv_shared_layers\": 2, "
        "\"use_double_wide_mlp\": true, \"layer_types\": [\"sliding_attention\", "
        "\"full_attention\", \"sliding_attention\", \"sliding_attention\"]}");
    static const struct {
        int head_dim, kv_heads, window, source, width;
    } layers[] = {{8, 2, 512, 0, 96}, {16, 1, 0, 1, 96}, {8, 2, 512, 0, 192}, {16, 1, 0, 1, 192}};
    for (int i = 0; i < 4; i++) {
        const struct layer_config *layer = model_config_layer(&config, i);
        const struct attention_config *a = &layer->sublayers[0].attention;
        assert_int_equal(layer->n_sublayers, 3);
        assert_int_equal(a->head_dim, layers[i].head_dim);
        assert_int_equal(a->num_key_value_heads, layers[i].kv_heads);
        assert_int_equal(a->sliding_window, layers[i].window);
        assert_int_equal(config.kv_layer[i], layers[i].source);
        assert_int_equal(a->keys_of_earlier, i >= 2);
        assert_int_equal(a->value_is_key, i == 1);
        assert_int_equal(layer->sublayers[1].mlp.intermediate_size, layers[i].width);
        assert_true(layer->sublayers[2].mlp.times_layer_input && layer->sublayers[2].has_scalar);
        assert_false(layer->sublayers[1].has_scalar);
    }
    assert_int_equal(config.n_ropes, 2);
    assert_int_equal(config.layer_inputs.size, 6);
    assert_close(config.ropes[1].partial_rotary_factor, 0.25);
}

static void refuse(const char *text, const char *a, const char *b)
{
    struct model_config config;
    assert_int_not_equal(model_config_parse("config.json", text, strlen(text), &config), OK);
    if (!strstr(status_message(), a) || !strstr(status_message(), b))
        print_error("%s: %s\n", text, status_message());
    assert_non_null(strstr(status_message(), a));
    assert_non_null(strstr(status_message(), b));
}

// Keys are numbers with zeros before them, as Transformers writes them; the last of a layer counts.
static void gemma4_layers_have_heads_of_their_own(void **state)
{
    (void)state;
#define GEMMA4_OWN(own)                                                                            \
    "{\"model_type\": \"gemma4_text\", \"hidden_size\": 64, \"intermediate_size\": 96, "           \
    "\"num_hidden_layers\": 12, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "          \
    "\"head_dim\": 8, \"hidden_size_per_layer_input\": 0, \"vocab_size\": 128, "                   \
    "\"per_layer_config\": " own "}"
    struct model_config config =
        parse(GEMMA4_OWN("{\"05\": {\"head_dim\": 16}, \"11\": {\"head_dim\": 32, "
                         "\"num_key_value_heads\": 4}, \"3\": {\"head_dim\": 16}, \"03\": {}}"));
    for (int i = 0; i < 12; i++) {
        const struct attention_config *a = &model_config_layer(&config, i)->sublayers[0].attention;
        assert_int_equal(a->head_dim, i == 5 ? 16 : i == 11 ? 32 : 8);
        assert_int_equal(a->num_key_value_heads, i == 11 ? 4 : 2);
    }
    config = parse(GEMMA4_OWN("null")); // not 512, as without the key
    assert_int_equal(model_config_layer(&config, 5)->sublayers[0].attention.head_dim, 8);
    refuse(GEMMA4_OWN("{\"full_attention\": {\"head_dim\": 16}}"), "full_attention",
           "numbers of layers, from 0 to 11");
    refuse(GEMMA4_OWN("{\"12\": {\"head_dim\": 16}}"), "\"12\"", "numbers of layers");
    refuse(GEMMA4_OWN("{\"4\": {\"intermediate_size\": 16}}"), "intermediate_size",
           "may differ by layer");
}

static void unknown_models_name_the_nearest(void **state)
{
    (void)state;
    refuse("{\"model_type\": \"qwen3_omni\"}", "\"qwen3_omni\"", "nearest are qwen3");
    refuse("{\"architectures\": [\"LlamaForSequenceClassification\"]}", "LlamaForSequence",
           "LlamaForCausalLM");
    refuse("{\"model_type\": \"mistral3\", \"text_config\": {\"model_type\": \"mistral5\"}}",
           "config.json: text_config", "mistral");
    refuse("{\"model_type\": \"mistral3\"}", "\"text_config\" is missing", "Mistral3");
    refuse("{\"model_type\": \"mistral3\", \"text_config\": []}", "text_config", "object");
    refuse(
        "{\"model_type\": \"qwen3_vl\", \"text_config\": {\"quantization_config\": {\"bits\": 4}}}",
        "quantization_config", "text_config");
    assert_true(name_distance("qwen3", "qwen3") < name_distance("qwen3", "qwen2"));
    assert_true(name_distance("qwen3_moe", "qwen3") < name_distance("qwen3_moe", "qwen2"));
    assert_true(name_distance("", "llama") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_follow_transformers),
        cmocka_unit_test(null_is_not_absent),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(both_spellings_of_the_type),
        cmocka_unit_test(other_spellings_of_the_type),
        cmocka_unit_test(both_spellings_of_rope),
        cmocka_unit_test(llama3_and_dynamic_rope),
        cmocka_unit_test(yarn_rope),
        cmocka_unit_test(a_window_of_llama_is_ignored),
        cmocka_unit_test(real_configs_parse_or_are_named),
        cmocka_unit_test(golden_folders_parse),
        cmocka_unit_test(text_parts_are_read),
        cmocka_unit_test(parts_of_gemma4_differ_by_layer),
        cmocka_unit_test(gemma4_layers_have_heads_of_their_own),
        cmocka_unit_test(unknown_models_name_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
