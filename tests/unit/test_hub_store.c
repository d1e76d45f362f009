#include "testing.h"

#include <sys/stat.h>

#include "base/file.h"
#include "hf/hub_store.h"

#define COMMIT "0123456789012345678901234567890123456789"
#define OID "1111111111111111111111111111111111111111"
#define SHA256 "2222222222222222222222222222222222222222222222222222222222222222"

static enum status add(struct hub_listing *listing, const char *text)
{
    hub_listing_init(listing);
    return hub_listing_add(listing, "the hub", text, strlen(text));
}

static void listings_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[1]",
        "[{}]",
        "[{\"type\": \"file\", \"path\": \"../x\", \"oid\": \"" OID "\", \"size\": 1}]",
        "[{\"type\": \"file\", \"path\": \"/x\", \"oid\": \"" OID "\", \"size\": 1}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"" OID "0\", \"size\": 1}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"../../x\", \"size\": 1}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"" OID "\", \"size\": -1}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"" OID
        "\", \"size\": 99999999999999999}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"" OID "\"}]",
        "[{\"type\": \"file\", \"path\": \"x\", \"oid\": \"" OID "\", \"size\": 1, \"lfs\": "
        "{\"oid\": \"" OID "\", \"size\": 1}}]",
        "[",
    };
    struct hub_listing listing;
    char commit[HUB_COMMIT_DIGITS + 1], id[HUB_ID_MAX + 1];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(add(&listing, bad[i]), ERR_INPUT);
        hub_listing_fini(&listing);
    }
    static const char good[] = "{\"sha\": \"" COMMIT "\", \"id\": \"a/b\"}",
                      none[] = "{\"sha\": \"main\"}";
    assert_int_equal(hub_listing_commit("x", good, strlen(good), commit, id), OK);
    assert_string_equal(commit, COMMIT);
    assert_string_equal(id, "a/b");
    assert_int_equal(hub_listing_commit("x", none, strlen(none), commit, id), ERR_INPUT);
}

static void expect_chosen(const char *const *paths, const char *chosen)
{
    struct hub_listing listing;
    struct bytes text;
    char found[512] = "";
    bytes_init(&text);
    assert_int_equal(bytes_text(&text, "["), OK);
    for (int i = 0; paths[i]; i++)
        assert_int_equal(bytes_format(&text,
                                      "%s{\"type\": \"file\", \"path\": \"%s\", \"oid\": \"" OID
                                      "\", \"size\": 3}",
                                      i ? "," : "", paths[i]),
                         OK);
    assert_int_equal(bytes_text(&text, "]"), OK);
    assert_int_equal(add(&listing, text.data), OK);
    enum status status = hub_listing_choose(&listing, "a/b", NULL, 0);
    for (size_t i = 0; status == OK && i < listing.n; i++)
        if (listing.entries[i].wanted) {
            strcat(found, listing.entries[i].path);
            strcat(found, " ");
        }
    assert_string_equal(found, chosen);
    hub_listing_fini(&listing);
    bytes_fini(&text);
}

static void only_what_is_read_is_chosen(void **state)
{
    (void)state;
    expect_chosen((const char *[]){"config.json", "model.safetensors", "pytorch_model.bin",
                                   "README.md", "consolidated.safetensors", "original/params.json",
                                   "merges.txt", "chat_template.jinja", NULL},
                  "config.json model.safetensors merges.txt chat_template.jinja ");
    expect_chosen((const char *[]){"params.json", "consolidated.safetensors", NULL},
                  "params.json consolidated.safetensors ");
    expect_chosen(
        (const char *[]){"config.json", "weights.safetensors", "consolidated.safetensors", NULL},
        "config.json weights.safetensors ");
    expect_chosen((const char *[]){"config.json", "pytorch_model.bin", NULL}, "");
}

static void parts_survive(void **state)
{
    (void)state;
    char cache[64] = "/tmp/colrow-test-XXXXXX", command[128];
    struct hub_settings settings = {0};
    struct hub_store store;
    struct hub_partial p;
    int lock, second;
    assert_non_null(mkdtemp(cache));
    snprintf(settings.cache, sizeof settings.cache, "%s/hub", cache);
    assert_int_equal(hub_store_open(&settings, "org/name", COMMIT, HUB_STORE_SNAPSHOT, &store), OK);
    assert_int_equal(hub_store_lock(&store, SHA256, &lock), OK);
    assert_true(lock >= 0);
    assert_int_equal(hub_store_lock(&store, SHA256, &second), OK);
    assert_int_equal(second, -1); // taken
    hub_store_unlock(lock);
    assert_int_equal(hub_partial_open(&store, SHA256, 10, 4, &p), OK);
    assert_int_equal(p.n_parts, 3);
    assert_int_equal(hub_partial_part_bytes(&p, 2), 2);
    assert_int_equal(hub_partial_write(&p, 4, "efg", 3), OK);
    assert_int_equal(hub_partial_have(&p), 3);
    hub_partial_close(&p);
    assert_int_equal(hub_partial_open(&store, SHA256, 10, 4, &p), OK);
    assert_int_equal(p.done[1], 3);
    assert_int_equal(hub_partial_write(&p, 0, "abcdefghij", 10), OK); // over all parts
    assert_int_equal(hub_partial_have(&p), 10);
    hub_partial_close(&p);
    assert_int_equal(hub_partial_open(&store, SHA256, 10, 5, &p),
                     OK); // other parts: from the start
    assert_int_equal(hub_partial_have(&p), 0);
    assert_int_equal(hub_partial_write(&p, 0, "abcdefghij", 10), OK);
    assert_false(hub_store_has(&store, SHA256, 10));
    assert_int_equal(hub_partial_publish(&p, &store, SHA256), OK);
    hub_partial_close(&p);
    assert_true(hub_store_has(&store, SHA256, 10));
    assert_false(hub_store_has(&store, SHA256, 9));
    // somebody was killed between the file's new name and the end of its parts
    assert_int_equal(hub_partial_open(&store, SHA256, 10, 4, &p), OK);
    hub_partial_close(&p);
    hub_partial_forget(&store, SHA256);
    hub_partial_forget(&store, SHA256);
    assert_int_equal(hub_partial_space(&store, SHA256), 0);
    snprintf(command, sizeof command, "test -z \"$(ls -A %s/hub/models--org--name/.colrow)\"",
             cache);
    assert_int_equal(system(command), 0);
    assert_true(hub_store_has(&store, SHA256, 10));
    assert_int_equal(hub_store_link(&store, "sub/file", SHA256), OK);
    assert_int_equal(hub_store_link(&store, "sub/file", SHA256), OK);
    assert_true(hub_store_linked(&store, "sub/file", 10));
    assert_int_equal(hub_store_ref(&store, "refs/pr/1"), OK);
    snprintf(command, sizeof command, "rm -r %s", cache);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings_are_checked),
        cmocka_unit_test(only_what_is_read_is_chosen),
        cmocka_unit_test(parts_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
