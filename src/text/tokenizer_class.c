#include "text/tokenizer_class.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

// ---- what the classes of Transformers 5.24 build ----

#define BYTE_MODEL                                                                                 \
    "{\"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": \"\", "               \
    "\"end_of_word_suffix\": \"\", \"fuse_unk\": false, \"byte_fallback\": false, "                \
    "\"ignore_merges\": false}"
#define PIECE_MODEL                                                                                \
    "{\"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "               \
    "\"end_of_word_suffix\": null, \"fuse_unk\": true, \"byte_fallback\": true, "                  \
    "\"ignore_merges\": false}"
#define BYTE_LEVEL(prefix, regex)                                                                  \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": " prefix                                      \
    ", \"trim_offsets\": true, \"use_regex\": " regex "}"
#define METASPACE                                                                                  \
    "{\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": \"%s\", "    \
    "\"split\": false}"
#define REPLACE(from, to)                                                                          \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"" from "\"}, \"content\": \"" to "\"}"
#define PIECES_TO_TEXT                                                                             \
    REPLACE("\xE2\x96\x81", " ") ", {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}"
#define NFC "{\"type\": \"NFC\"}"
// `letters`: what makes a word, `others`: what else is left out of a run of other characters.
#define QWEN_WORDS(letters, marks)                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" letters                          \
    "+|\\\\p{N}| ?[^\\\\s\\\\p{L}" marks                                                           \
    "\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define QWEN_CUT(letters, marks)                                                                   \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "             \
    "{\"Regex\": \"" QWEN_WORDS(letters, marks) "\"}, \"behavior\": \"Isolated\", \"invert\": "    \
                                                "false}, " BYTE_LEVEL("%s", "false") "]}"
#define END_OF_TEXT "<|endoftext|>"

static const struct tokenizer_class file_class = {.name = "TokenizersBackend"};

static const struct tokenizer_class built_classes[] = {
    {.name = "LlamaTokenizer",
     .model = PIECE_MODEL,
     .normalizer = "null",
     .pre_tokenizer = METASPACE,
     .decoder = "{\"type\": \"Sequence\", \"decoders\": [" PIECES_TO_TEXT "%s]}",
     .prefix_space = true,
     .defaults = {{"unk_token", "<unk>"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}}},
    {.name = "CodeLlamaTokenizer",
     .model = PIECE_MODEL,
     .normalizer = "null",
     .pre_tokenizer = METASPACE,
     .decoder = "{\"type\": \"Sequence\", \"decoders\": [" PIECES_TO_TEXT "%s]}",
     .prefix_space = true,
     .names_unk = true,
     .post = POST_BOS,
     .defaults = {{"unk_token", "<unk>"},
                  {"bos_token", "<s>"},
                  {"eos_token", "</s>"},
                  {"prefix_token", "\xE2\x96\x81<PRE>"},
                  {"middle_token", "\xE2\x96\x81<MID>"},
                  {"suffix_token", "\xE2\x96\x81<SUF>"},
                  {"eot_token", "\xE2\x96\x81<EOT>"},
                  {"fill_token", "<FILL_ME>"}}},
    {.name = "GemmaTokenizer",
     .model = PIECE_MODEL,
     .normalizer = REPLACE(" ", "\xE2\x96\x81"),
     .pre_tokenizer = "{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": "
                      "\"MergedWithPrevious\", \"invert\": false}",
     .decoder = "{\"type\": \"Sequence\", \"decoders\": [" PIECES_TO_TEXT "]}",
     .names_unk = true,
     .defaults = {{"unk_token", "<unk>"},
                  {"bos_token", "<bos>"},
                  {"eos_token", "<eos>"},
                  {"pad_token", "<pad>"},
                  {"mask_token", "<mask>"}}},
    {.name = "Qwen2Tokenizer",
     .model = BYTE_MODEL,
     .normalizer = NFC,
     .pre_tokenizer = QWEN_CUT("\\\\p{L}", ""),
     .decoder = BYTE_LEVEL("true", "true"),
     .marks = MARKS_SPECIAL_PLAIN,
     .defaults = {{"unk_token", END_OF_TEXT},
                  {"bos_token", NULL},
                  {"eos_token", END_OF_TEXT},
                  {"pad_token", END_OF_TEXT}}},
    {.name = "Qwen3_5Tokenizer",
     .model = BYTE_MODEL,
     .normalizer = NFC,
     .pre_tokenizer = QWEN_CUT("[\\\\p{L}\\\\p{M}]", "\\\\p{M}"),
     .decoder = BYTE_LEVEL("true", "true"),
     .defaults = {{"unk_token", END_OF_TEXT},
                  {"bos_token", NULL},
                  {"eos_token", END_OF_TEXT},
                  {"pad_token", END_OF_TEXT}}},
    {.name = "GPT2Tokenizer",
     .model = BYTE_MODEL,
     .normalizer = "null",
     .pre_tokenizer = BYTE_LEVEL("%s", "true"),
     .decoder = BYTE_LEVEL("true", "true"),
     .defaults = {{"unk_token", END_OF_TEXT},
                  {"bos_token", END_OF_TEXT},
                  {"eos_token", END_OF_TEXT},
                  {"pad_token", NULL}}},
    {.name = "GPTNeoXTokenizer",
     .model = BYTE_MODEL,
     .normalizer = NFC,
     .pre_tokenizer = BYTE_LEVEL("%s", "true"),
     .decoder = BYTE_LEVEL("true", "true"),
     .post = POST_NONE,
     .defaults = {{"unk_token", END_OF_TEXT},
                  {"bos_token", END_OF_TEXT},
                  {"eos_token", END_OF_TEXT},
                  {"pad_token", "<|padding|>"}}},
    {.name = "CohereTokenizer",
     .model = BYTE_MODEL,
     .normalizer = NFC,
     .pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
                      "\"individual_digits\": true}, " BYTE_LEVEL("%s", "true") "]}",
     .decoder = BYTE_LEVEL("true", "true"),
     .marks = MARKS_SPECIAL,
     .defaults = {{"unk_token", "<UNK>"},
                  {"bos_token", "<BOS_TOKEN>"},
                  {"eos_token", "<|END_OF_TURN_TOKEN|>"},
                  {"pad_token", "<PAD>"},
                  {"cls_token", "<CLS>"},
                  {"sep_token", "<SEP>"},
                  {"mask_token", "<MASK_TOKEN>"}}},
};

