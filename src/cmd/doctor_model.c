// Whether a model fits this machine, and with which flags of `colrow serve`.
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/progress.h"
#include "cmd/doctor_findings.h"
#include "engine/engine_fit.h"

// One rank for each last-level cache is a good start (docs/guide.md); fewer where the model cannot
// be split so.
static enum status fit_ranks(const struct doctor_subject *s, struct colrow_options *options,
                             struct engine_fit *fit)
{
    int most = s->topology.n_caches > 0 ? s->topology.n_caches : 1;
    enum status status = OK;
    for (int n = most; n >= 1; n--) {
        options->tensor_parallel_size = n;
        status = engine_fit(options, &s->memory, fit);
        if (status == OK || status == ERR_MEMORY)
            break;
    }
    return status;
}

static void describe_fit(struct findings *out, const char *model, const struct engine_fit *fit,
                         const struct colrow_options *options)
{
    finding_add(out, "model", "%s: %s of weights", model, show_bytes((double)fit->file_bytes));
    finding_add(out, "model's memory", "%s and KV pages; %s may be taken",
                show_bytes((double)fit->fixed_bytes), show_bytes((double)fit->allowed_bytes));
    finding_add(out, "KV cache", "%lld tokens: %.1f requests of %lld at once",
                (long long)fit->kv_tokens, fit->full_requests, (long long)fit->max_model_len);
    char length[48] = "";
    if (fit->max_model_len < fit->positions)
        snprintf(length, sizeof length, " --max-model-len %lld", (long long)fit->max_model_len);
    finding_add(out, "serve with", "colrow serve %s -tp %d%s", model, options->tensor_parallel_size,
                length)
        ->mark = FINDING_NOTE;
}

void doctor_look_at_model(const struct doctor_subject *subject, const char *name,
                          const char *folder, struct findings *out)
{
    struct doctor_subject s = *subject;
    struct colrow_options options;
    struct engine_fit fit;
    colrow_options_init(&options);
    options.model = folder;
    options.prompt_logits = 1; // as `colrow serve` has it
    options.nnodes = 1;
    options.log_level = LOG_WARNING; // the budget is not printed
    if (s.memory.promisable < s.memory.available)
        s.memory.available = s.memory.promisable;
    enum status status = fit_ranks(&s, &options, &fit);
    if (status == OK) {
        describe_fit(out, name, &fit, &options);
        return;
    }
    char sentence[STATUS_MESSAGE_MAX];
    snprintf(sentence, sizeof sentence, "%s", status_message());
    options.max_model_len = -1; // what fits of it
    if (status == ERR_MEMORY && engine_fit(&options, &s.memory, &fit) == OK) {
        int first = out->n;
        describe_fit(out, name, &fit, &options);
        finding_blame(&out->items[first + 2], FINDING_WARNING,
                      out->items[first + 3].found, // the command
                      "the model's longest sequence, %lld tokens, does not fit into memory",
                      (long long)fit.positions);
        return;
    }
    finding_blame(finding_add(out, "model", "%s: %s", name,
                              status == ERR_MEMORY ? "does not fit" : "cannot be served"),
                  FINDING_FAULT, NULL, "%s", sentence);
}
