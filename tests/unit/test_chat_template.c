// Chat templates against Jinja2 (tests/data/tokenizers/templates.json), and how they are found in a
// folder.
#include "testing.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "text/chat_template.h"

static const char *const tokens[] = {"bos_token", "<s>", "eos_token", "</s>", NULL};

// 1 when the template alone renders another text.
static int differs(const struct chat_template *chat, const char *name, const json_t *messages,
                   bool add_generation_prompt, const char *expected)
{
    struct bytes text;
    json_t *variables = json_pack("{s:s, s:s, s:n, s:n, s:b, s:O}", "bos_token", "<s>", "eos_token",
                                  "</s>", "tools", "documents", "add_generation_prompt",
                                  add_generation_prompt, "messages", messages);
    char *dump = json_dumps(variables, 0);
    assert_non_null(dump);
    bytes_init(&text);
    enum status status = chat_template_evaluate(chat, "variables", dump, strlen(dump), &text);
    bool same = status == OK && strcmp(text.data ? text.data : "", expected) == 0;
    if (!same)
        printf("%s: expected [%s], found [%s]\n", name, expected,
               status == OK ? text.data : status_message());
    bytes_fini(&text);
    free(dump);
    json_decref(variables);
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
    struct chat_template *chat;
    (void)state;
    if (!file_exists(SOURCE_DIR "/tests/data/demo_vectors.json"))
        skip();
    assert_int_equal(chat_template_open(SOURCE_DIR "/models/demo", &chat), OK);
    assert_int_equal(json_file(SOURCE_DIR "/tests/data/demo_vectors.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "chat"), i, item)
    {
        struct chat_request request = {
            .messages = json_object_get(item, "messages"),
            .add_generation_prompt = json_is_true(json_object_get(item, "add_generation_prompt"))};
        struct bytes text;
        bytes_init(&text);
        assert_int_equal(chat_template_apply(chat, &request, &text), OK);
        assert_string_equal(text.data, json_string_value(json_object_get(item, "rendered")));
        bytes_fini(&text);
    }
    assert_true(i > 0);
    json_decref(root);
    chat_template_close(chat);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), OK);
    assert_int_equal(file_write(path, text, strlen(text)), OK);
}

static json_t *parse(const char *text)
{
    json_t *json;
    assert_int_equal(json_parse("a test", text, strlen(text), &json), OK);
    return json;
}

// What a folder's template gives for one message, with tools or without.
static void renders(const char *folder, bool with_tools, const char *expected)
{
    struct chat_template *chat;
    struct bytes text;
    json_t *messages = parse("[{\"role\": \"user\", \"content\": \"Hi\"}]"), *tools = parse("[]");
    struct chat_request request = {.messages = messages, .tools = with_tools ? tools : NULL};
    bytes_init(&text);
    if (chat_template_open(folder, &chat) != OK)
        printf("%s\n", status_message());
    assert_non_null(chat);
    assert_int_equal(chat_template_apply(chat, &request, &text), OK);
    assert_string_equal(text.data ? text.data : "", expected);
    bytes_fini(&text);
    json_decref(messages);
    json_decref(tools);
    chat_template_close(chat);
}

static void templates_are_found(void **state)
{
    char folder[] = "/tmp/colrow-chat-XXXXXX", path[FILE_PATH_MAX];
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "additional_chat_templates/default.jinja",
                                        "additional_chat_templates/tool_use.jinja",
                                        "chat_template.jinja"};
    (void)state;
    assert_non_null(mkdtemp(folder));
    write_text(
        folder, "tokenizer_config.json",
        "{\"bos_token\": \"<b>\", \"eos_token\": {\"content\": \"<e>\"}, \"pad_token\": null,"
        "\"chat_template\": \"{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}\"}");
    renders(folder, false, "<b><e>False");
    write_text(folder, "special_tokens_map.json", "{\"bos_token\": \"<m>\"}");
    renders(folder, false, "<m><e>False");
    write_text(folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"},"
               "{\"name\": \"default\", \"template\": \"d\"}]}");
    renders(folder, false, "d");
    renders(folder, true, "t");
    write_text(folder, "tokenizer_config.json",
               "{\"chat_template\": {\"default\": \"o\", \"broken\": \"{{\"}}");
    renders(folder, true, "o");
    assert_int_equal(file_join(folder, "additional_chat_templates", path), OK);
    assert_int_equal(mkdir(path, 0700), 0);
    write_text(folder, names[2], "a{{ tools is none }}");
    renders(folder, true, "aFalse"); // the files count, not tokenizer_config.json
    write_text(folder, names[3], "u");
    renders(folder, true, "u");
    write_text(folder, names[4], "j\n");
    renders(folder, false, "aTrue"); // as Transformers: the folder's default counts
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(file_join(folder, names[i], path), OK);
        unlink(path);
    }
    assert_int_equal(file_join(folder, "additional_chat_templates", path), OK);
    rmdir(path);
    rmdir(folder);
}

