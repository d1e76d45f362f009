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
#include "cmd/plan_command.h"
#include "device/device.h"
#include "model/plan.h"

struct scaling {
    struct engine_flags engine;
    const char *tp_text, *batch_text, *output_json, *model;
    struct machine_flags on;
    struct plan_command predicting; // with --machine
    int input_len, output_len, repeats;
    bool json, simulate;
    double copy_bytes, fill_bytes; // memcpy() by all cores, bytes/s; into new pages
    int tp[FLAG_LIST_MAX], n_tp, batch[FLAG_LIST_MAX], n_batch;
    json_t *rows;
};

struct point {
    double decode, prefill;            // tokens/s, medians
    double compute, communicate, wait; // parts of a rank's step time
    struct predicted_point predicted;  // with --machine
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

// Without a measurement the prediction stands in its place.
static void take_prediction(const struct scaling *s, struct point *p)
{
    if (s->simulate)
        *p = (struct point){.decode = p->predicted.decode,
                            .prefill = p->predicted.prefill,
                            .compute = p->predicted.compute,
                            .communicate = p->predicted.communicate,
                            .wait = p->predicted.wait};
}

static enum status predict_batch(struct scaling *s, int batch, struct point *out)
{
    struct plan_command *c = &s->predicting;
    c->concurrency = batch;
    TRY(predict_point(c, &out->predicted));
    take_prediction(s, out);
    return OK;
}

// The machine as it is while so many ranks work.
static enum status prepare_prediction(struct scaling *s, int tp)
{
    struct plan_command *c = &s->predicting;
    struct node_layout nodes;
    int pp = c->pipeline_parallel_size;
    c->options.n_ranks = c->tensor_parallel_size = tp;
    TRY(machine_flags_lay_out(&s->on, tp, pp ? pp : 1, &nodes));
    return machine_flags_read(&s->on, nodes.first_rank[1], s->engine.options.threads_per_rank,
                              &c->machine);
}

static void add_predicted(const struct scaling *s, struct table *table, const struct point *p,
                          json_t *row)
{
    if (!s->on.machine || s->simulate)
        return;
    table_cell(table, "%.1f", p->predicted.prefill);
    table_cell(table, "%.1f", p->predicted.decode);
    json_object_set_new(row, "predicted_prefill_tokens_per_second",
                        json_real(p->predicted.prefill));
    json_object_set_new(row, "predicted_decode_tokens_per_second", json_real(p->predicted.decode));
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
    json_t *row = json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "tensor_parallel_size",
                            tp, "batch", batch, "prefill_tokens_per_second", p->prefill,
                            "decode_tokens_per_second", p->decode, "speed_up", speedup,
                            "efficiency", speedup * tp_one / tp, "compute", p->compute,
                            "communication", p->communicate, "waiting", p->wait);
    add_predicted(s, table, p, row);
    json_array_append_new(s->rows, row);
}

// One size: measured, unless it is only simulated, and predicted where a machine is named.
static enum status scale_to(struct scaling *s, int tp, struct table *table, struct point *first,
                            struct colrow_info *info)
{
    struct engine_flags flags = s->engine;
    struct colrow_engine *engine = NULL;
    enum status status = OK;
    if (s->on.machine)
        TRY(prepare_prediction(s, tp));
    flags.options.tensor_parallel_size = tp;
    flags.options.max_model_len = s->input_len + s->output_len;
    if (!s->simulate) {
        TRY(engine_flags_open(&flags, s->model, &engine));
        colrow_get_info(engine, info);
    }
    for (int b = 0; b < s->n_batch && status == OK; b++) {
        struct point point = {0};
        if (engine)
            status = measure_point(s, engine, s->batch[b], &point);
        if (status == OK && s->on.machine)
            status = predict_batch(s, s->batch[b], &point);
        if (tp == s->tp[0])
            first[b] = point;
        if (status == OK)
            add_scaling_row(s, table, tp, s->batch[b], &point, &first[b], s->tp[0]);
    }
    colrow_close(engine);
    return status;
}

