#include "server/api_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "device/kernels.h"
#include "engine/tokenizer_handle.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum { SMALL_FILE_BYTES_MAX = 64 << 20 };

// One of the folder's JSON files; NULL when it is not there.
static enum status read_small_file(const char *folder, const char *name, json_t **out)
{
    char path[FILE_PATH_MAX];
    *out = NULL;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path || access(path, F_OK) != 0)
        return OK;
    return json_file(path, SMALL_FILE_BYTES_MAX, out);
}

// vLLM's --generation-config auto: the model's own numbers wherever it names them, also where
// Transformers would be greedy.
static enum status read_defaults(struct api_model *model)
{
    static const char where[] = "generation_config.json";
    struct colrow_sampling *defaults = &model->defaults;
    json_t *config;
    TRY(read_small_file(model->folder, where, &config));
    colrow_sampling_init(NULL, defaults);
    defaults->temperature = 1;
    defaults->max_tokens = 0;
    if (!config)
        return OK;
    int64_t top_k = 0;
    bool found;
    enum status status = OK;
    TRY_DONE(json_get_number(config, where, "temperature", 0, 100, &defaults->temperature, &found));
    TRY_DONE(json_get_number(config, where, "top_p", 0, 1, &defaults->top_p, &found));
    TRY_DONE(json_get_number(config, where, "min_p", 0, 1, &defaults->min_p, &found));
    TRY_DONE(json_get_number(config, where, "repetition_penalty", 0, 100,
                             &defaults->repetition_penalty, &found));
    TRY_DONE(json_get_int(config, where, "top_k", -1, INT32_MAX, &top_k, &found));
    TRY_DONE(json_get_int(config, where, "max_new_tokens", 1, INT32_MAX, &model->default_max_tokens,
                          &found));
    defaults->top_k = top_k < 0 ? 0 : (int)top_k;
done:
    json_decref(config);
    return status;
}

