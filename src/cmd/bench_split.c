// `colrow bench split`: the same cores as few ranks with many threads or as many ranks with few.
// All layouts are open at once and run in turn, so that they see the same machine.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/output.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/engine_flags.h"
#include "cmd/json_output.h"
#include "device/device.h"

enum { LAYOUTS_MAX = 8, ROUNDS_MAX = 64 };

struct layout {
    int tp, threads;
    struct colrow_engine *engine;
};

struct split {
    struct engine_flags engine;
    const char *layouts_text, *batch_text, *prompt_text, *model;
    int output_len, rounds;
    bool json;
    struct layout layouts[LAYOUTS_MAX];
    int n_layouts, batches[FLAG_LIST_MAX], n_batches, prompts[FLAG_LIST_MAX], n_prompts;
    struct peak_reader *reader;
    json_t *rows;
    struct table table;
};

// One layout's figures in one case.
struct series {
    double rate[ROUNDS_MAX],
        ratio[ROUNDS_MAX]; // tokens/s; beside the first layout's of the same round
    int n_ratios;
    double step, reduce, wait;
};

static enum status read_layouts(struct split *s)
{
    for (const char *at = s->layouts_text;; at++) {
        int tp, threads, used = 0;
        if (sscanf(at, "%dx%d%n", &tp, &threads, &used) != 2 || tp < 1 || tp > 64 || threads < 1 ||
            threads > 256 || (at[used] && at[used] != ',') || s->n_layouts == LAYOUTS_MAX)
            return fail(ERR_USAGE,
                        "flag --layouts is \"%s\"; expected up to %d pairs RANKSxTHREADS with "
                        "commas between, such as 1x2,2x1",
                        s->layouts_text, LAYOUTS_MAX);
        s->layouts[s->n_layouts++] = (struct layout){.tp = tp, .threads = threads};
        at += used;
        if (!*at)
            return OK;
    }
}

static enum status open_layouts(struct split *s, int tokens_max)
{
    for (int i = 0; i < s->n_layouts; i++) {
        struct engine_flags flags = s->engine;
        flags.options.tensor_parallel_size = s->layouts[i].tp;
        flags.options.threads_per_rank = s->layouts[i].threads;
        if (flags.options.max_model_len == 0)
            flags.options.max_model_len = tokens_max;
        TRY(engine_flags_open(&flags, s->model, &s->layouts[i].engine));
    }
    return OK;
}

// Every layout once, each second time from the last to the first.
static enum status run_round(struct split *s, const struct workload *work, int round,
                             struct series *series)
{
    bool flipped[LAYOUTS_MAX];
    for (int k = 0; k < s->n_layouts; k++) {
        int i = round % 2 ? s->n_layouts - 1 - k : k;
        struct workload_result r;
        TRY(workload_run(s->layouts[i].engine, work, s->reader, &r));
        bool prefill = work->output_len == 1;
        double tokens = (double)(prefill ? r.prefill_tokens : r.decode_tokens);
        flipped[i] = r.flipped;
        series[i].rate[round] = tokens / (prefill ? r.prefill_seconds : r.decode_seconds);
        series[i].step += r.step_seconds;
        series[i].reduce += r.all_reduce_seconds;
        series[i].wait += r.wait_seconds;
    }
    for (int i = 0; i < s->n_layouts; i++)
        if (!flipped[0] && !flipped[i])
            series[i].ratio[series[i].n_ratios++] = series[i].rate[round] / series[0].rate[round];
    return OK;
}

static void add_split_row(struct split *s, const char *name, const struct layout *layout,
                          struct series *x)
{
    double rate = median(x->rate, s->rounds), ratio = median(x->ratio, x->n_ratios);
    double least = x->n_ratios ? x->ratio[0] : 0,
           most = x->n_ratios ? x->ratio[x->n_ratios - 1] : 0;
    double reduce = x->step > 0 ? (x->reduce - x->wait) / x->step : 0,
           wait = x->step > 0 ? x->wait / x->step : 0;
    table_cell(&s->table, "%s", name);
    table_cell(&s->table, "%dx%d", layout->tp, layout->threads);
    table_cell(&s->table, "%.2f", rate);
    table_cell(&s->table, "%.3f", ratio);
    table_cell(&s->table, "%.3f-%.3f, %d of %d", least, most, x->n_ratios, s->rounds);
    table_cell(&s->table, "%.1f %%", 100 * reduce);
    table_cell(&s->table, "%.1f %%", 100 * wait);
    json_array_append_new(s->rows,
                          json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:i, s:f, s:f}", "case",
                                    name, "tensor_parallel_size", layout->tp, "threads_per_rank",
                                    layout->threads, "tokens_per_second", rate, "ratio", ratio,
                                    "ratio_least", least, "ratio_most", most, "pairs", x->n_ratios,
                                    "all_reduce", reduce, "waiting", wait));
}

