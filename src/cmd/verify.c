// `colrow verify`: runs the same tokens under several layouts and compares every bit of the
// residual stream after each layer, of the logits and of the greedy continuation.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text_table.h"
#include "cmd/engine_flags.h"
#include "device/kernels.h"

enum { VERIFY_NAMES_MAX = 8 };

// What one layout computed. Rows are positions: the prompt's, then those of the generated tokens.
struct run {
    float *hidden; // [n_layers + 1][rows_max][hidden_size]; NULL in a batch
    float *logits; // [n_prompt][vocab_size]
    int32_t *ids;  // greedy continuation
    int n_ids, rows, n_logits;
    enum status status;
};

struct layout {
    int tp, chunk, threads, batch;
    const char *isa;
};

struct verify {
    struct engine_flags engine;
    const char *ids_text, *tp_text, *isa_text, *chunk_text, *threads_text, *batch_text;
    int n_tokens, n_generate;
    bool json;
    const char *model;
    int32_t *ids; // the prompt
    int n_ids;
    struct colrow_info info;
    struct run base;
    bool different;
    json_t *report;
    struct table table;
};

static size_t rows_max(const struct verify *v)
{
    return (size_t)(v->n_ids + v->n_generate);
}

static enum status run_new(const struct verify *v, const struct layout *layout, struct run *run)
{
    *run = (struct run){0};
    size_t layers = (size_t)v->info.num_hidden_layers + 1, width = (size_t)v->info.hidden_size;
    if (layout->batch == 1)
        TRY(memory_new(layers * rows_max(v), width * sizeof(float), "hidden states", &run->hidden));
    TRY(memory_new((size_t)v->n_ids * (size_t)v->info.vocab_size, sizeof(float), "logits",
                   &run->logits));
    return memory_new((size_t)v->n_generate, sizeof *run->ids, "tokens", &run->ids);
}

static void run_free(struct run *run)
{
    free(run->hidden);
    free(run->logits);
    free(run->ids);
    *run = (struct run){0};
}

struct receiver {
    const struct verify *verify;
    struct run *run;
};

static void on_output(void *context, const struct colrow_output *out)
{
    struct receiver *r = context;
    size_t width = (size_t)r->verify->info.vocab_size;
    if (out->finish == COLROW_FAILED)
        r->run->status = fail(ERR_GROUP, "%s", out->error ? out->error : "the request failed");
    if (out->n_prompt_logits && out->prompt_position + out->n_prompt_logits <= r->verify->n_ids) {
        memcpy(r->run->logits + (size_t)out->prompt_position * width, out->prompt_logits,
               (size_t)out->n_prompt_logits * width * sizeof(float));
        r->run->n_logits += out->n_prompt_logits;
    }
    for (int i = 0; i < out->n_ids && r->run->n_ids < r->verify->n_generate; i++)
        r->run->ids[r->run->n_ids++] = out->ids[i];
}

static void ignore_output(void *context, const struct colrow_output *out)
{
    (void)context;
    (void)out;
}

static void keep_hidden(const struct verify *v, const struct colrow_engine *engine, struct run *run)
{
    int rows;
    size_t stride, width = (size_t)v->info.hidden_size;
    const float *hidden = colrow_hidden_states(engine, &rows, &stride);
    if (!hidden || !run->hidden || (size_t)(run->rows + rows) > rows_max(v))
        return;
    for (int layer = 0; layer <= v->info.num_hidden_layers; layer++)
        memcpy(run->hidden + ((size_t)layer * rows_max(v) + (size_t)run->rows) * width,
               hidden + (size_t)layer * stride, (size_t)rows * width * sizeof(float));
    run->rows += rows;
}

// Tokens that mean nothing but are valid: a fixed walk through the vocabulary.
static enum status default_tokens(struct verify *v)
{
    v->n_ids = v->n_tokens;
    TRY(memory_new((size_t)v->n_ids, sizeof *v->ids, "tokens", &v->ids));
    for (int i = 0; i < v->n_ids; i++)
        v->ids[i] = (int32_t)(((uint64_t)i * 2654435761u + 7) % (uint64_t)v->info.vocab_size);
    return OK;
}

