// A Llama of two layers with random weights and a tokenizer of single bytes, in a temporary folder:
// what engine tests open.
#ifndef COLROW_TESTS_TOY_LLAMA_H
#define COLROW_TESTS_TOY_LLAMA_H

#include "testing.h"

#include "base/file.h"
#include "device/number.h"
#include "hf/safetensors.h"
#include "text/unicode.h"

enum {
    TOY_HIDDEN = 64,
    TOY_INTERMEDIATE = 96,
    TOY_LAYERS = 2,
    TOY_HEADS = 8,
    TOY_KV_HEADS = 4,
    TOY_VOCAB = 260, // 256 bytes, <s>, </s>, and two that no token has
    TOY_POSITIONS = 512,
    TOY_BOS = 256,
    TOY_EOS = 257,
};

struct toy_llama {
    char folder[64];
};

static inline void toy_write(const struct toy_llama *toy, const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(toy->folder, name, path), OK);
    assert_int_equal(file_write(path, text, strlen(text)), OK);
}

static inline void toy_write_config(const struct toy_llama *toy)
{
    char config[1024];
    snprintf(
        config, sizeof config,
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":%d,"
        "\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_"
        "value_heads\":%d,"
        "\"vocab_size\":%d,\"max_position_embeddings\":%d,\"rms_norm_eps\":1e-5,\"rope_theta\":"
        "10000.0,"
        "\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\",\"hidden_act\":\"silu\",\"bos_"
        "token_id\":%d,"
        "\"eos_token_id\":%d}",
        TOY_HIDDEN, TOY_INTERMEDIATE, TOY_LAYERS, TOY_HEADS, TOY_KV_HEADS, TOY_VOCAB, TOY_POSITIONS,
        TOY_BOS, TOY_EOS);
    toy_write(toy, "config.json", config);
    toy_write(toy, "tokenizer_config.json",
              "{\"bos_token\":\"<s>\",\"chat_template\":\"{% for m in messages %}{{ m['role'] }}: "
              "{{ m['content'] }}\\n"
              "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}\"}");
}

static inline void toy_write_tokenizer(const struct toy_llama *toy)
{
    struct bytes text;
    bytes_init(&text);
    enum status status = bytes_text(
        &text,
        "{\"version\":\"1.0\",\"added_tokens\":["
        "{\"id\":256,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,"
        "\"special\":true},"
        "{\"id\":257,\"content\":\"</"
        "s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
        "\"special\":true}],\"normalizer\":null,"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":"
        "true,\"use_regex\":true},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"<s>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_"
        "id\":0}},"
        "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[256],\"tokens\":[\"<s>\"]}}},"
        "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_"
        "regex\":true},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_"
        "prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{");
    for (int byte = 0; byte < 256 && status == OK; byte++) {
        struct byte_letter letter = byte_to_letter((uint8_t)byte);
        const char *escape = letter.text[0] == '"' || letter.text[0] == '\\' ? "\\" : "";
        status = bytes_format(&text, "%s\"%s%.*s\":%d", byte ? "," : "", escape, (int)letter.length,
                              letter.text, byte);
    }
    if (status == OK)
        status = bytes_text(&text, "},\"merges\":[]}}");
    assert_int_equal(status, OK);
    toy_write(toy, "tokenizer.json", text.data);
    bytes_fini(&text);
}

