#include "cmd/bench_workload.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "cmd/engine_flags.h"
#include "model/plan.h"

struct totals {
    struct colrow_statistics engine;
    double step, reduce, wait;
};

static void take_totals(const struct colrow_engine *engine, struct totals *out)
{
    struct colrow_info info;
    *out = (struct totals){0};
    colrow_get_info(engine, &info);
    colrow_get_statistics(engine, &out->engine);
    for (int r = 0; r < info.n_ranks; r++) {
        struct colrow_rank_statistics rank;
        if (colrow_get_rank_statistics(engine, r, &rank) != 0)
            continue;
        out->step += rank.step_seconds / info.n_ranks;
        out->reduce += rank.all_reduce_seconds / info.n_ranks;
        out->wait += rank.wait_seconds / info.n_ranks;
    }
}

struct first_token {
    double at;
    bool failed;
};

static void note_first_token(void *context, const struct colrow_output *out)
{
    struct first_token *first = context;
    if (out->n_ids > 0 && first->at == 0)
        first->at = clock_seconds();
    first->failed |= out->finish == COLROW_FAILED;
}

static enum status submit_workload(struct colrow_engine *engine, const struct workload *w,
                                   struct first_token *first)
{
    struct colrow_info info;
    struct colrow_sampling sampling;
    int32_t *ids;
    colrow_get_info(engine, &info);
    colrow_sampling_init(NULL, &sampling);
    sampling.temperature = 0;
    sampling.ignore_eos = 1;
    sampling.max_tokens = w->output_len;
    TRY(memory_new((size_t)w->input_len, sizeof *ids, "a prompt", &ids));
    enum status status = OK;
    uint64_t state = w->seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
    for (int i = 0; i < w->n && status == OK; i++) {
        for (int k = 0; k < w->input_len; k++) {
            state ^= state << 13; // xorshift64
            state ^= state >> 7;
            state ^= state << 17;
            ids[k] = (int32_t)(state % (uint64_t)info.vocab_size);
        }
        const struct colrow_prompt prompt = {.ids = ids, .n_ids = w->input_len};
        if (colrow_submit(engine, &prompt, &sampling, note_first_token, first, NULL) != 0)
            status = engine_failed();
    }
    free(ids);
    return status;
}

// Ranks look out for the next step for 2 ms before they sleep, on the cores that are to be
// measured. The first pass over the buffer after a model's weights went through the caches is
// slower than any other: of two the faster one counts.
static double read_bandwidth(struct peak_reader *reader)
{
    if (!reader)
        return 0;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    double first = peak_reader_run(reader), second = peak_reader_run(reader);
    return first > second ? first : second;
}

enum status workload_run(struct colrow_engine *engine, const struct workload *w,
                         struct peak_reader *reader, struct workload_result *out)
{
    struct totals before, after;
    struct first_token first = {0};
    *out = (struct workload_result){0};
    double bandwidth = read_bandwidth(reader);
    take_totals(engine, &before);
    double begun = clock_seconds();
    TRY(submit_workload(engine, w, &first));
    for (bool alive = true; alive;)
        TRY(engine_flags_step(engine, &alive));
    out->seconds = clock_seconds() - begun;
    if (first.failed)
        return engine_failed();
    take_totals(engine, &after);
    double bandwidth_after = read_bandwidth(reader);
    out->read_bytes = (bandwidth + bandwidth_after) / 2;
    out->flipped = fabs(bandwidth - bandwidth_after) > 0.1 * out->read_bytes;
    out->first_token_seconds = first.at - begun;
    out->prefill_seconds = after.engine.prefill_seconds - before.engine.prefill_seconds;
    out->decode_seconds = after.engine.decode_seconds - before.engine.decode_seconds;
    out->prefill_tokens = after.engine.prefill_tokens - before.engine.prefill_tokens;
    out->decode_tokens = after.engine.decode_tokens - before.engine.decode_tokens;
    out->decode_steps = w->n > 0 ? out->decode_tokens / (uint64_t)w->n : 0;
    out->step_seconds = after.step - before.step;
    out->all_reduce_seconds = after.reduce - before.reduce;
    out->wait_seconds = after.wait - before.wait;
    return OK;
}

// Multiply-adds of a token in the layers: a number of each matrix that it has a use for.
static double products_of_layers(const struct plan *plan)
{
    const int end = plan->first_of_layer[plan->config.num_hidden_layers];
    double n = 0;
    for (int i = plan->first_of_layer[0]; i < end; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        if (!p->is_vector && !p->is_bias && !slot_is_buffer(p->slots[0]))
            n += (double)p->rows * (double)p->columns * (p->n_experts ? p->n_chosen : 1);
    }
    return n;
}

enum status model_cost(const struct plan *plan, int batch, struct model_cost *out)
{
    struct plan_memory memory;
    assert(plan_world_size(plan) == 1);
    TRY(plan_memory(plan, NULL, 0, 1, 1, 1, &memory));
    *out = (struct model_cost){
        .layer_flops = 2 * products_of_layers(plan),
        .head_flops = 2.0 * plan->config.hidden_size * plan->config.vocab_size,
        .weight_bytes = plan_bytes_read(plan, 0, batch),
        .kv_bytes_per_token = (double)memory.kv_bytes_per_token,
    };
    return OK;
}

static int ascending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

double median(double *values, int n)
{
    if (n == 0)
        return 0;
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double percentile(const double *sorted, int n, double percent)
{
    double at = percent / 100 * (n - 1); // linear between neighbours, as numpy does
    int low = (int)at;
    return low + 1 < n ? sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

void print_limits(FILE *file, int n_cores, const struct peak *p)
{
    fprintf(file,
            "limits, %d core%s: read %.1f GB/s, products %.0f GFLOP/s (f32 FMA %.0f, from L1 "
            "%.0f, bf16 dot "
            "%.0f), int8 %.0f GOP/s, AMX %.0f GFLOP/s\n",
            n_cores, n_cores == 1 ? "" : "s", p->read_bytes / 1e9, peak_product_flops(p) / 1e9,
            p->fma_flops / 1e9, p->fed_flops / 1e9, p->bf16_flops / 1e9, p->int8_ops / 1e9,
            p->amx_flops / 1e9);
}

json_t *limits_json(int n_cores, const struct peak *p)
{
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "cores", n_cores,
                     "read_bytes_per_second", p->read_bytes, "copy_bytes_per_second", p->copy_bytes,
                     "fill_bytes_per_second", p->fill_bytes, "product_flops", peak_product_flops(p),
                     "fma_flops", p->fma_flops, "fed_fma_flops", p->fed_flops, "bf16_dot_flops",
                     p->bf16_flops, "int8_ops", p->int8_ops, "amx_flops", p->amx_flops);
}