static enum status submit_all(struct verify *v, struct colrow_engine *engine,
                              const struct layout *layout, struct receiver *receiver)
{
    struct colrow_sampling sampling;
    colrow_sampling_init(NULL, &sampling);
    sampling.temperature = 0;
    sampling.max_tokens = v->n_generate;
    sampling.ignore_eos = 1;
    for (int i = 0; i < layout->batch; i++) {
        bool last = i == layout->batch - 1;
        // companions are of other lengths, so that the batch is a mixed one
        int length = last ? v->n_ids : 1 + (i * 37 + 5) % v->n_ids;
        const struct colrow_prompt prompt = {.ids = v->ids, .n_ids = length};
        sampling.prompt_logits = last;
        if (colrow_submit(engine, &prompt, &sampling, last ? on_output : ignore_output, receiver,
                          NULL) != 0)
            return engine_failed();
    }
    return OK;
}

static enum status run_layout(struct verify *v, const struct layout *layout, struct run *run)
{
    struct colrow_engine *engine = NULL;
    struct engine_flags flags = v->engine;
    flags.quiet = !v->engine.verbose;
    flags.options.tensor_parallel_size = layout->tp;
    flags.options.max_num_batched_tokens = layout->chunk;
    flags.options.threads_per_rank = layout->threads;
    flags.options.prompt_logits = 1;
    flags.options.capture_hidden_states = layout->batch == 1;
    if (setenv("COLROW_ISA", layout->isa, 1) != 0)
        return fail_memory(0, "the environment");
    TRY(engine_flags_open(&flags, v->model, &engine));
    enum status status = OK;
    struct receiver receiver = {v, run};
    colrow_get_info(engine, &v->info);
    if (!v->ids)
        TRY_DONE(default_tokens(v));
    TRY_DONE(run_new(v, layout, run));
    TRY_DONE(submit_all(v, engine, layout, &receiver));
    int alive;
    while ((alive = colrow_step(engine)) > 0)
        keep_hidden(v, engine, run);
    if (alive < 0)
        status = engine_failed();
    else
        keep_hidden(v, engine, run);
    if (status == OK)
        status = run->status;
    if (status == OK && run->n_logits != v->n_ids)
        status = fail(ERR_INTERNAL, "logits of %d positions came, %d were asked for", run->n_logits,
                      v->n_ids);
done:
    colrow_close(engine);
    return status;
}

// Largest difference between two arrays whose bits differ somewhere; -1 when they are the same.
static double difference(const float *a, const float *b, size_t n)
{
    if (memcmp(a, b, n * sizeof *a) == 0)
        return -1;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (d > most || isnan(d))
            most = d;
    }
    return most;
}

// The first place where two runs part, as text; false when they are identical.
static bool compare(const struct verify *v, const struct run *a, const struct run *b, char *text,
                    size_t bytes)
{
    size_t width = (size_t)v->info.hidden_size;
    int rows = a->rows < b->rows ? a->rows : b->rows;
    for (int layer = 0; a->hidden && b->hidden && layer <= v->info.num_hidden_layers; layer++) {
        size_t at = (size_t)layer * rows_max(v) * width;
        double d = difference(a->hidden + at, b->hidden + at, (size_t)rows * width);
        if (d < 0)
            continue;
        if (layer == 0)
            snprintf(text, bytes, "DIFFERENT at the embedding, by up to %.3g", d);
        else
            snprintf(text, bytes, "DIFFERENT from layer %d on, by up to %.3g there", layer - 1, d);
        return true;
    }
    double d = difference(a->logits, b->logits, (size_t)v->n_ids * (size_t)v->info.vocab_size);
    if (d >= 0) {
        snprintf(text, bytes, "DIFFERENT logits, by up to %.3g", d);
        return true;
    }
    for (int i = 0; i < v->n_generate; i++)
        if (a->n_ids != b->n_ids || a->ids[i] != b->ids[i]) {
            snprintf(text, bytes, "DIFFERENT greedy token %d", i);
            return true;
        }
    snprintf(text, bytes, "identical");
    return false;
}

