// Descriptions of machines: what is read, and the sentence for what is not.
#include "testing.h"

#include <string.h>

#include "device/machine.h"

#define DEVICE                                                                                     \
    "\"device\": {\"memory_bytes\": 1e9, \"read_bytes_per_second\": 2e9, "                         \
    "\"bfloat16_flops_per_second\": 3e9}"

static void reads(void **state)
{
    (void)state;
    const char *text = "{\"name\": \"a\", " DEVICE
                       ", \"link_in_node\": {\"latency_seconds\": {\"value\": 1e-6, \"source\": "
                       "\"a page\"}, \"bytes_per_second\": 4000000000}, \"overhead\": "
                       "{\"step_seconds\": 0}}";
    struct machine m;
    const char *section, *key;
    assert_int_equal(machine_parse("m.json", text, strlen(text), &m), OK);
    assert_string_equal(m.name, "a");
    assert_true(m.memory_bytes.value == 1e9 && m.read_bytes_per_second.value == 2e9);
    assert_true(m.bfloat16_flops_per_second.value == 3e9 && m.float32_flops_per_second.value == 0);
    assert_true(m.in_node.latency_seconds.value == 1e-6 && m.in_node.bytes_per_second.value == 4e9);
    assert_string_equal(m.in_node.latency_seconds.source, "a page");
    assert_string_equal(m.memory_bytes.source, "");
    assert_true(m.between_nodes.bytes_per_second.value == 0);
    assert_ptr_equal(machine_figure(&m, 0, &section, &key), &m.memory_bytes);
    assert_string_equal(section, "device");
    assert_string_equal(key, "memory_bytes");
    assert_null(machine_figure(&m, 1000, &section, &key));
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "m.json"},
        {"[]", "expected an object that describes a machine"},
        {"{" DEVICE "}", "\"name\""},
        {"{\"name\": 1, " DEVICE "}", "\"name\""},
        {"{\"name\": \"a\"}", "lacks \"device\""},
        {"{\"name\": \"a\", \"device\": 7}", "\"device\" is 7; expected an object of figures"},
        {"{\"name\": \"a\", \"device\": {\"memory_bytes\": 1e9}}",
         "lacks \"read_bytes_per_second\""},
        {"{\"name\": \"a\", " DEVICE ", \"GPU\": {}}",
         "\"GPU\" is no key of a machine; expected one of name, device, node, link_in_node"},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"cores\": 2}}",
         "\"node\": \"cores\" is no key of a machine; expected one of memory_bytes"},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"memory_bytes\": -1}}",
         "\"node\": \"memory_bytes\" is -1; expected a number from 1 to"},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"memory_bytes\": NaN}}", "\"memory_bytes\""},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"memory_bytes\": \"80 GB\"}}",
         "is \"80 GB\"; expected a number"},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"memory_bytes\": {\"source\": \"x\"}}}",
         "is without a value"},
        {"{\"name\": \"a\", " DEVICE ", \"node\": {\"memory_bytes\": {\"value\": 1, \"url\": 2}}}",
         "has the key \"url\""},
        {"{\"name\": \"a\", " DEVICE ", \"link_in_node\": {\"latency_seconds\": 0}}",
         "\"link_in_node\" lacks \"bytes_per_second\""},
        {"{\"name\": \"a\", " DEVICE ", \"overhead\": {\"step_seconds\": 1e9}}",
         "expected a number from 0 to 3600"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct machine m;
        assert_int_not_equal(machine_parse("m.json", cases[i].text, strlen(cases[i].text), &m), OK);
        if (!strstr(status_message(), cases[i].words))
            assert_string_equal(status_message(), cases[i].words);
    }
}

// No prefix and no changed byte of a good file does more than be refused.
static void survives(void **state)
{
    (void)state;
    char text[512];
    struct machine m;
    snprintf(text, sizeof text,
             "{\"name\": \"a\", %s, \"overhead\": {\"step_seconds\": {\"value\": 1e-3, \"source\": "
             "\"s\"}}}",
             DEVICE);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        assert_int_not_equal(machine_parse("m.json", text, i, &m), OK);
        char was = text[i];
        for (const char *c = "\"{}[]:,0-\\"; *c; c++) {
            text[i] = *c;
            if (machine_parse("m.json", text, length, &m) != OK)
                assert_true(strlen(status_message()) > 10);
        }
        text[i] = was;
    }
}

static void examples_are_read(void **state)
{
    (void)state;
    struct machine m;
    assert_int_equal(machine_read(SOURCE_DIR "/examples/machines/dgx-h100.json", &m), OK);
    const char *section, *key;
    const struct figure *f;
    for (int i = 0; (f = machine_figure(&m, i, &section, &key)); i++)
        assert_true(f->value == 0 || f->source[0]); // published figures say where
    assert_int_not_equal(machine_read(SOURCE_DIR "/examples/machines/none.json", &m), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives),
        cmocka_unit_test(examples_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