static void the_clock_can_be_set(void **state)
{
    static const char text[] = "{{ strftime_now('%Y-%m-%d %H:%M:%S.%f%z|%-d %b') }}";
    struct chat_template *chat;
    json_t *messages = parse("[]");
    (void)state;
    assert_int_equal(chat_template_parse("t", text, strlen(text), NULL, &chat), OK);
    chat_template_set_time(chat, 1795219200 + 43200); // 2026-11-21, noon
    assert_int_equal(differs(chat, "clock", messages, false, "2026-11-21 12:00:00.000000|21 Nov"),
                     0);
    chat_template_close(chat);
    json_decref(messages);
}

// What apply_chat_template() does around the template, on requests that it takes or refuses.
static void requests_are_applied(void **state)
{
    static const char source[] = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}"
                                 "{{ m.reasoning_content }}{{ m.tool_calls is defined }}"
                                 "{% endfor %}{{ x }}{{ bos_token }}";
    static const struct {
        const char *messages, *kwargs, *continued, *expected; // NULL: refused
    } cases[] = {
        {"[{\"role\": \"u\", \"content\": \" a \", \"tool_calls\": null}]", "null", NULL,
         "<u>aFalse<s>"},
        {"[{\"role\": \"u\", \"content\": \"\", \"thinking\": \"t\"}]", "{\"x\": 1}", NULL,
         "<u>tFalse1<s>"},
        {"[{\"role\": \"u\", \"content\": \"a\"}]", "{\"bos_token\": \"b\"}", NULL, "<u>aFalseb"},
        {"[{\"role\": \"u\", \"content\": \"q\"}, {\"role\": \"a\", \"content\": \"one \"}]",
         "null", "content", "<u>qFalse<a>one"}, // trimmed: so is what is continued
        {"[{\"role\": \"a\", \"content\": \"c\", \"reasoning\": \"r \"}]", "null",
         "reasoning_content", "<a>cr "},
        {"[{\"role\": \"a\", \"content\": [{\"type\": \"text\"}]}]", "null", "content", NULL},
        {"[{\"role\": \"a\"}]", "null", "content", NULL},
        {"[{\"role\": \"a\", \"content\": \"c\", \"name\": \"n\"}]", "null", "name", NULL},
        {"[]", "null", NULL, NULL},
        {"[\"a\"]", "null", NULL, NULL},
        {"{}", "null", NULL, NULL},
        {"[{\"role\": \"u\"}]", "{\"messages\": []}", NULL, NULL},
        {"[{\"role\": \"u\"}]", "[]", NULL, NULL}};
    struct chat_template *chat;
    (void)state;
    assert_int_equal(chat_template_parse("t", source, strlen(source), tokens, &chat), OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *messages = parse(cases[i].messages), *kwargs = parse(cases[i].kwargs);
        struct chat_request request = {.messages = messages,
                                       .template_kwargs = kwargs,
                                       .continue_final_message = cases[i].continued};
        struct bytes text;
        bytes_init(&text);
        enum status status = chat_template_apply(chat, &request, &text);
        assert_int_equal(status, cases[i].expected ? OK : ERR_INPUT);
        if (cases[i].expected)
            assert_string_equal(text.data, cases[i].expected);
        bytes_fini(&text);
        json_decref(messages);
        json_decref(kwargs);
    }
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
        cmocka_unit_test(requests_are_applied),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
