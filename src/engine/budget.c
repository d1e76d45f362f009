#include "engine/budget.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "engine/kv_pool.h"

static enum status sum_up(const struct budget_request *request, struct budget *out)
{
    *out = (struct budget){.n_ranks = request->plan->n_ranks,
                           .available_bytes = request->available_bytes,
                           .shared_bytes = request->shared_bytes,
                           .front_end_bytes = request->front_end_bytes,
                           .fixed_bytes = request->shared_bytes};
    for (int r = 0; r < out->n_ranks; r++) {
        struct plan_memory *memory = &out->ranks[r];
        TRY(plan_memory(request->plan, request->checkpoint, r, request->rows_max,
                        request->logit_rows_max, request->n_threads, memory));
        out->fixed_bytes += memory->weight_bytes + memory->scratch_bytes + RANK_PROCESS_BYTES;
        out->kv_page_bytes += memory->kv_page_bytes;
        out->file_bytes += memory->file_bytes;
    }
    out->allowed_bytes = (uint64_t)((double)request->available_bytes * request->utilization);
    return OK;
}

// What would make room for `missing` more bytes, as far as it is known to be enough.
static void advise(const struct budget *budget, const struct budget_request *request,
                   uint64_t missing, int64_t fits, char *text, size_t bytes)
{
    uint64_t needed = budget->allowed_bytes + missing;
    double part = budget->available_bytes
                      ? ceil(100.0 * (double)needed / (double)budget->available_bytes) / 100
                      : 2;
    int n = snprintf(text, bytes, "%s are missing; ", show_bytes((double)missing));
    if (fits > 0)
        n += snprintf(text + n, bytes - (size_t)n, "set --max-model-len to %lld or less, or ",
                      (long long)fits);
    if (part <= 1 && part > request->utilization)
        snprintf(text + n, bytes - (size_t)n, "raise --gpu-memory-utilization to %.2f", part);
    else
        snprintf(text + n, bytes - (size_t)n, "free memory%s, or take a smaller model",
                 fits > 0 ? ""
                          : ", set a smaller "
                            "--max-num-batched-tokens or --max-num-seqs");
}

static enum status too_large(const struct budget *budget, const struct budget_request *request)
{
    char advice[256];
    uint64_t one_sequence = (uint64_t)kv_pages_for(request->max_model_len) * budget->kv_page_bytes;
    advise(budget, request, budget->fixed_bytes - budget->allowed_bytes + one_sequence, 0, advice,
           sizeof advice);
    return fail(
        ERR_MEMORY,
        "weights, scratch and processes of %d rank%s take %s, but %s are free, of which %g may "
        "be used; with one sequence of max_model_len %lld, %s",
        budget->n_ranks, budget->n_ranks == 1 ? "" : "s", show_bytes((double)budget->fixed_bytes),
        show_bytes((double)budget->available_bytes), request->utilization,
        (long long)request->max_model_len, advice);
}

static enum status too_few_pages(const struct budget *budget, const struct budget_request *request,
                                 int64_t pages)
{
    int64_t needed = kv_pages_for(request->max_model_len), fits = pages * KV_PAGE_TOKENS;
    double needed_bytes = (double)needed * (double)budget->kv_page_bytes;
    char advice[256];
    if (request->kv_cache_memory) {
        snprintf(advice, sizeof advice, ", or --max-model-len to %lld or less", (long long)fits);
        return fail(ERR_MEMORY,
                    "--kv-cache-memory %lld holds %lld tokens (%lld pages), but one sequence of "
                    "max_model_len %lld needs %s; set --kv-cache-memory to %.0f or more%s",
                    (long long)request->kv_cache_memory, (long long)fits, (long long)pages,
                    (long long)request->max_model_len, show_bytes(needed_bytes), needed_bytes,
                    fits > 0 ? advice : "");
    }
    uint64_t room = budget->allowed_bytes - budget->fixed_bytes;
    advise(budget, request, (uint64_t)needed * budget->kv_page_bytes - room, fits, advice,
           sizeof advice);
    return fail(ERR_MEMORY,
                "the KV pool gets %s (%lld tokens): %s are free, %g of it may be used, weights, "
                "scratch and "
                "processes take %s; one sequence of max_model_len %lld needs %s; %s",
                show_bytes((double)room), (long long)fits,
                show_bytes((double)budget->available_bytes), request->utilization,
                show_bytes((double)budget->fixed_bytes), (long long)request->max_model_len,
                show_bytes(needed_bytes), advice);
}

