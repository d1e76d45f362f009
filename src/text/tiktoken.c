#include "text/tiktoken.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "text/added_tokens.h"
#include "text/made_merges.h"
#include "text/unicode.h"

// What differs between the two is how many digits make a word.
#define WORDS(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

enum { QWEN_EXTRAS = 205, TIKTOKEN_BYTES_MAX = 1024 }; // of a token: bounds the work of its merges

void tiktoken_fini(struct tiktoken *ranks)
{
    bytes_fini(&ranks->letters);
    free(ranks->ranks);
    *ranks = (struct tiktoken){0};
}

// ---- reading ----

static enum status wrong_line(const char *where, size_t line, const char *text, size_t length)
{
    return fail(ERR_INPUT,
                "%s: line %zu is \"%s\"; expected a token in base64, a blank and its rank", where,
                line, text_show(text, length));
}

enum status tiktoken_add(struct tiktoken *out, const char *where, const struct bytes *token,
                         int64_t rank)
{
    size_t begin = out->letters.length;
    if (token->length > TIKTOKEN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: the token of rank %lld has %zu bytes; at most %d are allowed",
                    where, (long long)rank, token->length, TIKTOKEN_BYTES_MAX);
    TRY(byte_letters_append(&out->letters, token->data, token->length));
    TRY(memory_grow(&out->ranks, &out->capacity, out->n + 1, sizeof *out->ranks,
                    "the tokens of a file"));
    out->ranks[out->n++] = (struct token_rank){begin, out->letters.length - begin, rank};
    return OK;
}

static enum status read_line(struct tiktoken *out, const char *where, size_t line, const char *text,
                             size_t length, struct bytes *token)
{
    const char *blank = memchr(text, ' ', length);
    size_t digits = blank ? (size_t)(text + length - blank) - 1 : 0;
    int64_t rank = 0;
    bool valid;
    if (digits == 0 || digits > 9)
        return wrong_line(where, line, text, length);
    for (size_t i = 1; i <= digits; i++) {
        if (blank[i] < '0' || blank[i] > '9')
            return wrong_line(where, line, text, length);
        rank = rank * 10 + (blank[i] - '0');
    }
    bytes_clear(token);
    TRY(base64_decode(text, (size_t)(blank - text), token, &valid));
    if (!valid)
        return wrong_line(where, line, text, length);
    return tiktoken_add(out, where, token, rank);
}

enum status tiktoken_parse(const char *where, const char *text, size_t length, struct tiktoken *out)
{
    assert(where && (text || length == 0) && out);
    struct bytes token;
    bytes_init(&token);
    *out = (struct tiktoken){0};
    enum status status = OK;
    size_t line = 1;
    for (size_t i = 0, end; i < length && status == OK; i = end + 1, line++) {
        const char *stop = memchr(text + i, '\n', length - i);
        end = stop ? (size_t)(stop - text) : length;
        size_t shown = end - i;
        if (shown > 0 && text[i + shown - 1] == '\r')
            shown--;
        if (shown > 0)
            status = read_line(out, where, line, text + i, shown, &token);
    }
    if (status == OK && out->n == 0)
        status = fail(ERR_INPUT, "%s: has no tokens; expected lines of base64 and rank", where);
    if (status == OK)
        status = bytes_append(&out->letters, "", 0);
    bytes_fini(&token);
    return status;
}

// ---- what stands around the vocabulary ----

static json_t *behind_token(const char *text, size_t length)
{
    return json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", 0, "content", text, length,
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
}

static enum status push_token(json_t *list, const char *text, size_t length)
{
    return json_array_append_new(list, behind_token(text, length)) == 0
               ? OK
               : fail_memory(0, "the special tokens");
}

static enum status make_root(const char *words, const json_t *normalizer, json_t *added,
                             json_t **root)
{
    *root = json_pack(
        "{s:{s:s, s:b}, s:O?, s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}, "
        "s:{s:s, s:b, s:b, s:b}, s:O}",
        "model", "type", "BPE", "ignore_merges", 1, "normalizer", normalizer, "pre_tokenizer",
        "type", "Sequence", "pretokenizers", "type", "Split", "pattern", "Regex", words, "behavior",
        "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
        "use_regex", 0, "decoder", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1,
        "use_regex", 1, "added_tokens", added);
    return *root ? OK : fail_memory(0, "a tokenizer");
}