static enum status measure_case(struct split *s, const char *name, struct workload work)
{
    struct series *series;
    TRY(memory_new((size_t)s->n_layouts, sizeof *series, "figures", &series));
    enum status status = OK;
    for (int i = 0; i < s->n_layouts && status == OK; i++) { // warms up
        struct workload_result unused;
        status = workload_run(s->layouts[i].engine, &work, NULL, &unused);
    }
    for (int round = 0; round < s->rounds && status == OK; round++) {
        work.seed++;
        status = run_round(s, &work, round, series);
    }
    for (int i = 0; i < s->n_layouts && status == OK; i++)
        add_split_row(s, name, &s->layouts[i], &series[i]);
    free(series);
    return status;
}

static enum status measure_all(struct split *s)
{
    char name[48];
    for (int i = 0; i < s->n_prompts; i++) {
        snprintf(name, sizeof name, "prefill %d", s->prompts[i]);
        TRY(measure_case(s, name,
                         (struct workload){.n = 1, .input_len = s->prompts[i], .output_len = 1}));
    }
    for (int i = 0; i < s->n_batches; i++) {
        snprintf(name, sizeof name, "decode, batch %d", s->batches[i]);
        TRY(measure_case(s, name,
                         (struct workload){.n = s->batches[i],
                                           .input_len = 32,
                                           .output_len = 1 + s->output_len}));
    }
    return OK;
}

static enum status run_split(struct split *s)
{
    int tokens_max = 32 + 1 + s->output_len;
    TRY(read_layouts(s));
    TRY(flags_list("--batches", s->batch_text, 1, 4096, s->batches, &s->n_batches));
    TRY(flags_list("--prompts", s->prompt_text, 1, 65536, s->prompts, &s->n_prompts));
    for (int i = 0; i < s->n_prompts; i++)
        tokens_max = s->prompts[i] + 1 > tokens_max ? s->prompts[i] + 1 : tokens_max;
    TRY(peak_reader_new(device_cpu_count(), &s->reader));
    TRY(open_layouts(s, tokens_max));
    const char *heading[] = {"case",       "ranks x threads", "tok/s",  "of the first",
                             "least-most", "all-reduce",      "waiting"};
    for (int i = 0; i < 7; i++)
        table_cell(&s->table, "%s", heading[i]);
    TRY(measure_all(s));
    return s->json ? json_write(json_incref(s->rows), JSON_FIGURES, NULL)
                   : table_print(&s->table, output());
}

static int bench_split_main(int argc, char **argv);
#define AT(field) offsetof(struct split, field)
static const struct flag bench_split_flags[] = {
    {FLAG_TEXT, "--layouts", NULL, AT(layouts_text), 0, 0, "RxT,...",
     "ranks x threads of each; ratios are to the first (default 1x2,2x1)"},
    {FLAG_TEXT, "--batches", NULL, AT(batch_text), 0, 0, "N,...",
     "sequences that decode side by side (default 1,8)"},
    {FLAG_TEXT, "--prompts", NULL, AT(prompt_text), 0, 0, "N,...",
     "lengths of prompts (default 512)"},
    {FLAG_INT, "--output-len", NULL, AT(output_len), 1, 1e6, "N",
     "decode steps of a run (default 32)"},
    {FLAG_INT, "--rounds", NULL, AT(rounds), 1, ROUNDS_MAX, "N", "runs of each (default 5)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_split = {
    .name = "bench split",
    .brief = "the same cores as few ranks with many threads, or the other way round",
    .positional = "MODEL",
    .summary = "Compares ways to use the same cores. Medians of ratios of the same round; pairs "
               "between which the read\n"
               "bandwidth changed by more than a tenth do not count.",
    .examples = "  colrow bench split /tmp/llama-1b --layouts 1x2,2x1",
    .sections = {FLAG_SECTION(bench_split_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct split, engine)}},
    .run = bench_split_main,
};

static int bench_split_main(int argc, char **argv)
{
    struct split s = {.layouts_text = "1x2,2x1",
                      .batch_text = "1,8",
                      .prompt_text = "512",
                      .output_len = 32,
                      .rounds = 5};
    bool helped;
    int n_positional;
    engine_flags_init_to_measure(&s.engine);
    s.rows = json_array();
    table_init(&s.table, 7);
    enum status status =
        flags_parse(&command_bench_split, &s, argc, argv, &s.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = s.model ? run_split(&s) : fail(ERR_USAGE, "no model: colrow bench split MODEL");
    for (int i = 0; i < s.n_layouts; i++)
        colrow_close(s.layouts[i].engine);
    peak_reader_free(s.reader);
    json_decref(s.rows);
    table_fini(&s.table);
    return status == OK ? 0 : flags_failed(status);
}
