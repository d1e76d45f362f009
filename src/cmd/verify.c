// `colrow verify`: runs the same tokens under many layouts and compares every bit of the residual
// stream after each layer, of the logits and of the greedy continuation. Models, compute types and
// product orders have bits of their own: each combination of those is a group with a reference of
// its own, and inside it nothing may differ.
#include "cmd/commands.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/output.h"
#include "base/text_table.h"
#include "cmd/json_output.h"
#include "cmd/verify_nodes.h"
#include "cmd/verify_run.h"
#include "device/kernels.h"
#include "model/plan.h"

enum {
    NAMES_MAX = 8,
    NAMES_BYTES = 256,
    TOKENS_DEFAULT = 133, // more than a block of rows of any kernel but one, and a few rows left
};

struct names {
    const char *items[NAMES_MAX];
    int n;
    char copy[NAMES_BYTES];
};

struct verify {
    struct engine_flags engine;
    struct cluster_flags cluster;
    struct cluster_plan plan;
    const char *ids_text, *tp_text, *pp_text, *dcp_text, *isa_text, *chunk_text, *threads_text,
        *batch_text, *dtype_text, *order_text;
    int n_tokens, n_generate;
    bool all, json;
    const char *models[NAMES_MAX];
    int n_models;

    int tp[FLAG_LIST_MAX], pp[FLAG_LIST_MAX], dcp[FLAG_LIST_MAX], chunk[FLAG_LIST_MAX],
        threads[FLAG_LIST_MAX], batch[FLAG_LIST_MAX];
    int stages_max; // of the model
    int n_tp, n_pp, n_dcp, n_chunk, n_threads, n_batch;
    int n_begun; // layouts of all groups
    bool over;   // on a node other than 0: node 0 has ended
    struct names isa, dtype, order;

    // the group at work
    struct verify_subject subject;
    struct verify_run base;
    const char *stored; // type of its checkpoint
    int n_layouts, n_different;
    bool different; // in any group
    json_t *layouts, *report;
    struct table details, groups;
};

