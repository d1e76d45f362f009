// colrow_open() and colrow_close(). Everything that can be checked is checked before a rank is
// started.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "comm/reduction_tree.h"
#include "device/device.h"
#include "device/team.h"
#include "engine/engine.h"
#include "engine/rank_program.h"
#include "hf/checkpoint.h"

enum {
    MAX_NUM_SEQS_MAX = 4096,
    BATCHED_TOKENS_MAX = 1 << 16,
    PROMPT_LOGITS_BYTES = 64 << 20, // room for logits of prompt tokens; longer chunks come in parts
};

void colrow_options_init(struct colrow_options *options)
{
    *options = (struct colrow_options){
        .tensor_parallel_size = 1,
        .dtype = "auto",
        .max_num_seqs = 64,
        .max_num_batched_tokens = 512,
        .gpu_memory_utilization = 0.9,
        .collective_timeout = 60,
        .log_level = LOG_WARNING,
    };
}

// What is open only while colrow_open() runs.
struct opening {
    const struct colrow_options *options;
    struct colrow_engine *engine;
    struct checkpoint *checkpoint;
    enum compute_type compute;
    bool f32_cache;
    struct budget budget;
    char rank_program[FILE_PATH_MAX];
    struct board_options board_options;
};

static enum status check_range(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return OK;
    return fail(ERR_USAGE, "%s is %.15g; expected %.15g to %.15g", name, value, least, most);
}

static enum status check_options(const struct colrow_options *o)
{
    if (!o->model || !*o->model)
        return fail(ERR_USAGE, "no model is named; give a HuggingFace folder");
    if (strlen(o->model) >= FILE_PATH_MAX || (o->tp_plan && strlen(o->tp_plan) >= FILE_PATH_MAX))
        return fail(ERR_USAGE, "a path is longer than %d bytes", FILE_PATH_MAX - 1);
    TRY(check_range("tensor_parallel_size", o->tensor_parallel_size, 1, COMM_RANKS_MAX));
    TRY(check_range("max_model_len", (double)o->max_model_len, 0, POSITIONS_MAX));
    TRY(check_range("max_num_seqs", o->max_num_seqs, 1, MAX_NUM_SEQS_MAX));
    TRY(check_range("max_num_batched_tokens", o->max_num_batched_tokens, 1, BATCHED_TOKENS_MAX));
    TRY(check_range("gpu_memory_utilization", o->gpu_memory_utilization, 0.01, 1));
    TRY(check_range("kv_cache_memory", (double)o->kv_cache_memory, 0, 0x1p62));
    TRY(check_range("threads_per_rank", o->threads_per_rank, 0, TEAM_THREADS_MAX));
    return check_range("collective_timeout", o->collective_timeout, 0.1, 86400);
}

// --dtype's names are vLLM's.
static enum status resolve_compute(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    const char *name = options->dtype ? options->dtype : "auto";
    enum element_type type = opening->engine->config.dtype;
    if (strcmp(name, "half") == 0)
        type = ELEMENT_F16;
    else if (strcmp(name, "float") == 0)
        type = ELEMENT_F32;
    else if (strcmp(name, "auto") != 0)
        type = element_from_dtype(name);
    else if (type == ELEMENT_NONE && opening->checkpoint->n_tensors > 0) {
        const struct tensor_info *embedding =
            checkpoint_find(opening->checkpoint, "model.embed_tokens.weight");
        type = embedding ? embedding->type : opening->checkpoint->tensors[0].type;
    }
    switch ((int)type) {
    case ELEMENT_BF16:
        opening->compute = COMPUTE_BF16;
        return OK;
    case ELEMENT_F16:
        opening->compute = COMPUTE_F16;
        return OK;
    case ELEMENT_F32:
        opening->compute = COMPUTE_F32;
        return OK;
    default:
        break;
    }
    if (strcmp(name, "auto") == 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: the checkpoint's dtype is %s; name another with --dtype bfloat16, float16 "
                    "or float32",
                    options->model, element_dtype_name(type));
    return fail(ERR_USAGE, "dtype is \"%s\"; expected auto, bfloat16, float16 or float32", name);
}

