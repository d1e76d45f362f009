// What a checkpoint's quantization_config says: how a tool has stored the weights. Which modules
// are stored so, the tensors decide (weight_recipe.h); lists of excluded modules are not read.
//
// Source: compressed-tensors 0.19 (quant_args.py, quant_scheme.py), GPTQModel 7.7
// (quantization/config.py), AutoAWQ 0.2.9, auto-round 0.16, Transformers 5.24
// (utils/quantization_config.py).
#ifndef COLROW_HF_QUANTISATION_H
#define COLROW_HF_QUANTISATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum quant_method {
    QUANT_NONE,
    QUANT_COMPRESSED_TENSORS,
    QUANT_GPTQ, // and auto-round's like it
    QUANT_AWQ,  // and auto-round's like it
    QUANT_FP8,
    QUANT_MXFP4,
    QUANT_BITSANDBYTES,
    QUANT_TORCHAO,
};

// How the weights of compressed-tensors are stored.
enum quant_format {
    QUANT_FORMAT_NONE, // other methods, or not said
    QUANT_PACKED,      // pack-quantized
    QUANT_WHOLE,       // int-quantized, float-quantized, naive-quantized
    QUANT_NVFP4,
    QUANT_MXFP4_PACKED,
    QUANT_MXFP8,
};

enum quant_strategy {
    QUANT_BY_TENSOR,
    QUANT_BY_CHANNEL,
    QUANT_BY_GROUP,
    QUANT_BY_BLOCK,
};

// What is said of a module. Numbers that are not said are 0.
struct quant_scheme {
    enum quant_format format;
    enum quant_strategy strategy;
    int bits;
    bool is_float, symmetric;
    int32_t group;                  // columns of a group; 0: all
    int32_t block[2];               // rows and columns of a block
    bool zeros_less_one;            // GPTQ's first format: what is stored is one less
    bool divides;                   // by what is stored as the scale
    bool quantises_inputs;          // of products, which colrow does not
    bool has_columns_of_any_groups; // compressed-tensors' actorder "group"
};

enum { QUANT_RULES_MAX = 4096, QUANT_PATTERN_BYTES_MAX = 8192, QUANT_GROUP_MAX = 1 << 20 };

struct quantisation; // opaque

// `config` is the value of the key; `where` stands in messages ("folder/config.json: key
// \"quantization_config\""). Refuses methods and forms that no recipe reads. `*out` NULL: it is
// switched off, as merges leave it behind.
enum status quantisation_read(const json_t *config, const char *where,
                              struct quantisation **out) STATUS_MUST_USE;
void quantisation_free(struct quantisation *q); // accepts NULL
// Of a whole config.json, at `path` in messages: its key, or that of its text part.
enum status quantisation_of_config(const json_t *root, const char *path,
                                   struct quantisation **out) STATUS_MUST_USE;
// Of a model's folder: config.json's key, or in its text part; without one what older tools wrote
// beside it (quantize_config.json, quant_config.json). `*out` NULL: the weights are as they are.
enum status quantisation_of_folder(const char *folder, struct quantisation **out) STATUS_MUST_USE;

enum quant_method quantisation_method(const struct quantisation *q); // QUANT_NONE of NULL
const char *quantisation_name(const struct quantisation *q);         // as the file spells it
const char *quantisation_where(const struct quantisation *q);        // for messages
// What is said of the module ("model.layers.0.self_attn.q_proj"). ERR_INPUT when it is in no group.
enum status quantisation_scheme(const struct quantisation *q, const char *module,
                                struct quant_scheme *out) STATUS_MUST_USE;
// Whether the tool meant inputs of products to be quantised, too, which colrow does not.
bool quantisation_is_of_inputs(const struct quantisation *q);
// "gptq: int4, group 128": what most modules have.
void quantisation_show(const struct quantisation *q, char *out, size_t room);
// Of most modules: bits of a weight, with its scale; for plans without the files.
double quantisation_bits(const struct quantisation *q);

#endif