static enum status split_names(const char *flag, const char *text, struct names *out)
{
    out->n = 0;
    if (snprintf(out->copy, sizeof out->copy, "%s", text) >= (int)sizeof out->copy)
        return fail(ERR_USAGE, "flag %s is too long", flag);
    char *rest = NULL;
    for (char *name = strtok_r(out->copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (out->n == NAMES_MAX)
            return fail(ERR_USAGE, "flag %s has more than %d names", flag, NAMES_MAX);
        out->items[out->n++] = name;
    }
    return out->n ? OK : fail(ERR_USAGE, "flag %s names nothing", flag);
}

// Of the names, the instruction sets that this machine has.
static enum status keep_isas(struct names *names)
{
    int n = 0;
    for (int i = 0; i < names->n; i++) {
        enum isa isa = isa_from_name(names->items[i]);
        if (isa == ISA_COUNT)
            return fail(ERR_USAGE,
                        "flag --isa names \"%s\"; expected names among reference, avx2, avx512, "
                        "avx512bf16, amx",
                        names->items[i]);
        if (isa <= isa_of_machine())
            names->items[n++] = isa_name(isa);
        else
            fprintf(stderr, "colrow: %s is skipped: this machine does not have it\n",
                    names->items[i]);
    }
    names->n = n;
    return n ? OK : fail(ERR_USAGE, "flag --isa names nothing that this machine has");
}

// What a list is without its flag: with --all many values, else one.
static const char *list_text(const struct verify *v, const char *given, const char *many,
                             const char *one)
{
    return given ? given : v->all ? many : one;
}

static enum status read_dimensions(struct verify *v)
{
    TRY(flags_list("--tensor-parallel-size", list_text(v, v->tp_text, "1,2,3,8", "1,2"), 1, 64,
                   v->tp, &v->n_tp));
    TRY(flags_list("--pipeline-parallel-size", list_text(v, v->pp_text, "1", "1"), 1, 64, v->pp,
                   &v->n_pp));
    TRY(flags_list("--decode-context-parallel-size", list_text(v, v->dcp_text, "1", "1"), 1, 64,
                   v->dcp, &v->n_dcp));
    TRY(verify_nodes_find(&v->cluster, &v->plan));
    TRY(flags_list("--max-num-batched-tokens", list_text(v, v->chunk_text, "512,7,1", "512"), 1,
                   65536, v->chunk, &v->n_chunk));
    TRY(flags_list("--threads-per-rank", list_text(v, v->threads_text, "1,2", "1"), 0, 256,
                   v->threads, &v->n_threads));
    TRY(flags_list("--batches", list_text(v, v->batch_text, "1,16", "1"), 1, 4096, v->batch,
                   &v->n_batch));
    TRY(split_names("--dtype", list_text(v, v->dtype_text, "bfloat16,float16,float32", "auto"),
                    &v->dtype));
    TRY(split_names("--product-order", list_text(v, v->order_text, "pairs,tiles", "auto"),
                    &v->order));
    TRY(split_names("--isa",
                    list_text(v, v->isa_text, "reference,avx2,avx512,avx512bf16,amx",
                              isa_name(isa_of_machine())),
                    &v->isa));
    return keep_isas(&v->isa);
}

static void add_details(struct verify *v, const struct verify_layout *layout, const char *text)
{
    const char *cells[] = {v->subject.model, v->subject.info.dtype, v->subject.info.product_order};
    for (int i = 0; i < 3; i++)
        table_cell(&v->details, "%s", cells[i]);
    table_cell(&v->details, "%d", layout->tp);
    table_cell(&v->details, "%d", layout->pp);
    table_cell(&v->details, "%d", layout->dcp);
    table_cell(&v->details, "%d", layout->nodes);
    table_cell(&v->details, "%s", layout->isa);
    table_cell(&v->details, "%d", layout->threads);
    table_cell(&v->details, "%d", layout->chunk);
    table_cell(&v->details, "%d", layout->batch);
    table_cell(&v->details, "%s", text);
}

static json_t *layout_json(const struct verify_layout *layout, int n_cached, const char *result)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:i, s:i, s:s}", "tensor_parallel_size",
                     layout->tp, "pipeline_parallel_size", layout->pp,
                     "decode_context_parallel_size", layout->dcp, "nnodes", layout->nodes, "isa",
                     layout->isa, "threads_per_rank", layout->threads, "max_num_batched_tokens",
                     layout->chunk, "batch", layout->batch, "cached_tokens", n_cached, "result",
                     result);
}

// On a node other than 0, which compares nothing.
static enum status serve_layout(struct verify *v, const struct verify_layout *layout)
{
    if (v->over || layout->nodes == 1)
        return OK;
    return verify_nodes_work(&v->subject, layout, &v->over);
}

static enum status check_layout(struct verify *v, const struct verify_layout *layout)
{
    struct verify_run run = {0};
    if (v->plan.node > 0)
        return serve_layout(v, layout);
    char text[128];
    bool first = v->n_layouts == 0;
    struct verify_run *out = first ? &v->base : &run;
    enum status status = verify_run(&v->subject, layout, out);
    if (status == OK) {
        bool differs = verify_differ(&v->subject, &v->base, out, text, sizeof text);
        if (first && !differs)
            snprintf(text, sizeof text, "reference");
        if (!v->base.log) { // the first batch is what others are held to
            v->base.log = run.log;
            run.log = NULL;
        }
        v->n_layouts++;
        v->n_different += differs;
        if (differs || !v->all)
            add_details(v, layout, text);
        json_array_append_new(v->layouts, layout_json(layout, out->n_cached, text));
    }
    verify_run_free(&run);
    return status;
}

// With --all, sizes that the model cannot be split into are left out.
static bool is_valid_size(const struct verify *v, const int *sizes, int n_sizes, int tp)
{
    if (!v->all)
        return true;
    for (int i = 0; i < n_sizes; i++)
        if (sizes[i] == tp)
            return true;
    return false;
}

