#include "engine/budget.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "engine/kv_pool.h"

// Of the machine's memory the share that was asked for, unless less than that is free. What the
// front-end holds already is not free any more, and counts as taken.
static uint64_t allowed_of(const struct budget_request *request, double utilization)
{
    double share = utilization * (double)request->device.total;
    double rest =
        BUDGET_FREE_PART * (double)request->device.available + (double)request->front_end_bytes;
    return (uint64_t)(share < rest ? share : rest);
}

// The front-end keeps the tokens of each page, and who holds it and knows it (kv_pool.c,
// prefix_cache.c).
static uint64_t bytes_of_pages(const struct budget *budget, int64_t pages)
{
    enum { RECORD_BYTES = 72 };
    return (uint64_t)pages *
           (budget->kv_page_bytes + KV_PAGE_TOKENS * sizeof(int32_t) + RECORD_BYTES);
}

// Of a sequence, at most.
static int64_t pages_of(const struct budget_request *request, int64_t n_tokens)
{
    return kv_pages_of_sequence(&request->plan->kv, n_tokens, request->rows_max);
}

// The second pool is of the same memory on a CPU, and so has its part of what may be taken.
static enum status add_host_pages(const struct budget_request *request, struct budget *out)
{
    double pages = request->kv_offloading_size * (double)(1 << 30) / (double)out->kv_page_bytes;
    if (pages == 0)
        return OK;
    if (pages < 1 || pages > KV_POOL_PAGES_MAX)
        return fail(ERR_USAGE,
                    "--kv-offloading-size is %g GiB, and a page takes %s; expected room for 1 to "
                    "%d pages",
                    request->kv_offloading_size, show_bytes((double)out->kv_page_bytes),
                    KV_POOL_PAGES_MAX);
    out->host_pages = (int64_t)pages;
    uint64_t bytes = bytes_of_pages(out, out->host_pages);
    out->fixed_bytes += bytes;
    out->front_end_bytes += bytes - (uint64_t)out->host_pages * out->kv_page_bytes;
    return OK;
}

static enum status sum_up(const struct budget_request *request, struct budget *out)
{
    *out = (struct budget){.n_ranks = plan_world_size(request->plan),
                           .n_stages = request->plan->n_stages,
                           .device = request->device,
                           .shared_bytes = request->shared_bytes,
                           .front_end_bytes = request->front_end_bytes,
                           .kv_groups = request->plan->kv.n_groups,
                           .max_model_len = request->max_model_len};
    out->fixed_bytes = out->shared_bytes + out->front_end_bytes;
    for (int r = 0; r < out->n_ranks; r++) {
        struct plan_memory *memory = &out->ranks[r];
        out->layers[r] = plan_stage_layers(request->plan, r / request->plan->n_ranks);
        TRY(plan_memory(request->plan, request->checkpoint, r, request->rows_max,
                        request->logit_rows_max, request->n_threads, memory));
        out->file_bytes += memory->file_bytes;
        if (request->n_local && r >= request->n_local)
            continue;
        out->fixed_bytes += memory->weight_bytes + memory->scratch_bytes + RANK_PROCESS_BYTES;
        out->kv_page_bytes += memory->kv_page_bytes;
    }
    out->allowed_bytes = allowed_of(request, request->utilization);
    return add_host_pages(request, out);
}

// What would make room for `missing` more bytes, as far as it is known to be enough.
static void advise(const struct budget *budget, const struct budget_request *request,
                   uint64_t missing, int64_t fits, char *text, size_t bytes)
{
    uint64_t needed = budget->allowed_bytes + missing;
    double part = budget->device.total
                      ? ceil(100.0 * (double)needed / (double)budget->device.total) / 100
                      : 2;
    int n = snprintf(text, bytes, "%s are missing; ", show_bytes((double)missing));
    if (fits > 0)
        n += snprintf(text + n, bytes - (size_t)n, "set --max-model-len to %lld or less, or ",
                      (long long)fits);
    if (part <= 1 && part > request->utilization && allowed_of(request, part) >= needed)
        snprintf(text + n, bytes - (size_t)n, "raise --gpu-memory-utilization to %.2f", part);
    else
        snprintf(text + n, bytes - (size_t)n, "free memory%s, or take a smaller model",
                 fits > 0 ? ""
                          : ", set a smaller "
                            "--max-num-batched-tokens or --max-num-seqs");
}

