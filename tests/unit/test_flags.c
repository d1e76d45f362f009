// The tables of commands and flags: what every row must keep to, and what parsing says.
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/engine_flags.h"
#include "engine/request.h"
#include "testing.h"

static bool takes(const struct command *command, const char *name)
{
    struct flag_cursor cursor = {.command = command};
    for (const struct flag *flag; (flag = flags_next(&cursor));)
        if (flag->kind != FLAG_HEADING && strcmp(flag->name, name) == 0)
            return true;
    return false;
}

static void check_rows(const struct command *command)
{
    struct flag_cursor cursor = {.command = command};
    const char *seen[128];
    int n = 0;
    for (const struct flag *flag; (flag = flags_next(&cursor));) {
        if (flag->kind == FLAG_HEADING) {
            assert_non_null(flag->help);
            continue;
        }
        assert_memory_equal(flag->name, "--", 2);
        assert_true(!flag->also || flag->also[0] == '-');
        bool is_switch = flag->kind == FLAG_ON || flag->kind == FLAG_OFF;
        assert_true(is_switch == !flag->value);
        for (int i = 0; i < n; i++)
            assert_string_not_equal(seen[i], flag->name);
        assert_true(n < 128);
        seen[n++] = flag->name;
    }
}

static void check_command(const struct command *command)
{
    assert_true((command->run != NULL) == (command->kinds == NULL));
    if (command->brief)
        assert_non_null(command->summary);
    check_rows(command);
    for (const struct command *const *kind = command->kinds; kind && *kind; kind++) {
        assert_memory_equal((*kind)->name, command->name, strlen(command->name));
        check_command(*kind);
    }
}

static void test_tables(void **state)
{
    (void)state;
    for (const struct command *const *c = commands; *c; c++)
        check_command(*c);
}

// Whatever starts ranks of its own choice takes vLLM's name for their number.
static void test_common_flags(void **state)
{
    (void)state;
    const struct command *with_ranks[] = {
        &command_generate,      &command_plan,         &command_verify,
        &command_logits,        &command_inspect,      &command_bench_latency,
        &command_bench_scaling, &command_bench_memory, &command_bench_throughput,
        &command_bench_idle,    &command_bench_comm};
    for (size_t i = 0; i < sizeof with_ranks / sizeof with_ranks[0]; i++) {
        assert_true(takes(with_ranks[i], "--tensor-parallel-size"));
        assert_true(with_ranks[i] == &command_plan || with_ranks[i] == &command_generate ||
                    with_ranks[i] == &command_logits || with_ranks[i] == &command_bench_idle ||
                    takes(with_ranks[i], "--json"));
    }
}

static bool reads_as(const char *name, const char *value, struct engine_flags *flags)
{
    char text[64];
    char *argv[] = {"generate", text, NULL};
    const struct command alone = {.name = "generate",
                                  .sections = {{engine_flag_rows, ENGINE_FLAGS, 0}}};
    int n;
    bool helped;
    engine_flags_init(flags);
    snprintf(text, sizeof text, "%s=%s", name, value);
    return flags_parse(&alone, flags, 2, argv, NULL, 0, &n, &helped) == OK;
}

// vLLM's letters: small ones are decimal, capitals binary; with a B behind, the standards'.
static void test_sizes_and_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes, length; // -2: refused
    } cases[] = {
        {"1000", 1000, 1000},
        {"4k", 4000, 4000},
        {"4K", 4096, 4096},
        {"25.6k", 25600, 25600},
        {"2m", 2000000, 2000000},
        {"2M", 2 << 20, 2 << 20},
        {"1g", 1000000000, -2},
        {"1G", 1 << 30, -2},
        {"1GB", 1000000000, -2},
        {"1GiB", 1 << 30, -2},
        {"1Gi", 1 << 30, -2},
        {"0.5T", (int64_t)1 << 39, -2},
        {"auto", -2, -1},
        {"-1", -2, -1},
        {"-2", -2, -2},
        {"1.5", 1, -2},
        {"", -2, -2},
        {"k", -2, -2},
        {"4kk", -2, -2},
        {"nan", -2, -2},
        {"1e99", -2, -2},
        {"9e999G", -2, -2},
    };
    struct engine_flags flags;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool taken = reads_as("--kv-cache-memory-bytes", cases[i].text, &flags);
        assert_int_equal(taken ? flags.options.kv_cache_memory : -2, cases[i].bytes);
        taken = reads_as("--max-model-len", cases[i].text, &flags);
        assert_int_equal(taken ? flags.options.max_model_len : -2, cases[i].length);
    }
}

