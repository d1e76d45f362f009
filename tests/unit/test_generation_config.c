#include "testing.h"

#include <math.h>

#include "base/file.h"
#include "hf/generation_config.h"

static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), OK);
    if (text)
        assert_int_equal(file_write(path, text, strlen(text)), OK);
    else
        unlink(path);
}

static struct generation_config read_folder(const char *generation, const char *config)
{
    struct generation_config out;
    snprintf(folder, sizeof folder, "/tmp/colrow-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("generation_config.json", generation);
    write_file("config.json", config);
    enum status status = generation_config_read(folder, 512, &out);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    write_file("generation_config.json", NULL);
    write_file("config.json", NULL);
    rmdir(folder);
    return out;
}

static void eos_is_a_number_or_a_list(void **state)
{
    (void)state;
    struct generation_config out =
        read_folder("{\"bos_token_id\": 0, \"eos_token_id\": 511}", NULL);
    assert_int_equal(out.bos_token_id, 0);
    assert_int_equal(out.n_eos_token_ids, 1);
    assert_int_equal(out.eos_token_ids[0], 511);
    out = read_folder("{\"eos_token_id\": [3, 1, 2]}", NULL);
    assert_int_equal(out.bos_token_id, -1);
    assert_int_equal(out.n_eos_token_ids, 3);
    assert_int_equal(out.eos_token_ids[0], 3);
    assert_int_equal(out.eos_token_ids[2], 2);
}

static void config_json_fills_in(void **state)
{
    (void)state;
    const char *config = "{\"bos_token_id\": 5, \"eos_token_id\": [6, 7], \"temperature\": 9}";
    struct generation_config out = read_folder(NULL, config);
    assert_int_equal(out.bos_token_id, 5);
    assert_int_equal(out.n_eos_token_ids, 2);
    assert_false(out.has_temperature); // sampling is no business of config.json
    out = read_folder("{\"eos_token_id\": 2}", config);
    assert_int_equal(out.bos_token_id, 5);
    assert_int_equal(out.n_eos_token_ids, 1);
    assert_int_equal(out.eos_token_ids[0], 2);
    out = read_folder("{\"eos_token_id\": null, \"bos_token_id\": null}", "{}");
    assert_int_equal(out.bos_token_id, -1);
    assert_int_equal(out.n_eos_token_ids, 0);
    out = read_folder(NULL, NULL);
    assert_int_equal(out.n_eos_token_ids, 0);
    // multimodal models say it of their text part
    out = read_folder(NULL, "{\"text_config\": {\"bos_token_id\": 5, \"eos_token_id\": 6}}");
    assert_int_equal(out.bos_token_id, 5);
    assert_int_equal(out.n_eos_token_ids, 1);
    assert_int_equal(out.eos_token_ids[0], 6);
}

static void sampling_defaults_are_read(void **state)
{
    (void)state;
    struct generation_config out = read_folder("{\"do_sample\": true, \"temperature\": 0.6, "
                                               "\"top_p\": 0.9, \"top_k\": 40, \"min_p\": 0.05,"
                                               "\"repetition_penalty\": 1.1}",
                                               NULL);
    assert_true(out.has_do_sample && out.do_sample && out.has_temperature && out.has_top_p &&
                out.has_top_k);
    assert_true(out.has_min_p && out.has_repetition_penalty);
    assert_true(fabs(out.temperature - 0.6) < 1e-12 && fabs(out.top_p - 0.9) < 1e-12);
    assert_true(fabs(out.min_p - 0.05) < 1e-12 && fabs(out.repetition_penalty - 1.1) < 1e-12);
    assert_int_equal(out.top_k, 40);
    out = read_folder("{}", NULL);
    assert_false(out.has_do_sample || out.has_temperature || out.has_top_p || out.has_top_k ||
                 out.has_min_p);
    assert_true(fabs(out.temperature - 1) < 1e-12 && fabs(out.top_p - 1) < 1e-12 && out.top_k == 0);
}

static void ids_beyond_the_vocabulary_are_left_out(void **state)
{
    (void)state;
    struct generation_config out =
        read_folder("{\"eos_token_id\": [512, 7.0, -1, 1e30], \"bos_token_id\": 512}", NULL);
    assert_int_equal(out.n_eos_token_ids, 1);
    assert_int_equal(out.eos_token_ids[0], 7);
    assert_int_equal(out.bos_token_id, -1);
    out = read_folder(NULL, "{\"eos_token_id\": -1, \"bos_token_id\": 3.0}");
    assert_int_equal(out.n_eos_token_ids, 0);
    assert_int_equal(out.bos_token_id, 3);
}

// They stop requests that would end at them, and nothing else. A bos token is shown only.
static void ids_that_cannot_be_read_are_kept_as_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *json, *word; // NULL: nothing to complain about
    } cases[] = {
        {"{\"eos_token_id\": \"2\"}",
         "\"eos_token_id\" is \"2\"; expected token ids from 0 to 511"},
        {"{\"eos_token_id\": \"</s>\"}", "\"</s>\""},
        {"{\"eos_token_id\": 2.5}", "2.5"},
        {"{\"eos_token_id\": true}", "is true"},
        {"{\"eos_token_id\": [1, NaN]}", "is NaN"},
        {"{\"eos_token_id\": [1, null]}", "is null"},
        {"{\"eos_token_id\": {}}", "an object"},
        {"{\"eos_token_id\": [[2]]}", "an array"},
        {"{\"eos_token_id\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}",
         "more than 32"},
        {"{\"eos_token_id\": []}", NULL},
        {"{\"bos_token_id\": [1]}", NULL},
        {"{\"bos_token_id\": \"<s>\"}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *json = cases[i].json, *word = cases[i].word;
        struct generation_config out = read_folder(json, "{\"eos_token_id\": 7}");
        if (word)
            assert_non_null(strstr(out.eos_fault, word));
        assert_int_equal(out.eos_fault[0] != '\0', word != NULL);
        assert_int_equal(out.n_eos_token_ids, word == NULL);
        assert_int_equal(out.bos_token_id, -1);
        struct generation_config config = read_folder(NULL, json);
        assert_int_equal(config.eos_fault[0] != '\0', word != NULL);
    }
}

