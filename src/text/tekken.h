// tekken.json, the tokenizer file of mistral-common: tiktoken's ranks as JSON, the pattern that
// cuts texts, and control tokens, whose ids come first.
#ifndef COLROW_TEXT_TEKKEN_H
#define COLROW_TEXT_TEKKEN_H

#include <jansson.h>

#include "base/status.h"
#include "text/added_tokens.h"
#include "text/tiktoken.h"

// The vocabulary, with its ids as ranks, and the rest of the file. `ranks` is the caller's to
// release in any case, `*settings` (NULL when it fails) too.
enum status tekken_parse(const char *where, const char *text, size_t length, struct tiktoken *ranks,
                         json_t **settings) STATUS_MUST_USE;
// Which of the control tokens have a name, where no file beside it says so.
enum status tekken_tokens(struct tokenizer_config *config) STATUS_MUST_USE;
// Makes a tokenizer.json without vocabulary.
enum status tekken_root(const json_t *settings, json_t **root) STATUS_MUST_USE;
// Control tokens, at their ids.
enum status tekken_add_tokens(const json_t *settings, const char *where,
                              struct added_tokens *added) STATUS_MUST_USE;

#endif
