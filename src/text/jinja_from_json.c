#include "text/jinja_from_json.h"

#include "base/json_reader.h"

// ---- of a tree ----

static enum status from_array(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    struct jinja_list *list;
    size_t n = json_array_size(json);
    TRY(jinja_list_new(run, JINJA_LIST, n, &list, out));
    for (size_t i = 0; i < n; i++) {
        TRY(jinja_from_json(run, json_array_get(json, i), &list->items[i]));
        list->n++;
    }
    return OK;
}

static enum status from_object(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    struct jinja_dict *dict;
    json_t *tree = (json_t *)json; // which jansson's iterators take
    TRY(jinja_dict_new(run, &dict));
    for (void *at = json_object_iter(tree); at; at = json_object_iter_next(tree, at)) {
        struct jinja_value key, value;
        TRY(jinja_copy(run, json_object_iter_key(at), json_object_iter_key_len(at), &key));
        TRY(jinja_from_json(run, json_object_iter_value(at), &value));
        TRY(jinja_dict_set(run, dict, key, value));
    }
    *out = jinja_of_dict(dict);
    return OK;
}

static enum status from_branch(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    TRY(jinja_go_into(run));
    enum status status =
        json_is_array(json) ? from_array(run, json, out) : from_object(run, json, out);
    run->value_depth--;
    return status;
}

enum status jinja_from_json(struct jinja_run *run, const json_t *json, struct jinja_value *out)
{
    *out = jinja_none();
    if (!json)
        return OK;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return from_branch(run, json, out);
    case JSON_STRING:
        return jinja_copy(run, json_string_value(json), json_string_length(json), out);
    case JSON_INTEGER:
        *out = jinja_int(json_integer_value(json));
        return OK;
    case JSON_REAL:
        *out = jinja_float(json_number(json));
        return OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jinja_bool(json_is_true(json));
        return OK;
    case JSON_NULL:
        break;
    }
    return OK;
}

// ---- of a text ----

struct json_source {
    struct jinja_run *run;
    struct json_reader reader;
    struct bytes scratch;
};

static enum status read_value(struct json_source *source, struct jinja_value *out);

static enum status read_text(struct json_source *source, struct jinja_value *out)
{
    const char *text;
    size_t length;
    TRY(json_reader_string(&source->reader, &source->scratch, &text, &length));
    return jinja_copy(source->run, text, length, out);
}

static enum status read_json_number(struct json_source *source, struct jinja_value *out)
{
    bool is_integer;
    int64_t integer;
    double real;
    json_reader_at(&source->reader, '0'); // skips blanks
    const char *begin = source->reader.at;
    TRY(json_reader_number(&source->reader, &source->scratch, &is_integer, &integer, &real));
    *out = is_integer ? jinja_int(integer) : jinja_float(real);
    if (is_integer)
        return OK;
    for (const char *c = begin; c < source->reader.at; c++)
        if (!strchr("-0123456789", *c))
            return OK; // a fraction, an exponent, NaN or Infinity
    return fail(ERR_UNSUPPORTED,
                "%s: the integer %.*s has more than 64 bits, which is not supported",
                source->reader.where,
                source->reader.at - begin > 60 ? 60 : (int)(source->reader.at - begin), begin);
}

static enum status read_array(struct json_source *source, struct jinja_value *out)
{
    struct jinja_builder items = {0};
    struct jinja_value item;
    if (!json_reader_take(&source->reader, ']')) {
        do {
            TRY(read_value(source, &item));
            TRY(jinja_push(source->run, &items, item));
        } while (json_reader_take(&source->reader, ','));
        if (!json_reader_take(&source->reader, ']'))
            return json_reader_malformed(&source->reader, "',' or ']'");
    }
    return jinja_built(source->run, JINJA_LIST, &items, out);
}

static enum status read_json_object(struct json_source *source, struct jinja_value *out)
{
    struct jinja_dict *dict;
    struct jinja_value key, value;
    TRY(jinja_dict_new(source->run, &dict));
    *out = jinja_of_dict(dict);
    if (json_reader_take(&source->reader, '}'))
        return OK;
    do {
        if (!json_reader_at(&source->reader, '"'))
            return json_reader_malformed(&source->reader, "a key in double quotes");
        TRY(read_text(source, &key));
        TRY(json_reader_expect(&source->reader, ':'));
        TRY(read_value(source, &value));
        TRY(jinja_dict_set(source->run, dict, key, value));
    } while (json_reader_take(&source->reader, ','));
    return json_reader_take(&source->reader, '}')
               ? OK
               : json_reader_malformed(&source->reader, "',' or '}'");
}

static enum status read_branch(struct json_source *source, bool object, struct jinja_value *out)
{
    if (source->run->value_depth == JSON_DEPTH_MAX)
        return fail(ERR_INPUT, "%s: JSON is nested deeper than %d levels", source->reader.where,
                    JSON_DEPTH_MAX);
    source->run->value_depth++;
    source->reader.at++;
    enum status status = object ? read_json_object(source, out) : read_array(source, out);
    source->run->value_depth--;
    return status;
}

static enum status read_value(struct json_source *source, struct jinja_value *out)
{
    struct json_reader *reader = &source->reader;
    TRY(jinja_step(source->run, 1));
    if (json_reader_at(reader, '{') || json_reader_at(reader, '['))
        return read_branch(source, *reader->at == '{', out);
    if (json_reader_at(reader, '"'))
        return read_text(source, out);
    *out = jinja_none();
    if (json_reader_word(reader, "null"))
        return OK;
    *out = jinja_bool(true);
    if (json_reader_word(reader, "true"))
        return OK;
    *out = jinja_bool(false);
    return json_reader_word(reader, "false") ? OK : read_json_number(source, out);
}

enum status jinja_read_json(struct jinja_run *run, const char *name, const char *text,
                            size_t length, struct jinja_value *out)
{
    struct json_source source = {
        .run = run,
        .reader = {
            .where = name, .file = text, .at = text, .end = text + length, .dialect = JSON_PYTHON}};
    TRY(json_check_utf8(name, text, length));
    bytes_init(&source.scratch);
    enum status status = read_value(&source, out);
    if (status == OK)
        status = json_reader_finish(&source.reader);
    bytes_fini(&source.scratch);
    return status;
}