// `layout` in every split of the cache that was named and divides the ranks.
static enum status check_caches(struct verify *v, const int *sizes, int n_sizes,
                                struct verify_layout *layout)
{
    for (int c = 0; c < v->n_dcp; c++) {
        layout->dcp = v->dcp[c];
        layout->number = v->n_begun++;
        bool is_valid = is_valid_size(v, sizes, n_sizes, layout->tp) &&
                        layout->tp * layout->pp >= layout->nodes && layout->tp % layout->dcp == 0 &&
                        (!v->all || layout->pp <= v->stages_max);
        if (is_valid)
            TRY(check_layout(v, layout));
    }
    return OK;
}

// ... over ranks and stages.
static enum status check_splits(struct verify *v, const int *sizes, int n_sizes,
                                struct verify_layout *layout)
{
    for (int p = 0; p < v->n_pp; p++)
        for (int t = 0; t < v->n_tp; t++) {
            layout->tp = v->tp[t];
            layout->pp = v->pp[p];
            TRY(check_caches(v, sizes, n_sizes, layout));
        }
    return OK;
}

static enum status check_layouts_on(struct verify *v, int nodes, const int *sizes, int n_sizes)
{
    for (int b = 0; b < v->n_batch; b++)
        for (int i = 0; i < v->isa.n; i++)
            for (int t = 0; t < v->n_threads; t++)
                for (int c = 0; c < v->n_chunk; c++) {
                    struct verify_layout layout = {.nodes = nodes,
                                                   .chunk = v->chunk[c],
                                                   .threads = v->threads[t],
                                                   .batch = v->batch[b],
                                                   .isa = v->isa.items[i]};
                    TRY(check_splits(v, sizes, n_sizes, &layout));
                }
    return OK;
}

// What node 0 computes alone comes first: meanwhile the others wait for it.
static enum status check_layouts(struct verify *v, const int *sizes, int n_sizes)
{
    TRY(check_layouts_on(v, 1, sizes, n_sizes));
    return v->plan.n_nodes > 1 ? check_layouts_on(v, v->plan.n_nodes, sizes, n_sizes) : OK;
}

static void report_group(struct verify *v, double seconds)
{
    const struct verify_subject *s = &v->subject;
    table_cell(&v->groups, "%s", s->model);
    table_cell(&v->groups, "%s", v->stored);
    table_cell(&v->groups, "%s", s->info.dtype);
    table_cell(&v->groups, "%s", s->info.product_order);
    table_cell(&v->groups, "%d", v->n_layouts);
    table_cell(&v->groups, "%.1f", seconds);
    table_cell(&v->groups, v->n_different ? "%d DIFFERENT" : "identical", v->n_different);
    json_array_append_new(v->report,
                          json_pack("{s:o, s:s, s:s, s:s, s:b, s:i, s:i, s:O}", "model",
                                    json_foreign(s->model), "stored", v->stored, "dtype",
                                    s->info.dtype, "product_order", s->info.product_order,
                                    "identical", !v->n_different, "tokens", s->n_ids, "generated",
                                    s->n_generate, "layouts", v->layouts));
}