// Special tokens stand as a text, or as an object with "content".
static const char *special_token(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

static void measure_tokens(struct api_model *model)
{
    model->token_chars_max = 1;
    const struct tokenizer *tokenizer = api_tokenizer(model);
    int32_t n = tokenizer_vocab_size(tokenizer);
    for (int32_t id = 0; id < n; id++) {
        size_t length;
        const char *piece = tokenizer_piece(tokenizer, id, &length);
        int characters = 0;
        for (size_t i = 0; piece && i < length; i++)
            characters += ((unsigned char)piece[i] & 0xC0) != 0x80;
        if (characters > model->token_chars_max)
            model->token_chars_max = characters;
    }
    const char *eos = special_token(model->tokenizer_config, "eos_token");
    model->eos_id = eos ? tokenizer_find(tokenizer, eos) : -1;
}

const struct tokenizer *api_tokenizer(const struct api_model *model)
{
    return model->texts->tokenizer;
}

static bool mentions_developer(const char *folder)
{
    static const char file[] = "chat_template.jinja";
    char path[FILE_PATH_MAX];
    struct bytes text;
    bytes_init(&text);
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    bool found = n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0 &&
                 file_read(path, SMALL_FILE_BYTES_MAX, &text) == OK &&
                 strstr(text.data, "developer") != NULL;
    bytes_fini(&text);
    return found;
}

enum status api_model_open(struct api_model *model, const char *folder,
                           struct colrow_tokenizer *texts, const struct colrow_info *info,
                           const char *const *names, int n_names)
{
    *model = (struct api_model){
        .folder = folder,
        .texts = colrow_tokenizer_share(texts),
        .chat = texts->chat,
        .names = names,
        .n_names = n_names,
        .max_model_len = info->max_model_len,
        .vocab_size = info->vocab_size,
        .max_logprobs = 20,
        .prompt_logprobs = true,
        .eos_id = -1,
        .token_chars_max = 1,
        .created = (int64_t)time(NULL),
    };
    char stages[16] = "", cache[16] = "";
    if (info->kv_cache_dtype && strcmp(info->kv_cache_dtype, info->dtype) != 0)
        snprintf(cache, sizeof cache, "-%s", info->kv_cache_dtype);
    if (info->pipeline_parallel_size > 1)
        snprintf(stages, sizeof stages, "-pp%d", info->pipeline_parallel_size);
    const bool quantised = info->quantization && strcmp(info->quantization, "none") != 0;
    snprintf(model->fingerprint, sizeof model->fingerprint, "colrow-%s-tp%d%s-%s%s-%s%s%s",
             colrow_version(), info->tensor_parallel_size, stages, info->dtype, cache,
             quantised ? info->quantization : "", quantised ? "-" : "", info->product_order);
    enum status status = kernels_choose(&model->kernels);
    if (status == OK)
        status = read_defaults(model);
    if (status == OK)
        status = read_small_file(folder, "tokenizer_config.json", &model->tokenizer_config);
    if (status == OK && texts->tokenizer)
        measure_tokens(model);
    const char *text = json_string_value(json_object_get(model->tokenizer_config, "chat_template"));
    model->knows_developer = (text && strstr(text, "developer")) || mentions_developer(folder);
    if (status != OK)
        api_model_close(model);
    return status;
}

enum status api_model_template(struct api_model *model, const char *path)
{
    TRY(chat_template_open_file(path, model->folder, &model->own_chat));
    model->chat = model->own_chat;
    model->knows_developer = true; // whoever gives a template knows what roles it has
    return OK;
}

void api_model_close(struct api_model *model)
{
    colrow_tokenizer_close(model->texts);
    chat_template_close(model->own_chat);
    json_decref(model->tokenizer_config);
    *model = (struct api_model){0};
}

static enum status want_tokenizer(const struct api_model *model)
{
    return api_tokenizer(model) ? OK : fail(ERR_REQUEST, "the model has no tokenizer.json");
}

enum status api_encode(const struct api_model *model, const char *text, size_t length,
                       bool add_special_tokens, struct token_list *out)
{
    struct token_ids list;
    token_ids_init(&list);
    *out = (struct token_list){0};
    TRY(want_tokenizer(model));
    enum status status =
        tokenizer_encode(api_tokenizer(model), text, length, add_special_tokens, &list);
    if (status == OK && list.n > INT32_MAX)
        status = fail(ERR_TOO_LARGE, "the text has %zu tokens", list.n);
    if (status != OK) {
        token_ids_fini(&list);
        return status == ERR_INPUT ? status_recode(ERR_REQUEST) : status;
    }
    *out = (struct token_list){list.ids, (int)list.n};
    return OK;
}

enum status api_decode(const struct api_model *model, const int32_t *ids, int n,
                       bool skip_special_tokens, struct bytes *out)
{
    TRY(want_tokenizer(model));
    return tokenizer_decode(api_tokenizer(model), ids, (size_t)n, skip_special_tokens, out);
}

bool api_token_piece(const struct api_model *model, int32_t id, const char **text, size_t *length)
{
    *text = api_tokenizer(model) ? tokenizer_piece(api_tokenizer(model), id, length) : NULL;
    return *text != NULL;
}

static bool ends_inside_character(const struct bytes *text)
{
    return text->length >= 3 &&
           memcmp(text->data + text->length - 3, REPLACEMENT_CHARACTER, 3) == 0;
}

void token_text_buffers_init(struct token_text_buffers *buffers)
{
    *buffers = (struct token_text_buffers){0};
}

void token_text_buffers_fini(struct token_text_buffers *buffers)
{
    decode_buffers_fini(&buffers->decoding);
    bytes_fini(&buffers->whole);
    bytes_fini(&buffers->context);
}

// As vLLM's detokenizer does for log-probabilities: a token that ends inside a character is read
// behind up to four others, and is no text while the character is not complete.
enum status api_token_text(const struct api_model *model, const int32_t *before, int n_before,
                           int32_t id, struct token_text_buffers *buffers, struct bytes *out)
{
    enum { CONTEXT_MAX = 4 };
    struct decode_buffers *decoding = &buffers->decoding;
    struct bytes *whole = &buffers->whole, *context = &buffers->context;
    TRY(want_tokenizer(model));
    const struct tokenizer *tokenizer = api_tokenizer(model);
    size_t from = out->length;
    TRY(tokenizer_decode_in(tokenizer, &id, 1, false, decoding, out));
    if (!ends_inside_character(out))
        return OK;
    out->length = from;
    for (int n = 1; n <= CONTEXT_MAX && n <= n_before; n++) {
        int32_t ids[CONTEXT_MAX + 1];
        memcpy(ids, before + n_before - n, (size_t)n * sizeof *ids);
        ids[n] = id;
        bytes_clear(whole);
        bytes_clear(context);
        TRY(tokenizer_decode_in(tokenizer, ids, (size_t)n + 1, false, decoding, whole));
        if (ends_inside_character(whole))
            continue;
        TRY(tokenizer_decode_in(tokenizer, ids, (size_t)n, false, decoding, context));
        while (ends_inside_character(context))
            context->length -= 3;
        if (whole->length > context->length &&
            memcmp(whole->data, context->length ? context->data : "", context->length) == 0)
            TRY(bytes_append(out, whole->data + context->length, whole->length - context->length));
        break;
    }
    return OK;
}

enum status api_render_chat(const struct api_model *model, const struct chat_request *request,
                            struct bytes *out)
{
    if (!model->chat)
        return fail(ERR_REQUEST, "%s", model->texts->chat_error);
    enum status status = chat_template_apply(model->chat, request, out);
    return status == ERR_INPUT || status == ERR_UNSUPPORTED ? status_recode(ERR_REQUEST) : status;
}
