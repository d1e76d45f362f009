#include "testing.h"

#include <sys/stat.h>

#include "base/file.h"
#include "hf/hub_cache.h"
#include "hf/hub_remove.h"
#include "hf/model_folder.h"

#define SHA_A "aaaaaaa1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "aaaaaaa2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define REPO "models--org--name"
static char cache[64];

static const char *place(const char *name)
{
    static char paths[4][FILE_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    assert_int_equal(file_join(cache, name, path), OK);
    return path;
}

static void shell(const char *format, ...)
{
    char command[1024], whole[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "set -e; cd %s; %s", cache, command);
    assert_int_equal(system(whole), 0);
}

static int begin(void **state)
{
    (void)state;
    static const char *const variables[] = {"HF_HOME",
                                            "HUGGINGFACE_HUB_CACHE",
                                            "HF_HUB_OFFLINE",
                                            "TRANSFORMERS_OFFLINE",
                                            "HF_ENDPOINT",
                                            "HF_TOKEN",
                                            "HUGGING_FACE_HUB_TOKEN",
                                            "HF_TOKEN_PATH",
                                            "HF_HUB_DISABLE_IMPLICIT_TOKEN"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    snprintf(cache, sizeof cache, "/tmp/colrow-test-XXXXXX");
    assert_non_null(mkdtemp(cache));
    return setenv("HF_HUB_CACHE", cache, 1);
}

static int end(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command);
}

// Two snapshots that share config.json; main is the first.
static void make_repository(void)
{
    shell("mkdir -p %s/blobs %s/refs/refs/pr %s/snapshots/%s/sub %s/snapshots/%s %s/trees", REPO,
          REPO, REPO, SHA_A, REPO, SHA_B, REPO);
    shell("cd %s/blobs; printf {} >c; printf 12345 >w1; printf 1234567 >w2", REPO);
    shell("cd %s/snapshots/%s; ln -s ../../blobs/c config.json; ln -s ../../blobs/w1 "
          "model.safetensors; ln -s ../../../blobs/w1 sub/same",
          REPO, SHA_A);
    shell("cd %s/snapshots/%s; ln -s ../../blobs/c config.json; ln -s ../../blobs/w2 "
          "model.safetensors",
          REPO, SHA_B);
    shell("cd %s; printf %s >refs/main; printf %s >refs/refs/pr/1; echo {} >trees/%s.json", REPO,
          SHA_A, SHA_B, SHA_B);
}

static void finds(const char *given, const char *commit)
{
    char found[FILE_PATH_MAX], expected[FILE_PATH_MAX];
    if (model_folder_find(given, found) != OK)
        print_error("%s\n", status_message());
    snprintf(expected, sizeof expected, "%s/" REPO "/snapshots/%s", cache, commit);
    assert_string_equal(found, expected);
}

static void refuses(const char *given, const char *says)
{
    char found[FILE_PATH_MAX];
    assert_int_not_equal(model_folder_find(given, found), OK);
    if (!strstr(status_message(), says))
        print_error("%s: \"%s\" lacks \"%s\"\n", given, status_message(), says);
    assert_non_null(strstr(status_message(), says));
}

static void names_are_checked(void **state)
{
    (void)state;
    struct hub_name name;
    static const char *const good[] = {
        "org/name", "o/n", "Org-1/n.a_m", "org/name@main", "org/name@refs/pr/1", "org/name@v1.0"};
    static const char *const bad[] = {"",
                                      "org",
                                      "org/",
                                      "/name",
                                      "org/na/me",
                                      "./name",
                                      "../name",
                                      "~/name",
                                      "org/-name",
                                      "org/na--me",
                                      "org/na..me",
                                      "org/name.git",
                                      "org/na me",
                                      "org/name@",
                                      "org/name@../x",
                                      "org/name@a//b",
                                      "org/name@/a",
                                      "org/name@a b",
                                      "org/name@a\n",
                                      "org/name@-x",
                                      "org/name@a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(hub_name_read(good[i], &name), OK);
    assert_string_equal(name.id, "org/name");
    assert_string_equal(name.revision, "v1.0");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(hub_name_read(bad[i], &name), ERR_USAGE);
    char text[512] = "org/";
    memset(text + 4, 'a', 92);
    assert_int_equal(hub_name_read(text, &name), OK);
    text[96] = 'a';
    assert_int_equal(hub_name_read(text, &name), ERR_USAGE);
    assert_true(hub_path_is("a/b.c") && hub_path_is("..a") && hub_path_is("a b"));
    static const char *const leaving[] = {"",  "/a",  "a/",   "a//b", "a/../b", "..",
                                          ".", "a/.", "a\\b", "a\nb", "a\x7f"};
    for (size_t i = 0; i < sizeof leaving / sizeof leaving[0]; i++)
        assert_false(hub_path_is(leaving[i]));
    assert_true(hub_commit_is(SHA_A));
    assert_false(hub_commit_is("AAAAAAA1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

static void revisions_are_found(void **state)
{
    (void)state;
    refuses("org/name", "colrow pull org/name");
    make_repository();
    finds("org/name", SHA_A);
    finds("org/name@main", SHA_A);
    finds("org/name@refs/pr/1", SHA_B);
    finds("org/name@" SHA_B, SHA_B);
    finds("org/name@aaaaaaa2", SHA_B);
    refuses("org/name@aaaaaaa", "ambiguous");
    refuses("org/name@aaaaaaa", SHA_B);
    refuses("org/name@v2", "there are: ");
    setenv("HF_HUB_OFFLINE", "True", 1);
    refuses("org/name@v2", "HF_HUB_OFFLINE is set");
    refuses("org/other", "HF_HUB_OFFLINE is set");
    refuses("org/name@a..b", "is no revision");
    shell("rm %s/refs/main", REPO);
    refuses("org/name", "ambiguous");
    shell("rm -r %s/snapshots/%s", REPO, SHA_B);
    finds("org/name", SHA_A); // the only one
}

static void broken_caches_are_named(void **state)
{
    (void)state;
    make_repository();
    shell("rm %s/blobs/w1", REPO);
    refuses("org/name", "the cache is broken");
    refuses("org/name", "2 of 3 files");
    finds("org/name@refs/pr/1", SHA_B);
    shell("rm %s/snapshots/%s/config.json", REPO, SHA_B);
    refuses("org/name@refs/pr/1", "has no config.json");
    shell("printf ../../x >%s/refs/main", REPO);
    refuses("org/name", "holds no name of a snapshot");
    shell("printf %s >%s/refs/main; rm -r %s/snapshots/%s", SHA_A, REPO, REPO, SHA_A);
    refuses("org/name", "no such repository or revision");
    shell("echo %s >%s/refs/main", SHA_B, REPO); // a line end, as editors leave it
    refuses("org/name", "has no config.json");
}

static void settings_follow_the_environment(void **state)
{
    (void)state;
    struct hub_settings settings;
    char token[HUB_TOKEN_MAX + 1];
    assert_int_equal(hub_settings_read(&settings), OK);
    assert_string_equal(settings.endpoint, "https://huggingface.co");
    assert_false(settings.offline);
    unsetenv("HF_HUB_CACHE");
    setenv("HF_HOME", "~/x$HUB_TEST/${HUB_TEST}y$none_such", 1);
    setenv("HOME", "/h", 1);
    setenv("HUB_TEST", "1", 1);
    setenv("HF_ENDPOINT", "http://127.0.0.1:80//", 1);
    assert_int_equal(hub_settings_read(&settings), OK);
    assert_string_equal(settings.cache, "/h/x1/1y$none_such/hub");
    assert_string_equal(settings.endpoint, "http://127.0.0.1:80");
    setenv("HF_ENDPOINT", "ftp://x", 1);
    assert_int_equal(hub_settings_read(&settings), ERR_USAGE);
    setenv("HF_ENDPOINT", "http://user@x", 1);
    assert_int_equal(hub_settings_read(&settings), ERR_USAGE);
    unsetenv("HF_ENDPOINT");
    setenv("HF_HOME", cache, 1);
    assert_int_equal(hub_settings_read(&settings), OK);
    assert_int_equal(hub_token_read(&settings, token), OK);
    assert_string_equal(token, "");
    shell("printf '  hf_file \\n' >token");
    assert_int_equal(hub_token_read(&settings, token), OK);
    assert_string_equal(token, "hf_file");
    setenv("HF_TOKEN", "", 1); // counts as none
    assert_int_equal(hub_token_read(&settings, token), OK);
    assert_string_equal(token, "hf_file");
    setenv("HF_TOKEN", "hf_variable\n", 1);
    assert_int_equal(hub_token_read(&settings, token), OK);
    assert_string_equal(token, "hf_variable");
    setenv("HF_TOKEN", "a\x01", 1);
    assert_int_equal(hub_token_read(&settings, token), ERR_INPUT);
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    assert_int_equal(hub_token_read(&settings, token), OK);
    assert_string_equal(token, "");
}

static void read_again(struct hub_repository *repository)
{
    assert_int_equal(hub_repository_read(place(REPO), "org/name", repository), OK);
}

static void removal_keeps_what_others_need(void **state)
{
    (void)state;
    struct hub_repository repository;
    struct hub_settings settings;
    struct hub_name name;
    struct hub_removal gone;
    const struct hub_snapshot *snapshot;
    make_repository();
    shell("mkdir -p .locks/%s; touch .locks/%s/w1.lock; ln -s /dev/null %s/blobs/elsewhere", REPO,
          REPO, REPO);
    read_again(&repository);
    assert_int_equal(repository.n_snapshots, 2);
    assert_int_equal(repository.n_refs, 2);
    assert_int_equal(hub_name_read("org/name@refs/pr/1", &name), OK);
    assert_int_equal(hub_cache_snapshot(&repository, &name, &snapshot), OK);
    assert_int_equal(snapshot->bytes, 9);
    assert_int_equal(hub_remove_snapshot(&repository, snapshot, &gone), OK);
    assert_int_equal(gone.n_blobs, 1);
    assert_int_equal(gone.bytes, 7);
    assert_int_equal(gone.n_refs, 1);
    hub_repository_fini(&repository);
    assert_false(file_exists(place(REPO "/blobs/w2")));
    assert_false(file_exists(place(REPO "/trees/" SHA_B ".json")));
    assert_true(file_exists(place(REPO "/blobs/c")));
    finds("org/name", SHA_A);
    assert_int_equal(hub_settings_read(&settings), OK);
    read_again(&repository);
    assert_int_equal(hub_remove_repository(&settings, &repository, &gone), OK);
    hub_repository_fini(&repository);
    assert_false(file_is_folder(place(REPO)));
    assert_false(file_is_folder(place(".locks/" REPO)));
    assert_true(file_exists("/dev/null"));
}

// By whichever revision and name it is found.
static void a_file_is_counted_once(void **state)
{
    (void)state;
    struct hub_repository repository;
    struct hub_settings settings;
    struct hub_removal gone;
    make_repository();
    assert_int_equal(hub_settings_read(&settings), OK);
    read_again(&repository);
    assert_int_equal(repository.n_snapshots, 2);
    assert_int_equal(hub_remove_repository(&settings, &repository, &gone), OK);
    assert_int_equal(gone.n_blobs, 3);
    hub_repository_fini(&repository);
}

static void every_reservation_may_fail(void **state)
{
    (void)state;
    char found[FILE_PATH_MAX];
    make_repository();
    for (long n = 1; n < 10000; n++) {
        memory_fail_after(n);
        enum status status = hub_cache_find("org/name", found);
        memory_fail_after(0);
        if (status == OK)
            return;
        assert_int_equal(status, ERR_MEMORY);
    }
    assert_true(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_checked, begin, end),
        cmocka_unit_test_setup_teardown(revisions_are_found, begin, end),
        cmocka_unit_test_setup_teardown(broken_caches_are_named, begin, end),
        cmocka_unit_test_setup_teardown(settings_follow_the_environment, begin, end),
        cmocka_unit_test_setup_teardown(removal_keeps_what_others_need, begin, end),
        cmocka_unit_test_setup_teardown(a_file_is_counted_once, begin, end),
        cmocka_unit_test_setup_teardown(every_reservation_may_fail, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
