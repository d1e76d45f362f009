// `colrow bench scaling` and `colrow bench memory`: the same model on several numbers of ranks.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_writer.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/bench_workload.h"
#include "cmd/commands.h"
#include "cmd/engine_flags.h"
#include "cmd/json_output.h"
#include "device/device.h"
#include "model/plan.h"

struct scaling {
    struct engine_flags engine;
    const char *tp_text, *batch_text, *output_json, *model;
    int input_len, output_len, repeats;
    bool json;
    double copy_bytes, fill_bytes; // memcpy() by all cores, bytes/s; into new pages
    int tp[FLAG_LIST_MAX], n_tp, batch[FLAG_LIST_MAX], n_batch;
    json_t *rows;
};

struct point {
    double decode, prefill;            // tokens/s, medians
    double compute, communicate, wait; // parts of a rank's step time
};

static enum status measure_point(const struct scaling *s, struct colrow_engine *engine, int batch,
                                 struct point *out)
{
    double decode[64], prefill[64], step = 0, reduce = 0, wait = 0;
    int n = s->repeats < 64 ? s->repeats : 64;
    for (int i = -1; i < n; i++) { // the first run warms up
        struct workload work = {.n = batch,
                                .input_len = s->input_len,
                                .output_len = s->output_len,
                                .seed = (uint64_t)i + 9};
        struct workload_result r;
        TRY(workload_run(engine, &work, NULL, &r));
        if (i < 0)
            continue;
        decode[i] = r.decode_seconds > 0 ? (double)r.decode_tokens / r.decode_seconds : 0;
        prefill[i] = r.prefill_seconds > 0 ? (double)r.prefill_tokens / r.prefill_seconds : 0;
        step += r.step_seconds;
        reduce += r.all_reduce_seconds;
        wait += r.wait_seconds;
    }
    *out = (struct point){.decode = median(decode, n), .prefill = median(prefill, n)};
    if (step > 0) {
        out->wait = wait / step;
        out->communicate = (reduce - wait) / step;
        out->compute = 1 - reduce / step;
    }
    return OK;
}

static void add_scaling_row(struct scaling *s, struct table *table, int tp, int batch,
                            const struct point *p, const struct point *one, int tp_one)
{
    double speedup = one->decode > 0 ? p->decode / one->decode : 0;
    table_cell(table, "%d", tp);
    table_cell(table, "%d", batch);
    table_cell(table, "%.1f", p->prefill);
    table_cell(table, "%.1f", p->decode);
    table_cell(table, "%.2f", speedup);
    table_cell(table, "%.2f", speedup * tp_one / tp);
    table_cell(table, "%.1f %%", 100 * p->compute);
    table_cell(table, "%.1f %%", 100 * p->communicate);
    table_cell(table, "%.1f %%", 100 * p->wait);
    json_array_append_new(
        s->rows, json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "tensor_parallel_size",
                           tp, "batch", batch, "prefill_tokens_per_second", p->prefill,
                           "decode_tokens_per_second", p->decode, "speed_up", speedup, "efficiency",
                           speedup * tp_one / tp, "compute", p->compute, "communication",
                           p->communicate, "waiting", p->wait));
}

static enum status run_scaling(struct scaling *s)
{
    struct table table;
    struct point first[FLAG_LIST_MAX];
    struct colrow_info info = {0};
    enum status status = OK;
    int cores = device_cpu_count();
    struct peak peak;
    if (s->output_json)
        TRY(file_writer_check(s->output_json));
    TRY(flags_list("--tensor-parallel-size", s->tp_text, 1, 64, s->tp, &s->n_tp));
    TRY(flags_list("--batches", s->batch_text, 1, 4096, s->batch, &s->n_batch));
    TRY(peak_measure(cores, 0.1, &peak));
    table_init(&table, 9);
    const char *heading[] = {"tp",         "batch",   "prefill tok/s", "decode tok/s", "speed-up",
                             "efficiency", "compute", "all-reduce",    "waiting"};
    for (int i = 0; i < 9; i++)
        table_cell(&table, "%s", heading[i]);
    for (int i = 0; i < s->n_tp && status == OK; i++) {
        struct engine_flags flags = s->engine;
        struct colrow_engine *engine = NULL;
        flags.options.tensor_parallel_size = s->tp[i];
        flags.options.max_model_len = s->input_len + s->output_len;
        status = engine_flags_open(&flags, s->model, &engine);
        if (status == OK)
            colrow_get_info(engine, &info);
        for (int b = 0; b < s->n_batch && status == OK; b++) {
            struct point point;
            status = measure_point(s, engine, s->batch[b], &point);
            if (i == 0)
                first[b] = point;
            if (status == OK)
                add_scaling_row(s, &table, s->tp[i], s->batch[b], &point, &first[b], s->tp[0]);
        }
        colrow_close(engine);
    }
    if (status == OK && (s->json || s->output_json))
        status = json_write(json_pack("{s:o, s:s, s:s, s:s, s:O, s:o}", "model",
                                      json_foreign(s->model), "dtype", info.dtype, "isa", info.isa,
                                      "product_order", info.product_order, "points", s->rows,
                                      "limits", limits_json(cores, &peak)),
                            JSON_FIGURES, s->output_json);
    if (status == OK && !s->json) {
        print_limits(output(), cores, &peak);
        status = table_print(&table, output());
        if (s->tp[s->n_tp - 1] > cores)
            output_print(
                "(more ranks than the %d cores here: they take turns, so no speed-up is to be "
                "had)\n",
                cores);
    }
    table_fini(&table);
    return status;
}