// Classes that build something else, and those that are written in Python.
static const char *const other_classes[] = {
    "Albert",
    "Bart",
    "Barthez",
    "Bartpho",
    "BertGeneration",
    "BertJapanese",
    "Bert",
    "Bertweet",
    "BigBird",
    "BioGpt",
    "Blenderbot",
    "BlenderbotSmall",
    "ByT5",
    "CLIP",
    "CTRL",
    "Camembert",
    "Canine",
    "Clvp",
    "CodeGen",
    "Cpm",
    "CpmAnt",
    "Deberta",
    "DebertaV2",
    "Dia",
    "DistilBert",
    "Electra",
    "Esm",
    "Esmc",
    "FNet",
    "FSMT",
    "Flaubert",
    "Funnel",
    "GPTNeoXJapanese",
    "GPTSw3",
    "Herbert",
    "LED",
    "Lasr",
    "LayoutLMv2",
    "LayoutLMv3",
    "LayoutXLM",
    "Longformer",
    "Luke",
    "Lxmert",
    "M2M100",
    "MBart",
    "MBart50",
    "MLuke",
    "MPNet",
    "Marian",
    "MarkupLM",
    "Mgpstr",
    "MobileBert",
    "Mvp",
    "MyT5",
    "Nllb",
    "Nougat",
    "OpenAIGPT",
    "PLBart",
    "Parakeet",
    "Pegasus",
    "Perceiver",
    "Phobert",
    "ProphetNet",
    "Rag",
    "Reformer",
    "RemBert",
    "RoCBert",
    "RoFormer",
    "Roberta",
    "SeamlessM4T",
    "Siglip",
    "Siglip2",
    "Speech2Text",
    "SpeechT5",
    "Splinter",
    "T5",
    "Tapas",
    "Tipsv2",
    "Udop",
    "VideoPrism",
    "Vits",
    "Wav2Vec2CTC",
    "Wav2Vec2PhonemeCTC",
    "Whisper",
    "XGLM",
    "XLM",
    "XLMRoberta",
    "XLNet",
};

// ---- which one counts ----

