// `colrow logits`: the logits of every position of a token sequence, as a safetensors file.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "cmd/cluster_flags.h"
#include "cmd/engine_flags.h"
#include "hf/safetensors.h"

struct logits {
    struct engine_flags engine;
    struct cluster_flags cluster;
    struct cluster_plan plan;
    const char *ids_text, *output;
    int copies; // the same sequence so many times side by side; the last one's logits are written
    int32_t *ids;
    int n_ids, vocab_size;
    const char *product_order; // static
    float *values;             // [n_ids][vocab_size]
    int n_received;
    enum status status;
};

static void keep_logits(void *context, const struct colrow_output *out)
{
    struct logits *l = context;
    if (out->finish == COLROW_FAILED && l->status == OK)
        l->status = fail(engine_status(out->error_class), "%s", out->error);
    if (out->n_prompt_logits == 0 || l->status != OK)
        return;
    if (out->prompt_position < 0 || out->prompt_position + out->n_prompt_logits > l->n_ids) {
        l->status = fail(ERR_INTERNAL, "logits of positions beyond the prompt were delivered");
        return;
    }
    size_t width = (size_t)l->vocab_size;
    memcpy(l->values + (size_t)out->prompt_position * width, out->prompt_logits,
           (size_t)out->n_prompt_logits * width * sizeof(float));
    l->n_received += out->n_prompt_logits;
}

static void ignore_copy(void *context, const struct colrow_output *out)
{
    (void)context;
    (void)out;
}

static enum status compute(struct logits *l, struct colrow_engine *engine)
{
    struct colrow_info info;
    struct colrow_sampling sampling;
    colrow_get_info(engine, &info);
    colrow_sampling_init(NULL, &sampling);
    sampling.temperature = 0;
    sampling.max_tokens = 1;
    sampling.ignore_eos = 1;
    l->vocab_size = info.vocab_size;
    l->product_order = info.product_order;
    size_t count;
    if (!checked_mul((size_t)l->n_ids, (size_t)l->vocab_size, &count))
        return fail_memory(SIZE_MAX, "logits");
    TRY(memory_new(count, sizeof(float), "logits", &l->values));
    const struct colrow_prompt prompt = {.ids = l->ids, .n_ids = l->n_ids};
    for (int i = 0; i < l->copies; i++) {
        bool last = i == l->copies - 1;
        sampling.prompt_logits = last;
        if (colrow_submit(engine, &prompt, &sampling, last ? keep_logits : ignore_copy, l, NULL) !=
            0)
            return engine_failed();
    }
    for (bool alive = true; alive && l->status == OK;)
        TRY(engine_flags_step(engine, &alive));
    TRY(l->status);
    if (l->n_received != l->n_ids)
        return fail(ERR_INTERNAL, "%d of %d positions have logits", l->n_received, l->n_ids);
    return OK;
}

static enum status write_logits_file(const struct logits *l)
{
    const struct tensor_spec spec = {.name = "logits",
                                     .type = ELEMENT_F32,
                                     .n_dimensions = 2,
                                     .shape = {l->n_ids, l->vocab_size}};
    struct safetensors_writer *writer;
    // which of its orders' bits these are: the default depends on the machine
    const char *const metadata[] = {"product_order", l->product_order};
    TRY(safetensors_create(l->output, &spec, 1, metadata, 1, &writer));
    enum status status = safetensors_write(
        writer, l->values, (size_t)l->n_ids * (size_t)l->vocab_size * sizeof(float));
    if (status != OK) {
        safetensors_abandon(writer);
        return status;
    }
    return safetensors_finish(writer);
}

static enum status run_logits(struct logits *l, const char *model)
{
    struct colrow_engine *engine = NULL;
    l->engine.options.prompt_logits = 1;
    TRY(cluster_flags_settle(&l->cluster, &l->engine, &l->plan));
    if (l->plan.node > 0) // node 0 writes
        return engine_flags_open(&l->engine, model, &engine);
    if (!l->ids_text || !l->output)
        return fail(ERR_USAGE,
                    "flag %s is missing; usage: colrow logits MODEL --input-ids 1,2,3 --output "
                    "F.safetensors",
                    l->ids_text ? "--output" : "--input-ids");
    TRY(file_writer_check(l->output));
    TRY(token_ids_from_text("--input-ids", l->ids_text, &l->ids, &l->n_ids));
    TRY(engine_flags_open(&l->engine, model, &engine));
    enum status status = compute(l, engine);
    colrow_close(engine);
    TRY(status);
    TRY(write_logits_file(l));
    if (!l->engine.quiet)
        fprintf(stderr, "── %s: logits f32 [%d, %d]\n",
                strcmp(l->output, "-") == 0 ? "standard output" : l->output, l->n_ids,
                l->vocab_size);
    return OK;
}

static int logits_main(int argc, char **argv);
#define AT(field) offsetof(struct logits, field)
static const struct flag logits_flags[] = {
    {FLAG_TEXT, "--input-ids", NULL, AT(ids_text), 0, 0, "IDS",
     "token ids, 1,2,3, or a file that holds them"},
    {FLAG_TEXT, "--output", "-o", AT(output), 0, 0, "FILE",
     "safetensors file to write: logits, f32 [n_tokens, vocab_size]"},
    {FLAG_INT, "--batch", NULL, AT(copies), 1, 4096, "N",
     "compute it in a batch of N copies (default 1: alone)"},
};
const struct command command_logits = {
    .name = "logits",
    .brief = "write the logits of a token sequence to a file",
    .positional = "MODEL",
    .summary = "Writes the logits of every position of a token sequence. The file is the same, "
               "byte for byte, for\n"
               "every tensor-parallel size, chunk, batch and instruction set.",
    .examples = "  colrow logits models/demo --input-ids 1,2,3 --output a.safetensors -tp 3",
    .sections = {FLAG_SECTION(logits_flags, 0),
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct logits, engine)},
                 {cluster_flag_rows, CLUSTER_FLAGS, offsetof(struct logits, cluster)}},
    .run = logits_main,
};

static int logits_main(int argc, char **argv)
{
    struct logits l = {.copies = 1};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init(&l.engine);
    cluster_flags_init(&l.cluster);
    enum status status =
        flags_parse(&command_logits, &l, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status =
            model ? run_logits(&l, model)
                  : fail(ERR_USAGE,
                         "no model: colrow logits MODEL --input-ids 1,2,3 --output F.safetensors");
    free(l.ids);
    free(l.values);
    return status == OK ? 0 : flags_failed(status);
}
