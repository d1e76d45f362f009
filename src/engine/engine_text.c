// The public functions on text and numbers: encoding, templates, what the engine is and has done.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/device.h"
#include "engine/engine.h"
#include "engine/engine_nodes.h"
#include "engine/struct_size.h"

const char *colrow_error(void)
{
    return status_message();
}

enum colrow_error_class error_class_of(enum status status)
{
    switch (status) {
    case OK:
        return COLROW_ERROR_NONE;
    case ERR_USAGE:
        return COLROW_ERROR_USAGE;
    case ERR_INPUT:
    case ERR_UNSUPPORTED:
        return COLROW_ERROR_MODEL;
    case ERR_REQUEST:
        return COLROW_ERROR_INVALID_REQUEST;
    case ERR_TOO_LARGE:
        return COLROW_ERROR_TOO_LARGE;
    case ERR_BUSY:
        return COLROW_ERROR_BUSY;
    case ERR_GROUP:
        return COLROW_ERROR_GROUP_LOST;
    case ERR_MEMORY:
        return COLROW_ERROR_MEMORY;
    case ERR_IO:
        return COLROW_ERROR_IO;
    case ERR_CANCELLED:
        return COLROW_ERROR_CANCELLED;
    case ERR_INTERNAL:
        break;
    }
    return COLROW_ERROR_INTERNAL;
}

enum colrow_error_class colrow_error_class(void)
{
    return error_class_of(status_code());
}

const char *colrow_error_class_name(enum colrow_error_class error)
{
    static const char *const names[] = {
        [COLROW_ERROR_NONE] = "none",
        [COLROW_ERROR_USAGE] = "usage",
        [COLROW_ERROR_MODEL] = "model",
        [COLROW_ERROR_INVALID_REQUEST] = "invalid request",
        [COLROW_ERROR_TOO_LARGE] = "too large",
        [COLROW_ERROR_BUSY] = "busy",
        [COLROW_ERROR_GROUP_LOST] = "group lost",
        [COLROW_ERROR_MEMORY] = "memory",
        [COLROW_ERROR_IO] = "io",
        [COLROW_ERROR_CANCELLED] = "cancelled",
        [COLROW_ERROR_INTERNAL] = "internal",
    };
    size_t n = sizeof names / sizeof names[0];
    return (size_t)error < n ? names[error] : "unknown";
}

const char *colrow_version(void)
{
    return COLROW_VERSION;
}

const char *colrow_finish_name(enum colrow_finish finish)
{
    switch (finish) {
    case COLROW_RUNNING:
        return "running";
    case COLROW_STOP:
        return "stop";
    case COLROW_LENGTH:
        return "length";
    case COLROW_CANCELLED:
        return "cancelled";
    case COLROW_FAILED:
        return "failed";
    }
    return "unknown";
}

static const double top_p_least = 1e-9;

// What is no count of tokens becomes one that requests are refused for.
static int top_k_of(double top_k)
{
    return top_k >= -1 && top_k <= INT32_MAX && top_k == floor(top_k) ? (int)top_k : INT32_MIN;
}

static void set_sampling_defaults(const struct colrow_engine *engine,
                                  struct colrow_sampling *sampling)
{
    *sampling = (struct colrow_sampling){
        .top_p = 1,
        .repetition_penalty = 1,
        .max_tokens = 16,
        .skip_special_tokens = 1,
        .logprobs = -1,
        .n = 1,
    };
    if (!engine)
        return;
    const struct generation_config *generation = &engine->generation;
    if (generation->has_repetition_penalty)
        sampling->repetition_penalty = generation->repetition_penalty;
    if (generation->max_new_tokens) {
        sampling->max_tokens = generation->max_new_tokens;
    } else if (generation->max_length) {
        sampling->max_tokens = 0;
        sampling->max_length = generation->max_length;
    }
    if (!generation->has_do_sample || !generation->do_sample)
        return; // greedy, as HuggingFace's generate()
    sampling->temperature = generation->has_temperature ? generation->temperature : 1;
    if (generation->has_top_p) // 0: the likeliest token alone, as in Transformers
        sampling->top_p = generation->top_p != 0 ? generation->top_p : top_p_least;
    if (generation->has_top_k)
        sampling->top_k = top_k_of(generation->top_k);
    if (generation->has_min_p)
        sampling->min_p = generation->min_p;
}

