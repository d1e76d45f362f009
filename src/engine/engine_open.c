// colrow_open() and colrow_close(). Everything that can be checked is checked before a rank is
// started.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "comm/reduction_tree.h"
#include "engine/cluster.h"
#include "engine/engine.h"
#include "engine/engine_fit.h"
#include "engine/engine_nodes.h"
#include "engine/engine_opening.h"
#include "engine/kept_file.h"
#include "engine/nodes_options.h"
#include "engine/own_paths.h"
#include "hf/checkpoint.h"
#include "hf/model_folder.h"

enum {
    ADVANCE_SLICE_NS = 2000000,   // a fifth of what an event loop may be away
    REQUESTS_MIB = 4096,          // that all requests may reserve together
    LOGITS_PIECE_BYTES = 1 << 20, // handed over before colrow_advance() looks at the clock
};

static enum status resolve_policy(const struct colrow_options *o, struct colrow_engine *engine)
{
    const char *name = o->scheduling_policy ? o->scheduling_policy : "fcfs";
    engine->by_priority = strcmp(name, "priority") == 0;
    if (engine->by_priority || strcmp(name, "fcfs") == 0)
        return OK;
    return fail(ERR_USAGE,
                "scheduling_policy is \"%s\"; expected fcfs (first come first served) or priority",
                name);
}