static enum status resolve_order(struct opening *opening)
{
    const char *name = opening->options->product_order ? opening->options->product_order : "pairs";
    opening->engine->order = product_order_from_name(name);
    if (opening->engine->order == ORDER_COUNT)
        return fail(ERR_USAGE, "product_order is \"%s\"; expected pairs or tiles", name);
    if (opening->engine->order == ORDER_TILES && opening->compute != COMPUTE_BF16)
        return fail(ERR_USAGE,
                    "product_order tiles is for bfloat16, and %s is computed in %s; use pairs or "
                    "--dtype bfloat16",
                    opening->engine->model, compute_name(opening->compute));
    return OK;
}

static enum status resolve_cache(struct opening *opening)
{
    const char *name = opening->options->kv_cache_dtype ? opening->options->kv_cache_dtype : "auto";
    opening->f32_cache = strcmp(name, "float32") == 0;
    if (!opening->f32_cache && strcmp(name, "auto") != 0)
        return fail(ERR_USAGE,
                    "kv_cache_dtype is \"%s\"; expected auto (the type that is computed in) or "
                    "float32",
                    name);
    return OK;
}

static enum status compile_plan(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    struct tp_plan_rules rules;
    if (options->tp_plan)
        TRY(tp_plan_file(options->tp_plan, &rules));
    enum status status = plan_compile(&engine->config,
                                      &(struct plan_options){
                                          .n_ranks = options->tensor_parallel_size,
                                          .reduction_leaves = options->reduction_leaves,
                                          .compute = opening->compute,
                                          .f32_cache = opening->f32_cache,
                                          .rules = options->tp_plan ? &rules : NULL,
                                      },
                                      &engine->plan);
    if (options->tp_plan)
        tp_plan_close(&rules);
    return status;
}

static enum status read_text_files(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    char path[FILE_PATH_MAX];
    TRY(generation_config_read(engine->model, engine->config.vocab_size, &engine->generation));
    TRY(file_join(engine->model, "tokenizer.json", path));
    if (file_exists(path)) // prompts may come as ids
        TRY(tokenizer_open(engine->model, &engine->tokenizer));
    if (chat_template_open(engine->model, &engine->chat) == OK)
        return OK;
    // only who applies it has to know
    engine->chat = NULL;
    return memory_text(status_message(), &engine->chat_error);
}

static enum status read_model(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    snprintf(engine->model, sizeof engine->model, "%s", opening->options->model);
    TRY(model_config_read(engine->model, &engine->config));
    TRY(checkpoint_open(engine->model, &opening->checkpoint));
    TRY(resolve_compute(opening));
    TRY(resolve_order(opening));
    TRY(resolve_cache(opening));
    TRY(compile_plan(opening));
    TRY(plan_check_checkpoint(engine->plan, opening->checkpoint));
    return read_text_files(opening);
}

