// Templates of every statement, filter, test and method against what Jinja2 3.1.6 gave, set up as
// Transformers 5.24 does (tests/data/templates/vectors.json, written by
// tools/differential_templates.py --write).
#include "testing.h"

#include "base/json.h"
#include "text/chat_template.h"

enum { NOW = 1795255740 }; // 2026-11-21 10:09:00

// 1 when the rendering differs.
static int check(const json_t *item)
{
    const json_t *source = json_object_get(item, "template"),
                 *output = json_object_get(item, "output");
    struct chat_template *chat;
    struct bytes text;
    char *variables = json_dumps(json_object_get(item, "variables"), JSON_REAL_PRECISION(17));
    bytes_init(&text);
    enum status status = chat_template_parse("t", json_string_value(source),
                                             json_string_length(source), NULL, &chat);
    if (status == OK) {
        chat_template_set_time(chat, NOW);
        status = chat_template_evaluate(chat, "variables", variables, strlen(variables), &text);
    }
    bool equal = output ? status == OK && json_string_length(output) == text.length &&
                              (text.length == 0 ||
                               memcmp(json_string_value(output), text.data, text.length) == 0)
                        : status != OK;
    if (!equal)
        printf("%s\n  expected [%s]\n  found [%s]\n", json_string_value(source),
               output ? json_string_value(output) : "an error",
               status != OK ? status_message()
               : text.data  ? text.data
                            : "");
    chat_template_close(chat);
    bytes_fini(&text);
    free(variables);
    return !equal;
}

static void templates_equal_jinja2(void **state)
{
    json_t *root, *item;
    size_t i;
    int wrong = 0;
    (void)state;
    assert_int_equal(json_file(SOURCE_DIR "/tests/data/templates/vectors.json", 1 << 25, &root),
                     OK);
    json_array_foreach(json_object_get(root, "cases"), i, item)
    {
        wrong += check(item);
    }
    printf("%zu templates, %d wrong\n", i, wrong);
    assert_true(i >= 300);
    assert_int_equal(wrong, 0);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(templates_equal_jinja2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
