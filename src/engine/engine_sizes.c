// Of an engine that is being opened: how large its steps are, and what memory it takes.
#include <stdlib.h>

#include "base/log.h"
#include "comm/group.h"
#include "device/device.h"
#include "device/team.h"
#include "engine/cluster.h"
#include "engine/engine_nodes.h"
#include "engine/engine_opening.h"
#include "engine/node_memory.h"
#include "hf/checkpoint.h"

enum {
    PROMPT_LOGITS_BYTES = 64 << 20, // room for logits of prompt tokens; longer chunks come in parts
};

// A step for each stage, so that all are busy.
int engine_choose_steps_max(const struct colrow_engine *engine)
{
    const char *most = getenv("COLROW_STEPS_UNDER_WAY"); // for measurements
    int n = engine->plan->n_stages, limit = most ? atoi(most) : STEPS_UNDER_WAY_MAX;
    limit = limit < 1 || engine->capture ? 1 : limit; // hidden states stay until the next step
    limit = limit < STEPS_UNDER_WAY_MAX ? limit : STEPS_UNDER_WAY_MAX;
    return n < limit ? n : limit;
}

static enum status take_speculation(struct colrow_engine *engine,
                                    const struct colrow_options *options)
{
    struct speculation_config config;
    TRY(speculation_config_read(options->speculative_config, &config));
    if (config.n_tokens > 0 && engine->plan->kv.state_pages > 0)
        return fail(ERR_USAGE,
                    "speculative_config is given, but layers of %s keep a state, which a draft "
                    "that turns out wrong would have changed; leave it out",
                    engine->model);
    speculation_init(&engine->speculation, &config);
    return OK;
}

enum status engine_choose_sizes(struct opening *opening)
{
    const struct colrow_options *options = opening->options;
    struct colrow_engine *engine = opening->engine;
    int64_t positions = engine->config.max_position_embeddings;
    if (options->max_model_len > positions)
        return fail(ERR_USAGE,
                    "max_model_len is %lld, but %s/config.json says max_position_embeddings %lld",
                    (long long)options->max_model_len, engine->model, (long long)positions);
    engine->max_model_len = options->max_model_len > 0 ? options->max_model_len : positions;
    int n_ranks = plan_world_size(engine->plan), n_cpus = device_cpu_count();
    if (opening->cluster)
        n_ranks = opening->cluster->world.nodes[0].n_local;
    engine->threads_per_rank = options->threads_per_rank;
    if (engine->threads_per_rank == 0)
        engine->threads_per_rank = n_cpus / n_ranks > TEAM_THREADS_MAX ? TEAM_THREADS_MAX
                                   : n_cpus / n_ranks < 1              ? 1
                                                                       : n_cpus / n_ranks;
    opening->crew.crowded = n_ranks * engine->threads_per_rank >= n_cpus;
    TRY(take_speculation(engine, options));
    engine->seed = options->seed;
    engine->prompt_logits = options->prompt_logits != 0;
    engine->capture = options->capture_hidden_states != 0;
    engine->recovery.restarts_max = options->restarts;
    engine->steps_max = engine_choose_steps_max(engine);
    int32_t rows = options->max_num_batched_tokens, logit_rows = options->max_num_seqs;
    if (options->prompt_logits) {
        int32_t room =
            (int32_t)(PROMPT_LOGITS_BYTES / sizeof(float) / (size_t)engine->config.vocab_size);
        logit_rows = room > logit_rows ? room : logit_rows;
    }
    if (engine->speculation.config.n_tokens > 0 &&
        logit_rows < options->max_num_seqs + DRAFT_ROWS_MAX)
        logit_rows = options->max_num_seqs + DRAFT_ROWS_MAX;
    engine->limits = (struct step_limits){
        .rows_max = rows,
        .sequences_max = options->max_num_seqs,
        .logit_rows_max = logit_rows < rows ? logit_rows : rows,
        // may be more than there are pages: sequences share them
        .kv_groups = engine->plan->kv.n_groups,
        .page_entries_max = kv_pages_for(engine->max_model_len) * options->max_num_seqs *
                                engine->plan->kv.n_groups +
                            kv_state_entries(&engine->plan->kv, options->max_num_seqs, rows),
        .state_pages = engine->plan->kv.state_pages,
        .copies_max = options->kv_offloading_size > 0 ? 2 * HOST_COPIES_MAX : 0,
    };
    return OK;
}

int32_t engine_count_sharing(const struct opening *opening)
{
    const struct plan *plan = opening->engine->plan;
    bool together = opening->checkpoint->remote && !opening->cluster && plan->n_ranks > 1;
    return together ? plan->n_stages : 0;
}

enum status engine_plan_memory(struct opening *opening)
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
        .fit_model_len = options->max_model_len < 0 && !engine->pool, // later it has been promised
        .prefix_caching = options->enable_prefix_caching && !engine->capture,
        .kv_offloading_size = options->kv_offloading_size,
    };
    // at most what the board will take: the pages are not counted yet
    struct board_shape shape = {
        .n_ranks = plan_world_size(engine->plan),
        .n_arriving = plan_world_size(engine->plan),
        .limits = engine->limits,
        .kv_pages = KV_POOL_PAGES_MAX,
        .vocab_size = engine->config.vocab_size,
        .hidden_size = engine->config.hidden_size,
        .num_hidden_layers = engine->config.num_hidden_layers,
        .capture_rows_max = engine->capture ? engine->limits.rows_max : 0,
        .n_slots = engine->steps_max,
        .n_sharing = engine_count_sharing(opening),
    };
    size_t board;
    TRY(board_bytes(&shape, &board));
    request.shared_bytes = group_shared_bytes(shape.n_ranks, board);
    request.nodes = opening->budget_nodes;
    request.n_nodes = opening->n_budget_nodes;
    TRY(budget_compute(&request, &opening->budget));
    if (opening->budget.max_model_len < engine->max_model_len)
        log_info("max_model_len is %lld, which fits; the model's is %lld",
                 (long long)opening->budget.max_model_len, (long long)engine->max_model_len);
    engine->max_model_len = opening->budget.max_model_len;
    if (options->log_level <= LOG_INFO && options->log_json)
        budget_print_json(&opening->budget);
    else if (options->log_level <= LOG_INFO)
        budget_print(&opening->budget);
    return OK;
}

// As they are before ranks hold any of it.
enum status engine_find_memory(struct opening *opening)
{
    struct colrow_cluster *cluster = opening->cluster;
    struct node_memory here;
    TRY(node_memory_read(opening->options, &here));
    opening->n_budget_nodes = 1;
    opening->budget_nodes[0] =
        (struct budget_node){.n_ranks = plan_world_size(opening->engine->plan),
                             .device = here.device,
                             .utilization = here.utilization,
                             .kv_cache_memory = here.kv_cache_memory,
                             .front_end_bytes = here.front_end_bytes};
    if (!cluster)
        return OK;
    cluster->terms.memory = cluster->memory[0] = here; // it has read files since
    opening->n_budget_nodes = engine_nodes_budget(cluster, opening->budget_nodes);
    return OK;
}
