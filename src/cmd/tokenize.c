// `colrow tokenize`: a JSON list of strings on standard input -> a JSON list of lists of ids, or
// back.
#include "cmd/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/output.h"
#include "cmd/json_output.h"
#include "cmd/model_argument.h"
#include "text/tokenizer.h"

enum { TOKENIZE_BYTES_MAX = 256 << 20 };

struct tokenize {
    bool decode, json, special, keep_special;
    struct flag_texts given; // -p
};

static enum status encode_one(const struct tokenizer *tokenizer, const struct tokenize *t,
                              const json_t *item, json_t *results)
{
    struct token_ids ids = {0};
    enum status status = OK;
    if (!json_is_string(item))
        return fail(ERR_INPUT, "standard input: expected a JSON list of strings, found %s in it",
                    json_kind(item));
    TRY(tokenizer_encode(tokenizer, json_string_value(item), json_string_length(item), t->special,
                         &ids));
    json_t *list = json_array();
    for (size_t i = 0; i < ids.n; i++)
        if (json_array_append_new(list, json_integer(ids.ids[i])) != 0)
            status = fail_memory(ids.n, "token ids");
    token_ids_fini(&ids);
    if (json_array_append_new(results, list) != 0)
        status = fail_memory(0, "token ids");
    return status;
}

// As tokenizers has it, and /detokenize: an id that no token has adds no text.
static enum status read_token_ids(const json_t *list, int32_t *ids, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > UINT32_MAX)
            return fail(ERR_INPUT, "standard input: token id %s; expected an integer from 0 to %lu",
                        json_show(id), (unsigned long)UINT32_MAX);
        if (value <= INT32_MAX)
            ids[(*n)++] = (int32_t)value;
    }
    return OK;
}

static enum status decode_one(const struct tokenizer *tokenizer, const struct tokenize *t,
                              const json_t *item, json_t *results)
{
    if (!json_is_array(item))
        return fail(ERR_INPUT,
                    "standard input: expected a JSON list of lists of ids, found %s in it",
                    json_kind(item));
    size_t n = json_array_size(item);
    int32_t *ids;
    struct bytes text;
    TRY(memory_new(n, sizeof *ids, "token ids", &ids));
    bytes_init(&text);
    enum status status = read_token_ids(item, ids, &n);
    if (status == OK)
        status = tokenizer_decode(tokenizer, ids, n, !t->keep_special, &text);
    if (status == OK) {
        json_t *string = json_stringn(text.data ? text.data : "", text.length);
        if (!string) // bytes that are not UTF-8 cannot stand in JSON
            status = fail(ERR_INTERNAL, "a decoded text is not UTF-8");
        else if (json_array_append_new(results, string) != 0)
            status = fail_memory(0, "texts");
    }
    bytes_fini(&text);
    free(ids);
    return status;
}

static enum status print_results(const struct tokenize *t, json_t *results)
{
    size_t i, k;
    json_t *item, *id;
    if (t->json || !isatty(STDOUT_FILENO))
        return json_write(json_incref(results), JSON_COMPACT, NULL);
    json_array_foreach(results, i, item)
    {
        json_array_foreach(item, k, id)
            output_print("%s%lld", k ? " " : "", (long long)json_integer_value(id));
        if (json_is_string(item))
            fputs(json_string_value(item), output());
        fputc('\n', output());
    }
    return OK;
}

static enum status collect_input(const struct tokenize *t, json_t **root)
{
    if (t->given.n) {
        *root = json_array();
        for (int i = 0; i < t->given.n; i++)
            if (json_array_append_new(*root, json_string(t->given.items[i])) != 0)
                return fail(ERR_USAGE, "prompt %d is not valid UTF-8", i + 1);
        return OK;
    }
    struct bytes input;
    bytes_init(&input);
    enum status status = file_read_stdin(TOKENIZE_BYTES_MAX, &input);
    if (status == OK)
        status = json_parse("standard input", input.data ? input.data : "", input.length, root);
    bytes_fini(&input);
    return status;
}

static enum status run_tokenize(const struct tokenize *t, const char *model)
{
    struct tokenizer *tokenizer = NULL;
    json_t *root = NULL, *results = json_array(), *item;
    size_t i;
    enum status status = OK;
    TRY_DONE(model_argument_find(&model, MODEL_TEXTS));
    TRY_DONE(tokenizer_open(model, &tokenizer));
    TRY_DONE(collect_input(t, &root));
    if (!json_is_array(root)) {
        status = fail(ERR_INPUT, "standard input: expected a JSON list, found %s", json_kind(root));
        goto done;
    }
    json_array_foreach(root, i, item) TRY_DONE(t->decode ? decode_one(tokenizer, t, item, results)
                                                         : encode_one(tokenizer, t, item, results));
    status = print_results(t, results);
done:
    json_decref(results);
    json_decref(root);
    tokenizer_close(tokenizer);
    return status;
}

static int tokenize_main(int argc, char **argv);
#define AT(field) offsetof(struct tokenize, field)
static const struct flag tokenize_flags[] = {
    {FLAG_TEXTS, "--prompt", "-p", AT(given), 0, 0, "TEXT",
     "a string to encode instead of standard input; may be repeated"},
    {FLAG_ON, "--decode", NULL, AT(decode), 0, 0, NULL, "lists of ids in, strings out"},
    {FLAG_ON, "--add-special-tokens", NULL, AT(special), 0, 0, NULL,
     "let the post-processor add its tokens (bos, ...)"},
    {FLAG_ON, "--keep-special-tokens", NULL, AT(keep_special), 0, 0, NULL,
     "show special tokens when decoding"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "JSON also on a terminal"},
};
const struct command command_tokenize = {
    .name = "tokenize",
    .brief = "turn strings into token ids, or back",
    .positional = "MODEL",
    .summary = "Reads a JSON list of strings and writes a JSON list of lists of token ids; "
               "with --decode the other "
               "way round.",
    .examples = "  echo '[\"Hello world\"]' | colrow tokenize models/demo --add-special-tokens\n"
                "  echo '[[1,2,3]]' | colrow tokenize models/demo --decode",
    .sections = {FLAG_SECTION(tokenize_flags, 0)},
    .run = tokenize_main,
};

static int tokenize_main(int argc, char **argv)
{
    struct tokenize t = {0};
    bool helped;
    int n_positional;
    const char *model = NULL;
    enum status status =
        flags_parse(&command_tokenize, &t, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status =
            model ? run_tokenize(&t, model) : fail(ERR_USAGE, "no model: colrow tokenize MODEL");
    free(t.given.items);
    return status == OK ? 0 : flags_failed(status);
}
