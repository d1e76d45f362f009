#include "testing.h"

#include <sys/stat.h>

#include "base/file.h"
#include "hf/model_folder.h"

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), OK);
    return path;
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(path_of(name), 0700), 0);
}

static void write_text(const char *name, const char *text)
{
    assert_int_equal(file_write(path_of(name), text, strlen(text)), OK);
}

static void expect_found(const char *name)
{
    char found[FILE_PATH_MAX];
    if (model_folder_find(folder, found) != OK)
        print_error("%s\n", status_message());
    assert_string_equal(found, *name ? path_of(name) : folder);
}

static void a_cache_is_entered(void **state)
{
    (void)state;
    char found[FILE_PATH_MAX];
    snprintf(folder, sizeof folder, "/tmp/colrow-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    expect_found("");
    make_folder("snapshots");
    assert_int_equal(model_folder_find(folder, found), ERR_INPUT); // without a revision
    make_folder("snapshots/0123abc");
    expect_found("snapshots/0123abc");
    make_folder("snapshots/4567def");
    assert_int_equal(model_folder_find(folder, found), ERR_INPUT);
    assert_non_null(strstr(status_message(), "0123abc"));
    assert_non_null(strstr(status_message(), "2 revisions"));
    make_folder("refs");
    write_text("refs/main", "4567def\n");
    expect_found("snapshots/4567def");
    write_text("refs/main", "../../..");
    assert_int_equal(model_folder_find(folder, found), ERR_INPUT);
    assert_non_null(strstr(status_message(), "refs/main"));
    write_text("refs/main", "");
    assert_int_equal(model_folder_find(folder, found), ERR_INPUT);
    write_text("config.json", "{}"); // a model that happens to have such a folder
    expect_found("");
    assert_int_equal(model_folder_find("/does/not/exist", found), OK);
    assert_string_equal(found, "/does/not/exist");
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_is_entered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
