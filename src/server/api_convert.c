#include "server/api_convert.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static bool is_of(const char *const *types, const char *type)
{
    for (; type && *types; types++)
        if (strcmp(*types, type) == 0)
            return true;
    return false;
}

static bool join_texts(const json_t *parts, const char *const *types, const char *what,
                       struct bytes *text, struct api_fault *fault)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *of = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!is_of(types, type) || !json_is_string(of))
            return fault_of_field(fault, what,
                                  "%s has a part of type %.60s; this server reads parts of type "
                                  "%s with a text",
                                  what, type ? type : json_kind(part), types[0]);
        enum status status = i > 0 ? bytes_append(text, "\n", 1) : OK;
        if (status == OK)
            status = bytes_append(text, json_string_value(of), json_string_length(of));
        if (!fault_of_status(fault, status))
            return false;
    }
    return true;
}

bool convert_text(const json_t *content, const char *const *types, const char *what, json_t **out,
                  struct api_fault *fault)
{
    if (json_is_string(content)) {
        *out = json_incref((json_t *)content);
        return true;
    }
    if (!json_is_array(content))
        return fault_in_body(fault, what, "%s is %s; expected a string or a list of parts", what,
                             json_show(content));
    struct bytes text;
    bytes_init(&text);
    bool good = join_texts(content, types, what, &text, fault);
    *out = good ? json_stringn_nocheck(text.length ? text.data : "", text.length) : NULL;
    bytes_fini(&text);
    return *out || (good && fault_of_status(fault, fail_memory(1, "a message")));
}

bool convert_message(json_t *chat, const char *role, json_t *content, struct api_fault *fault)
{
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", content);
    return (message && json_array_append_new(chat, message) == 0) ||
           fault_of_status(fault, fail_memory(1, "a message"));
}

bool convert_fields(const json_t *body, const struct convert_field *fields, json_t *chat,
                    struct api_fault *fault)
{
    for (; fields->from; fields++) {
        json_t *value = json_object_get(body, fields->from);
        if (value && !json_is_null(value) && json_object_set(chat, fields->to, value) != 0)
            return fault_of_status(fault, fail_memory(1, "a request"));
    }
    return true;
}

bool convert_read(struct api_request *request, json_t *chat, const struct api_model *model,
                  const char *prefix, const char *given_id, struct api_fault *fault)
{
    json_decref(request->body);
    request->body = chat;
    if (!chat_request_read(request, model, given_id, fault))
        return false;
    api_request_name(request, prefix, given_id);
    return true;
}
