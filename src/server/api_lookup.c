#include "server/api_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/api_chat.h"
#include "server/json_writer.h"
#include "text/tokenizer.h"

// ---- /tokenize ----

static bool write_tokens(const struct api_model *model, const struct token_list *tokens,
                         bool with_pieces, struct bytes *out, struct api_fault *fault)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    json_open_object(&writer, NULL);
    json_put_int(&writer, "count", tokens->n);
    json_put_int(&writer, "max_model_len", model->max_model_len);
    json_open_list(&writer, "tokens");
    for (int i = 0; i < tokens->n; i++)
        json_put_int(&writer, NULL, tokens->ids[i]);
    json_close_list(&writer);
    if (with_pieces) {
        json_open_list(&writer, "token_strs");
        for (int i = 0; i < tokens->n; i++) {
            const char *piece;
            size_t length;
            if (api_token_piece(model, tokens->ids[i], &piece, &length))
                json_put_string(&writer, NULL, piece, length);
            else
                json_put_null(&writer, NULL);
        }
        json_close_list(&writer);
    } else {
        json_put_null(&writer, "token_strs");
    }
    json_close_object(&writer);
    return fault_of_status(fault, writer.status);
}

static bool text_of_messages(const struct api_model *model, struct api_fields *fields,
                             const json_t *messages, struct bytes *text)
{
    struct api_request request;
    api_request_init(&request, API_CHAT);
    request.only_tokens = true;
    bool good = chat_to_text(&request, fields, messages, model, text);
    api_request_fini(&request);
    return good;
}

bool tokenize_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                     struct api_fault *fault)
{
    struct api_fields fields = {body, "body", fault};
    const json_t *messages = NULL;
    const char *prompt = NULL, *name;
    size_t length = 0;
    bool with_pieces = false, is_chat = json_object_get(body, "messages") != NULL;
    bool add_special_tokens = !is_chat;
    struct bytes text;
    bytes_init(&text);
    field_bool(&fields, "return_token_strs", NULL_IS_ABSENT, &with_pieces);
    field_bool(&fields, "add_special_tokens", NULL_REFUSED, &add_special_tokens);
    bool good = false;
    if (is_chat)
        good = field_list(&fields, "messages", NULL_REFUSED, &messages) &&
               api_model_check(body, model, fault, &name) &&
               text_of_messages(model, &fields, messages, &text);
    else if (field_string(&fields, "prompt", NULL_REFUSED, &prompt, &length))
        good = api_model_check(body, model, fault, &name) &&
               fault_of_status(fault, bytes_append(&text, prompt, length));
    else if (!fault->status)
        fault_in_body(fault, "body.prompt", "expected prompt, a string, or messages, a list");
    struct token_list tokens = {0};
    good = good && !fault->status &&
           fault_of_status(fault, api_encode(model, text.length ? text.data : "", text.length,
                                             add_special_tokens, &tokens)) &&
           write_tokens(model, &tokens, with_pieces, out, fault);
    free(tokens.ids);
    bytes_fini(&text);
    return good;
}

// ---- /detokenize ----

static bool read_token_list(const json_t *list, struct token_list *tokens, struct api_fault *fault)
{
    size_t n = json_array_size(list);
    if (!fault_of_status(fault, memory_new(n + 1, sizeof *tokens->ids, "tokens", &tokens->ids)))
        return false;
    for (size_t i = 0; i < n; i++) {
        char path[64];
        int64_t id;
        snprintf(path, sizeof path, "body.tokens.%zu", i);
        if (!value_int(fault, path, json_array_get(list, i), 0, INT64_MAX, &id))
            return false;
        if (id > UINT32_MAX)
            return fault_of_field(fault, NULL, "tokens holds %lld, which is no token id",
                                  (long long)id);
        if (id <= INT32_MAX) // what no token has adds no text
            tokens->ids[tokens->n++] = (int32_t)id;
    }
    return true;
}

bool detokenize_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                       struct api_fault *fault)
{
    struct api_fields fields = {body, "body", fault};
    const json_t *list;
    const char *name;
    struct token_list tokens = {0};
    struct bytes text;
    bytes_init(&text);
    bool good = field_list(&fields, "tokens", NULL_REFUSED, &list);
    if (!good && !fault->status)
        fault_in_body(fault, "body.tokens", "tokens is missing; expected a list of token ids");
    good = good && read_token_list(list, &tokens, fault) &&
           api_model_check(body, model, fault, &name) &&
           fault_of_status(fault, api_decode(model, tokens.ids, tokens.n, false, &text));
    if (good) {
        struct json_writer writer;
        json_writer_begin(&writer, out);
        json_open_object(&writer, NULL);
        json_put_string(&writer, "prompt", text.length ? text.data : "", text.length);
        json_close_object(&writer);
        good = fault_of_status(fault, writer.status);
    }
    free(tokens.ids);
    bytes_fini(&text);
    return good;
}

