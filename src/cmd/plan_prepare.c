// From a command line to a plan: config.json, rules and headers.
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cmd/engine_flags.h"
#include "cmd/model_argument.h"
#include "cmd/plan_command.h"

static enum status choose_compute(struct plan_command *c)
{
    enum element_type type = c->config.dtype;
    if (strcmp(c->dtype, "auto") == 0)
        TRY(model_config_check_dtype(&c->config, c->model));
    if (strcmp(c->dtype, "auto") != 0) {
        type = element_from_dtype(c->dtype);
        if (type != ELEMENT_BF16 && type != ELEMENT_F16 && type != ELEMENT_F32)
            return fail(ERR_USAGE,
                        "flag --dtype is \"%s\"; expected auto, bfloat16, float16 or float32",
                        c->dtype);
    } else if (type == ELEMENT_NONE && c->checkpoint) {
        type = checkpoint_dtype(c->checkpoint);
    }
    c->options.compute = type == ELEMENT_F32   ? COMPUTE_F32
                         : type == ELEMENT_F16 ? COMPUTE_F16
                                               : COMPUTE_BF16;
    return OK;
}

static enum status read_rules(struct plan_command *c)
{
    const char *path = c->tp_plan && strcmp(c->tp_plan, "auto") != 0 ? c->tp_plan : NULL;
    if (c->tp_plan && c->tp_plan_replace)
        return fail(ERR_USAGE, "--tp-plan and --tp-plan-replace are both given; expected one");
    c->options.rules_replace = c->tp_plan_replace != NULL;
    path = c->tp_plan_replace ? c->tp_plan_replace : path;
    if (!path)
        return OK;
    TRY(tp_plan_file(path, MODEL_TYPES(&c->config), &c->rules));
    c->options.rules = &c->rules;
    return OK;
}

// A folder, or a config.json by itself under any name.
static enum status read_config(struct plan_command *c)
{
    struct stat info;
    struct bytes text;
    if (stat(c->model, &info) != 0 || !S_ISREG(info.st_mode))
        return model_config_read(c->model, &c->config);
    bytes_init(&text);
    enum status status = file_read_given(c->model, CONFIG_BYTES_MAX, &text);
    if (status == OK)
        status = model_config_parse(c->model, text.data ? text.data : "", text.length, &c->config);
    bytes_fini(&text);
    return status;
}

enum status plan_command_prepare(struct plan_command *c)
{
    TRY(model_argument_find(&c->model, MODEL_HEADERS));
    if (c->pipeline_parallel_size > 0 && c->tensor_parallel_size == 0)
        c->tensor_parallel_size = 1;
    TRY(read_config(c));
    TRY(read_rules(c));
    if (checkpoint_has_weights(c->model))
        TRY(checkpoint_open(c->model, &c->checkpoint));
    if (c->checkpoint)
        TRY(plan_head_is_embed(&c->config, c->checkpoint, &c->options.head_is_embed));
    c->options.checkpoint = c->checkpoint;
    c->options.n_ranks = c->tensor_parallel_size;
    c->options.n_stages = c->pipeline_parallel_size;
    c->options.layer_partition = plan_partition_of_environment(&c->options.layer_partition_name);
    c->options.reduction_leaves = c->reduction_leaves;
    c->options.expert_parallel = c->expert_parallel;
    c->options.expert_parallel_size = c->expert_parallel_size;
    c->options.context_ranks = c->context_parallel_size;
    if (!kv_cache_from_name(c->kv_cache_dtype, &c->options.kv_cache))
        return fail(ERR_USAGE, "flag --kv-cache-dtype is \"%s\"; expected " KV_CACHE_NAMES,
                    c->kv_cache_dtype);
    TRY(quantization_parse(c->quantization, c->quantization_group_size, c->quantization_lm_head,
                           &c->options.quantization));
    TRY(plan_check_cache(&c->config, &c->options));
    return choose_compute(c);
}

enum status plan_command_compile(struct plan_command *c, struct plan **out)
{
    if (c->reduction_leaves == 0)
        c->more_leaves = plan_leaves_needed(&c->config, &c->options);
    if (c->more_leaves)
        c->options.reduction_leaves = c->more_leaves;
    return plan_compile(&c->config, &c->options, out);
}

void plan_command_end(struct plan_command *c)
{
    checkpoint_close(c->checkpoint);
    if (c->options.rules)
        tp_plan_close(&c->rules);
}