// "of 23.6 GB, of which 20.1 GB are free, 21.7 GB may be taken (0.92)"
static const char *describe_device(const struct budget *budget,
                                   const struct budget_request *request, char *text, size_t bytes)
{
    snprintf(text, bytes, "of %s, of which %s are free, %s may be taken (at most %g)",
             show_bytes((double)budget->device.total), show_bytes((double)budget->device.available),
             show_bytes((double)budget->allowed_bytes), request->utilization);
    return text;
}

static enum status too_large(const struct budget *budget, const struct budget_request *request)
{
    char advice[256], device[160];
    uint64_t one_sequence = bytes_of_pages(budget, pages_of(request, request->max_model_len));
    advise(budget, request, budget->fixed_bytes - budget->allowed_bytes + one_sequence, 0, advice,
           sizeof advice);
    return fail(ERR_MEMORY,
                "weights, scratch and processes of %d rank%s take %s, but %s; with one sequence "
                "of max_model_len %lld, %s",
                budget->n_ranks, budget->n_ranks == 1 ? "" : "s",
                show_bytes((double)budget->fixed_bytes),
                describe_device(budget, request, device, sizeof device),
                (long long)request->max_model_len, advice);
}

static enum status too_few_pages(const struct budget *budget, const struct budget_request *request,
                                 int64_t pages)
{
    int64_t needed = pages_of(request, request->max_model_len);
    int64_t fits = kv_tokens_of_pages(&request->plan->kv, pages, request->rows_max);
    double needed_bytes = (double)needed * (double)budget->kv_page_bytes;
    char advice[256], device[160];
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
    advise(budget, request, bytes_of_pages(budget, needed) - room, fits, advice, sizeof advice);
    return fail(ERR_MEMORY,
                "the KV pool gets %s (%lld tokens): %s, weights, scratch and processes take %s; "
                "one sequence of max_model_len %lld needs %s; %s",
                show_bytes((double)room), (long long)fits,
                describe_device(budget, request, device, sizeof device),
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
    if (request->kv_cache_memory &&
        out->fixed_bytes - request->front_end_bytes + kv_bytes > request->device.available)
        log_warning("weights, scratch and --kv-cache-memory take %s together, but only %s are free",
                    show_bytes((double)(out->fixed_bytes + kv_bytes)),
                    show_bytes((double)request->device.available));
    uint64_t one_page = request->kv_cache_memory ? out->kv_page_bytes : bytes_of_pages(out, 1);
    int64_t pages = (int64_t)(kv_bytes / one_page);
    if (pages < pages_of(request, out->max_model_len)) {
        int64_t fits = kv_tokens_of_pages(&request->plan->kv, pages, request->rows_max);
        if (!request->fit_model_len || fits < 1)
            return too_few_pages(out, request, pages);
        out->max_model_len = fits;
    }
    // More than all sequences can use is of use to the prefix cache alone. It costs nothing before
    // it is used (engine_pages.c).
    out->sequence_pages = pages_of(request, out->max_model_len);
    int64_t all = out->sequence_pages * request->max_num_seqs;
    pages = pages < all || request->prefix_caching ? pages : all;
    pages = pages < KV_POOL_PAGES_MAX ? pages : KV_POOL_PAGES_MAX;
    out->kv_pages = pages;
    out->kv_bytes = (uint64_t)pages * out->kv_page_bytes;
    uint64_t tokens_bytes = bytes_of_pages(out, pages) - out->kv_bytes;
    out->front_end_bytes += tokens_bytes;
    out->fixed_bytes += tokens_bytes;
    return OK;
}

double budget_full_requests(const struct budget *budget)
{
    return (double)budget->kv_pages / (double)budget->sequence_pages;
}

int64_t budget_kv_tokens(const struct budget *budget)
{
    return budget->kv_pages * KV_PAGE_TOKENS / budget->kv_groups;
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
        char name[64];
        if (budget->n_stages > 1)
            snprintf(name, sizeof name, "rank %d, layers %d-%d", r, budget->layers[r].begin,
                     budget->layers[r].end - 1);
        else
            snprintf(name, sizeof name, "rank %d", r);
        add_budget_row(&table, name, memory->weight_bytes,
                       (uint64_t)(budget->kv_pages + budget->host_pages) * memory->kv_page_bytes,
                       memory->scratch_bytes, RANK_PROCESS_BYTES);
        weights += memory->weight_bytes;
        scratch += memory->scratch_bytes;
        others += RANK_PROCESS_BYTES;
    }
    add_budget_row(&table, "board and slots", 0, 0, 0, budget->shared_bytes);
    add_budget_row(&table, "front-end", 0, 0, 0, budget->front_end_bytes);
    uint64_t host_bytes = (uint64_t)budget->host_pages * budget->kv_page_bytes;
    add_budget_row(&table, "all", weights, budget->kv_bytes + host_bytes, scratch, others);
    enum status status = table_print(&table, stderr);
    (void)status; // out of memory for a table: the line below still comes
    table_fini(&table);
    if (budget->host_pages)
        fprintf(stderr, "KV offloading: %lld tokens more (%lld pages in host memory)\n",
                (long long)(budget->host_pages * KV_PAGE_TOKENS), (long long)budget->host_pages);
    fprintf(stderr,
            "KV cache: %lld tokens (%lld pages of %d): %.1f requests of max_model_len %lld at "
            "once\n%s may be taken of %s, of which %s are free\n",
            (long long)budget_kv_tokens(budget), (long long)budget->kv_pages, KV_PAGE_TOKENS,
            budget_full_requests(budget), (long long)budget->max_model_len,
            show_bytes((double)budget->allowed_bytes), show_bytes((double)budget->device.total),
            show_bytes((double)budget->device.available));
}