// All layouts of one model, compute type and product order.
static enum status check_group(struct verify *v, const char *model, const char *dtype,
                               const char *order)
{
    struct model_config config;
    const char *folder = model;
    int sizes[COMM_RANKS_MAX];
    TRY(engine_flags_model(&v->engine, &folder));
    TRY(model_config_read(folder, &config));
    v->stored = element_dtype_name(config.dtype);
    struct plan_options options = {.n_ranks = 1, .compute = COMPUTE_BF16};
    int n_sizes = plan_valid_sizes(&config, &options, sizes, COMM_RANKS_MAX);
    v->stages_max = plan_stages_max(&config);
    v->subject = (struct verify_subject){.engine = v->engine,
                                         .model = model,
                                         .n_ids = v->n_tokens,
                                         .n_generate = v->n_generate,
                                         .plan = &v->plan};
    v->subject.engine.options.dtype = dtype;
    cluster_flags_give(&v->cluster, &v->subject.engine.options);
    v->subject.engine.options.product_order = order;
    if (v->all && !v->engine.options.speculative_config && !plan_keeps_states(&config))
        v->subject.engine.options.speculative_config =
            "{\"method\": \"ngram\", \"num_speculative_tokens\": 4, \"prompt_lookup_min\": 1, "
            "\"prompt_lookup_max\": 3}";
    v->n_layouts = v->n_different = 0;
    v->layouts = json_array();
    double begun = clock_seconds();
    enum status status = OK;
    if (v->ids_text)
        status =
            token_ids_from_text("--input-ids", v->ids_text, &v->subject.ids, &v->subject.n_ids);
    if (status == OK)
        status = check_layouts(v, sizes, n_sizes);
    if (status == OK && v->n_layouts == 0 && v->plan.node == 0)
        status = fail(ERR_USAGE, "no layout is left to run: each node needs a rank at least, ranks "
                                 "are a multiple of those that divide the cache, and --all leaves "
                                 "out sizes that the model does not have");
    if (status == OK)
        report_group(v, clock_seconds() - begun);
    v->different |= v->n_different > 0;
    verify_run_free(&v->base);
    free(v->subject.ids);
    json_decref(v->layouts);
    return status;
}

static enum status check_groups(struct verify *v)
{
    for (int m = 0; m < v->n_models; m++)
        for (int d = 0; d < v->dtype.n; d++)
            for (int o = 0; o < v->order.n; o++) {
                bool tiles = strcmp(v->order.items[o], "tiles") == 0;
                // the order of tiles exists in bfloat16 alone
                if (v->all && tiles && strcmp(v->dtype.items[d], "bfloat16") != 0)
                    continue;
                TRY(check_group(v, v->models[m], v->dtype.items[d], v->order.items[o]));
            }
    return OK;
}

static enum status print_tables(const struct verify *v)
{
    if (!v->all || v->different)
        TRY(table_print(&v->details, output()));
    fputc('\n', output());
    return table_print(&v->groups, output());
}

static enum status verify_models(struct verify *v)
{
    static const char *const details[] = {"model", "dtype", "order",   "tp",    "pp",    "dcp",
                                          "nodes", "isa",   "threads", "chunk", "batch", "result"};
    static const char *const groups[] = {"model",   "stored",  "dtype", "order",
                                         "layouts", "seconds", "result"};
    TRY(read_dimensions(v));
    for (int i = 0; i < 12; i++)
        table_cell(&v->details, "%s", details[i]);
    for (int i = 0; i < 7; i++)
        table_cell(&v->groups, "%s", groups[i]);
    TRY(check_groups(v));
    if (v->plan.node > 0)
        return OK;
    if (!v->json)
        return print_tables(v);
    json_t *root = json_pack("{s:b, s:O}", "identical", !v->different, "groups", v->report);
    return json_write(root, JSON_INDENT(2), NULL);
}