// --dtype's names are vLLM's.
static enum status resolve_compute(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    const char *name = options->dtype ? options->dtype : "auto";
    const struct model_config *config = &opening->engine->config;
    enum element_type type = config->dtype;
    if (strcmp(name, "half") == 0)
        type = ELEMENT_F16;
    else if (strcmp(name, "float") == 0)
        type = ELEMENT_F32;
    else if (strcmp(name, "auto") != 0)
        type = element_from_dtype(name);
    else if (type == ELEMENT_NONE) {
        TRY(model_config_check_dtype(config, opening->engine->model));
        type = checkpoint_dtype(opening->checkpoint);
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

// The ranks are told the order by name, so all of them have the same one.
static enum status resolve_order(struct opening *opening)
{
    const char *name = opening->options->product_order ? opening->options->product_order : "auto";
    opening->engine->order = product_order_from_name(name);
    if (strcmp(name, "auto") == 0) {
        opening->engine->order = product_order_fastest(isa_of_machine(), opening->compute);
        if (opening->engine->order == ORDER_TILES)
            log_info("products are summed in tiles, which this CPU's AMX does; --product-order "
                     "pairs gives the bits of machines without AMX");
        else if (opening->compute == COMPUTE_BF16)
            log_info("products are summed in pairs, as this CPU has no AMX; --product-order tiles "
                     "gives the bits of machines with AMX");
        return OK;
    }
    if (opening->engine->order == ORDER_COUNT)
        return fail(ERR_USAGE, "product_order is \"%s\"; expected auto, pairs or tiles", name);
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
    if (!kv_cache_from_name(name, &opening->kv_cache))
        return fail(ERR_USAGE, "kv_cache_dtype is \"%s\"; expected " KV_CACHE_NAMES, name);
    return OK;
}

static enum status resolve_quantization(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    TRY(quantization_parse(options->quantization, options->quantization_group_size,
                           options->quantization_lm_head, &opening->quantization));
    quantization_show(&opening->quantization, engine->quantization, sizeof engine->quantization);
    if (opening->quantization.bits)
        log_info("weights are quantised as they are loaded: %s", engine->quantization);
    return OK;
}

static enum status resolve_partition(struct opening *opening)
{
    const char *given = opening->options->pp_layer_partition;
    opening->layer_partition_name = "pp_layer_partition";
    opening->layer_partition =
        given ? given : plan_partition_of_environment(&opening->layer_partition_name);
    if (opening->layer_partition && strlen(opening->layer_partition) >= LAYER_PARTITION_BYTES)
        return fail(ERR_USAGE, "%s is longer than %d bytes", opening->layer_partition_name,
                    LAYER_PARTITION_BYTES - 1);
    return OK;
}

enum status engine_compile_plan(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    struct tp_plan_rules rules;
    const char *path = own_tp_plan(options);
    bool has_rules = path != NULL;
    if (has_rules) {
        if (!opening->tp_plan[0])
            TRY(kept_file(path, TP_PLAN_BYTES_MAX, opening->tp_plan, &engine->tp_plan_fd));
        TRY(tp_plan_file(opening->tp_plan, MODEL_TYPES(&engine->config), &rules));
    }
    enum status status = plan_compile(&engine->config,
                                      &(struct plan_options){
                                          .n_ranks = options->tensor_parallel_size,
                                          .n_stages = options->pipeline_parallel_size,
                                          .layer_partition = opening->layer_partition,
                                          .layer_partition_name = opening->layer_partition_name,
                                          .reduction_leaves = options->reduction_leaves,
                                          .expert_parallel = options->enable_expert_parallel != 0,
                                          .expert_parallel_size = options->expert_parallel_size,
                                          .context_ranks = options->decode_context_parallel_size,
                                          .compute = opening->compute,
                                          .kv_cache = opening->kv_cache,
                                          .quantization = opening->quantization,
                                          .rules = has_rules ? &rules : NULL,
                                          .rules_replace = options->tp_plan_replace != NULL,
                                          .checkpoint = opening->checkpoint,
                                          .head_is_embed = opening->head_is_embed,
                                      },
                                      &engine->plan);
    if (has_rules)
        tp_plan_close(&rules);
    for (int i = 0; status == OK && i < engine->plan->n_idle_rules; i++)
        log_debug("%s: rule \"%s\" names nothing that this model has", engine->plan->rules_source,
                  engine->plan->idle_rules[i]);
    return status;
}

// The tokenizer's own end token ends an answer as well, as vLLM has it: chat models often name
// theirs in tokenizer_config.json alone.
static enum status add_tokenizer_eos(struct colrow_engine *engine)
{
    struct generation_config *generation = &engine->generation;
    int32_t id = tokenizer_eos_id(engine->tokenizer);
    if (id < 0 || id >= engine->config.vocab_size) // then the model cannot say it
        return OK;
    for (int i = 0; i < generation->n_eos_token_ids; i++)
        if (generation->eos_token_ids[i] == id)
            return OK;
    if (generation->n_eos_token_ids == EOS_TOKENS_MAX)
        return fail(ERR_UNSUPPORTED,
                    "%s: has more than %d end tokens, with the tokenizer's; expected at most so "
                    "many",
                    engine->model, EOS_TOKENS_MAX);
    generation->eos_token_ids[generation->n_eos_token_ids++] = id;
    return OK;
}

static enum status read_text_files(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    TRY(generation_config_read(engine->model, engine->config.vocab_size, &engine->generation));
    TRY(tokenizer_handle_open(engine->model, &engine->text));
    engine->tokenizer = engine->text->tokenizer;
    return engine->tokenizer ? add_tokenizer_eos(engine) : OK;
}

static enum status read_model(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    TRY(model_folder_find(opening->options->model, engine->model));
    TRY(model_config_read(engine->model, &engine->config));
    TRY(checkpoint_open(engine->model, &opening->checkpoint));
    TRY(resolve_compute(opening));
    TRY(resolve_quantization(opening));
    TRY(resolve_order(opening));
    TRY(resolve_cache(opening));
    TRY(resolve_partition(opening));
    TRY(plan_head_is_embed(&engine->config, opening->checkpoint, &opening->head_is_embed));
    TRY(engine_compile_plan(opening));
    TRY(plan_check_checkpoint(engine->plan, opening->checkpoint));
    return read_text_files(opening);
}

static enum status reserve_engine(struct opening *opening)
{
    struct colrow_engine *engine = opening->engine;
    struct scheduler_limits limits = {
        .sequences_max = engine->limits.sequences_max,
        .rows_max = engine->limits.rows_max,
        .logit_rows_max = engine->limits.logit_rows_max,
        .steps_max = engine->steps_max,
    };
    int32_t vocab_size = engine->config.vocab_size;
    TRY(kernels_choose(&engine->kernels));
    engine->pool_at_once = opening->options->kv_cache_memory > 0;
    TRY(engine_reserve_pool(opening));
    TRY(scheduler_init(&engine->scheduler, &limits, &engine->plan->kv, engine->pool,
                       engine->cache));
    engine->scheduler.long_length = model_config_long_length(&engine->config);
    if (engine->speculation.config.n_tokens > 0)
        engine->scheduler.speculation = &engine->speculation;
    return sampler_new(vocab_size, vocab_size < LOGPROBS_MAX ? vocab_size : LOGPROBS_MAX,
                       engine->kernels, &engine->sampler);
}

enum status engine_fill_crew(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    struct crew_options *crew = &opening->crew;
    crew->shape = (struct board_shape){
        .n_ranks = plan_world_size(engine->plan),
        .n_arriving = plan_world_size(engine->plan),
        .limits = engine->limits,
        .kv_pages = opening->budget.kv_pages,
        .host_pages = opening->budget.host_pages,
        .vocab_size = engine->config.vocab_size,
        .hidden_size = engine->config.hidden_size,
        .num_hidden_layers = engine->config.num_hidden_layers,
        .capture_rows_max = engine->capture ? engine->limits.rows_max : 0,
        .n_slots = engine->steps_max,
        .n_sharing = engine_count_sharing(opening),
    };
    struct board_options *to_ranks = &crew->board;
    *to_ranks = (struct board_options){
        .compute = (int32_t)opening->compute,
        .kv_cache = (int32_t)opening->kv_cache,
        .quantization_bits = opening->quantization.bits,
        .quantization_lm_head_bits = opening->quantization.lm_head_bits,
        .quantization_group = opening->quantization.group,
        .head_is_embed = opening->head_is_embed,
        .product_order = (int32_t)engine->order,
        .reduction_leaves = options->reduction_leaves,
        .expert_parallel = options->enable_expert_parallel != 0,
        .expert_parallel_size = options->expert_parallel_size,
        .context_parallel_size = options->decode_context_parallel_size,
        .n_stages = engine->plan->n_stages,
        .threads_per_rank = engine->threads_per_rank,
        .log_level = options->log_level,
        // ranks that meet those of other nodes open sockets, and what a fabric's library needs
        .confinement = options->confinement != 0 && !opening->cluster,
        .core_dumps = options->core_dumps != 0,
        .kv_pages_first = engine->pages_wanted,
        .tp_plan_replaces = options->tp_plan_replace != NULL,
    };
    if (opening->layer_partition)
        snprintf(to_ranks->layer_partition, sizeof to_ranks->layer_partition, "%s",
                 opening->layer_partition);
    TRY(own_paths_fill(options, engine->model, opening->tp_plan, crew));
    crew->deadline_seconds = options->collective_timeout;
    crew->step_timeout_seconds = options->step_timeout;
    crew->canary_seconds = options->canary_interval;
    engine->file_bytes = opening->budget.file_bytes;
    return OK;
}

static enum status start_engine_ranks(struct opening *opening)
{
    TRY(engine_fill_crew(opening));
    if (opening->cluster)
        TRY(engine_open_nodes(opening->engine, opening->cluster, &opening->crew));
    return crew_new(&opening->crew, &opening->engine->crew);
}

static enum status read_engine(struct opening *opening)
{
    TRY(engine_check_options(opening->options));
    TRY(resolve_policy(opening->options, opening->engine));
    log_set_level((enum log_level)opening->options->log_level);
    TRY(read_model(opening));
    TRY(engine_choose_sizes(opening));
    return engine_find_memory(opening);
}

static enum status open_engine(struct opening *opening)
{
    opening->engine->begun = clock_seconds();
    TRY(read_engine(opening));
    TRY(engine_plan_memory(opening));
    TRY(reserve_engine(opening));
    return start_engine_ranks(opening);
}

// Also after a failure `*out` is the caller's to free, and what it holds, unless it is NULL.
static enum status opening_new(const struct colrow_options *options, struct colrow_cluster *cluster,
                               struct opening **out)
{
    struct colrow_options own;
    struct opening *opening;
    *out = NULL;
    TRY(engine_take_options(options, &own));
    TRY(memory_new(1, sizeof *opening, "the engine", &opening));
    *out = opening;
    TRY(memory_new(1, sizeof *opening->engine, "the engine", &opening->engine));
    opening->own = own;
    opening->options = &opening->own;
    opening->cluster = cluster;
    opening->engine->next_number = 1;
    opening->engine->tp_plan_fd = -1;
    opening->engine->slice_ns = ADVANCE_SLICE_NS;
    opening->engine->request_bytes_max = (size_t)REQUESTS_MIB << 20;
    opening->engine->piece_bytes = LOGITS_PIECE_BYTES;
    return OK;
}

static void close_files(struct opening *opening)
{
    checkpoint_close(opening->checkpoint);
    opening->checkpoint = NULL;
}

enum status engine_open_on(const struct colrow_options *options, struct colrow_cluster *cluster,
                           struct colrow_engine **out)
{
    struct opening *opening;
    *out = NULL;
    enum status status = opening_new(options, cluster, &opening);
    if (status == OK) {
        status = open_engine(opening);
        if (status == OK && cluster && cluster->terms.degrade)
            engine_keep_opening(opening);
        else
            close_files(opening);
        if (status == OK)
            *out = opening->engine;
        else
            colrow_close(opening->engine);
    }
    if (status != OK || !(*out)->opening)
        free(opening);
    return status;
}

enum status engine_fit(const struct colrow_options *options, const struct device_memory *memory,
                       struct engine_fit *out)
{
    struct opening *opening;
    enum status status = opening_new(options, NULL, &opening);
    if (status == OK)
        status = read_engine(opening);
    if (status == OK && memory)
        opening->budget_nodes[0].device = *memory;
    if (status == OK)
        status = engine_plan_memory(opening);
    if (status == OK) {
        const struct budget *budget = &opening->budget;
        *out = (struct engine_fit){
            .file_bytes = budget->file_bytes,
            .fixed_bytes = budget->parts[0].fixed_bytes,
            .kv_bytes = budget->parts[0].kv_bytes,
            .allowed_bytes = budget->parts[0].allowed_bytes,
            .kv_tokens = budget_kv_tokens(budget),
            .max_model_len = budget->max_model_len,
            .positions = opening->engine->config.max_position_embeddings,
            .full_requests = budget_full_requests(budget),
            .threads_per_rank = opening->engine->threads_per_rank,
        };
    }
    if (opening) {
        close_files(opening);
        colrow_close(opening->engine);
    }
    free(opening);
    return status;
}

int colrow_open_begin(const struct colrow_options *options, struct colrow_engine **out)
{
    struct colrow_options own;
    struct colrow_cluster *cluster = NULL;
    bool worked = false;
    *out = NULL;
    enum status status = engine_take_options(options, &own);
    if (status == OK)
        status = engine_check_options(&own);
    if (status == OK)
        log_set_level((enum log_level)own.log_level);
    if (status == OK)
        status = nodes_options_begin(&own, &cluster, &worked);
    if (status == OK && !worked)
        status = engine_open_on(&own, cluster, out);
    if (status == OK && !worked)
        (*out)->own_cluster = cluster;
    else
        cluster_leave(cluster);
    return engine_result(status);
}

struct shown_progress {
    const struct colrow_options *options;
    const struct colrow_engine *engine;
};

static void show_loading(void *context)
{
    const struct shown_progress *shown = context;
    shown->options->progress(shown->options->progress_context, crew_bytes_read(shown->engine->crew),
                             shown->engine->file_bytes);
}

int colrow_open(const struct colrow_options *options, struct colrow_engine **out)
{
    struct colrow_options own;
    if (colrow_open_begin(options, out) != 0 || engine_take_options(options, &own) != OK)
        return -1;
    if (!*out)
        return 0; // this node has worked for another one
    struct shown_progress shown = {&own, *out};
    enum status status = engine_await_ready(*out, own.progress ? show_loading : NULL, &shown);
    if (status == OK)
        return 0;
    colrow_close(*out);
    *out = NULL;
    return engine_result(status);
}

void colrow_close(struct colrow_engine *engine)
{
    if (!engine)
        return;
    crew_stop(engine->crew);
    engine_close_nodes(engine);
    cluster_leave(engine->own_cluster);
    engine_drop_requests(engine);
    poll_queue_fini(&engine->polled);
    scheduler_fini(&engine->scheduler);
    sampler_free(engine->sampler);
    prefix_cache_free(engine->cache);
    kv_pool_free(engine->pool);
    colrow_tokenizer_close(engine->text);
    plan_free(engine->plan);
    if (engine->tp_plan_fd >= 0)
        close(engine->tp_plan_fd);
    if (engine->opening)
        checkpoint_close(engine->opening->checkpoint);
    free(engine->opening);
    free(engine);
}
