#include "testing.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name_list.h"
#include "base/progress.h"
#include "base/text_table.h"

static void sizes_are_checked(void **state)
{
    (void)state;
    size_t n;
    assert_false(checked_mul(SIZE_MAX, 2, &n));
    assert_false(checked_add(SIZE_MAX, 1, &n));
    assert_true(checked_mul3(3, 5, 7, &n));
    assert_int_equal(n, 105);
}

static void failures_carry_one_sentence(void **state)
{
    (void)state;
    assert_int_equal(fail(ERR_INPUT, "key \"%s\" is %d", "x", -1), ERR_INPUT);
    assert_int_equal(fail_in(ERR_INPUT, "config.json"), ERR_INPUT);
    assert_string_equal(status_message(), "config.json: key \"x\" is -1");
}

static void messages_are_one_line(void **state)
{
    (void)state;
    assert_int_equal(fail(ERR_INPUT, "tensor \"%s\"", "a\n\033[31mé"), ERR_INPUT);
    assert_string_equal(status_message(), "tensor \"a??[31mé\"");
    assert_int_equal(fail_in(ERR_INPUT, "x\ty"), ERR_INPUT);
    assert_string_equal(status_message(), "x?y: tensor \"a??[31mé\"");
}

static void only_regular_files_open(void **state)
{
    (void)state;
    int fd;
    uint64_t bytes = 0;
    assert_int_equal(file_open(SOURCE_DIR "/LICENSE", &fd, &bytes), OK);
    assert_true(bytes > 1000);
    close(fd);
    assert_int_equal(file_open(SOURCE_DIR, &fd, &bytes), ERR_INPUT);
    assert_int_equal(file_open(SOURCE_DIR "/absent", &fd, &bytes), ERR_IO);
}

static void the_nth_reservation_fails(void **state)
{
    (void)state;
    for (long n = 1; n < 4; n++) {
        struct bytes text;
        bytes_init(&text);
        memory_fail_after(n);
        enum status status = OK;
        for (int i = 0; i < 4 && status == OK; i++)
            status = bytes_append(&text, "0123456789abcdefghijklmnopqrstuvwxyz", (size_t)9 << i);
        memory_fail_after(0);
        assert_int_equal(status, n < 4 ? ERR_MEMORY : OK);
        bytes_fini(&text);
    }
}

static void json_names_file_and_key(void **state)
{
    (void)state;
    json_t *root;
    const char *text = "{\"hidden_size\": -4, \"name\": 3}";
    assert_int_equal(json_parse("c.json", text, strlen(text), &root), OK);
    int64_t number = 0;
    assert_int_equal(json_get_int(root, "c.json", "hidden_size", 1, 100, &number, NULL), ERR_INPUT);
    assert_string_equal(status_message(),
                        "c.json: key \"hidden_size\" is -4; expected an integer from 1 to 100");
    assert_int_equal(json_get_int(root, "c.json", "absent", 1, 100, &number, NULL), ERR_INPUT);
    bool found = true;
    assert_int_equal(json_get_int(root, "c.json", "absent", 1, 100, &number, &found), OK);
    assert_false(found);
    const char *name;
    assert_int_equal(json_get_text(root, "c.json", "name", &name, NULL), ERR_INPUT);
    json_decref(root);
}

static void lists_of_names_end_with_their_room(void **state)
{
    (void)state;
    char list[24] = "";
    name_list_add(list, sizeof list, "llama");
    name_list_add(list, sizeof list, "mistral");
    assert_string_equal(list, "llama, mistral");
    for (int i = 0; i < 20; i++)
        name_list_add(list, sizeof list, i % 2 ? "a" : "a very long name of a family");
    assert_string_equal(list, "llama, mistral, ...");
    char small[8] = "";
    name_list_add(small, sizeof small, "too long");
    name_list_add(small, sizeof small, "x");
    assert_string_equal(small, "...");
}

static void bytes_are_shown_for_people(void **state)
{
    (void)state;
    assert_string_equal(show_bytes(512), "512 B");
    assert_string_equal(show_bytes(2470000000.0), "2.47 GB");
}

static void tables_line_up(void **state)
{
    (void)state;
    struct table table;
    table_init(&table, 2);
    table_cell(&table, "name");
    table_cell(&table, "bytes");
    table_cell(&table, "né");
    table_cell(&table, "%d", 12);
    char out[256] = {0};
    FILE *file = fmemopen(out, sizeof out - 1, "w");
    assert_non_null(file);
    assert_int_equal(table_print(&table, file), OK);
    fclose(file);
    assert_string_equal(out, "name  bytes\n────  ─────\nné       12\n");
    table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_one_line),
        cmocka_unit_test(only_regular_files_open),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(failures_carry_one_sentence),
        cmocka_unit_test(the_nth_reservation_fails),
        cmocka_unit_test(json_names_file_and_key),
        cmocka_unit_test(lists_of_names_end_with_their_room),
        cmocka_unit_test(bytes_are_shown_for_people),
        cmocka_unit_test(tables_line_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
