// HuggingFace's tokenizer.json: text to token ids and back, exactly as the package `tokenizers`
// does it.
//
// Understood: BPE, Unigram, WordPiece and WordLevel models, and the normalizers, pre-tokenizers,
// decoders and post-processors that their files use. Everything else is refused by name.
#ifndef COLROW_TEXT_TOKENIZER_H
#define COLROW_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/token_ids.h"

enum { TOKENIZER_TEXT_BYTES_MAX = 256 * 1024 * 1024 }; // of one text to encode

struct tokenizer; // immutable after opening: any number of threads may use it

// True when the folder has one of the files from which a tokenizer can be made.
bool tokenizer_there(const char *folder);
// Reads `folder`/tokenizer.json, or what stands for it (vocab_files.h), and what the files beside
// it say about tokens and class (tokenizer_config.h).
enum status tokenizer_open(const char *folder, struct tokenizer **out) STATUS_MUST_USE;
// tokenizer.json alone, from memory; `name` stands in messages.
enum status tokenizer_parse(const char *name, const char *text, size_t length,
                            struct tokenizer **out) STATUS_MUST_USE;
// The same with tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json,
// each of which may be NULL.
enum status tokenizer_parse_files(const char *name, const char *text, size_t length,
                                  const char *const files[4],
                                  struct tokenizer **out) STATUS_MUST_USE;
// From what stands for a tokenizer.json: a text by the name of a tokenizer.model, ... or
// vocab.json, which has merges beside it (else NULL).
enum status tokenizer_parse_vocab(const char *name, const struct bytes *text,
                                  const struct bytes *merges, const char *const config_files[4],
                                  struct tokenizer **out) STATUS_MUST_USE;
void tokenizer_close(struct tokenizer *tokenizer); // accepts NULL

// Appends the ids of `text` (UTF-8; anything else is ERR_INPUT) to `out`, which the caller
// initialises. `add_special_tokens`: with what the post-processor puts before and after, such as
// "<s>".
enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                             bool add_special_tokens, struct token_ids *out) STATUS_MUST_USE;
// Appends the text of `ids` to `out`. Ids that no token has add nothing.
enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                             bool skip_special_tokens, struct bytes *out) STATUS_MUST_USE;
// The same in buffers that the caller keeps (splits.h).
struct decode_buffers;
enum status tokenizer_decode_in(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                                bool skip_special_tokens, struct decode_buffers *buffers,
                                struct bytes *out) STATUS_MUST_USE;

int32_t tokenizer_vocab_size(const struct tokenizer *tokenizer); // largest id + 1
// The token as it stands in tokenizer.json (NUL-terminated); NULL when the id has none.
const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *length);
int32_t tokenizer_find(const struct tokenizer *tokenizer,
                       const char *token); // its id, -1 when there is none
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);
// The id of the folder's eos_token, which ends an answer; -1 when it names none.
int32_t tokenizer_eos_id(const struct tokenizer *tokenizer);

#endif
