#include "text/vocab_files.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "text/piece_tokenizer.h"
#include "text/tekken.h"
#include "text/unicode.h"

void vocab_files_fini(struct vocab_files *files)
{
    sentencepiece_fini(&files->pieces);
    tiktoken_fini(&files->ranks);
    json_decref(files->settings);
    bytes_fini(&files->text);
    bytes_fini(&files->merges);
}

// ---- which files ----

// The first one that is there counts.
static const char *const file_names[] = {"tokenizer.model", "tiktoken.model", "qwen.tiktoken",
                                         "tekken.json", "vocab.json"};
enum { N_FILE_NAMES = sizeof file_names / sizeof *file_names };

static bool is_there(const char *folder, const char *name)
{
    char path[FILE_PATH_MAX];
    return file_join(folder, name, path) == OK && file_exists(path);
}

static const char *vocab_file_of(const char *folder)
{
    for (size_t i = 0; i < N_FILE_NAMES; i++)
        if (is_there(folder, file_names[i]) &&
            (i + 1 < N_FILE_NAMES || is_there(folder, "merges.txt")))
            return file_names[i];
    return NULL;
}

bool vocab_files_there(const char *folder)
{
    return vocab_file_of(folder) != NULL;
}

// ---- reading ----

// tiktoken's lines begin with a letter or digit, a protocol buffer with the small number of its
// first field.
static bool is_text(const struct bytes *text)
{
    return text->data && text->length > 0 && (unsigned char)text->data[0] >= ' ';
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static enum status parse_vocab_files(struct vocab_files *files)
{
    const char *data = files->text.data ? files->text.data : "";
    size_t length = files->text.length;
    files->kind = VOCAB_PIECES;
    if (has_end(files->where, "vocab.json"))
        files->kind = VOCAB_LETTERS;
    else if (has_end(files->where, "tekken.json"))
        files->kind = VOCAB_TEKKEN;
    else if (has_end(files->where, ".tiktoken"))
        files->kind = VOCAB_QWEN;
    else if (has_end(files->where, "tiktoken.model") || is_text(&files->text))
        files->kind = VOCAB_RANKS;
    switch (files->kind) {
    case VOCAB_PIECES:
        return sentencepiece_parse(files->where, data, length, &files->pieces);
    case VOCAB_RANKS:
    case VOCAB_QWEN:
        return tiktoken_parse(files->where, data, length, &files->ranks);
    case VOCAB_TEKKEN:
        return tekken_parse(files->where, data, length, &files->ranks, &files->settings);
    case VOCAB_LETTERS:
        break;
    }
    return json_check_utf8(files->where, data, length);
}

enum status vocab_files_read(const char *folder, struct vocab_files *out)
{
    assert(folder && out);
    *out = (struct vocab_files){0};
    const char *name = vocab_file_of(folder);
    char path[FILE_PATH_MAX];
    TRY(file_join(folder, "tokenizer.json", path));
    if (!name)
        return fail(ERR_INPUT,
                    "%s: is missing; expected it in a HuggingFace model folder, or one of "
                    "tokenizer.model, tiktoken.model, qwen.tiktoken, tekken.json, vocab.json with "
                    "merges.txt",
                    path);
    TRY(file_join(folder, name, out->where));
    TRY(file_read(out->where, TOKENIZER_FILE_BYTES_MAX, &out->text));
    if (strcmp(name, "vocab.json") == 0) {
        TRY(file_join(folder, "merges.txt", path));
        TRY(file_read(path, TOKENIZER_FILE_BYTES_MAX, &out->merges));
    }
    return parse_vocab_files(out);
}

enum status vocab_files_parse(const char *name, const struct bytes *text,
                              const struct bytes *merges, struct vocab_files *out)
{
    assert(name && text && out);
    *out = (struct vocab_files){0};
    snprintf(out->where, sizeof out->where, "%s", name);
    TRY(bytes_append(&out->text, text->data, text->length));
    if (merges)
        TRY(bytes_append(&out->merges, merges->data, merges->length));
    return parse_vocab_files(out);
}

// ---- what they say ----

enum status vocab_files_tokens(const struct vocab_files *files, struct tokenizer_config *config)
{
    assert(files && config);
    if (files->kind == VOCAB_TEKKEN)
        return tekken_tokens(config);
    return files->kind == VOCAB_PIECES ? piece_tokens(&files->pieces, config) : OK;
}

static enum status letters_root(const struct vocab_files *files,
                                const struct tokenizer_config *config, json_t **root)
{
    if (!config->class->model || !strstr(config->class->pre_tokenizer, "ByteLevel"))
        return fail(ERR_UNSUPPORTED,
                    "%s: does not say how texts are cut into words, and \"%s\" as the tokenizer's "
                    "class (tokenizer_config.json, config.json) does not either; expected "
                    "GPT2Tokenizer, Qwen2Tokenizer or the like, or a tokenizer.json",
                    files->where, config->class->name);
    *root = json_pack("{s:{}}", "model");
    return *root ? OK : fail_memory(0, "a tokenizer");
}

static enum status pieces_root(const struct vocab_files *files,
                               const struct tokenizer_config *config, json_t **root)
{
    if (!config->class->model)
        return piece_root(&files->pieces, config, root);
    *root = json_pack("{s:{}}", "model");
    return *root ? OK : fail_memory(0, "a tokenizer");
}

enum status vocab_files_root(const struct vocab_files *files, struct tokenizer_config *config,
                             json_t **root)
{
    assert(files && config && root);
    *root = NULL;
    TRY(vocab_files_tokens(files, config));
    TRY(tokenizer_config_resolve(config, NULL, files->where));
    switch (files->kind) {
    case VOCAB_RANKS: // whatever the class: its rules give way
        return tiktoken_root(&files->ranks, config, root);
    case VOCAB_QWEN:
        return tiktoken_qwen_root(&files->ranks, root);
    case VOCAB_TEKKEN:
        return tekken_root(files->settings, root);
    case VOCAB_PIECES:
        TRY(pieces_root(files, config, root));
        break;
    case VOCAB_LETTERS:
        TRY(letters_root(files, config, root));
        break;
    }
    TRY(tokenizer_class_use(config, *root));
    return json_object_set_new(*root, "post_processor", json_null()) == 0
               ? OK
               : fail_memory(0, "a tokenizer");
}

// ---- the vocabulary ----

// merges.txt: a line for each, the two halves with a blank between.
static enum status read_merge_lines(const struct vocab_files *files, struct bpe *bpe)
{
    struct bpe_merge_text batch[BPE_BATCH];
    const char *text = files->merges.data, *end = text + files->merges.length;
    size_t n = 0, line = 1, at;
    if (!utf8_check(text, files->merges.length, &at))
        return fail(ERR_INPUT, "merges.txt beside %s: not valid UTF-8: byte 0x%02X", files->where,
                    (unsigned char)text[at]);
    for (const char *stop; text < end; text = stop + 1, line++) {
        stop = memchr(text, '\n', (size_t)(end - text));
        stop = stop ? stop : end;
        size_t length = (size_t)(stop - text);
        if (length > 0 && stop[-1] == '\r')
            length--;
        if (length >= 8 && memcmp(text, "#version", 8) == 0)
            continue;
        const char *blank = memchr(text, ' ', length);
        size_t left = blank ? (size_t)(blank - text) : 0, right = length - left - 1;
        if (!blank || memchr(blank + 1, ' ', right))
            return fail(ERR_INPUT,
                        "merges.txt beside %s: line %zu is \"%s\"; expected two tokens with one "
                        "blank between",
                        files->where, line, text_show(text, length));
        batch[n++] = (struct bpe_merge_text){text, blank + 1, left, right};
        if (n == BPE_BATCH) {
            TRY(bpe_add_merges(bpe, files->where, batch, n));
            n = 0;
        }
    }
    TRY(bpe_add_merges(bpe, files->where, batch, n));
    return bpe_merges_end(bpe);
}

static enum status letters_model(const struct vocab_files *files, const json_t *options,
                                 struct bpe *bpe)
{
    struct json_reader reader = {.where = files->where,
                                 .file = files->text.data,
                                 .at = files->text.data,
                                 .end = files->text.data + files->text.length};
    TRY(bpe_parse_options(options, files->where, bpe));
    TRY(bpe_parse_vocab(&reader, bpe));
    TRY(json_reader_finish(&reader));
    return read_merge_lines(files, bpe);
}

enum status vocab_files_model(const struct vocab_files *files,
                              const struct tokenizer_config *config, const json_t *root,
                              struct tokenizer *tokenizer)
{
    assert(files && config && root && tokenizer);
    const json_t *options = json_object_get(root, "model");
    tokenizer->model = MODEL_BPE;
    switch (files->kind) {
    case VOCAB_RANKS:
    case VOCAB_QWEN:
        return tiktoken_model(&files->ranks, files->where, &tokenizer->bpe);
    case VOCAB_TEKKEN:
        TRY(tiktoken_model(&files->ranks, files->where, &tokenizer->bpe));
        return tekken_add_tokens(files->settings, files->where, &tokenizer->added);
    case VOCAB_PIECES:
        return piece_model(&files->pieces, config, options, files->where, tokenizer);
    case VOCAB_LETTERS:
        break;
    }
    return letters_model(files, options, &tokenizer->bpe);
}

// ---- what stands around texts ----

static enum status add_end(const struct tokenizer_config *config, struct tokenizer *tokenizer,
                           const char *flag, bool usual, const char *name)
{
    const json_t *said = json_object_get(config->config, flag);
    const struct token_spec *token = tokenizer_config_named(config, name);
    if (!token || (said ? json_is_falsy(said) : !usual))
        return OK;
    int32_t id = added_tokens_find(&tokenizer->added, token->text, token->length);
    return strcmp(name, "bos_token") == 0 ? post_processor_prepend(&tokenizer->post_processor, id)
                                          : post_processor_append(&tokenizer->post_processor, id);
}

enum status vocab_files_ends(const struct vocab_files *files, const struct tokenizer_config *config,
                             struct tokenizer *tokenizer)
{
    assert(files && config && tokenizer);
    bool usual = files->kind == VOCAB_TEKKEN || config->class->post == POST_BOS;
    TRY(add_end(config, tokenizer, "add_bos_token", usual, "bos_token"));
    return add_end(config, tokenizer, "add_eos_token", false, "eos_token");
}