enum status tiktoken_words_root(const char *words, json_t *added, json_t **root)
{
    return make_root(words, NULL, added, root);
}

// Tokens by number, behind the vocabulary; numbers between them get names that stand for nothing.
static enum status push_numbered(json_t *added, const struct tokenizer_config *config,
                                 int64_t first)
{
    int64_t next = first;
    for (size_t i = 0; i < config->n_numbered; i++) { // sorted
        const struct numbered_token *token = &config->numbered[i];
        if (token->id - first > ADDED_TOKENS_MAX)
            return fail(ERR_INPUT,
                        "%s: has token id %lld beside a vocabulary of %lld tokens; at most %d more "
                        "are allowed",
                        config->where, (long long)token->id, (long long)first, ADDED_TOKENS_MAX);
        for (; next < token->id; next++) {
            char name[48];
            int n = snprintf(name, sizeof name, "<|reserved_token_%lld|>", (long long)next);
            TRY(push_token(added, name, (size_t)n));
        }
        if (token->id < first)
            continue;
        TRY(push_token(added, token->token.text, token->token.length));
        next = token->id + 1;
    }
    return OK;
}

static enum status push_extra(json_t *added, const json_t *extra)
{
    for (size_t i = 0; i < json_array_size(extra); i++) {
        const json_t *item = json_array_get(extra, i), *content = json_object_get(item, "content");
        const json_t *text = content ? content : item;
        if (json_is_string(text))
            TRY(push_token(added, json_string_value(text), json_string_length(text)));
    }
    return OK;
}

enum status tiktoken_root(const struct tiktoken *ranks, const struct tokenizer_config *config,
                          json_t **root)
{
    assert(ranks && config && root);
    json_t *added = json_array();
    *root = NULL;
    if (!added)
        return fail_memory(0, "the special tokens");
    enum status status;
    TRY_DONE(push_numbered(added, config, (int64_t)ranks->n));
    TRY_DONE(push_extra(added, json_object_get(config->config, "extra_special_tokens")));
    status = make_root(WORDS("\\p{N}{1,3}"), NULL, added, root);
done:
    json_decref(added);
    return status;
}

enum status tiktoken_qwen_root(const struct tiktoken *ranks, json_t **root)
{
    static const char *const named[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    assert(ranks && root);
    json_t *added = json_array(), *normalizer = json_pack("{s:s}", "type", "NFC");
    *root = NULL;
    enum status status = added && normalizer ? OK : fail_memory(0, "the special tokens");
    for (size_t i = 0; i < 3 && status == OK; i++)
        status = push_token(added, named[i], strlen(named[i]));
    for (int i = 0; i < QWEN_EXTRAS && status == OK; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "<|extra_%d|>", i);
        status = push_token(added, name, (size_t)n);
    }
    if (status == OK)
        status = make_root(WORDS("\\p{N}"), normalizer, added, root);
    json_decref(added);
    json_decref(normalizer);
    return status;
}

// ---- the vocabulary ----

enum status tiktoken_model(const struct tiktoken *ranks, const char *where, struct bpe *bpe)
{
    assert(ranks && where && bpe && bpe->vocabulary.n_tokens == 0);
    vocabulary_limit_ids(&bpe->vocabulary, 8 * ranks->n);
    bpe->ignore_merges = true;
    TRY(vocabulary_expect(&bpe->vocabulary, ranks->n));
    for (size_t i = 0; i < ranks->n; i++)
        TRY(vocabulary_add(&bpe->vocabulary, where, ranks->letters.data + ranks->ranks[i].begin,
                           ranks->ranks[i].length, ranks->ranks[i].rank));
    TRY(bpe_vocabulary_ends(bpe));
    const struct merge_rules rules = {.by_id = true};
    return make_merges(bpe, where, &rules);
}