enum status budget_compute(const struct budget_request *request, struct budget *out)
{
    TRY(sum_up(request, out));
    uint64_t kv_bytes;
    if (request->kv_cache_memory)
        kv_bytes = (uint64_t)request->kv_cache_memory;
    else if (out->fixed_bytes >= out->allowed_bytes)
        return too_large(out, request);
    else
        kv_bytes = out->allowed_bytes - out->fixed_bytes;
    if (request->kv_cache_memory && out->fixed_bytes + kv_bytes > out->available_bytes)
        log_warning("weights, scratch and --kv-cache-memory take %s together, but only %s are free",
                    show_bytes((double)(out->fixed_bytes + kv_bytes)),
                    show_bytes((double)out->available_bytes));
    int64_t one = kv_pages_for(request->max_model_len);
    int64_t pages = (int64_t)(kv_bytes / out->kv_page_bytes);
    if (pages < one)
        return too_few_pages(out, request, pages);
    int64_t all = one * request->max_num_seqs; // more could never be used
    pages = pages < all ? pages : all;
    pages = pages < KV_POOL_PAGES_MAX ? pages : KV_POOL_PAGES_MAX;
    out->kv_pages = pages;
    out->kv_bytes = (uint64_t)pages * out->kv_page_bytes;
    return OK;
}

static void add_budget_row(struct table *table, const char *name, uint64_t weights, uint64_t kv,
                           uint64_t scratch, uint64_t others)
{
    table_cell(table, "%s", name);
    const uint64_t figures[] = {weights, kv, scratch, others};
    for (int i = 0; i < 4; i++)
        table_cell(table, "%s", figures[i] ? show_bytes((double)figures[i]) : "-");
    table_cell(table, "%s", show_bytes((double)(weights + kv + scratch + others)));
}

void budget_print(const struct budget *budget)
{
    struct table table;
    table_init(&table, 6);
    const char *heading[] = {"memory", "weights", "KV", "scratch", "process", "total"};
    for (int i = 0; i < 6; i++)
        table_cell(&table, "%s", heading[i]);
    uint64_t weights = 0, scratch = 0, others = budget->shared_bytes + budget->front_end_bytes;
    for (int r = 0; r < budget->n_ranks; r++) {
        const struct plan_memory *memory = &budget->ranks[r];
        char name[24];
        snprintf(name, sizeof name, "rank %d", r);
        add_budget_row(&table, name, memory->weight_bytes,
                       (uint64_t)budget->kv_pages * memory->kv_page_bytes, memory->scratch_bytes,
                       RANK_PROCESS_BYTES);
        weights += memory->weight_bytes;
        scratch += memory->scratch_bytes;
        others += RANK_PROCESS_BYTES;
    }
    add_budget_row(&table, "shared", 0, 0, 0, budget->shared_bytes);
    add_budget_row(&table, "front-end", 0, 0, 0, budget->front_end_bytes);
    add_budget_row(&table, "all", weights, budget->kv_bytes, scratch, others);
    enum status status = table_print(&table, stderr);
    (void)status; // out of memory for a table: the line below still comes
    table_fini(&table);
    fprintf(stderr, "KV cache: %lld tokens (%lld pages of %d); %s were free on this machine\n",
            (long long)(budget->kv_pages * KV_PAGE_TOKENS), (long long)budget->kv_pages,
            KV_PAGE_TOKENS, show_bytes((double)budget->available_bytes));
}