// AutoTokenizer's table, for models that write text on from a text.
static const struct {
    const char *model_type, *class;
} model_classes[] = {
    {"aria", NULL},
    {"aya_vision", "CohereTokenizer"},
    {"cohere", "CohereTokenizer"},
    {"cohere2", "CohereTokenizer"},
    {"code_llama", "CodeLlamaTokenizer"},
    {"codegen", "GPT2Tokenizer"},
    {"dbrx", "GPT2Tokenizer"},
    {"emu3", "GPT2Tokenizer"},
    {"falcon_mamba", "GPTNeoXTokenizer"},
    {"flex_olmo", NULL},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"gemma3n", "GemmaTokenizer"},
    {"gemma3n_text", "GemmaTokenizer"},
    {"glm", NULL},
    {"glm4", NULL},
    {"glm4_moe", NULL},
    {"glm4_moe_lite", NULL},
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_bigcode", NULL},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"granite", NULL},
    {"granitemoe", NULL},
    {"granitemoehybrid", NULL},
    {"granitemoeshared", NULL},
    {"internvl", "Qwen2Tokenizer"},
    {"jais2", "GPT2Tokenizer"},
    {"kimi_k25", NULL},
    {"kimi_linear", NULL},
    {"mamba", "GPTNeoXTokenizer"},
    {"mamba2", "GPTNeoXTokenizer"},
    {"mimo_v2_flash", NULL},
    {"ministral", NULL},
    {"ministral3", NULL},
    {"mistral", NULL},
    {"mistral3", NULL},
    {"mixtral", NULL},
    {"mpt", "GPTNeoXTokenizer"},
    {"olmo", "GPTNeoXTokenizer"},
    {"olmo2", NULL},
    {"olmo3", NULL},
    {"olmo_hybrid", NULL},
    {"olmoe", "GPTNeoXTokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"persimmon", NULL},
    {"phi", "GPT2Tokenizer"},
    {"pixtral", NULL},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen2_5_vl", "Qwen2Tokenizer"},
    {"qwen2_audio", "Qwen2Tokenizer"},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen2_vl", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"qwen3_5", "Qwen3_5Tokenizer"},
    {"qwen3_5_moe", "Qwen3_5Tokenizer"},
    {"qwen3_5_moe_text", "Qwen3_5Tokenizer"},
    {"qwen3_5_text", "Qwen3_5Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},
    {"qwen3_next", "Qwen2Tokenizer"},
    {"qwen3_omni_moe", "Qwen2Tokenizer"},
    {"qwen3_vl", "Qwen2Tokenizer"},
    {"qwen3_vl_moe", "Qwen2Tokenizer"},
    {"recurrent_gemma", "GemmaTokenizer"},
    {"rwkv", "GPTNeoXTokenizer"},
    {"stablelm", NULL},
    {"starcoder2", "GPT2Tokenizer"},
    {"xlstm", "GPTNeoXTokenizer"},
    {"zaya", "GemmaTokenizer"},
};

// Models whose published tokenizer_class is wrong: AutoTokenizer's table counts instead.
static const char *const wrongly_named[] = {
    "arctic",      "chatlm",    "ernie4_5",  "ernie4_5_moe", "fuyu",         "h2ovl_chat",
    "hyperclovax", "internlm2", "internlm3", "iquestcoder",  "jamba",        "llava",
    "llava_next",  "minicpm3",  "minicpmv",  "minimax_m2",   "molmo",        "molmo2",
    "nemotron",    "nvfp4",     "opencua",   "openvla",      "paddleocr_vl", "phi3",
    "phi3_v",      "phimoe",    "qwen2",     "qwen3_5",      "qwen3_5_moe",  "qwen3_5_moe_text",
    "step3_vl",    "vipllava",  "smolvlm",
};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

// "XTokenizerFast" and "XTokenizer" are one class.
static bool same_class(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    n -= n >= 4 && strcmp(a + n - 4, "Fast") == 0 ? 4 : 0;
    m -= m >= 4 && strcmp(b + m - 4, "Fast") == 0 ? 4 : 0;
    return n == m && memcmp(a, b, n) == 0;
}

static bool is_wrongly_named(const char *model_type)
{
    for (size_t i = 0; i < sizeof wrongly_named / sizeof *wrongly_named; i++)
        if (strcmp(model_type, wrongly_named[i]) == 0)
            return true;
    return false;
}

// `*class` is NULL where the table says that tokenizer.json counts.
static bool class_of_model(const char *model_type, const char **class)
{
    *class = NULL;
    for (size_t i = 0; i < sizeof model_classes / sizeof *model_classes; i++) {
        if (strcmp(model_type, model_classes[i].model_type) == 0) {
            *class = model_classes[i].class;
            return true;
        }
    }
    return is_wrongly_named(model_type);
}

static enum status class_named(const char *name, const char *where,
                               const struct tokenizer_class **out)
{
    char full[64];
    *out = &file_class;
    for (size_t i = 0; i < sizeof built_classes / sizeof *built_classes; i++)
        if (same_class(name, built_classes[i].name))
            *out = &built_classes[i];
    for (size_t i = 0; i < sizeof other_classes / sizeof *other_classes; i++) {
        snprintf(full, sizeof full, "%sTokenizer", other_classes[i]);
        if (same_class(name, full))
            return fail(ERR_UNSUPPORTED,
                        "%s: key \"tokenizer_class\" is \"%.60s\", whose rules are not supported; "
                        "expected LlamaTokenizer, Qwen2Tokenizer, GemmaTokenizer, GPT2Tokenizer "
                        "or another BPE tokenizer",
                        where, name);
    }
    return OK;
}

static const char *declared_class(const json_t *config, const json_t *model_config)
{
    const char *name = text_of(config, "tokenizer_class");
    return name && name[0] ? name : text_of(model_config, "tokenizer_class");
}

// A tokenizer written in Python comes with the model: AutoTokenizer takes the class by its name.
static bool has_own_code(const json_t *config)
{
    const json_t *map = json_object_get(config, "auto_map");
    if (json_is_array(map))
        return true;
    const json_t *own = json_object_get(map, "AutoTokenizer");
    return own && !json_is_null(own);
}

bool tokenizer_class_asks_byte_level(const json_t *config, const json_t *model_config)
{
    const char *name = declared_class(config, model_config);
    return name && same_class(name, "LlamaTokenizer");
}

enum status tokenizer_class_choose(const json_t *config, const json_t *model_config,
                                   const char *where, bool byte_level,
                                   const struct tokenizer_class **out)
{
    assert(where && out);
    const char *declared = declared_class(config, model_config);
    const char *model_type = text_of(model_config, "model_type"), *usual;
    if (!model_type)
        model_type = "";
    bool known = class_of_model(model_type, &usual), wrong = is_wrongly_named(model_type);
    *out = &file_class;
    if (!declared)
        return usual ? class_named(usual, where, out) : OK;
    if (has_own_code(config) && !wrong)
        return class_named(declared, where, out);
    if (same_class(declared, "LlamaTokenizer") && byte_level && !wrong)
        return OK;
    if (known && (!usual || !same_class(usual, declared)))
        return usual ? class_named(wrong ? usual : declared, where, out) : OK;
    return class_named(declared, where, out);
}

// ---- building ----

static enum status set_json(json_t *root, const char *key, const char *format, const char *insert)
{
    struct bytes text;
    json_t *value = NULL;
    const char *at = strstr(format, "%s");
    bytes_init(&text);
    enum status status;
    size_t before = at ? (size_t)(at - format) : strlen(format);
    TRY_DONE(bytes_append(&text, format, before));
    if (at)
        TRY_DONE(bytes_text(&text, insert));
    if (at)
        TRY_DONE(bytes_text(&text, at + 2));
    value = json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL);
    assert(value); // a class's own JSON is well-formed
    status = json_object_set_new(root, key, value) == 0 ? OK : fail_memory(0, "a tokenizer class");
done:
    bytes_fini(&text);
    return status;
}