void colrow_sampling_init_sized(const struct colrow_engine *engine,
                                struct colrow_sampling *sampling, size_t struct_size)
{
    struct colrow_sampling defaults;
    set_sampling_defaults(engine, &defaults);
    defaults.struct_size = struct_size;
    struct_give(sampling, struct_size, &defaults, sizeof defaults);
}

enum status engine_take_sampling(const struct colrow_sampling *given, struct colrow_sampling *out)
{
    enum { FIRST_SIZE = STRUCT_END(struct colrow_sampling, n) };
    set_sampling_defaults(NULL, out);
    return struct_take(out, sizeof *out, given, given->struct_size, FIRST_SIZE, "colrow_sampling",
                       "fill it with colrow_sampling_init()");
}

void colrow_get_info_sized(const struct colrow_engine *engine, struct colrow_info *out,
                           size_t struct_size)
{
    const struct colrow_info info = {
        .tensor_parallel_size = engine->plan->n_ranks,
        .vocab_size = engine->config.vocab_size,
        .num_hidden_layers = engine->config.num_hidden_layers,
        .hidden_size = engine->config.hidden_size,
        .max_model_len = engine->max_model_len,
        .kv_pages = kv_pool_size(engine->pool),
        .kv_page_tokens = KV_PAGE_TOKENS,
        .dtype = compute_name(engine->plan->compute),
        .kv_cache_dtype = kv_cache_name(engine->plan->cache, engine->plan->kv_codes),
        .isa = engine->kernels->isa,
        .architecture = engine->config.architecture,
        .product_order = product_order_name(engine->order),
        .threads_per_rank = engine->threads_per_rank,
        .max_new_tokens = engine->generation.max_new_tokens,
        .max_length = engine->generation.max_length,
        .prefix_caching = engine->cache && prefix_cache_retains(engine->cache),
        .kv_host_pages = engine->cache ? prefix_cache_host_pages(engine->cache) : 0,
        .pipeline_parallel_size = engine->plan->n_stages,
        .n_ranks = plan_world_size(engine->plan),
        .speculative_tokens = engine->speculation.config.n_tokens,
        .quantization = engine->quantization,
    };
    struct_give(out, struct_size, &info, sizeof info);
}

static enum colrow_state state_of_rank(const struct colrow_engine *engine)
{
    if (engine->over)
        return COLROW_BROKEN;
    // a crew that broke just now is told by the next step, or starts again
    return crew_state(engine->crew) == CREW_READY ? COLROW_READY : COLROW_LOADING;
}

static double seconds_since_step(const struct colrow_engine *engine)
{
    int64_t done_ns = crew_done_ns(engine->crew);
    bool loads = crew_state(engine->crew) == CREW_LOADING;
    return loads || done_ns == 0 ? 0 : (double)(clock_ns() - done_ns) * 1e-9;
}

void colrow_get_gauges_sized(const struct colrow_engine *engine, struct colrow_gauges *out,
                             size_t struct_size)
{
    struct colrow_gauges gauges = {
        .state = state_of_rank(engine),
        .restarts = (int)crew_generation(engine->crew) - 1,
        .bytes_loaded = crew_bytes_read(engine->crew),
        .bytes_total = engine->file_bytes,
        .requests = engine->n_requests,
        .running_sequences = engine->scheduler.running.n,
        .waiting_sequences = engine->scheduler.waiting.n,
        .paused_sequences = engine->scheduler.parked.n,
        .kv_pages_used = kv_pool_usable(engine->pool) - kv_pool_available(engine->pool),
        .kv_pages = kv_pool_size(engine->pool),
        .kv_pages_usable = kv_pool_usable(engine->pool),
        .seconds_since_step = seconds_since_step(engine),
        .step_overdue = crew_step_overdue(engine->crew),
        .last_failure = crew_last_failure(engine->crew),
        .nodes = 1,
        .nodes_serving = 1,
    };
    if (engine->nodes)
        engine_nodes_count(engine, &gauges.nodes, &gauges.nodes_serving);
    struct_give(out, struct_size, &gauges, sizeof gauges);
}