static int bench_scaling_main(int argc, char **argv);
#define AT(field) offsetof(struct scaling, field)
static const struct flag bench_scaling_flags[] = {
    {FLAG_TEXT, "--tensor-parallel-size", "-tp --tp", AT(tp_text), 0, 0, "1,2,...",
     "tensor-parallel sizes (default 1,2,4,8)"},
    {FLAG_TEXT, "--batches", NULL, AT(batch_text), 0, 0, "N,...",
     "sequences side by side: weak scaling (default 1,8)"},
    {FLAG_INT, "--input-len", NULL, AT(input_len), 1, 1e6, "N", "prompt tokens (default 128)"},
    {FLAG_INT, "--output-len", NULL, AT(output_len), 1, 1e6, "N", "new tokens (default 64)"},
    {FLAG_INT, "--repeats", NULL, AT(repeats), 1, 64, "N",
     "runs of which the median counts (default 5)"},
    {FLAG_TEXT, "--output-json", NULL, AT(output_json), 0, 0, "FILE",
     "write the figures there (tools/chart.py draws them)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_scaling = {
    .name = "bench scaling",
    .brief = "the same work on 1, 2, 4, 8 ranks: speed-up, efficiency, where the time goes",
    .positional = "MODEL",
    .summary = "Strong scaling (the same work on more ranks) and weak scaling (more "
               "sequences), one core a rank unless\n"
               "--threads-per-rank says otherwise.",
    .examples = "  colrow bench scaling /tmp/llama-1b --tp 1,2",
    .sections = {FLAG_SECTION(bench_scaling_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct scaling, engine)}},
    .run = bench_scaling_main,
};

static int bench_scaling_main(int argc, char **argv)
{
    struct scaling s = {.tp_text = "1,2,4,8",
                        .batch_text = "1,8",
                        .input_len = 128,
                        .output_len = 64,
                        .repeats = 5};
    bool helped;
    int n_positional;
    engine_flags_init_to_measure(&s.engine);
    s.engine.options.threads_per_rank = 1;
    s.rows = json_array();
    enum status status =
        flags_parse(&command_bench_scaling, &s, argc, argv, &s.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status =
            s.model ? run_scaling(&s) : fail(ERR_USAGE, "no model: colrow bench scaling MODEL");
    json_decref(s.rows);
    return status == OK ? 0 : flags_failed(status);
}

static enum status memory_rows(struct scaling *s, int tp, struct table *table)
{
    struct engine_flags flags = s->engine;
    struct colrow_engine *engine = NULL;
    struct colrow_info info;
    flags.options.tensor_parallel_size = tp;
    TRY(engine_flags_open(&flags, s->model, &engine));
    struct workload work = {.n = 1, .input_len = 8, .output_len = 8, .seed = 1};
    struct workload_result r;
    enum status status = workload_run(engine, &work, NULL, &r); // touches what a step touches
    colrow_get_info(engine, &info);
    for (int rank = 0; rank < tp && status == OK; rank++) {
        struct colrow_rank_statistics m;
        if (colrow_get_rank_statistics(engine, rank, &m) != 0)
            break;
        double planned = (double)(m.weight_bytes + m.kv_bytes + m.scratch_bytes);
        table_cell(table, "%d", tp);
        table_cell(table, "%d", rank);
        table_cell(table, "%s", show_bytes((double)m.weight_bytes));
        table_cell(table, "%s", show_bytes((double)m.kv_bytes));
        table_cell(table, "%s", show_bytes((double)m.scratch_bytes));
        table_cell(table, "%s", show_bytes(planned));
        table_cell(table, "%s", show_bytes((double)m.resident_peak_bytes));
        table_cell(table, "%.3f", (double)m.resident_peak_bytes / planned);
        double speed = m.weights_seconds > 0 ? (double)m.file_bytes_read / m.weights_seconds : 0;
        table_cell(table, "%s", show_bytes((double)m.file_bytes_read));
        table_cell(table, "%.3f", m.weights_seconds);
        table_cell(table, "%.2f", speed * tp / s->copy_bytes);
        table_cell(table, "%.2f", speed * tp / s->fill_bytes);
        json_array_append_new(
            s->rows, json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f}",
                               "tensor_parallel_size", tp, "rank", rank, "weight_bytes",
                               (json_int_t)m.weight_bytes, "kv_bytes", (json_int_t)m.kv_bytes,
                               "scratch_bytes", (json_int_t)m.scratch_bytes, "resident_peak_bytes",
                               (json_int_t)m.resident_peak_bytes, "file_bytes_read",
                               (json_int_t)m.file_bytes_read, "load_seconds", m.load_seconds,
                               "weights_seconds", m.weights_seconds, "copy_bytes_per_second",
                               s->copy_bytes, "fill_bytes_per_second", s->fill_bytes));
    }
    colrow_close(engine);
    return status;
}

