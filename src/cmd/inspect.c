// `colrow inspect`: what a checkpoint folder contains.
#include "cmd/commands.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/json_output.h"
#include "cmd/layer_kinds.h"
#include "cmd/model_argument.h"
#include "device/cpu_limits.h"
#include "device/device.h"
#include "device/topology.h"
#include "hf/checkpoint.h"
#include "hf/generation_config.h"
#include "hf/rope_config.h"
#include "model/model_config.h"

struct inspect {
    bool json, tensors, machine;
    int n_ranks, threads; // for the picture of the machine
    const char *model;
    struct model_config config;
    struct generation_config generation;
    struct checkpoint *checkpoint;
};

static void show_shape(const struct tensor_info *t, char *out, size_t bytes)
{
    size_t used = (size_t)snprintf(out, bytes, "[");
    for (int i = 0; i < t->n_dimensions && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%lld", i ? ", " : "",
                                 (long long)t->shape[i]);
    if (used < bytes)
        snprintf(out + used, bytes - used, "]");
}

static int64_t count_elements(const struct checkpoint *c)
{
    int64_t n = 0;
    for (int i = 0; i < c->n_tensors; i++)
        n += (int64_t)(c->tensors[i].bytes * 8 / element_bits(c->tensors[i].type));
    return n;
}

