// What all requests share: the model's names, its limits and its texts. Immutable while the server
// runs, so that any thread may use it.
#ifndef COLROW_SERVER_API_MODEL_H
#define COLROW_SERVER_API_MODEL_H

#include <colrow/colrow.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/splits.h"

struct api_model {
    const char *folder;
    const struct kernels *kernels;    // for log-probabilities of prompts
    struct colrow_tokenizer *texts;   // the engine's, shared
    const struct chat_template *chat; // of `texts`, or own_chat; NULL: none
    struct chat_template *own_chat;   // --chat-template
    bool knows_developer;             // the template has a role "developer"
    const char *const *names;         // names[0] stands in answers
    int n_names;
    const char *alias; // one more name, which answers repeat when a request used it; or NULL
    int64_t max_model_len;
    int32_t vocab_size;
    int max_logprobs;
    int max_num_seqs;
    bool prompt_tokens_details;
    bool prompt_logprobs;            // the engine has room for them
    struct colrow_sampling defaults; // generation_config.json's, else vLLM's
    int64_t default_max_tokens;      // of generation_config.json (max_new_tokens); 0: none
    char fingerprint[112];
    json_t *tokenizer_config; // of the folder; NULL: none
    int32_t eos_id;           // tokenizer_config's eos_token, -1: unknown
    int token_chars_max;      // of the longest token: bounds a text's tokens from below
    int64_t created;
};

// Reads what the folder's small files say; the rest are defaults, for the caller to change. Folder
// and names are borrowed. `info` and `texts` are the engine's; the latter is shared.
enum status api_model_open(struct api_model *model, const char *folder,
                           struct colrow_tokenizer *texts, const struct colrow_info *info,
                           const char *const *names, int n_names) STATUS_MUST_USE;
// A template in place of the folder's.
enum status api_model_template(struct api_model *model, const char *path) STATUS_MUST_USE;
void api_model_close(struct api_model *model);

// ---- texts ----

struct token_list {
    int32_t *ids; // heap
    int n;
};
enum status api_encode(const struct api_model *model, const char *text, size_t length,
                       bool add_special_tokens, struct token_list *out) STATUS_MUST_USE;
enum status api_decode(const struct api_model *model, const int32_t *ids, int n,
                       bool skip_special_tokens, struct bytes *out) STATUS_MUST_USE;
// The token as it stands in tokenizer.json; false: there is none with this id.
bool api_token_piece(const struct api_model *model, int32_t id, const char **text, size_t *length);
// What api_token_text() works in, kept by an answer for all of its tokens.
struct token_text_buffers {
    struct decode_buffers decoding;
    struct bytes whole, context;
};
void token_text_buffers_init(struct token_text_buffers *buffers);
void token_text_buffers_fini(struct token_text_buffers *buffers);
// Appends the text of one token behind others, as log-probabilities show it: "" while it is part
// of a character.
enum status api_token_text(const struct api_model *model, const int32_t *before, int n_before,
                           int32_t id, struct token_text_buffers *buffers,
                           struct bytes *out) STATUS_MUST_USE;

// A chat to text, as Transformers' apply_chat_template().
struct chat_request;
enum status api_render_chat(const struct api_model *model, const struct chat_request *request,
                            struct bytes *out) STATUS_MUST_USE;
// The folder's tokenizer; NULL: it has none.
const struct tokenizer *api_tokenizer(const struct api_model *model);

#endif