static bool flag_of(const json_t *config, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(config, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static enum status set_model(const struct tokenizer_class *class, const char *unk, json_t *root)
{
    json_t *model = json_object_get(root, "model"), *options;
    if (!json_is_object(model)) // the reader says so
        return OK;
    TRY(set_json(root, "class_options", class->model, ""));
    options = json_object_get(root, "class_options");
    int failed = json_object_update(model, options);
    failed |= json_object_del(root, "class_options");
    if (class->names_unk)
        failed |= json_object_set_new(model, "unk_token", json_string(unk ? unk : "None"));
    return failed ? fail_memory(0, "a tokenizer class") : OK;
}

enum status tokenizer_class_apply(const struct tokenizer_class *class, const json_t *config,
                                  const char *unk, json_t *root)
{
    assert(class && root);
    if (!class->model)
        return OK;
    assert(class->normalizer && class->pre_tokenizer && class->decoder);
    bool space = flag_of(config, "add_prefix_space", class->prefix_space);
    bool code = strcmp(class->name, "CodeLlamaTokenizer") == 0;
    bool legacy = !code && flag_of(config, "legacy", false);
    bool pieces = strstr(class->pre_tokenizer, "Metaspace") != NULL;
    const char *scheme = !space ? "never" : legacy ? "always" : "first";
    const char *strip = ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}";
    TRY(set_model(class, unk, root));
    TRY(set_json(root, "normalizer", class->normalizer, ""));
    TRY(set_json(root, "pre_tokenizer", class->pre_tokenizer,
                 pieces  ? scheme
                 : space ? "true"
                         : "false"));
    TRY(set_json(root, "decoder", class->decoder, space || code ? strip : ""));
    return class->post == POST_OF_FILE ? OK : set_json(root, "post_processor", "null", "");
}