// Greedy does not use them; sampling does, and whoever samples with them is refused.
static void impossible_numbers_count_where_they_are_used(void **state)
{
    (void)state;
    struct generation_config out = read_folder(
        "{\"temperature\": \"0.7\", \"top_p\": 1.5, \"top_k\": 50.5, \"min_p\": -1}", NULL);
    assert_false(out.has_temperature || out.has_top_p || out.has_top_k || out.has_min_p);
    out = read_folder(
        "{\"do_sample\": true, \"temperature\": \"0.7\", \"top_p\": 1.5, \"top_k\": 50.5,"
        "\"min_p\": NaN}",
        NULL);
    assert_true(out.has_temperature && out.has_top_p && out.has_top_k && out.has_min_p);
    assert_true(isnan(out.temperature) && out.top_p > 1 && out.top_k > 50 && isnan(out.min_p));
    out = read_folder("{\"do_sample\": true, \"top_p\": 0, \"top_k\": 50.0}", NULL);
    assert_true(out.has_top_p && out.top_p == 0 && out.has_top_k && out.top_k == 50);
    out = read_folder("{\"repetition_penalty\": 0}", NULL);
    assert_true(out.has_repetition_penalty && out.repetition_penalty == 0);
}

static void lengths_are_read(void **state)
{
    (void)state;
    struct generation_config out =
        read_folder("{\"max_new_tokens\": 3, \"max_length\": 20.5}", NULL);
    assert_int_equal(out.max_new_tokens, 3);
    assert_int_equal(out.max_length, 21);
    out = read_folder("{\"max_new_tokens\": 0, \"max_length\": 1000000000000000019884624838656}",
                      NULL);
    assert_int_equal(out.max_new_tokens, 0);
    assert_int_equal(out.max_length, INT32_MAX);
    out =
        read_folder("{\"max_new_tokens\": null, \"max_length\": Infinity}", "{\"max_length\": 4}");
    assert_int_equal(out.max_new_tokens, 0);
    assert_int_equal(out.max_length, INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eos_is_a_number_or_a_list),
        cmocka_unit_test(config_json_fills_in),
        cmocka_unit_test(sampling_defaults_are_read),
        cmocka_unit_test(ids_beyond_the_vocabulary_are_left_out),
        cmocka_unit_test(ids_that_cannot_be_read_are_kept_as_a_sentence),
        cmocka_unit_test(impossible_numbers_count_where_they_are_used),
        cmocka_unit_test(lengths_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