static enum status choose_sizes(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    int64_t positions = engine->config.max_position_embeddings;
    if (options->max_model_len > positions)
        return fail(ERR_USAGE,
                    "max_model_len is %lld, but %s/config.json says max_position_embeddings %lld",
                    (long long)options->max_model_len, engine->model, (long long)positions);
    engine->max_model_len = options->max_model_len ? options->max_model_len : positions;
    int n_ranks = options->tensor_parallel_size, n_cpus = device_cpu_count();
    engine->threads_per_rank = options->threads_per_rank;
    if (engine->threads_per_rank == 0)
        engine->threads_per_rank = n_cpus / n_ranks > TEAM_THREADS_MAX ? TEAM_THREADS_MAX
                                   : n_cpus / n_ranks < 1              ? 1
                                                                       : n_cpus / n_ranks;
    engine->crowded = n_ranks * engine->threads_per_rank >= n_cpus;
    engine->seed = options->seed;
    engine->prompt_logits = options->prompt_logits != 0;
    engine->capture = options->capture_hidden_states != 0;
    int32_t rows = options->max_num_batched_tokens, logit_rows = options->max_num_seqs;
    if (options->prompt_logits) {
        int32_t room =
            (int32_t)(PROMPT_LOGITS_BYTES / sizeof(float) / (size_t)engine->config.vocab_size);
        logit_rows = room > logit_rows ? room : logit_rows;
    }
    engine->limits = (struct step_limits){
        .rows_max = rows,
        .sequences_max = options->max_num_seqs,
        .logit_rows_max = logit_rows < rows ? logit_rows : rows,
    };
    return OK;
}

static enum status plan_memory_use(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    struct budget_request request = {
        .plan = engine->plan,
        .checkpoint = opening->checkpoint,
        .rows_max = engine->limits.rows_max,
        .logit_rows_max = engine->limits.logit_rows_max,
        .n_threads = engine->threads_per_rank,
        .max_num_seqs = options->max_num_seqs,
        .max_model_len = engine->max_model_len,
        .utilization = options->gpu_memory_utilization,
        .kv_cache_memory = options->kv_cache_memory,
    };
    TRY(device_memory_available(&request.available_bytes));
    TRY(budget_compute(&request, &opening->budget));
    int64_t entries = kv_pages_for(engine->max_model_len) * options->max_num_seqs;
    engine->limits.page_entries_max =
        entries < opening->budget.kv_pages ? entries : opening->budget.kv_pages;
    if (options->log_level <= LOG_INFO)
        budget_print(&opening->budget);
    return OK;
}

static enum status reserve(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    struct scheduler_limits limits = {
        .sequences_max = engine->limits.sequences_max,
        .rows_max = engine->limits.rows_max,
        .logit_rows_max = engine->limits.logit_rows_max,
    };
    int32_t vocab_size = engine->config.vocab_size;
    TRY(kernels_choose(&engine->kernels));
    TRY(kv_pool_new(opening->budget.kv_pages, &engine->pool));
    TRY(scheduler_init(&engine->scheduler, &limits, engine->pool));
    return sampler_new(vocab_size, vocab_size < LOGPROBS_MAX ? vocab_size : LOGPROBS_MAX,
                       engine->kernels, &engine->sampler);
}

static enum status start_ranks(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    struct board_shape shape = {
        .n_ranks = engine->plan->n_ranks,
        .limits = engine->limits,
        .kv_pages = opening->budget.kv_pages,
        .vocab_size = engine->config.vocab_size,
        .hidden_size = engine->config.hidden_size,
        .num_hidden_layers = engine->config.num_hidden_layers,
        .capture_rows_max = engine->capture ? engine->limits.rows_max : 0,
    };
    struct board_options *to_ranks = &opening->board_options;
    *to_ranks = (struct board_options){
        .compute = (int32_t)opening->compute,
        .f32_cache = opening->f32_cache,
        .product_order = (int32_t)engine->order,
        .reduction_leaves = options->reduction_leaves,
        .threads_per_rank = engine->threads_per_rank,
        .log_level = options->log_level,
    };
    snprintf(to_ranks->model, sizeof to_ranks->model, "%s", engine->model);
    snprintf(to_ranks->tp_plan, sizeof to_ranks->tp_plan, "%s",
             options->tp_plan ? options->tp_plan : "");
    size_t bytes;
    TRY(board_bytes(&shape, &bytes));
    const char *const arguments[] = {"colrow", "rank", NULL};
    struct group_options group = {
        .program = opening->rank_program,
        .arguments = arguments,
        .n_ranks = shape.n_ranks,
        .board_bytes = bytes,
        .deadline_seconds = options->collective_timeout,
    };
    TRY(group_spawn(&group, &engine->group));
    return board_post(group_board(engine->group), &shape, to_ranks, &engine->board);
}

