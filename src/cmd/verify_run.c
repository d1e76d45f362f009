#include "cmd/verify_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/verify_nodes.h"

static size_t rows_max(const struct verify_subject *v)
{
    return (size_t)v->n_ids + (size_t)v->n_generate;
}

static enum status run_new(const struct verify_subject *v, const struct verify_layout *layout,
                           struct verify_run *run)
{
    *run = (struct verify_run){0};
    size_t layers = (size_t)v->info.num_hidden_layers + 1, width = (size_t)v->info.hidden_size;
    if (layout->batch == 1)
        TRY(memory_new(layers * rows_max(v), width * sizeof(float), "hidden states", &run->hidden));
    TRY(memory_new((size_t)v->n_ids * (size_t)v->info.vocab_size, sizeof(float), "logits",
                   &run->logits));
    TRY(memory_new((size_t)v->n_generate, sizeof *run->ids, "tokens", &run->ids));
    if (layout->batch == 1)
        return OK;
    TRY(memory_new((size_t)v->n_generate, sizeof *run->again, "tokens", &run->again));
    return memory_new((size_t)v->n_generate, VERIFY_LOGPROBS * sizeof *run->log,
                      "log-probabilities", &run->log);
}

void verify_run_free(struct verify_run *run)
{
    free(run->hidden);
    free(run->logits);
    free(run->ids);
    free(run->again);
    free(run->log);
    *run = (struct verify_run){0};
}

struct receiver {
    const struct verify_subject *subject;
    struct verify_run *run;
};

static void keep_layout_output(void *context, const struct colrow_output *out)
{
    struct receiver *r = context;
    size_t width = (size_t)r->subject->info.vocab_size;
    if (out->finish == COLROW_FAILED)
        r->run->status = fail(engine_status(out->error_class), "%s", out->error);
    if (out->n_prompt_logits && out->prompt_position + out->n_prompt_logits <= r->subject->n_ids) {
        memcpy(r->run->logits + (size_t)out->prompt_position * width, out->prompt_logits,
               (size_t)out->n_prompt_logits * width * sizeof(float));
        r->run->n_logits += out->n_prompt_logits;
    }
    for (int i = 0; i < out->n_ids && r->run->n_ids < r->subject->n_generate; i++)
        r->run->ids[r->run->n_ids++] = out->ids[i];
}

static void keep_again(void *context, const struct colrow_output *out)
{
    struct receiver *r = context;
    struct verify_run *run = r->run;
    run->n_cached = out->cached_tokens;
    if (out->finish == COLROW_FAILED)
        run->status = fail(engine_status(out->error_class), "%s", out->error);
    for (int i = 0; i < out->n_ids && run->n_again < r->subject->n_generate; i++) {
        struct colrow_logprob *to = run->log + (size_t)run->n_again * VERIFY_LOGPROBS;
        for (int k = 0; k < out->n_logprobs && k < VERIFY_LOGPROBS; k++)
            to[k] = out->logprobs[i * out->n_logprobs + k];
        run->again[run->n_again++] = out->ids[i];
    }
}

static void ignore_companion(void *context, const struct colrow_output *out)
{
    (void)context;
    (void)out;
}

static void keep_hidden(const struct verify_subject *v, const struct colrow_engine *engine,
                        struct verify_run *run)
{
    int rows;
    size_t stride, width = (size_t)v->info.hidden_size;
    const float *hidden = colrow_hidden_states(engine, &rows, &stride);
    if (!hidden || !run->hidden || (size_t)run->rows + (size_t)rows > rows_max(v))
        return;
    for (int layer = 0; layer <= v->info.num_hidden_layers; layer++)
        memcpy(run->hidden + ((size_t)layer * rows_max(v) + (size_t)run->rows) * width,
               hidden + (size_t)layer * stride, (size_t)rows * width * sizeof(float));
    run->rows += rows;
}

// Tokens that mean nothing but are valid: a fixed walk through the vocabulary.
static enum status default_tokens(struct verify_subject *v)
{
    TRY(memory_new((size_t)v->n_ids, sizeof *v->ids, "tokens", &v->ids));
    for (int i = 0; i < v->n_ids; i++)
        v->ids[i] = (int32_t)(((uint64_t)i * 2654435761u + 7) % (uint64_t)v->info.vocab_size);
    return OK;
}

static struct colrow_sampling greedy(const struct verify_subject *v)
{
    struct colrow_sampling sampling;
    colrow_sampling_init(NULL, &sampling);
    sampling.temperature = 0;
    sampling.max_tokens = v->n_generate;
    sampling.ignore_eos = 1;
    return sampling;
}