static enum status check_layout(struct verify *v, const struct layout *layout, bool first)
{
    struct run run = {0};
    char text[128] = "reference";
    enum status status = run_layout(v, layout, first ? &v->base : &run);
    if (status == OK && !first && compare(v, &v->base, &run, text, sizeof text))
        v->different = true;
    if (status == OK) {
        table_cell(&v->table, "%d", layout->tp);
        table_cell(&v->table, "%s", layout->isa);
        table_cell(&v->table, "%d", layout->threads);
        table_cell(&v->table, "%d", layout->chunk);
        table_cell(&v->table, "%d", layout->batch);
        table_cell(&v->table, "%s", text);
        json_array_append_new(v->report,
                              json_pack("{s:i, s:s, s:i, s:i, s:i, s:s}", "tensor_parallel_size",
                                        layout->tp, "isa", layout->isa, "threads_per_rank",
                                        layout->threads, "max_num_batched_tokens", layout->chunk,
                                        "batch", layout->batch, "result", text));
    }
    run_free(&run);
    return status;
}

static enum status isa_list(const char *text, char *copy, size_t bytes, const char **names, int *n)
{
    *n = 0;
    if (snprintf(copy, bytes, "%s", text) >= (int)bytes)
        return fail(ERR_INPUT, "flag --isa is too long");
    char *rest = NULL;
    for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        enum isa isa = isa_from_name(name);
        if (isa == ISA_COUNT || *n == VERIFY_NAMES_MAX)
            return fail(
                ERR_INPUT,
                "flag --isa is \"%s\"; expected names among reference, avx2, avx512, avx512bf16, "
                "amx",
                text);
        if (isa <= isa_of_machine())
            names[(*n)++] = isa_name(isa);
        else
            fprintf(stderr, "colrow: %s is skipped: this machine does not have it\n", name);
    }
    return *n ? OK : fail(ERR_INPUT, "flag --isa names nothing that this machine has");
}

struct dimensions {
    int tp[FLAG_LIST_MAX], chunk[FLAG_LIST_MAX], threads[FLAG_LIST_MAX], batch[FLAG_LIST_MAX];
    int n_tp, n_chunk, n_threads, n_batch, n_isa;
    const char *isa[VERIFY_NAMES_MAX];
    char isa_copy[256];
};

static enum status read_dimensions(const struct verify *v, struct dimensions *d)
{
    TRY(flags_list("--tp", v->tp_text, 1, 64, d->tp, &d->n_tp));
    TRY(flags_list("--chunks", v->chunk_text, 1, 65536, d->chunk, &d->n_chunk));
    TRY(flags_list("--threads", v->threads_text, 0, 256, d->threads, &d->n_threads));
    TRY(flags_list("--batches", v->batch_text, 1, 4096, d->batch, &d->n_batch));
    const char *isa = v->isa_text ? v->isa_text : isa_name(isa_of_machine());
    return isa_list(isa, d->isa_copy, sizeof d->isa_copy, d->isa, &d->n_isa);
}

static enum status check_all(struct verify *v, const struct dimensions *d)
{
    bool first = true;
    for (int b = 0; b < d->n_batch; b++)
        for (int i = 0; i < d->n_isa; i++)
            for (int t = 0; t < d->n_threads; t++)
                for (int c = 0; c < d->n_chunk; c++)
                    for (int r = 0; r < d->n_tp; r++) {
                        struct layout layout = {d->tp[r], d->chunk[c], d->threads[t], d->batch[b],
                                                d->isa[i]};
                        TRY(check_layout(v, &layout, first));
                        first = false;
                    }
    return OK;
}