static int verify_main(int argc, char **argv);
#define AT(field) offsetof(struct verify, field)
static const struct flag verify_flags[] = {
    {.kind = FLAG_HEADING,
     .help = "layouts (lists; every combination runs, the first one is the reference)"},
    {FLAG_ON, "--all", NULL, AT(all), 0, 0, NULL,
     "longer defaults, given in brackets, and one line for all layouts of a group"},
    {FLAG_TEXT, "--tensor-parallel-size", "-tp --tp", AT(tp_text), 0, 0, "1,2,...",
     "tensor-parallel sizes (default 1,2 [1,2,3,8])"},
    {FLAG_TEXT, "--pipeline-parallel-size", "-pp --pp", AT(pp_text), 0, 0, "1,2,...",
     "pipeline-parallel sizes, each with each of the former (default 1)"},
    {FLAG_TEXT, "--decode-context-parallel-size", "-dcp --dcp", AT(dcp_text), 0, 0, "1,2,...",
     "ranks that divide the cache, with each of the former that are a multiple (default 1)"},
    {FLAG_TEXT, "--isa", NULL, AT(isa_text), 0, 0, "NAMES",
     "reference,avx2,avx512,avx512bf16,amx (default: the best [all])"},
    {FLAG_TEXT, "--max-num-batched-tokens", "--chunks", AT(chunk_text), 0, 0, "N,...",
     "tokens in one step at most (default 512 [512,7,1])"},
    {FLAG_TEXT, "--threads-per-rank", "--threads", AT(threads_text), 0, 0, "N,...",
     "threads per rank (default 1 [1,2])"},
    {FLAG_TEXT, "--batches", NULL, AT(batch_text), 0, 0, "N,...",
     "sequences side by side (default 1 [1,16]); --speculative-config is theirs where they are "
     "several [and on, where the model keeps no state]"},
    {.kind = FLAG_HEADING,
     .help = "groups (lists as well; bits are compared inside a group, not between them)"},
    {FLAG_TEXT, "--dtype", "--dtypes", AT(dtype_text), 0, 0, "NAMES",
     "compute types (default: the checkpoint's [bfloat16,float16,float32])"},
    {FLAG_TEXT, "--product-order", "--product-orders", AT(order_text), 0, 0, "NAMES",
     "auto,pairs,tiles (default: auto [pairs and tiles, the latter in bfloat16])"},
    {.kind = FLAG_HEADING, .help = "tokens"},
    {FLAG_TEXT, "--input-ids", NULL, AT(ids_text), 0, 0, "IDS",
     "1,2,3 or a file (default: a fixed pattern)"},
    {FLAG_INT, "--tokens", NULL, AT(n_tokens), 1, 1e6, "N",
     "length of the fixed pattern (default 133)"},
    {FLAG_INT, "--generate", NULL, AT(n_generate), 1, 1e6, "N",
     "greedy tokens after it (default 16)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines"},
};
const struct command command_verify = {
    .name = "verify",
    .brief = "check that layouts give the same bits",
    .positional = "MODEL...",
    .summary = "Runs the same tokens under several layouts and says whether every bit is the "
               "same; if not, the first\n"
               "layer that differs and by how much. Exit status 0: identical, 1: different.\n\n"
               "On several machines it is started on each, with the same flags: layouts with a "
               "rank for each node\n"
               "at least also run over all of them, and are held to what node 0 computes alone.",
    .examples = "  colrow verify models/demo --tp 1,2,3,4,8\n"
                "  colrow verify models/demo --tp 1,4 --isa reference,avx2 --chunks 1,7,64 "
                "--batches 1,16\n"
                "  colrow verify models/demo --tp 1,2 --pp 1,2,3\n"
                "  colrow verify models/demo --tp 1,2,4 --nnodes 2 --node-rank 0 --master-addr "
                "node-a\n"
                "  colrow verify models/demo --all --tokens 20 --generate 3",
    .sections = {FLAG_SECTION(verify_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct verify, engine)},
                 {cluster_flag_rows, CLUSTER_FLAGS, offsetof(struct verify, cluster)}},
    .run = verify_main,
};

static int verify_main(int argc, char **argv)
{
    struct verify v = {.n_tokens = TOKENS_DEFAULT, .n_generate = 16};
    bool helped;
    engine_flags_init(&v.engine);
    v.report = json_array();
    table_init(&v.details, 12);
    cluster_flags_init(&v.cluster);
    table_init(&v.groups, 7);
    enum status status =
        flags_parse(&command_verify, &v, argc, argv, v.models, NAMES_MAX, &v.n_models, &helped);
    if (status == OK && !helped)
        status = v.n_models ? verify_models(&v)
                            : fail(ERR_USAGE, "no model: colrow verify MODEL --tp 1,2,4");
    json_decref(v.report);
    table_fini(&v.details);
    table_fini(&v.groups);
    return status != OK ? flags_failed(status) : v.different;
}
