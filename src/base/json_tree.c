// Text to a tree of jansson's values. Its own parser is stricter than Python's (docs/decisions.md),
// so the tree is built here, from its constructors.
#include <assert.h>
#include <float.h>
#include <math.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_reader.h"

struct tree {
    struct json_reader reader;
    struct bytes scratch;
    size_t n_nodes, nodes_max;
};

// jansson's reals are finite. Two numbers that no file means stand for the ones it cannot hold.
static const double infinity_mark = DBL_MAX, nan_mark = -0x1.ffffffffffffep1023;

bool json_is_falsy(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_number(value) && json_number(value) == 0);
}

double json_number(const json_t *value)
{
    double number = json_number_value(value);
    if (!json_is_real(value))
        return number;
    if (number == infinity_mark || number == -infinity_mark)
        return number > 0 ? HUGE_VAL : -HUGE_VAL;
    return number == nan_mark ? (double)NAN : number;
}

static json_t *new_real(double number)
{
    if (isnan(number))
        return json_real(nan_mark);
    if (isinf(number))
        return json_real(number > 0 ? infinity_mark : -infinity_mark);
    return json_real(number);
}

// What jansson made of the last piece; NULL means that it had no memory for it.
static enum status made(const json_t *value)
{
    return value ? OK : fail_memory(sizeof(json_t), "a JSON value");
}

static enum status read_tree(struct tree *tree, int depth, json_t **out);

static enum status read_scalar(struct tree *tree, json_t **out)
{
    struct json_reader *reader = &tree->reader;
    bool is_integer;
    int64_t integer;
    double real;
    if (json_reader_at(reader, '"')) {
        const char *text;
        size_t length;
        TRY(json_reader_string(reader, &tree->scratch, &text, &length));
        *out = json_stringn_nocheck(text, length); // the text is UTF-8 as a whole
    } else if (json_reader_word(reader, "null")) {
        *out = json_null();
    } else if (json_reader_word(reader, "true")) {
        *out = json_true();
    } else if (json_reader_word(reader, "false")) {
        *out = json_false();
    } else {
        TRY(json_reader_number(reader, &tree->scratch, &is_integer, &integer, &real));
        *out = is_integer ? json_integer(integer) : new_real(real);
    }
    return made(*out);
}

static enum status read_tree_items(struct tree *tree, int depth, json_t *array)
{
    struct json_reader *reader = &tree->reader;
    if (json_reader_take(reader, ']'))
        return OK;
    do {
        json_t *item;
        TRY(read_tree(tree, depth, &item));
        if (json_array_append_new(array, item) != 0)
            return made(NULL);
    } while (json_reader_take(reader, ','));
    return json_reader_take(reader, ']') ? OK : json_reader_malformed(reader, "',' or ']'");
}

// `key` is a copy of its own: reading the value uses the scratch. Of a key that stands twice the
// first place and the last value stay, as in Python's dict.
static enum status read_member(struct tree *tree, int depth, json_t *object, struct bytes *key)
{
    const char *text;
    size_t length;
    json_t *value;
    struct json_reader *reader = &tree->reader;
    TRY(json_reader_string(reader, &tree->scratch, &text, &length));
    bool in_scratch = text == tree->scratch.data;
    if (in_scratch) {
        bytes_clear(key);
        TRY(bytes_append(key, text, length));
        text = key->data;
    }
    TRY(json_reader_expect(reader, ':'));
    TRY(read_tree(tree, depth, &value));
    return json_object_setn_new_nocheck(object, text, length, value) == 0 ? OK : made(NULL);
}

static enum status read_members(struct tree *tree, int depth, json_t *object)
{
    struct json_reader *reader = &tree->reader;
    struct bytes key;
    if (json_reader_take(reader, '}'))
        return OK;
    bytes_init(&key);
    enum status status;
    do {
        status = json_reader_at(reader, '"')
                     ? read_member(tree, depth, object, &key)
                     : json_reader_malformed(reader, "a key in double quotes");
    } while (status == OK && json_reader_take(reader, ','));
    bytes_fini(&key);
    TRY(status);
    return json_reader_take(reader, '}') ? OK : json_reader_malformed(reader, "',' or '}'");
}

static enum status read_tree(struct tree *tree, int depth, json_t **out)
{
    struct json_reader *reader = &tree->reader;
    *out = NULL;
    if (++tree->n_nodes > tree->nodes_max)
        return fail(ERR_INPUT, "%s: JSON of more than %zu values; expected at most so many",
                    reader->where, tree->nodes_max);
    bool is_object = json_reader_at(reader, '{');
    if (!is_object && !json_reader_at(reader, '['))
        return read_scalar(tree, out);
    if (depth == JSON_DEPTH_MAX)
        return fail(ERR_INPUT, "%s: JSON is nested deeper than %d levels", reader->where,
                    JSON_DEPTH_MAX);
    reader->at++;
    json_t *branch = is_object ? json_object() : json_array();
    TRY(made(branch));
    enum status status = is_object ? read_members(tree, depth + 1, branch)
                                   : read_tree_items(tree, depth + 1, branch);
    if (status != OK)
        json_decref(branch);
    else
        *out = branch;
    return status;
}

enum status json_parse_within(const char *name, const char *text, size_t length,
                              enum json_dialect dialect, size_t nodes_max, json_t **out)
{
    assert(text && nodes_max > 0);
    *out = NULL;
    TRY(json_check_utf8(name, text, length));
    struct tree tree = {.reader = {name, text, text, text + length, dialect},
                        .nodes_max = nodes_max};
    bytes_init(&tree.scratch);
    enum status status = read_tree(&tree, 0, out);
    if (status == OK)
        status = json_reader_finish(&tree.reader);
    bytes_fini(&tree.scratch);
    if (status != OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

enum status json_parse(const char *name, const char *text, size_t length, json_t **out)
{
    return json_parse_within(name, text, length, JSON_PYTHON, JSON_FILE_NODES_MAX, out);
}

typedef enum status (*file_reader)(const char *path, size_t bytes_max, struct bytes *out);

static enum status parse_file(file_reader read, const char *path, size_t bytes_max, json_t **out)
{
    *out = NULL;
    struct bytes text;
    bytes_init(&text);
    enum status status = read(path, bytes_max, &text);
    if (status == OK)
        status = json_parse(path, text.data ? text.data : "", text.length, out);
    bytes_fini(&text);
    return status;
}

enum status json_file(const char *path, size_t bytes_max, json_t **out)
{
    return parse_file(file_read, path, bytes_max, out);
}

enum status json_file_given(const char *path, size_t bytes_max, json_t **out)
{
    return parse_file(file_read_given, path, bytes_max, out);
}
