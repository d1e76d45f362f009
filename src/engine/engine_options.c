// The options of an engine: their defaults, and what can be said of them without the model.
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "comm/cluster_frame.h"
#include "comm/reduction_tree.h"
#include "device/team.h"
#include "engine/engine.h"
#include "engine/own_paths.h"
#include "engine/struct_size.h"

enum { MAX_NUM_SEQS_MAX = 4096, BATCHED_TOKENS_MAX = 1 << 16, RESTARTS_MAX = 1000000 };

static void set_defaults(struct colrow_options *options)
{
    *options = (struct colrow_options){
        .tensor_parallel_size = 1,
        .pipeline_parallel_size = 1,
        .dtype = "auto",
        .max_num_seqs = 64,
        .max_num_batched_tokens = 512,
        .gpu_memory_utilization = 0.92,
        .collective_timeout = 60,
        .canary_interval = 10,
        .enable_prefix_caching = 1,
        .confinement = 1,
        .nnodes = 1,
        .node_rank = -1,
        .join_timeout = 600,
        .rejoin_timeout = -1,
        .node_timeout = 5,
        .log_level = LOG_WARNING,
        .restarts = 5,
    };
}

void colrow_options_init_sized(struct colrow_options *options, size_t struct_size)
{
    struct colrow_options defaults;
    set_defaults(&defaults);
    defaults.struct_size = struct_size;
    struct_give(options, struct_size, &defaults, sizeof defaults);
}

enum status engine_take_options(const struct colrow_options *given, struct colrow_options *out)
{
    enum { FIRST_SIZE = STRUCT_END(struct colrow_options, progress_context) };
    set_defaults(out);
    TRY(struct_take(out, sizeof *out, given, given->struct_size, FIRST_SIZE, "colrow_options",
                    "fill it with colrow_options_init()"));
    out->struct_size = sizeof *out; // it is ours now
    return OK;
}

static enum status check_range(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return OK;
    return fail(ERR_USAGE, "%s is %.15g; expected %.15g to %.15g", name, value, least, most);
}

// Only known pages are worth keeping, and only these are known.
static enum status check_offloading(const struct colrow_options *o)
{
    if (o->kv_offloading_size > 0 && (!o->enable_prefix_caching || o->capture_hidden_states))
        return fail(ERR_USAGE,
                    "kv_offloading_size is %g GiB, but prefix caching is off, without which no "
                    "page can be found again; leave one of the two out",
                    o->kv_offloading_size);
    return check_range("kv_offloading_size", o->kv_offloading_size, 0, 1 << 20);
}

enum status engine_check_options(const struct colrow_options *o)
{
    const char *plan = own_tp_plan(o);
    if (!o->model || !*o->model)
        return fail(ERR_USAGE, "no model is named; give a HuggingFace folder");
    TRY(check_range("expert_parallel_size", o->expert_parallel_size, 0, COMM_RANKS_MAX));
    TRY(check_range("decode_context_parallel_size", o->decode_context_parallel_size, 0,
                    COMM_RANKS_MAX));
    if (o->tp_plan && o->tp_plan_replace)
        return fail(ERR_USAGE,
                    "tp_plan is \"%.200s\" and tp_plan_replace \"%.200s\"; expected one of them",
                    o->tp_plan, o->tp_plan_replace);
    if (strlen(o->model) >= FILE_PATH_MAX || (plan && strlen(plan) >= FILE_PATH_MAX))
        return fail(ERR_USAGE, "a path is longer than %d bytes", FILE_PATH_MAX - 1);
    TRY(check_range("tensor_parallel_size", o->tensor_parallel_size, 1, COMM_RANKS_MAX));
    TRY(check_range("pipeline_parallel_size", o->pipeline_parallel_size, 1, COMM_RANKS_MAX));
    if (o->tensor_parallel_size > COMM_RANKS_MAX / o->pipeline_parallel_size)
        return fail(
            ERR_USAGE,
            "tensor_parallel_size %d times pipeline_parallel_size %d are %d ranks; expected "
            "at most %d",
            o->tensor_parallel_size, o->pipeline_parallel_size,
            o->tensor_parallel_size * o->pipeline_parallel_size, COMM_RANKS_MAX);
    TRY(check_range("max_model_len", (double)o->max_model_len, -1, POSITIONS_MAX));
    TRY(check_range("max_num_seqs", o->max_num_seqs, 1, MAX_NUM_SEQS_MAX));
    TRY(check_range("max_num_batched_tokens", o->max_num_batched_tokens, 1, BATCHED_TOKENS_MAX));
    TRY(check_range("gpu_memory_utilization", o->gpu_memory_utilization, 0.01, 1));
    TRY(check_range("kv_cache_memory", (double)o->kv_cache_memory, 0, 0x1p62));
    TRY(check_range("threads_per_rank", o->threads_per_rank, 0, TEAM_THREADS_MAX));
    TRY(check_range("restarts", o->restarts, 0, RESTARTS_MAX));
    TRY(check_range("collective_timeout", o->collective_timeout, 0.1, 86400));
    TRY(check_range("step_timeout", o->step_timeout, 0, 86400));
    TRY(check_range("nnodes", o->nnodes, 0, CLUSTER_NODES_MAX));
    TRY(check_range("node_rank", o->node_rank, -1, CLUSTER_NODES_MAX - 1));
    TRY(check_range("master_port", o->master_port, 0, 65535));
    TRY(check_range("join_timeout", o->join_timeout, 0, 1e9));
    TRY(check_range("rejoin_timeout", o->rejoin_timeout, -1, 1e9));
    TRY(check_range("node_timeout", o->node_timeout, 2, 3600));
    TRY(check_range("canary_interval", o->canary_interval, 0, 86400));
    struct speculation_config speculation; // that of the model is asked later
    TRY(speculation_config_read(o->speculative_config, &speculation));
    return check_offloading(o);
}
