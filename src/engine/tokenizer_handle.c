#include "engine/tokenizer_handle.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "hf/model_folder.h"

static enum status read_files(struct colrow_tokenizer *handle)
{
    if (tokenizer_there(handle->model)) // prompts may come as ids
        TRY(tokenizer_open(handle->model, &handle->tokenizer));
    if (chat_template_open(handle->model, &handle->chat) == OK)
        return OK;
    // only who applies it has to know
    handle->chat = NULL;
    return memory_text(status_message(), &handle->chat_error);
}

enum status tokenizer_handle_open(const char *model, struct colrow_tokenizer **out)
{
    struct colrow_tokenizer *handle;
    if (strlen(model) >= FILE_PATH_MAX)
        return fail(ERR_USAGE, "a path is longer than %d bytes", FILE_PATH_MAX - 1);
    TRY(memory_new(1, sizeof *handle, "a tokenizer", &handle));
    atomic_init(&handle->n_owners, 1);
    snprintf(handle->model, sizeof handle->model, "%s", model);
    enum status status = read_files(handle);
    if (status != OK)
        colrow_tokenizer_close(handle);
    else
        *out = handle;
    return status;
}

static enum status need_tokenizer(const struct colrow_tokenizer *handle)
{
    return handle->tokenizer ? OK : fail(ERR_REQUEST, "%s has no tokenizer.json", handle->model);
}

static enum status open_tokenizer_of(const char *model, struct colrow_tokenizer **out)
{
    char folder[FILE_PATH_MAX];
    TRY(model_folder_find(model, folder));
    return tokenizer_handle_open(folder, out);
}

int colrow_tokenizer_open(const char *model, struct colrow_tokenizer **out)
{
    *out = NULL;
    enum status status = model ? open_tokenizer_of(model, out)
                               : fail(ERR_USAGE, "no model is named; give a HuggingFace folder");
    if (status == OK && !(*out)->tokenizer) {
        status = fail(ERR_INPUT, "%s has no tokenizer.json", model);
        colrow_tokenizer_close(*out);
        *out = NULL;
    }
    return engine_result(status);
}

struct colrow_tokenizer *colrow_tokenizer_share(struct colrow_tokenizer *handle)
{
    // relaxed: who shares owns it already, and it does not change
    int before = atomic_fetch_add_explicit(&handle->n_owners, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return handle;
}

void colrow_tokenizer_close(struct colrow_tokenizer *handle)
{
    // acq_rel: all that others did with it is over before the last one frees it
    if (!handle || atomic_fetch_sub_explicit(&handle->n_owners, 1, memory_order_acq_rel) > 1)
        return;
    tokenizer_close(handle->tokenizer);
    chat_template_close(handle->chat);
    free(handle->chat_error);
    free(handle);
}

struct colrow_tokenizer *colrow_get_tokenizer(const struct colrow_engine *engine)
{
    return colrow_tokenizer_share(engine->text);
}

static enum status encode(const struct colrow_tokenizer *handle, const char *text, size_t length,
                          bool add_special_tokens, struct token_ids *out)
{
    TRY(need_tokenizer(handle));
    TRY(tokenizer_encode(handle->tokenizer, text, length, add_special_tokens, out));
    // never NULL for the caller
    TRY(memory_grow(&out->ids, &out->capacity, 1, sizeof *out->ids, "token ids"));
    return out->n <= INT32_MAX ? OK : fail(ERR_TOO_LARGE, "the text has %zu tokens", out->n);
}

int colrow_tokenizer_encode(const struct colrow_tokenizer *handle, const char *text, size_t length,
                            int add_special_tokens, int32_t **ids, int *n_ids)
{
    struct token_ids list;
    token_ids_init(&list);
    enum status status =
        encode(handle, text, length ? length : strlen(text), add_special_tokens != 0, &list);
    if (status != OK) {
        token_ids_fini(&list);
        return engine_result(of_a_request(status));
    }
    *ids = list.ids;
    *n_ids = (int)list.n;
    return 0;
}

// A byte string becomes the caller's.
static int give_handle_text(enum status status, struct bytes *bytes, char **text, size_t *length)
{
    if (status == OK)
        status = bytes_append(bytes, "", 0); // never NULL
    if (status != OK) {
        bytes_fini(bytes);
        return engine_result(of_a_request(status));
    }
    *text = bytes->data;
    if (length)
        *length = bytes->length;
    return 0;
}

int colrow_tokenizer_decode(const struct colrow_tokenizer *handle, const int32_t *ids, int n_ids,
                            int skip_special_tokens, char **text, size_t *length)
{
    struct bytes bytes;
    bytes_init(&bytes);
    enum status status = need_tokenizer(handle);
    if (status == OK && n_ids > 0)
        status = tokenizer_decode(handle->tokenizer, ids, (size_t)n_ids, skip_special_tokens != 0,
                                  &bytes);
    return give_handle_text(status, &bytes, text, length);
}

static enum status render(const struct colrow_tokenizer *handle,
                          const struct colrow_message *messages, int n, bool add_generation_prompt,
                          struct bytes *out)
{
    if (!handle->chat)
        return fail(ERR_REQUEST, "%s", handle->chat_error);
    if (n < 1)
        return fail(ERR_REQUEST, "the chat has no messages");
    struct chat_message *copies;
    TRY(memory_new((size_t)n, sizeof *copies, "messages", &copies));
    for (int i = 0; i < n; i++)
        copies[i] = (struct chat_message){messages[i].role, messages[i].content};
    enum status status = chat_template_render(handle->chat, copies, n, add_generation_prompt, out);
    free(copies);
    return status;
}

int colrow_tokenizer_apply_chat_template(const struct colrow_tokenizer *handle,
                                         const struct colrow_message *messages, int n,
                                         int add_generation_prompt, char **text, size_t *length)
{
    struct bytes bytes;
    bytes_init(&bytes);
    enum status status = render(handle, messages, n, add_generation_prompt != 0, &bytes);
    return give_handle_text(status, &bytes, text, length);
}

// ---- the engine's own

int colrow_encode(const struct colrow_engine *engine, const char *text, int add_special_tokens,
                  int32_t **ids, int *n_ids)
{
    return colrow_tokenizer_encode(engine->text, text, 0, add_special_tokens, ids, n_ids);
}

int colrow_decode(const struct colrow_engine *engine, const int32_t *ids, int n_ids,
                  int skip_special_tokens, char **text)
{
    return colrow_tokenizer_decode(engine->text, ids, n_ids, skip_special_tokens, text, NULL);
}

int colrow_apply_chat_template(const struct colrow_engine *engine,
                               const struct colrow_message *messages, int n,
                               int add_generation_prompt, char **text)
{
    return colrow_tokenizer_apply_chat_template(engine->text, messages, n, add_generation_prompt,
                                                text, NULL);
}