// ---- /tokenizer_info ----

static int set_default(json_t *object, const char *key, json_t *value)
{
    if (!json_object_get(object, key))
        return json_object_set_new(object, key, value);
    json_decref(value);
    return 0;
}

// Special tokens by id, as the class in Transformers shows them.
static json_t *special_tokens(const struct api_model *model)
{
    json_t *out = json_object();
    int32_t n = api_tokenizer(model) ? tokenizer_vocab_size(api_tokenizer(model)) : 0;
    for (int32_t id = 0; id < n; id++) {
        const char *piece;
        size_t length;
        char key[16];
        if (!tokenizer_is_special(api_tokenizer(model), id) ||
            !api_token_piece(model, id, &piece, &length))
            continue;
        snprintf(key, sizeof key, "%d", (int)id);
        json_object_set_new(out, key, json_stringn(piece, length));
    }
    return out;
}

bool tokenizer_info_answer(const struct api_model *model, struct bytes *out,
                           struct api_fault *fault)
{
    json_t *info = model->tokenizer_config ? json_copy(model->tokenizer_config) : json_object();
    int failed = set_default(info, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    failed |= set_default(info, "model_max_length", json_integer(model->max_model_len));
    failed |= set_default(info, "truncation_side", json_string("left"));
    failed |= set_default(info, "is_local", json_true());
    failed |= set_default(info, "local_files_only", json_true());
    failed |= set_default(info, "backend", json_string("tokenizers"));
    failed |= json_object_set_new(info, "name_or_path", json_string(model->folder));
    failed |= json_object_set_new(info, "added_tokens_decoder", special_tokens(model));
    char *text = failed ? NULL : json_dumps(info, JSON_COMPACT);
    json_decref(info);
    enum status status = text ? bytes_text(out, text) : fail_memory(1, "the tokenizer's data");
    free(text);
    return fault_of_status(fault, status);
}

// ---- /v1/models ----

static void put_model(const struct api_model *model, const char *name, struct json_writer *writer)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "id", name);
    json_put_text(writer, "object", "model");
    json_put_int(writer, "created", model->created);
    json_put_text(writer, "owned_by", "colrow");
    json_put_text(writer, "root", model->folder);
    json_put_null(writer, "parent");
    json_put_int(writer, "max_model_len", model->max_model_len);
    json_open_list(writer, "permission");
    json_open_object(writer, NULL);
    json_put_text(writer, "id", "modelperm-0000000000000000");
    json_put_text(writer, "object", "model_permission");
    json_put_int(writer, "created", model->created);
    static const struct {
        const char *key;
        bool value;
    } rights[] = {
        {"allow_create_engine", false},  {"allow_sampling", true}, {"allow_logprobs", true},
        {"allow_search_indices", false}, {"allow_view", true},     {"allow_fine_tuning", false},
    };
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
        json_put_bool(writer, rights[i].key, rights[i].value);
    json_put_text(writer, "organization", "*");
    json_put_null(writer, "group");
    json_put_bool(writer, "is_blocking", false);
    json_close_object(writer);
    json_close_list(writer);
    json_close_object(writer);
}

bool models_answer(const struct api_model *model, const char *name, struct bytes *out,
                   struct api_fault *fault)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    for (int i = 0; name && i < model->n_names; i++)
        if (strcmp(name, model->names[i]) == 0) {
            put_model(model, model->names[i], &writer);
            return fault_of_status(fault, writer.status);
        }
    if (name && model->alias && strcmp(name, model->alias) == 0) {
        put_model(model, model->alias, &writer);
        return fault_of_status(fault, writer.status);
    }
    if (name)
        return fault_with(fault, 404, "NotFoundError", "model",
                          "the model `%.200s` does not exist; this server has `%s`", name,
                          model->names[0]);
    json_open_object(&writer, NULL);
    json_put_text(&writer, "object", "list");
    json_open_list(&writer, "data");
    for (int i = 0; i < model->n_names; i++)
        put_model(model, model->names[i], &writer);
    json_close_list(&writer);
    json_close_object(&writer);
    return fault_of_status(fault, writer.status);
}