static uint64_t bytes_read(const struct colrow_engine *engine)
{
    uint64_t bytes = 0;
    for (int r = 0; r < engine->plan->n_ranks; r++)
        bytes += atomic_load_explicit(&engine->board.ranks[r].bytes_read, memory_order_relaxed);
    return bytes;
}

static enum status check_loading(void *context)
{
    struct opening *opening = context;
    const struct colrow_options *options = opening->options;
    if (options->progress)
        options->progress(options->progress_context, bytes_read(opening->engine),
                          opening->budget.file_bytes);
    struct group *group = opening->engine->group;
    int n_running;
    TRY(group_poll(group, 0, &n_running));
    if (n_running < group_size(group)) // in peace, which is no failure in the group's eyes
        return fail(ERR_GROUP,
                    "a rank left before it was loaded: %s is not the program colrow; check "
                    "COLROW_RANK_PROGRAM",
                    opening->rank_program);
    return OK;
}

static enum status await_loaded(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    TRY(signal_await(&engine->board.header->done, 1, WAIT_IDLE, check_loading, opening));
    if (options->progress)
        options->progress(options->progress_context, bytes_read(engine),
                          opening->budget.file_bytes);
    return OK;
}

static enum status open_engine(struct opening *opening)
{
    double begun = clock_seconds();
    TRY(check_options(opening->options));
    log_set_level((enum log_level)opening->options->log_level);
    TRY(read_model(opening));
    TRY(choose_sizes(opening));
    TRY(plan_memory_use(opening));
    TRY(rank_program_find(opening->options->rank_program, opening->rank_program));
    TRY(reserve(opening));
    TRY(start_ranks(opening));
    TRY(await_loaded(opening));
    opening->engine->statistics.load_seconds = clock_seconds() - begun;
    return OK;
}

int colrow_open(const struct colrow_options *options, struct colrow_engine **out)
{
    struct opening *opening = NULL;
    *out = NULL;
    enum status status = memory_new(1, sizeof *opening, "the engine", &opening);
    if (status == OK)
        status = memory_new(1, sizeof *opening->engine, "the engine", &opening->engine);
    if (status == OK) {
        opening->options = options;
        opening->engine->next_number = 1;
        status = open_engine(opening);
        checkpoint_close(opening->checkpoint);
        if (status == OK)
            *out = opening->engine;
        else
            colrow_close(opening->engine);
    }
    free(opening);
    return engine_result(status);
}

// Lets idle ranks leave by themselves; who does not is ended.
static void dismiss(struct colrow_engine *engine)
{
    enum { WAIT_MS = 20, WAITS = 100 };
    struct board_header *header = engine->board.header;
    bool loaded = header && !engine->over && atomic_load(&header->done.value) >= 1;
    if (loaded && !engine->in_flight) {
        atomic_store_explicit(&header->quit, 1, memory_order_relaxed); // ordered by the word
        signal_raise(&header->plan, (uint32_t)engine->scheduler.step.number + 1);
        int n_running = 1;
        for (int i = 0; i < WAITS && n_running > 0; i++)
            if (group_poll(engine->group, WAIT_MS, &n_running) != OK)
                break;
    }
    group_close(engine->group, 0);
}

void colrow_close(struct colrow_engine *engine)
{
    if (!engine)
        return;
    if (engine->group)
        dismiss(engine);
    engine_drop_requests(engine);
    poll_queue_fini(&engine->polled);
    scheduler_fini(&engine->scheduler);
    sampler_free(engine->sampler);
    kv_pool_free(engine->pool);
    tokenizer_close(engine->tokenizer);
    chat_template_close(engine->chat);
    free(engine->chat_error);
    plan_free(engine->plan);
    free(engine);
}
