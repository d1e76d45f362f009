// Chat templates against Jinja2 (tests/data/tokenizers/templates.json), and how they are found in a
// folder.
#include "testing.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "text/chat_template.h"

enum { MESSAGES_MAX = 16 };

static const char *const tokens[] = {"bos_token", "<s>", "eos_token", "</s>", NULL};

static int read_messages(const json_t *list, struct chat_message *out)
{
    size_t i;
    json_t *message;
    json_array_foreach(list, i, message)
    {
        assert_true(i < MESSAGES_MAX);
        out[i].role = json_string_value(json_object_get(message, "role"));
        out[i].content = json_string_value(json_object_get(message, "content"));
    }
    return (int)json_array_size(list);
}

// 1 when the text differs.
static int differs(const struct chat_template *chat, const char *name, const json_t *messages,
                   bool add_generation_prompt, const char *expected)
{
    struct chat_message list[MESSAGES_MAX];
    struct bytes text;
    bytes_init(&text);
    int n = read_messages(messages, list);
    enum status status = chat_template_render(chat, list, n, add_generation_prompt, &text);
    bool same = status == OK && strcmp(text.data ? text.data : "", expected) == 0;
    if (!same)
        printf("%s: expected [%s], found [%s]\n", name, expected,
               status == OK ? text.data : status_message());
    bytes_fini(&text);
    return !same;
}

static void small_templates_equal_jinja2(void **state)
{
    json_t *root, *item, *one;
    size_t i, k;
    int wrong = 0;
    (void)state;
    assert_int_equal(json_file(SOURCE_DIR "/tests/data/tokenizers/templates.json", 1 << 24, &root),
                     OK);
    const json_t *chats = json_object_get(root, "chats");
    json_array_foreach(json_object_get(root, "templates"), i, item)
    {
        struct chat_template *chat;
        const json_t *source = json_object_get(item, "template");
        const char *name = json_string_value(json_object_get(item, "name"));
        if (chat_template_parse(name, json_string_value(source), json_string_length(source), tokens,
                                &chat) != OK) {
            printf("%s\n", status_message());
            wrong++;
            continue;
        }
        json_array_foreach(json_object_get(item, "cases"), k, one)
        {
            size_t index = (size_t)json_integer_value(json_array_get(one, 0));
            wrong += differs(chat, name, json_array_get(chats, index),
                             json_is_true(json_array_get(one, 1)),
                             json_string_value(json_array_get(one, 2)));
        }
        chat_template_close(chat);
    }
    assert_true(i >= 25);
    json_decref(root);
    assert_int_equal(wrong, 0);
}

static void the_demo_renders_its_vectors(void **state)
{
    json_t *root, *item;
    size_t i;
    int wrong = 0;
    struct chat_template *chat;
    (void)state;
    if (!file_exists(SOURCE_DIR "/tests/data/demo_vectors.json"))
        skip();
    assert_int_equal(chat_template_open(SOURCE_DIR "/models/demo", &chat), OK);
    assert_int_equal(json_file(SOURCE_DIR "/tests/data/demo_vectors.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "chat"), i, item)
    {
        wrong += differs(chat, "demo", json_object_get(item, "messages"),
                         json_is_true(json_object_get(item, "add_generation_prompt")),
                         json_string_value(json_object_get(item, "rendered")));
    }
    assert_true(i > 0);
    assert_int_equal(wrong, 0);
    json_decref(root);
    chat_template_close(chat);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), OK);
    assert_int_equal(file_write(path, text, strlen(text)), OK);
}

static void renders(const char *folder, const char *expected)
{
    struct chat_template *chat;
    struct bytes text;
    bytes_init(&text);
    if (chat_template_open(folder, &chat) != OK)
        printf("%s\n", status_message());
    assert_non_null(chat);
    assert_int_equal(chat_template_render(chat, NULL, 0, false, &text), OK);
    assert_string_equal(text.data ? text.data : "", expected);
    bytes_fini(&text);
    chat_template_close(chat);
}

static void templates_are_found(void **state)
{
    char folder[] = "/tmp/colrow-chat-XXXXXX", path[FILE_PATH_MAX];
    static const char *const names[] = {"tokenizer_config.json", "chat_template.jinja"};
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_text(
        folder, "tokenizer_config.json",
        "{\"bos_token\": \"<b>\", \"eos_token\": {\"content\": \"<e>\"}, \"pad_token\": null,"
        "\"chat_template\": \"{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}\"}");
    renders(folder, "<b><e>False");
    write_text(folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"r\"},"
               "{\"name\": \"default\", \"template\": \"d\"}]}");
    renders(folder, "d");
    write_text(folder, "chat_template.jinja", "j\n");
    renders(folder, "j");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(file_join(folder, names[i], path), OK);
        unlink(path);
    }
    rmdir(folder);
}

static void the_clock_can_be_set(void **state)
{
    static const char text[] = "{{ strftime_now('%Y-%m-%d') }}";
    struct chat_template *chat;
    (void)state;
    assert_int_equal(chat_template_parse("t", text, strlen(text), NULL, &chat), OK);
    chat_template_set_time(chat, 1795219200 + 43200); // 2026-11-21, noon
    assert_int_equal(differs(chat, "clock", NULL, false, "2026-11-21"), 0);
    chat_template_close(chat);
}

static void memory_may_run_out(void **state)
{
    static const char text[] =
        "{% for m in messages %}{{ m.role | upper ~ [1, 2] | join }}{% endfor %}";
    const struct chat_message messages[] = {{"user", "a"}, {"assistant", "b"}};
    (void)state;
    enum status status = ERR_MEMORY;
    for (long n = 1; status == ERR_MEMORY; n++) {
        struct chat_template *chat;
        struct bytes out;
        bytes_init(&out);
        memory_fail_after(n);
        status = chat_template_parse("t", text, strlen(text), tokens, &chat);
        if (status == OK)
            status = chat_template_render(chat, messages, 2, true, &out);
        memory_fail_after(0);
        assert_true(status == OK || status == ERR_MEMORY);
        bytes_fini(&out);
        chat_template_close(chat);
    }
    assert_int_equal(status, OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_templates_equal_jinja2),
        cmocka_unit_test(the_demo_renders_its_vectors),
        cmocka_unit_test(templates_are_found),
        cmocka_unit_test(the_clock_can_be_set),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