static enum status print_tensors(const struct inspect *in)
{
    struct table t;
    table_init(&t, 5);
    const char *heading[] = {"tensor", "dtype", "shape", "bytes", "file"};
    for (int i = 0; i < 5; i++)
        table_cell(&t, "%s", heading[i]);
    for (int i = 0; i < in->checkpoint->n_tensors; i++) {
        const struct tensor_info *tensor = &in->checkpoint->tensors[i];
        const char *layers = strstr(tensor->name, "layers.");
        if (!in->tensors && layers && (layers[7] != '0' || layers[8] != '.'))
            continue;
        char shape[128];
        show_shape(tensor, shape, sizeof shape);
        const char *file = strrchr(in->checkpoint->files[tensor->file], '/');
        table_cell(&t, "%s", tensor->name);
        table_cell(&t, "%s", element_name(tensor->type));
        table_cell(&t, "%s", shape);
        table_cell(&t, "%s", show_bytes((double)tensor->bytes));
        table_cell(&t, "%s", file ? file + 1 : in->checkpoint->files[tensor->file]);
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    if (status == OK && !in->tensors && in->config.num_hidden_layers > 1)
        output_print("(layer 0 stands for all %d; --tensors shows every one)\n",
                     in->config.num_hidden_layers);
    return status;
}

static void add_property(struct table *t, const char *name, const char *format, ...)
    STATUS_PRINTF(3, 4);
static void add_property(struct table *t, const char *name, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_cell(t, "%s", name);
    table_cell(t, " %s", text); // the space keeps numbers from being set right
}

static enum status print_text(const struct inspect *in)
{
    const struct model_config *m = &in->config;
    const struct attention_config *a = model_config_attention(m);
    const struct sublayer_config *mlp = model_config_first(m, MIX_MLP);
    const bool mlp_bias = mlp && mlp->mlp.up_bias;
    struct table t;
    char eos[256] = "none";
    size_t used = 0;
    for (int i = 0; i < in->generation.n_eos_token_ids && used < sizeof eos - 12; i++)
        used += (size_t)snprintf(eos + used, sizeof eos - used, "%s%d", i ? ", " : "",
                                 in->generation.eos_token_ids[i]);
    table_init(&t, 2);
    add_property(&t, in->model, "%s", "");
    add_property(&t, "architecture", "%s (%s)", m->architecture, m->model_type);
    add_property(&t, "parameters", "%.2f million in %d tensors, %d file%s, %s",
                 (double)count_elements(in->checkpoint) / 1e6, in->checkpoint->n_tensors,
                 in->checkpoint->n_files, in->checkpoint->n_files == 1 ? "" : "s",
                 show_bytes((double)in->checkpoint->bytes));
    add_property(&t, "dtype", "%s",
                 m->unusable_dtype[0]       ? m->unusable_dtype
                 : m->dtype == ELEMENT_NONE ? "not said"
                                            : element_dtype_name(m->dtype));
    if (in->checkpoint->quantisation) {
        char shown[160];
        quantisation_show(in->checkpoint->quantisation, shown, sizeof shown);
        add_property(&t, "quantisation", "%s", shown);
    }
    add_property(&t, "num_hidden_layers", "%d", m->num_hidden_layers);
    add_property(&t, "hidden_size", "%d", m->hidden_size);
    add_property(&t, "intermediate_size", "%d", model_config_intermediate_size(m));
    add_property(&t, "heads", "%d query, %d key/value, head_dim %d", a->num_attention_heads,
                 a->num_key_value_heads, a->head_dim);
    add_property(&t, "vocab_size", "%d%s", m->vocab_size,
                 m->tie_word_embeddings ? ", tied embeddings" : "");
    add_property(&t, "max_position_embeddings", "%lld", (long long)m->max_position_embeddings);
    for (int i = 0; i < m->n_ropes; i++)
        add_property(&t, "rope", "%s, theta %g%s", rope_type_name(m->ropes[i].type),
                     m->ropes[i].theta, m->ropes[i].type == ROPE_DEFAULT ? "" : ", scaled");
    if (a->sliding_window)
        add_property(&t, "sliding_window", "%lld", (long long)a->sliding_window);
    add_property(&t, "bias", "attention %s, MLP %s", a->q_bias ? "yes" : "no",
                 mlp_bias ? "yes" : "no");
    add_property(&t, "bos, eos", "%d; %s", in->generation.bos_token_id, eos);
    enum status status = table_print(&t, output());
    table_fini(&t);
    TRY(status);
    output_print("\n");
    if (m->n_layer_kinds > 1) {
        TRY(layer_kinds_print(m));
        output_print("\n");
    }
    return print_tensors(in);
}

static enum status print_checkpoint_json(const struct inspect *in)
{
    const struct model_config *m = &in->config;
    const struct attention_config *a = model_config_attention(m);
    const struct sublayer_config *mlp = model_config_first(m, MIX_MLP);
    const bool mlp_bias = mlp && mlp->mlp.up_bias;
    const struct rope_config *rope = &m->ropes[0];
    char shown[160];
    if (in->checkpoint->quantisation)
        quantisation_show(in->checkpoint->quantisation, shown, sizeof shown);
    json_t *tensors = json_array(), *eos = json_array();
    for (int i = 0; i < in->checkpoint->n_tensors; i++) {
        const struct tensor_info *t = &in->checkpoint->tensors[i];
        json_t *shape = json_array();
        for (int d = 0; d < t->n_dimensions; d++)
            json_array_append_new(shape, json_integer(t->shape[d]));
        json_array_append_new(tensors,
                              json_pack("{s:s, s:s, s:o, s:I, s:I, s:o}", "name", t->name, "dtype",
                                        element_name(t->type), "shape", shape, "offset",
                                        (json_int_t)t->offset, "bytes", (json_int_t)t->bytes,
                                        "file", json_foreign(in->checkpoint->files[t->file])));
    }
    for (int i = 0; i < in->generation.n_eos_token_ids; i++)
        json_array_append_new(eos, json_integer(in->generation.eos_token_ids[i]));
    json_t *root = json_pack(
        "{s:o, s:s, s:s, s:s?, s:s?, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:b, s:b, s:b, "
        "s:f, "
        "s:{s:s, s:f}, s:i, "
        "s:o, s:I, s:o, s:o}",
        "model", json_foreign(in->model), "architecture", m->architecture, "model_type",
        m->model_type, "dtype", m->dtype == ELEMENT_NONE ? NULL : element_dtype_name(m->dtype),
        "quantisation", in->checkpoint->quantisation ? shown : NULL, "num_hidden_layers",
        m->num_hidden_layers, "hidden_size", m->hidden_size, "intermediate_size",
        model_config_intermediate_size(m), "num_attention_heads", a->num_attention_heads,
        "num_key_value_heads", a->num_key_value_heads, "head_dim", a->head_dim, "vocab_size",
        m->vocab_size, "max_position_embeddings", (json_int_t)m->max_position_embeddings,
        "sliding_window", (json_int_t)a->sliding_window, "attention_bias", a->q_bias, "mlp_bias",
        mlp_bias, "tie_word_embeddings", m->tie_word_embeddings, "rms_norm_eps",
        (double)m->final_norm.eps, "rope", "type", rope_type_name(rope->type), "theta", rope->theta,
        "bos_token_id", in->generation.bos_token_id, "eos_token_id", eos, "bytes",
        (json_int_t)in->checkpoint->bytes, "layer_kinds", layer_kinds_json(m), "tensors", tensors);
    return json_write(root, JSON_INDENT(2), NULL);
}

// --machine: the picture of sockets, caches, cores and ranks.
static enum status print_machine(const struct inspect *in)
{
    struct topology *topology;
    struct device_memory memory;
    TRY(memory_new(1, sizeof *topology, "the topology", &topology));
    enum status status = topology_read(topology);
    if (status == OK)
        status = device_memory_read(&memory);
    if (status == OK) {
        int ranks = in->n_ranks ? in->n_ranks : topology->n_caches;
        output_print("%d core%s, %d last-level cache%s, %d memory node%s; %s free of %s; best "
                     "kernels: %s\n\n",
                     topology->n_cores, topology->n_cores == 1 ? "" : "s", topology->n_caches,
                     topology->n_caches == 1 ? "" : "s", topology->n_numa,
                     topology->n_numa == 1 ? "" : "s", show_bytes((double)memory.available),
                     show_bytes((double)memory.total), isa_name(isa_of_machine()));
        double quota = cpu_quota_read("");
        if (quota > 0)
            output_print("A CPU quota pays for %.2f of the cores: %d thread%s by default.\n\n",
                         quota, device_cpu_count(), device_cpu_count() == 1 ? "" : "s");
        topology_print(topology, ranks, in->threads, output());
        output_print(
            "\n%d rank%s%s\n", ranks, ranks == 1 ? "" : "s",
            in->n_ranks ? "" : " (one a last-level cache; --tensor-parallel-size shows others)");
    }
    free(topology);
    return status;
}

static enum status inspect_model(struct inspect *in)
{
    TRY(model_argument_find(&in->model, MODEL_HEADERS));
    TRY(model_config_read(in->model, &in->config));
    TRY(generation_config_read(in->model, in->config.vocab_size, &in->generation));
    TRY(checkpoint_open(in->model, &in->checkpoint));
    enum status status = in->json ? print_checkpoint_json(in) : print_text(in);
    checkpoint_close(in->checkpoint);
    return status;
}

static int inspect_main(int argc, char **argv);
#define AT(field) offsetof(struct inspect, field)
static const struct flag inspect_flags[] = {
    {FLAG_ON, "--tensors", NULL, AT(tensors), 0, 0, NULL, "list every layer's tensors"},
    {FLAG_ON, "--machine", NULL, AT(machine), 0, 0, NULL,
     "show this machine instead: sockets, caches, cores, and which rank would sit where"},
    {FLAG_INT, "--tensor-parallel-size", "-tp --tp", AT(n_ranks), 1, 64, "N",
     "ranks in that picture (default: one a last-level cache)"},
    {FLAG_INT, "--threads-per-rank", NULL, AT(threads), 0, 256, "N",
     "threads in that picture (default: the rank's cores)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines; always all tensors"},
};
const struct command command_inspect = {
    .name = "inspect",
    .brief = "show what a checkpoint contains",
    .positional = "MODEL",
    .summary = "Shows what the checkpoint in the folder MODEL contains, after checking all of "
               "it but the weights.",
    .examples = "  colrow inspect models/demo\n  colrow inspect models/demo --json\n  colrow "
                "inspect --machine -tp 2",
    .sections = {FLAG_SECTION(inspect_flags, 0)},
    .run = inspect_main,
};

static int inspect_main(int argc, char **argv)
{
    struct inspect in = {0};
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_inspect, &in, argc, argv, &in.model, 1, &n_positional, &helped);
    if (status == OK && !helped && in.machine && in.json)
        status = fail(ERR_USAGE, "--machine is a picture; expected it without --json");
    else if (status == OK && !helped && in.machine)
        status = print_machine(&in);
    else if (status == OK && !helped)
        status = in.model ? inspect_model(&in)
                          : fail(ERR_USAGE,
                                 "no model: colrow inspect MODEL, or colrow inspect --machine");
    return status == OK ? 0 : flags_failed(status);
}