static enum status run_memory(struct scaling *s)
{
    struct table table;
    enum status status = OK;
    struct peak peak;
    TRY(flags_list("--tensor-parallel-size", s->tp_text, 1, 64, s->tp, &s->n_tp));
    TRY(peak_measure_memory(device_cpu_count(), &peak));
    s->copy_bytes = peak.copy_bytes;
    s->fill_bytes = peak.fill_bytes;
    table_init(&table, 12);
    const char *heading[] = {"tp",      "rank",    "weights",       "KV",
                             "scratch", "planned", "peak resident", "ratio",
                             "read",    "in s",    "of memcpy",     "to new pages"};
    for (int i = 0; i < 12; i++)
        table_cell(&table, "%s", heading[i]);
    for (int i = 0; i < s->n_tp && status == OK; i++)
        status = memory_rows(s, s->tp[i], &table);
    if (status == OK && s->json)
        status = json_write(json_incref(s->rows), JSON_FIGURES, s->output_json);
    else if (status == OK)
        status = table_print(&table, output());
    if (status == OK && !s->json)
        output_print(
            "(of memcpy: bytes read and packed by all ranks a second, of the %.1f GB/s that "
            "memcpy() by all cores copied\njust before; and of the %.1f GB/s into pages that "
            "nobody had touched, as those of weights are)\n",
            s->copy_bytes / 1e9, s->fill_bytes / 1e9);
    table_fini(&table);
    return status;
}

static int bench_memory_main(int argc, char **argv);
static const struct flag bench_memory_flags[] = {
    {FLAG_TEXT, "--tensor-parallel-size", "-tp --tp", AT(tp_text), 0, 0, "1,2,...",
     "tensor-parallel sizes (default 1,2,4)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_memory = {
    .name = "bench memory",
    .brief = "what each rank holds, beside what the plan predicts",
    .positional = "MODEL",
    .summary = "What each rank holds (weights, KV, scratch) beside its peak resident memory, "
               "what it read, and how fast it\n"
               "read and packed it.",
    .examples = "  colrow bench memory models/demo --tp 1,2,4,8",
    .sections = {FLAG_SECTION(bench_memory_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct scaling, engine)}},
    .run = bench_memory_main,
};

static int bench_memory_main(int argc, char **argv)
{
    struct scaling s = {.tp_text = "1,2,4"};
    bool helped;
    int n_positional;
    engine_flags_init_to_measure(&s.engine);
    s.engine.options.kv_cache_memory = 64 << 20;
    s.engine.options.max_model_len = 256; // fits into it, and no model is shorter
    s.rows = json_array();
    enum status status =
        flags_parse(&command_bench_memory, &s, argc, argv, &s.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = s.model ? run_memory(&s) : fail(ERR_USAGE, "no model: colrow bench memory MODEL");
    json_decref(s.rows);
    return status == OK ? 0 : flags_failed(status);
}
