// A tokenizer from a model of SentencePiece, as Transformers 5.24 makes it
// (convert_slow_tokenizer.py, tokenization_utils_tokenizers.py): a class that builds its own rules
// takes the pieces as a BPE vocabulary; else the model's own settings count.
#ifndef COLROW_TEXT_PIECE_TOKENIZER_H
#define COLROW_TEXT_PIECE_TOKENIZER_H

#include <jansson.h>

#include "text/sentencepiece.h"
#include "text/tokenizer_parts.h"

// Tells `config` which tokens the model brings along; before tokenizer_config_resolve().
enum status piece_tokens(const struct sentencepiece *model,
                         struct tokenizer_config *config) STATUS_MUST_USE;
// Makes a tokenizer.json without vocabulary, for classes that build no rules of their own.
enum status piece_root(const struct sentencepiece *model, const struct tokenizer_config *config,
                       json_t **root) STATUS_MUST_USE;
// Fills the tokenizer's model; `options` is the JSON of a model without vocabulary.
enum status piece_model(const struct sentencepiece *model, const struct tokenizer_config *config,
                        const json_t *options, const char *where,
                        struct tokenizer *tokenizer) STATUS_MUST_USE;

#endif