void budget_print_json(const struct budget *budget)
{
    fprintf(stderr,
            "{\"memory\":{\"total_bytes\":%llu,\"free_bytes\":%llu,\"allowed_bytes\":%llu,"
            "\"ranks\":[",
            (unsigned long long)budget->device.total, (unsigned long long)budget->device.available,
            (unsigned long long)budget->allowed_bytes);
    for (int r = 0; r < budget->n_ranks; r++) {
        const struct plan_memory *memory = &budget->ranks[r];
        fprintf(stderr,
                "%s{\"rank\":%d,\"layers\":[%d,%d],\"weight_bytes\":%llu,\"kv_bytes\":%llu,"
                "\"host_kv_bytes\":%llu,\"scratch_bytes\":%llu,\"process_bytes\":%llu}",
                r ? "," : "", r, budget->layers[r].begin, budget->layers[r].end,
                (unsigned long long)memory->weight_bytes,
                (unsigned long long)budget->kv_pages * memory->kv_page_bytes,
                (unsigned long long)budget->host_pages * memory->kv_page_bytes,
                (unsigned long long)memory->scratch_bytes, (unsigned long long)RANK_PROCESS_BYTES);
    }
    fprintf(stderr,
            "],\"board_and_slot_bytes\":%llu,\"front_end_bytes\":%llu,\"kv_tokens\":%lld,"
            "\"kv_pages\":%lld,\"max_model_len\":%lld,\"full_length_requests\":%.2f}}\n",
            (unsigned long long)budget->shared_bytes, (unsigned long long)budget->front_end_bytes,
            (long long)budget_kv_tokens(budget), (long long)budget->kv_pages,
            (long long)budget->max_model_len, budget_full_requests(budget));
}
