// Real chat templates on conversations of plain messages (../shared/goldens/text/templates.json):
// what is rendered is equal, and what is not understood is refused by name.
#include "testing.h"

#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "text/chat_template.h"

enum { MESSAGES_MAX = 32, EQUAL_LEAST = 190 };

static const char *const tokens[] = {"bos_token", "<s>",       "eos_token", "</s>", "unk_token",
                                     "<unk>",     "pad_token", "<pad>",     NULL};

struct counts {
    int cases, equal, unsupported, wrong;
};

// False when the conversation has more than roles, texts and add_generation_prompt.
static bool read_context(const json_t *context, struct chat_message *messages, int *n)
{
    const char *key;
    json_t *value, *message;
    size_t i;
    *n = 0;
    json_object_foreach((json_t *)context, key, value)
    {
        if (strcmp(key, "messages") != 0 && strcmp(key, "add_generation_prompt") != 0)
            return false;
    }
    json_array_foreach(json_object_get(context, "messages"), i, message)
    {
        const json_t *role = json_object_get(message, "role"),
                     *content = json_object_get(message, "content");
        if (json_object_size(message) != 2 || !json_is_string(role) || !json_is_string(content))
            return false;
        assert_true(*n < MESSAGES_MAX);
        messages[(*n)++] =
            (struct chat_message){json_string_value(role), json_string_value(content)};
    }
    return true;
}

static enum status render(const char *name, const struct chat_message *messages, int n, bool prompt,
                          struct bytes *out)
{
    char path[FILE_PATH_MAX];
    struct bytes source;
    struct chat_template *chat;
    snprintf(path, sizeof path, SHARED_DIR "/data/templates/llama.cpp/%s", name);
    bytes_init(&source);
    assert_int_equal(file_read(path, 1 << 20, &source), OK);
    enum status status = chat_template_parse(name, source.data, source.length, tokens, &chat);
    if (status == OK) {
        chat_template_set_time(chat, 1795255740); // 2026-11-21 10:09:00
        status = chat_template_render(chat, messages, n, prompt, out);
    }
    chat_template_close(chat);
    bytes_fini(&source);
    return status;
}

static void check(const json_t *item, const json_t *contexts, struct counts *counts)
{
    const char *name = json_string_value(json_object_get(item, "template"));
    const char *context = json_string_value(json_object_get(item, "context"));
    const json_t *variables = json_object_get(contexts, context),
                 *output = json_object_get(item, "output");
    struct chat_message messages[MESSAGES_MAX];
    struct bytes text;
    int n;
    if (!read_context(variables, messages, &n))
        return;
    bytes_init(&text);
    enum status status =
        render(name, messages, n, json_is_true(json_object_get(variables, "add_generation_prompt")),
               &text);
    bool equal = output ? status == OK && json_string_length(output) == text.length &&
                              memcmp(json_string_value(output), text.data, text.length) == 0
                        : status == ERR_INPUT;
    counts->cases++;
    counts->equal += equal;
    counts->unsupported += !equal && status == ERR_UNSUPPORTED;
    if (!equal && status != ERR_UNSUPPORTED) {
        printf("%s, %s: %s\n", name, context, status == OK ? "the text differs" : status_message());
        counts->wrong++;
    }
    bytes_fini(&text);
}

static void templates_are_equal_or_refused(void **state)
{
    json_t *root, *item;
    size_t i;
    struct counts counts = {0};
    (void)state;
    assert_int_equal(json_file(SHARED_DIR "/goldens/text/templates.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "cases"), i, item)
        check(item, json_object_get(root, "contexts"), &counts);
    printf("%d renderings: %d equal, %d not supported, %d wrong\n", counts.cases, counts.equal,
           counts.unsupported, counts.wrong);
    json_decref(root);
    assert_int_equal(counts.wrong, 0);
    assert_true(counts.equal >= EQUAL_LEAST);
}

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {cmocka_unit_test(templates_are_equal_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