static enum status verify_model(struct verify *v)
{
    struct dimensions d = {0};
    TRY(read_dimensions(v, &d));
    if (v->ids_text)
        TRY(token_ids_from_text("--input-ids", v->ids_text, &v->ids, &v->n_ids));
    const char *heading[] = {"tp", "isa", "threads", "chunk", "batch", "result"};
    for (int i = 0; i < 6; i++)
        table_cell(&v->table, "%s", heading[i]);
    enum status status = check_all(v, &d);
    if (status == OK && v->json) {
        json_t *root =
            json_pack("{s:s, s:b, s:i, s:i, s:O}", "model", v->model, "identical", !v->different,
                      "tokens", v->n_ids, "generated", v->n_generate, "layouts", v->report);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else if (status == OK) {
        status = table_print(&v->table, stdout);
        printf("\n%s: %s over %d prompt and %d generated tokens\n", v->model,
               v->different ? "DIFFERENT" : "identical", v->n_ids, v->n_generate);
    }
    return status;
}

int cmd_verify(int argc, char **argv)
{
    struct verify v = {.tp_text = "1,2",
                       .chunk_text = "512",
                       .threads_text = "1",
                       .batch_text = "1",
                       .n_tokens = 64,
                       .n_generate = 16};
    bool helped;
    int n_positional;
    engine_flags_init(&v.engine);
    const struct flag own[] = {
        {.kind = FLAG_HEADING,
         .help = "layouts (lists; every combination runs, the first one is the reference)"},
        {FLAG_TEXT, "--tp", NULL, &v.tp_text, 0, 0, "1,2,...",
         "tensor-parallel sizes (default 1,2)"},
        {FLAG_TEXT, "--isa", NULL, &v.isa_text, 0, 0, "NAMES",
         "reference,avx2,avx512,avx512bf16,amx (default: the best)"},
        {FLAG_TEXT, "--chunks", NULL, &v.chunk_text, 0, 0, "N,...",
         "values of --max-num-batched-tokens (default 512)"},
        {FLAG_TEXT, "--threads", NULL, &v.threads_text, 0, 0, "N,...",
         "threads per rank (default 1)"},
        {FLAG_TEXT, "--batches", NULL, &v.batch_text, 0, 0, "N,...",
         "sequences side by side (default 1)"},
        {.kind = FLAG_HEADING, .help = "tokens"},
        {FLAG_TEXT, "--input-ids", NULL, &v.ids_text, 0, 0, "IDS",
         "1,2,3 or a file (default: a fixed pattern)"},
        {FLAG_INT, "--tokens", NULL, &v.n_tokens, 1, 1e6, "N",
         "length of the fixed pattern (default 64)"},
        {FLAG_INT, "--generate", NULL, &v.n_generate, 1, 1e6, "N",
         "greedy tokens after it (default 16)"},
        {FLAG_ON, "--json", NULL, &v.json, 0, 0, NULL, "for machines"},
    };
    enum { OWN = sizeof own / sizeof own[0] };
    struct flag flags[OWN + ENGINE_FLAGS];
    memcpy(flags, own, sizeof own);
    engine_flags_table(&v.engine, flags + OWN);
    const struct usage usage = {
        .command = "verify",
        .positional = "MODEL",
        .summary = "Runs the same tokens under several layouts and says whether every bit is the "
                   "same; if not, the first\n"
                   "layer that differs and by how much. Exit status 0: identical, 1: different.",
        .examples = "  colrow verify models/demo --tp 1,2,3,4,8\n"
                    "  colrow verify models/demo --tp 1,4 --isa reference,avx2 --chunks 1,7,64 "
                    "--batches 1,16",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
    };
    v.report = json_array();
    table_init(&v.table, 6);
    enum status status = flags_parse(&usage, argc, argv, &v.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = v.model ? verify_model(&v)
                         : fail(ERR_INPUT, "no model: colrow verify MODEL --tp 1,2,4");
    run_free(&v.base);
    free(v.ids);
    json_decref(v.report);
    table_fini(&v.table);
    return status != OK ? flags_failed(status) : v.different;
}