static enum status submit_layout(struct verify_subject *v, struct colrow_engine *engine,
                                 const struct verify_layout *layout, struct receiver *receiver)
{
    struct colrow_sampling sampling = greedy(v);
    for (int i = 0; i < layout->batch; i++) {
        bool last = i == layout->batch - 1;
        // companions are of other lengths, so that the batch is a mixed one
        int length = last ? v->n_ids : 1 + (i * 37 + 5) % v->n_ids;
        const struct colrow_prompt prompt = {.ids = v->ids, .n_ids = length};
        sampling.prompt_logits = last;
        if (colrow_submit(engine, &prompt, &sampling, last ? keep_layout_output : ignore_companion,
                          receiver, NULL) != 0)
            return engine_failed();
    }
    return OK;
}

// The prompt once more: its whole pages are in the prefix cache now.
static enum status ask_again(struct verify_subject *v, struct colrow_engine *engine,
                             struct receiver *receiver)
{
    struct colrow_sampling sampling = greedy(v);
    const struct colrow_prompt prompt = {.ids = v->ids, .n_ids = v->n_ids};
    sampling.logprobs = VERIFY_LOGPROBS - 1;
    if (colrow_submit(engine, &prompt, &sampling, keep_again, receiver, NULL) != 0)
        return engine_failed();
    for (bool alive = true; alive;)
        TRY(engine_flags_step(engine, &alive));
    return OK;
}

enum status verify_flags_of(const struct verify_subject *v, const struct verify_layout *layout,
                            struct engine_flags *out)
{
    *out = v->engine;
    out->quiet = !v->engine.verbose;
    out->options.tensor_parallel_size = layout->tp;
    out->options.pipeline_parallel_size = layout->pp;
    out->options.decode_context_parallel_size = layout->dcp;
    out->options.max_num_batched_tokens = layout->chunk;
    out->options.threads_per_rank = layout->threads;
    out->options.prompt_logits = 1;
    out->options.restarts = 0; // hidden states of every step are taken once
    out->options.capture_hidden_states = layout->batch == 1;
    if (layout->batch == 1) // the reference is one of these
        out->options.speculative_config = NULL;
    return setenv("COLROW_ISA", layout->isa, 1) == 0 ? OK : fail_memory(0, "the environment");
}

static enum status run_engine(struct verify_subject *v, const struct verify_layout *layout,
                              struct colrow_engine *engine, struct verify_run *run)
{
    enum status status = OK;
    struct receiver receiver = {v, run};
    colrow_get_info(engine, &v->info);
    if (!v->ids)
        TRY_DONE(default_tokens(v));
    TRY_DONE(run_new(v, layout, run));
    TRY_DONE(submit_layout(v, engine, layout, &receiver));
    for (bool alive = true; alive;) {
        TRY_DONE(engine_flags_step(engine, &alive));
        keep_hidden(v, engine, run);
    }
    status = run->status;
    if (status == OK && run->n_logits != v->n_ids)
        status = fail(ERR_INTERNAL, "logits of %d positions came, %d were asked for", run->n_logits,
                      v->n_ids);
    if (status == OK && run->again)
        status = ask_again(v, engine, &receiver);
    if (status == OK)
        status = run->status;
done:
    return status;
}

enum status verify_run(struct verify_subject *v, const struct verify_layout *layout,
                       struct verify_run *run)
{
    struct colrow_engine *engine = NULL;
    struct engine_flags flags;
    TRY(verify_flags_of(v, layout, &flags));
    TRY(engine_flags_settle(&flags, v->model));
    if (layout->nodes > 1)
        TRY(verify_nodes_meet(&flags, v->plan, layout, &flags.nodes));
    enum status status = engine_flags_open(&flags, v->model, &engine);
    if (status == OK)
        status = run_engine(v, layout, engine, run);
    if (flags.nodes)
        flags.nodes->more = status == OK;
    colrow_close(engine);
    cluster_leave(flags.nodes);
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

// Those of one token, bit by bit.
static bool same_logprobs(const struct colrow_logprob *a, const struct colrow_logprob *b)
{
    for (int i = 0; i < VERIFY_LOGPROBS; i++)
        if (a[i].id != b[i].id || a[i].rank != b[i].rank ||
            difference(&a[i].logprob, &b[i].logprob, 1) >= 0)
            return false;
    return true;
}

bool verify_differ(const struct verify_subject *v, const struct verify_run *a,
                   const struct verify_run *b, char *text, size_t bytes)
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
    for (int i = 0; b->again && i < v->n_generate; i++) {
        size_t at = (size_t)i * VERIFY_LOGPROBS;
        if (b->n_again == a->n_ids && b->again[i] == a->ids[i] &&
            (!a->log || same_logprobs(a->log + at, b->log + at)))
            continue;
        snprintf(text, bytes, "DIFFERENT at greedy token %d, asked again", i);
        return true;
    }
    snprintf(text, bytes, "identical");
    return false;
}
