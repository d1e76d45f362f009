// Real chat templates against Jinja2 and Transformers: 800 plain renderings
// (../shared/goldens/text/templates.json), and what apply_chat_template() does beyond them
// (chat.json). Equal byte for byte, or an error where they have one.
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "text/chat_template.h"

enum { NOW = 1795255740 }; // 2026-11-21 10:09:00

static const char *const tokens[] = {"bos_token", "<s>",       "eos_token", "</s>", "unk_token",
                                     "<unk>",     "pad_token", "<pad>",     NULL};

static struct chat_template *open_template(const char *name)
{
    char path[FILE_PATH_MAX];
    struct bytes source;
    struct chat_template *chat;
    snprintf(path, sizeof path, SHARED_DIR "/data/templates/llama.cpp/%s", name);
    bytes_init(&source);
    assert_int_equal(file_read(path, 1 << 20, &source), OK);
    enum status status = chat_template_parse(name, source.data, source.length, tokens, &chat);
    if (status != OK)
        printf("%s\n", status_message());
    assert_int_equal(status, OK);
    chat_template_set_time(chat, NOW);
    bytes_fini(&source);
    return chat;
}

// 1 when the result differs from what is wanted; both may be an error.
static int differs(const json_t *item, enum status status, const struct bytes *text)
{
    const json_t *output = json_object_get(item, "output");
    bool equal = output ? status == OK && json_string_length(output) == text->length &&
                              (text->length == 0 ||
                               memcmp(json_string_value(output), text->data, text->length) == 0)
                        : status == ERR_INPUT;
    if (!equal)
        printf("%s, %s: %s\n", json_string_value(json_object_get(item, "template")),
               json_string_value(json_object_get(item, "context")),
               status == OK ? "the text differs" : status_message());
    return !equal;
}

static int check_plain(const json_t *item, const json_t *defaults, const json_t *contexts)
{
    struct chat_template *chat =
        open_template(json_string_value(json_object_get(item, "template")));
    json_t *variables = json_copy((json_t *)defaults);
    struct bytes text;
    json_object_update(
        variables, json_object_get(contexts, json_string_value(json_object_get(item, "context"))));
    char *dump = json_dumps(variables, JSON_ENCODE_ANY);
    bytes_init(&text);
    enum status status = chat_template_evaluate(chat, "variables", dump, strlen(dump), &text);
    int wrong = differs(item, status, &text);
    bytes_fini(&text);
    free(dump);
    json_decref(variables);
    chat_template_close(chat);
    return wrong;
}

static void plain_renderings_equal_jinja2(void **state)
{
    json_t *root, *item;
    size_t i;
    int wrong = 0;
    (void)state;
    assert_int_equal(json_file(SHARED_DIR "/goldens/text/templates.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "cases"), i, item)
    {
        wrong +=
            check_plain(item, json_object_get(root, "defaults"), json_object_get(root, "contexts"));
    }
    printf("%zu renderings, %d wrong\n", i, wrong);
    assert_true(i >= 800);
    assert_int_equal(wrong, 0);
    json_decref(root);
}

static json_t *others_of(const json_t *context) // what is not a field of the request
{
    static const char *const fields[] = {"messages", "tools", "documents", "add_generation_prompt"};
    json_t *rest = json_copy((json_t *)context);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_del(rest, fields[i]);
    return rest;
}

static int check_chat(const json_t *item, const json_t *contexts)
{
    struct chat_template *chat =
        open_template(json_string_value(json_object_get(item, "template")));
    const json_t *context =
        json_object_get(contexts, json_string_value(json_object_get(item, "context")));
    bool continues = json_is_true(json_object_get(item, "continue_final_message"));
    json_t *kwargs = context && !continues ? others_of(context) : NULL;
    struct bytes text;
    bytes_init(&text);
    struct chat_request request = {
        .messages = json_object_get(continues ? item : context, "messages"),
        .tools = continues ? NULL : json_object_get(context, "tools"),
        .documents = continues ? NULL : json_object_get(context, "documents"),
        .template_kwargs = kwargs,
        .add_generation_prompt =
            !continues && json_is_true(json_object_get(context, "add_generation_prompt")),
        .continue_final_message = continues ? "content" : NULL,
    };
    enum status status = chat_template_apply(chat, &request, &text);
    int wrong = differs(item, status, &text);
    bytes_fini(&text);
    json_decref(kwargs);
    chat_template_close(chat);
    return wrong;
}

static void chats_equal_apply_chat_template(void **state)
{
    json_t *root, *plain, *item;
    size_t i;
    int wrong = 0;
    (void)state;
    assert_int_equal(json_file(SHARED_DIR "/goldens/text/templates.json", 1 << 24, &plain), OK);
    assert_int_equal(json_file(SHARED_DIR "/goldens/text/chat.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "cases"), i, item)
    {
        wrong += check_chat(item, json_object_get(plain, "contexts"));
    }
    printf("%zu chats, %d wrong\n", i, wrong);
    assert_true(i >= 143);
    assert_int_equal(wrong, 0);
    json_decref(root);
    json_decref(plain);
}

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain_renderings_equal_jinja2),
                                       cmocka_unit_test(chats_equal_apply_chat_template)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