int colrow_fd(struct colrow_engine *engine)
{
    if (!engine->listening) {
        engine->listening = true;
        crew_ring(engine->crew); // for what has happened before
    }
    return crew_fd(engine->crew);
}

void colrow_get_statistics_sized(const struct colrow_engine *engine, struct colrow_statistics *out,
                                 size_t struct_size)
{
    struct_give(out, struct_size, &engine->statistics, sizeof engine->statistics);
}

static uint64_t load_counter(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed); // a count, read now and then
}

static double seconds(const _Atomic uint64_t *ns)
{
    return (double)load_counter(ns) * 1e-9;
}

int colrow_get_rank_statistics_sized(const struct colrow_engine *engine, int rank,
                                     struct colrow_rank_statistics *out, size_t struct_size)
{
    int n_ranks = plan_world_size(engine->plan);
    if (rank < 0 || rank >= n_ranks)
        return engine_result(fail(ERR_USAGE, "rank %d; expected 0 to %d", rank, n_ranks - 1));
    int stage = rank / engine->plan->n_ranks;
    const struct range layers = plan_stage_layers(engine->plan, stage);
    const struct board_rank *from = crew_rank(engine->crew, rank);
    int pid = (int)crew_pid(engine->crew, rank);
    uint64_t peak = pid ? device_resident_peak_bytes(pid) : 0;
    struct flight_report flight;
    crew_report(engine->crew, rank, &flight);
    struct colrow_rank_statistics statistics = {
        .pid = pid,
        .weight_bytes = load_counter(&from->weight_bytes),
        .kv_bytes = load_counter(&from->kv_bytes),
        .host_kv_bytes = load_counter(&from->host_kv_bytes),
        .scratch_bytes = load_counter(&from->scratch_bytes),
        .resident_peak_bytes = peak ? peak : load_counter(&from->resident_peak_bytes),
        .file_bytes_read = load_counter(&from->bytes_read),
        .load_seconds = seconds(&from->load_ns),
        .weights_seconds = seconds(&from->weights_ns),
        .step_seconds = seconds(&from->step_ns),
        .all_reduce_seconds = seconds(&from->all_reduce_ns),
        .wait_seconds = seconds(&from->wait_ns),
        .bytes_sent = load_counter(&from->bytes_sent),
        .last_step = (uint64_t)flight.steps_done,
        .collectives = flight.n_collectives,
        .last_collective = operation_name(flight.last_collective),
        .last_layer = flight.last_layer,
        .stage = stage,
        .first_layer = layers.begin,
        .n_layers = layers.end - layers.begin,
        .stage_seconds = seconds(&from->stage_ns),
    };
    memcpy(statistics.last_part, flight.last_what, sizeof statistics.last_part);
    struct_give(out, struct_size, &statistics, sizeof statistics);
    return 0;
}

const float *colrow_hidden_states(const struct colrow_engine *engine, int *n_rows,
                                  size_t *layer_stride)
{
    const struct step_results *results = crew_results(engine->crew);
    if (!engine->capture || engine->n_rows_last == 0) {
        fail(ERR_USAGE, "hidden states need capture_hidden_states in the options, and a step that "
                        "the present ranks have done");
        return NULL;
    }
    *n_rows = engine->n_rows_last;
    *layer_stride = (size_t)results->capture_rows_max * (size_t)engine->config.hidden_size;
    return results->capture;
}