static const struct toy_part {
    const char *name;
    int64_t rows, columns; // columns 0: a vector
    float scale, offset;
} toy_parts[] = {
    {"self_attn.q_proj", TOY_HIDDEN, TOY_HIDDEN, 0.3f, 0},
    {"self_attn.k_proj", TOY_HIDDEN / 2, TOY_HIDDEN, 0.3f, 0},
    {"self_attn.v_proj", TOY_HIDDEN / 2, TOY_HIDDEN, 0.3f, 0},
    {"self_attn.o_proj", TOY_HIDDEN, TOY_HIDDEN, 0.3f, 0},
    {"mlp.gate_proj", TOY_INTERMEDIATE, TOY_HIDDEN, 0.3f, 0},
    {"mlp.up_proj", TOY_INTERMEDIATE, TOY_HIDDEN, 0.3f, 0},
    {"mlp.down_proj", TOY_HIDDEN, TOY_INTERMEDIATE, 0.3f, 0},
    {"input_layernorm", TOY_HIDDEN, 0, 0.1f, 1},
    {"post_attention_layernorm", TOY_HIDDEN, 0, 0.1f, 1},
    {"model.embed_tokens", TOY_VOCAB, TOY_HIDDEN, 0.8f, 0}, // from here on once, not for each layer
    {"lm_head", TOY_VOCAB, TOY_HIDDEN, 0.8f, 0},
    {"model.norm", TOY_HIDDEN, 0, 0.1f, 1},
};
enum {
    TOY_LAYER_PARTS = 9,
    TOY_PARTS = 12,
    TOY_TENSORS = TOY_LAYER_PARTS * TOY_LAYERS + TOY_PARTS - TOY_LAYER_PARTS
};

static inline const struct toy_part *toy_part_of(int tensor)
{
    int layered = TOY_LAYER_PARTS * TOY_LAYERS;
    return &toy_parts[tensor < layered ? tensor % TOY_LAYER_PARTS
                                       : TOY_LAYER_PARTS + tensor - layered];
}

// splitmix64 of a counter, spread evenly around zero
static inline float toy_random(uint64_t *state, float scale)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return ((float)(x >> 40) * 0x1p-24f * 2 - 1) * scale;
}

static inline void toy_write_weights(const struct toy_llama *toy, uint64_t seed)
{
    struct tensor_spec specs[TOY_TENSORS];
    char names[TOY_TENSORS][96], path[FILE_PATH_MAX];
    for (int i = 0; i < TOY_TENSORS; i++) {
        const struct toy_part *part = toy_part_of(i);
        if (i < TOY_LAYER_PARTS * TOY_LAYERS)
            snprintf(names[i], sizeof names[i], "model.layers.%d.%s.weight", i / TOY_LAYER_PARTS,
                     part->name);
        else
            snprintf(names[i], sizeof names[i], "%s.weight", part->name);
        specs[i] = (struct tensor_spec){.name = names[i],
                                        .type = ELEMENT_BF16,
                                        .n_dimensions = part->columns ? 2 : 1,
                                        .shape = {part->rows, part->columns}};
    }
    struct safetensors_writer *writer;
    assert_int_equal(file_join(toy->folder, "model.safetensors", path), OK);
    assert_int_equal(safetensors_create(path, specs, TOY_TENSORS, NULL, 0, &writer), OK);
    for (int i = 0; i < TOY_TENSORS; i++) {
        const struct toy_part *part = toy_part_of(i);
        size_t count = (size_t)part->rows * (size_t)(part->columns ? part->columns : 1);
        bf16 *data = malloc(count * sizeof *data);
        for (size_t k = 0; k < count; k++)
            data[k] = bf16_of_float(toy_random(&seed, part->scale) + part->offset);
        assert_int_equal(safetensors_write(writer, data, count * sizeof *data), OK);
        free(data);
    }
    assert_int_equal(safetensors_finish(writer), OK);
}

static inline void toy_llama_new(struct toy_llama *toy)
{
    snprintf(toy->folder, sizeof toy->folder, "/tmp/colrow-toy-XXXXXX");
    assert_non_null(mkdtemp(toy->folder));
    toy_write_config(toy);
    toy_write_tokenizer(toy);
    toy_write_weights(toy, 42);
}

static inline void toy_llama_free(struct toy_llama *toy)
{
    const char *names[] = {"config.json", "tokenizer_config.json", "tokenizer.json",
                           "model.safetensors"};
    char path[FILE_PATH_MAX];
    for (int i = 0; i < 4; i++)
        if (file_join(toy->folder, names[i], path) == OK)
            unlink(path);
    assert_int_equal(rmdir(toy->folder), 0);
}

// The one of a test program, for its whole run.
static struct toy_llama toy;

static inline int toy_set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    return 0;
}

static inline int toy_tear_down(void **state)
{
    (void)state;
    toy_llama_free(&toy);
    return 0;
}

#endif