static enum status begin_predicting(struct scaling *s)
{
    const struct colrow_options *o = &s->engine.options;
    s->predicting = (struct plan_command){
        .model = s->model,
        .on = s->on,
        .dtype = o->dtype ? o->dtype : "auto",
        .kv_cache_dtype = o->kv_cache_dtype ? o->kv_cache_dtype : "auto",
        .tp_plan = o->tp_plan,
        .tp_plan_replace = o->tp_plan_replace,
        .reduction_leaves = o->reduction_leaves,
        .rows = o->max_num_batched_tokens,
        .tensor_parallel_size = s->tp[0],
        .pipeline_parallel_size = o->pipeline_parallel_size,
        .input_len = s->input_len,
        .output_len = s->output_len,
    };
    return plan_command_prepare(&s->predicting);
}

static void head_scaling(const struct scaling *s, struct table *table)
{
    const char *heading[] = {"tp",
                             "batch",
                             "prefill tok/s",
                             "decode tok/s",
                             "speed-up",
                             "efficiency",
                             "compute",
                             "all-reduce",
                             "waiting",
                             "predicted prefill",
                             "predicted decode"};
    int n = s->on.machine && !s->simulate ? 11 : 9;
    table_init(table, n);
    for (int i = 0; i < n; i++)
        table_cell(table, "%s", heading[i]);
}

static enum status print_scaling(struct scaling *s, const struct table *table,
                                 const struct colrow_info *info, const struct peak *peak)
{
    int cores = device_cpu_count();
    if (s->json || s->output_json) {
        json_t *root = json_pack("{s:o, s:O, s:b}", "model", json_foreign(s->model), "points",
                                 s->rows, "simulated", s->simulate);
        if (!s->simulate) {
            json_object_set_new(root, "dtype", json_string(info->dtype));
            json_object_set_new(root, "isa", json_string(info->isa));
            json_object_set_new(root, "product_order", json_string(info->product_order));
            json_object_set_new(root, "limits", limits_json(cores, peak));
        }
        TRY(json_write(root, JSON_FIGURES, s->output_json));
    }
    if (s->json)
        return OK;
    if (s->simulate)
        output_print("predicted for %s; nothing was run\n", s->predicting.machine.name);
    else
        print_limits(output(), cores, peak);
    TRY(table_print(table, output()));
    if (!s->simulate && s->tp[s->n_tp - 1] > cores)
        output_print("(more ranks than the %d cores here: they take turns, so no speed-up is to be "
                     "had)\n",
                     cores);
    return OK;
}

static enum status run_scaling(struct scaling *s)
{
    struct table table;
    struct point first[FLAG_LIST_MAX] = {{0}};
    struct colrow_info info = {0};
    struct peak peak;
    enum status status = OK;
    if (s->simulate && !s->on.machine)
        return fail(ERR_USAGE, "flag --simulate: expected --machine FILE beside it");
    if (s->output_json)
        TRY(file_writer_check(s->output_json));
    TRY(flags_list("--tensor-parallel-size", s->tp_text, 1, 64, s->tp, &s->n_tp));
    TRY(flags_list("--batches", s->batch_text, 1, 4096, s->batch, &s->n_batch));
    if (!s->simulate)
        TRY(peak_measure(device_cpu_count(), 0.1, &peak));
    head_scaling(s, &table);
    if (s->on.machine)
        TRY_DONE(begin_predicting(s));
    for (int i = 0; i < s->n_tp; i++)
        TRY_DONE(scale_to(s, s->tp[i], &table, first, &info));
    status = print_scaling(s, &table, &info, &peak);
done:
    plan_command_end(&s->predicting);
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
    {FLAG_ON, "--simulate", NULL, AT(simulate), 0, 0, NULL,
     "with --machine: only predict, run nothing; the model may be a config.json"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_bench_scaling = {
    .name = "bench scaling",
    .brief = "the same work on 1, 2, 4, 8 ranks: speed-up, efficiency, where the time goes",
    .positional = "MODEL",
    .summary =
        "Strong scaling (the same work on more ranks) and weak scaling (more "
        "sequences), one core a rank unless\n"
        "--threads-per-rank says otherwise. With --machine: the prediction of docs/planner.md "
        "beside it, or with\n"
        "--simulate in its place.",
    .examples = "  colrow bench scaling /tmp/llama-1b --tp 1,2\n  colrow bench scaling "
                "/tmp/llama-1b --tp 1,2 --machine auto\n  colrow bench scaling config.json --tp "
                "4,8 -pp 4 --simulate --machine FILE --gpus-per-node 8",
    .sections = {FLAG_SECTION(bench_scaling_flags, 0),
                 {machine_flag_rows, MACHINE_FLAGS, AT(on)},
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
