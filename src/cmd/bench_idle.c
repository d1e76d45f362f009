// `colrow bench idle`: what an open model costs while nobody asks, and what the first question
// after that waits for.
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/engine_flags.h"
#include "cmd/json_output.h"

enum { REPEATS_MAX = 100 };

struct idle {
    struct engine_flags engine;
    const char *gaps_text, *model;
    int input_len, repeats;
    bool json;
    int gaps[FLAG_LIST_MAX], n_gaps;
    uint64_t seed;
    json_t *rows;
    struct table table;
};

// Seconds that a process's threads have run; the scheduler's own count, in nanoseconds.
static double process_seconds(int pid)
{
    char path[64];
    double total = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char file_path[sizeof path + sizeof entry->d_name + 16];
        snprintf(file_path, sizeof file_path, "%s/%s/schedstat", path, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(file_path, "re");
        unsigned long long nanoseconds;
        if (file && fscanf(file, "%llu", &nanoseconds) == 1)
            total += (double)nanoseconds * 1e-9;
        if (file)
            fclose(file);
    }
    if (folder)
        closedir(folder);
    return total;
}

static double ranks_seconds(const struct colrow_engine *engine)
{
    struct colrow_info info;
    double total = 0;
    colrow_get_info(engine, &info);
    for (int r = 0; r < info.n_ranks; r++) {
        struct colrow_rank_statistics rank;
        if (colrow_get_rank_statistics(engine, r, &rank) == 0)
            total += process_seconds(rank.pid);
    }
    return total;
}

static enum status first_token(struct idle *b, struct colrow_engine *engine, double *seconds)
{
    struct workload work = {.n = 1, .input_len = b->input_len, .output_len = 1, .seed = b->seed++};
    struct workload_result r;
    TRY(workload_run(engine, &work, NULL, &r));
    *seconds = r.first_token_seconds;
    return OK;
}

static void sleep_ms(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

// First tokens right after one another and after gaps take turns, so that both see the same
// machine.
static enum status measure_gap(struct idle *b, struct colrow_engine *engine, int gap_ms)
{
    double busy[REPEATS_MAX], idle[REPEATS_MAX], slept = 0, ranks = 0, front = 0;
    for (int i = 0; i < b->repeats; i++) {
        TRY(first_token(b, engine, &busy[i])); // ends the gap before it
        TRY(first_token(b, engine, &busy[i]));
        double ranks_before = ranks_seconds(engine), front_before = process_seconds(getpid()),
               begun = clock_seconds();
        sleep_ms(gap_ms);
        slept += clock_seconds() - begun;
        front += process_seconds(getpid()) - front_before;
        ranks += ranks_seconds(engine) - ranks_before;
        TRY(first_token(b, engine, &idle[i]));
    }
    double busy_ms = median(busy, b->repeats) * 1e3, idle_ms = median(idle, b->repeats) * 1e3;
    table_cell(&b->table, "%d", gap_ms);
    table_cell(&b->table, "%.3f %%", 100 * ranks / slept);
    table_cell(&b->table, "%.3f %%", 100 * front / slept);
    table_cell(&b->table, "%.3f", busy_ms);
    table_cell(&b->table, "%.3f", idle_ms);
    table_cell(&b->table, "%+.3f", idle_ms - busy_ms);
    json_array_append_new(b->rows,
                          json_pack("{s:i, s:f, s:f, s:f, s:f}", "gap_ms", gap_ms,
                                    "ranks_of_a_core", ranks / slept, "front_end_of_a_core",
                                    front / slept, "busy_ms", busy_ms, "after_gap_ms", idle_ms));
    return OK;
}

static enum status run_idle(struct idle *b)
{
    struct colrow_engine *engine = NULL;
    TRY(flags_list("--gaps", b->gaps_text, 1, 600000, b->gaps, &b->n_gaps));
    if (b->engine.options.max_model_len == 0)
        b->engine.options.max_model_len = b->input_len + 1;
    TRY(engine_flags_open(&b->engine, b->model, &engine));
    const char *heading[] = {"gap ms",         "ranks, of a core", "front-end",
                             "first token ms", "after the gap",    "difference"};
    for (int i = 0; i < 6; i++)
        table_cell(&b->table, "%s", heading[i]);
    double unused;
    enum status status = first_token(b, engine, &unused);
    for (int i = 0; i < b->n_gaps && status == OK; i++)
        status = measure_gap(b, engine, b->gaps[i]);
    colrow_close(engine);
    if (status == OK && b->json)
        return json_write(json_incref(b->rows), JSON_FIGURES, NULL);
    return status == OK ? table_print(&b->table, output()) : status;
}

static int bench_idle_main(int argc, char **argv);
#define AT(field) offsetof(struct idle, field)
static const struct flag bench_idle_flags[] = {
    {FLAG_TEXT, "--gaps", NULL, AT(gaps_text), 0, 0, "MS,...",
     "milliseconds without a request (default 10,100,1000,10000)"},
    {FLAG_INT, "--input-len", NULL, AT(input_len), 1, 1e6, "N",
     "tokens of the prompt after it (default 8)"},
    {FLAG_INT, "--repeats", NULL, AT(repeats), 1, REPEATS_MAX, "N",
     "times each, of which the median counts (default 3)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_idle = {
    .name = "bench idle",
    .brief = "an open model that nobody asks: CPU time, first token after it",
    .positional = "MODEL",
    .summary = "CPU time of ranks and front-end while a model is open and nobody asks, and the "
               "time to the first token\n"
               "after that, beside the time without a gap.",
    .examples = "  colrow bench idle models/demo -tp 2",
    .sections = {FLAG_SECTION(bench_idle_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct idle, engine)}},
    .run = bench_idle_main,
};

static int bench_idle_main(int argc, char **argv)
{
    struct idle b = {.gaps_text = "10,100,1000,10000", .input_len = 8, .repeats = 3};
    bool helped;
    int n_positional;
    engine_flags_init_to_measure(&b.engine);
    b.rows = json_array();
    table_init(&b.table, 6);
    enum status status =
        flags_parse(&command_bench_idle, &b, argc, argv, &b.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = b.model ? run_idle(&b) : fail(ERR_USAGE, "no model: colrow bench idle MODEL");
    json_decref(b.rows);
    table_fini(&b.table);
    return status == OK ? 0 : flags_failed(status);
}