// What the flag allows is what the engine takes.
static void test_samples(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLING_FLAGS; i++)
        if (sampling_flag_rows[i].name && strcmp(sampling_flag_rows[i].name, "--samples") == 0)
            assert_true(sampling_flag_rows[i].most == SEQUENCES_PER_REQUEST_MAX);
}

static void test_find(void **state)
{
    (void)state;
    int used;
    char *words[] = {"bench", "comm", "-tp"};
    assert_ptr_equal(command_find(3, words, &used), &command_bench_comm);
    assert_int_equal(used, 2);
    char *unknown[] = {"bench", "nothing"};
    assert_ptr_equal(command_find(2, unknown, &used), &command_bench);
    assert_int_equal(used, 1);
    char *none[] = {"comm"};
    assert_null(command_find(1, none, &used));
    assert_int_equal(used, 0);
}

static enum status parse(int argc, char **argv)
{
    struct engine_flags engine;
    static const struct command command = {.name = "test",
                                           .sections = {{engine_flag_rows, ENGINE_FLAGS, 0}}};
    bool helped;
    int n;
    engine_flags_init(&engine);
    enum status status = flags_parse(&command, &engine, argc, argv, NULL, 0, &n, &helped);
    if (status == OK)
        assert_int_equal(engine.options.tensor_parallel_size, 3);
    return status;
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(parse(3, (char *[]){"test", "--tensor-parallel-size", "3"}), OK);
    assert_int_equal(parse(2, (char *[]){"test", "--tensor_parallel_size=3"}), OK);
    assert_int_equal(parse(3, (char *[]){"test", "-tp", "3"}), OK);
    assert_int_equal(parse(2, (char *[]){"test", "-tp=3"}), OK);
    assert_int_equal(parse(3, (char *[]){"test", "--tp", "3"}), OK);
}

// A guess is made only when it is near.
static void test_suggestions(void **state)
{
    (void)state;
    static const struct {
        char *given;
        const char *near; // NULL: none
    } cases[] = {{"--tensor_paralel_size", "--tensor-parallel-size"},
                 {"--dtyp", "--dtype"},
                 {"--dtype-x=4", "--dtype"},
                 {"--sed", "--seed"},
                 {"--x", NULL},
                 {"--best-of", NULL},
                 {"--ranks", NULL},
                 {"--tps", NULL},
                 {"-tpp", NULL},
                 {"-tpp=4", NULL},
                 {"--port", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(2, (char *[]){"test", cases[i].given}), ERR_USAGE);
        const char *guess = strstr(status_message(), "did you mean ");
        if (!cases[i].near) {
            assert_null(guess);
            continue;
        }
        assert_non_null(guess);
        assert_non_null(strstr(guess, cases[i].near));
    }
}

static void test_commands(void **state)
{
    (void)state;
    int used;
    const struct command *bench = command_find(1, (char *[]){"bench"}, &used);
    assert_string_equal(command_near(NULL, "generat")->name, "generate");
    assert_string_equal(command_near(NULL, "serv")->name, "serve");
    assert_string_equal(command_near(bench->kinds, "trhoughput")->name, "bench throughput");
    assert_null(command_near(NULL, "paint"));
    assert_null(command_near(NULL, "rank")); // internal
    assert_null(command_near(bench->kinds, "decode"));
}

// An empty word is a shell's variable that was not set, never a model.
static void test_empty_argument(void **state)
{
    (void)state;
    static const struct command command = {.name = "test", .positional = "MODEL"};
    const char *model = NULL;
    bool helped;
    int n;
    assert_int_equal(flags_parse(&command, NULL, 2, (char *[]){"test", ""}, &model, 1, &n, &helped),
                     ERR_USAGE);
    assert_string_equal(status_message(), "an argument is empty; usage: colrow test MODEL [flags]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),         cmocka_unit_test(test_common_flags),
        cmocka_unit_test(test_find),           cmocka_unit_test(test_sizes_and_lengths),
        cmocka_unit_test(test_samples),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_suggestions),    cmocka_unit_test(test_commands),
        cmocka_unit_test(test_empty_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
