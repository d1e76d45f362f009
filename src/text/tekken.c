// Source: mistral-common 1.13, tokens/tokenizers/tekken.py.
#include "text/tekken.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"

// Files up to version 7 may leave their control tokens out.
static const char *const usual_control[] = {
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};
enum { N_USUAL_CONTROL = sizeof usual_control / sizeof usual_control[0] };

struct tekken_sizes {
    int64_t vocabulary, control; // ids in all; of control tokens among them
};

static enum status read_sizes(const json_t *settings, const char *where, struct tekken_sizes *out)
{
    json_t *config;
    char place[512];
    TRY(json_get_object(settings, where, "config", &config, NULL));
    snprintf(place, sizeof place, "%s: config", where);
    TRY(json_get_int(config, place, "default_vocab_size", 1, TOKEN_ID_MAX, &out->vocabulary, NULL));
    return json_get_int(config, place, "default_num_special_tokens", 0, out->vocabulary,
                        &out->control, NULL);
}

static enum status add_tekken_token(const char *where, const json_t *item, int64_t rank, int64_t id,
                                    struct bytes *token, struct tiktoken *ranks)
{
    const json_t *text = json_object_get(item, "token_bytes"),
                 *number = json_object_get(item, "rank");
    bool valid = false;
    bytes_clear(token);
    if (json_is_string(text))
        TRY(base64_decode(json_string_value(text), json_string_length(text), token, &valid));
    if (!valid || token->length == 0 || !json_is_integer(number) ||
        json_integer_value(number) != rank)
        return fail(ERR_INPUT,
                    "%s: vocab: entry %lld is %s; expected \"token_bytes\" in base64 and its place "
                    "as \"rank\"",
                    where, (long long)rank, json_show(item));
    return tiktoken_add(ranks, where, token, id);
}

static enum status read_vocab(const char *where, const json_t *settings, struct tiktoken *ranks)
{
    struct tekken_sizes sizes;
    json_t *vocab;
    struct bytes token;
    TRY(read_sizes(settings, where, &sizes));
    TRY(json_get_array(settings, where, "vocab", &vocab, NULL));
    const int64_t n = sizes.vocabulary - sizes.control;
    if (n < 1 || (size_t)n > json_array_size(vocab)) // what lies behind it is not used
        return fail(ERR_INPUT,
                    "%s: key \"vocab\" has %zu tokens; expected %lld, which is default_vocab_size "
                    "without default_num_special_tokens, or more",
                    where, json_array_size(vocab), (long long)n);
    bytes_init(&token);
    enum status status = OK;
    for (int64_t i = 0; i < n && status == OK; i++)
        status = add_tekken_token(where, json_array_get(vocab, (size_t)i), i, sizes.control + i,
                                  &token, ranks);
    bytes_fini(&token);
    return status;
}

// How control tokens are called is checked here, so that who adds them need not.
static enum status check_control(const char *where, const json_t *settings)
{
    struct tekken_sizes sizes;
    const json_t *control = json_object_get(settings, "special_tokens");
    TRY(read_sizes(settings, where, &sizes));
    bool said = control && !json_is_null(control);
    size_t n = said ? json_array_size(control) : N_USUAL_CONTROL;
    if ((said && !json_is_array(control)) || (int64_t)n > sizes.control)
        return fail(ERR_INPUT,
                    "%s: key \"special_tokens\" is %s; expected a list of at most "
                    "default_num_special_tokens, %lld",
                    where, said ? json_show(control) : "absent", (long long)sizes.control);
    for (size_t i = 0; said && i < n; i++) {
        const json_t *item = json_array_get(control, i), *rank = json_object_get(item, "rank");
        if (!json_is_string(json_object_get(item, "token_str")) || !json_is_integer(rank) ||
            json_integer_value(rank) != (json_int_t)i)
            return fail(ERR_INPUT,
                        "%s: special_tokens: entry %zu is %s; expected \"token_str\", a text, and "
                        "its place as \"rank\"",
                        where, i, json_show(item));
    }
    return OK;
}

enum status tekken_parse(const char *where, const char *text, size_t length, struct tiktoken *ranks,
                         json_t **settings)
{
    assert(where && (text || length == 0) && ranks && settings);
    json_t *root = NULL, *config;
    const char *pattern;
    enum status status;
    *ranks = (struct tiktoken){0};
    *settings = NULL;
    TRY(json_parse(where, text, length, &root));
    TRY_DONE(json_get_object(root, where, "config", &config, NULL));
    TRY_DONE(json_get_text(config, where, "pattern", &pattern, NULL));
    TRY_DONE(check_control(where, root));
    status = read_vocab(where, root, ranks);
done:
    if (status != OK) {
        json_decref(root);
        return status;
    }
    json_object_del(root, "vocab"); // the largest part, which nobody needs any more
    *settings = root;
    return OK;
}

enum status tekken_tokens(struct tokenizer_config *config)
{
    assert(config && !config->usual_names);
    config->usual_names = json_pack("{s:s, s:s, s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>",
                                    "unk_token", "<unk>", "pad_token", "<pad>");
    return config->usual_names ? OK : fail_memory(0, "the special tokens");
}

enum status tekken_root(const json_t *settings, json_t **root)
{
    const json_t *pattern = json_object_get(json_object_get(settings, "config"), "pattern");
    json_t *none = json_array();
    *root = NULL;
    enum status status = none ? tiktoken_words_root(json_string_value(pattern), none, root)
                              : fail_memory(0, "the special tokens");
    json_decref(none);
    return status;
}

enum status tekken_add_tokens(const json_t *settings, const char *where, struct added_tokens *added)
{
    const struct added_token flags = {.special = true};
    const json_t *control = json_object_get(settings, "special_tokens");
    struct tekken_sizes sizes;
    TRY(read_sizes(settings, where, &sizes));
    bool said = json_is_array(control);
    int64_t n = said ? (int64_t)json_array_size(control) : N_USUAL_CONTROL;
    for (int64_t id = 0; id < sizes.control; id++) {
        char filler[32];
        snprintf(filler, sizeof filler, "<SPECIAL_%d>", (int)id);
        const char *text = id >= n ? filler
                           : said  ? json_string_value(json_object_get(
                                         json_array_get(control, (size_t)id), "token_str"))
                                   : usual_control[id];
        TRY(added_tokens_add_at(added, where, &flags, text, strlen(text), (int32_t)id));
    }
    // new texts come behind all others
    if (added->id_last < sizes.vocabulary - 1)
        added->id_last = (int32_t)(sizes.vocabulary - 1);
    return OK;
}
