#include "engine/budget.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "engine/kv_pool.h"

// Of the machine's memory the share that was asked for, unless less than that is free. What the
// front-end holds already is not free any more, and counts as taken.
static uint64_t allowed_of(const struct budget_node *node, double utilization)
{
    double share = utilization * (double)node->device.total;
    double rest = BUDGET_FREE_PART * (double)node->device.available + (double)node->front_end_bytes;
    return (uint64_t)(share < rest ? share : rest);
}

// The front-end keeps the tokens of each page, and who holds it and knows it (kv_pool.c,
// prefix_cache.c).
static uint64_t bytes_of_pages(const struct budget_part *part, int64_t pages)
{
    enum { RECORD_BYTES = 72 };
    return (uint64_t)pages *
           (part->kv_page_bytes + KV_PAGE_TOKENS * sizeof(int32_t) + RECORD_BYTES);
}

// Of a sequence, at most.
static int64_t pages_of(const struct budget_request *request, int64_t n_tokens)
{
    return kv_pages_of_sequence(&request->plan->kv, n_tokens, request->rows_max);
}

// The second pool is of the same memory on a CPU, and so has its part of what may be taken. A
// machine with fewer ranks has more room for each of their pages: the one with the least counts.
static enum status count_host_pages(const struct budget_request *request, struct budget *out)
{
    const int least = request->plan->context_ranks; // each of these has as many
    for (int i = 0; i < out->n_parts; i++) {
        uint64_t page_bytes = out->parts[i].kv_page_bytes;
        double pages = request->kv_offloading_size * (double)(1 << 30) / (double)page_bytes;
        if (pages == 0)
            return OK;
        if (pages < least || pages > KV_POOL_PAGES_MAX)
            return fail(ERR_USAGE,
                        "--kv-offloading-size is %g GiB, and a page takes %s; expected room for %d "
                        "to %d pages",
                        request->kv_offloading_size, show_bytes((double)page_bytes), least,
                        KV_POOL_PAGES_MAX);
        if (i == 0 || (int64_t)pages < out->host_pages)
            out->host_pages = (int64_t)pages;
    }
    out->host_pages -= out->host_pages % least;
    return OK;
}

static enum status sum_up(const struct budget_request *request, struct budget *out)
{
    *out = (struct budget){.n_ranks = plan_world_size(request->plan),
                           .n_stages = request->plan->n_stages,
                           .n_parts = request->n_nodes,
                           .shared_bytes = request->shared_bytes,
                           .kv_groups = request->plan->kv.n_groups,
                           .max_model_len = request->max_model_len};
    for (int r = 0; r < out->n_ranks; r++) {
        out->layers[r] = plan_stage_layers(request->plan, r / request->plan->n_ranks);
        TRY(plan_memory(request->plan, request->checkpoint, r, request->rows_max,
                        request->logit_rows_max, request->n_threads, &out->ranks[r]));
        out->file_bytes += out->ranks[r].file_bytes;
    }
    for (int i = 0; i < out->n_parts; i++) {
        const struct budget_node *node = &request->nodes[i];
        struct budget_part *part = &out->parts[i];
        *part = (struct budget_part){.node = node, .front_end_bytes = node->front_end_bytes};
        part->allowed_bytes = allowed_of(node, node->utilization);
        part->fixed_bytes = out->shared_bytes + part->front_end_bytes;
        for (int r = node->first_rank; r < node->first_rank + node->n_ranks; r++) {
            part->fixed_bytes +=
                out->ranks[r].weight_bytes + out->ranks[r].scratch_bytes + RANK_PROCESS_BYTES;
            part->kv_page_bytes += out->ranks[r].kv_page_bytes;
        }
    }
    TRY(count_host_pages(request, out));
    for (int i = 0; i < out->n_parts; i++) {
        struct budget_part *part = &out->parts[i];
        uint64_t bytes = bytes_of_pages(part, out->host_pages);
        part->fixed_bytes += bytes;
        part->front_end_bytes += bytes - (uint64_t)out->host_pages * part->kv_page_bytes;
    }
    return OK;
}

// What would make room for `missing` more bytes, as far as it is known to be enough.
static void advise(const struct budget_part *part, uint64_t missing, int64_t fits, char *text,
                   size_t bytes)
{
    const struct budget_node *node = part->node;
    uint64_t needed = part->allowed_bytes + missing;
    double share =
        node->device.total ? ceil(100.0 * (double)needed / (double)node->device.total) / 100 : 2;
    int n = snprintf(text, bytes, "%s are missing; ", show_bytes((double)missing));
    if (fits > 0)
        n += snprintf(text + n, bytes - (size_t)n, "set --max-model-len to %lld or less, or ",
                      (long long)fits);
    if (share <= 1 && share > node->utilization && allowed_of(node, share) >= needed)
        snprintf(text + n, bytes - (size_t)n, "raise --gpu-memory-utilization to %.2f", share);
    else
        snprintf(text + n, bytes - (size_t)n, "free memory%s, or take a smaller model",
                 fits > 0 ? ""
                          : ", set a smaller "
                            "--max-num-batched-tokens or --max-num-seqs");
}

// "of 23.6 GB, of which 20.1 GB are free, 21.7 GB may be taken (0.92)"
static const char *describe_device(const struct budget_part *part, char *text, size_t bytes)
{
    const struct budget_node *node = part->node;
    snprintf(text, bytes, "of %s, of which %s are free, %s may be taken (at most %g)",
             show_bytes((double)node->device.total), show_bytes((double)node->device.available),
             show_bytes((double)part->allowed_bytes), node->utilization);
    return text;
}

static enum status too_large(const struct budget_request *request, const struct budget_part *part)
{
    char advice[256], device[160];
    uint64_t one_sequence = bytes_of_pages(part, pages_of(request, request->max_model_len));
    advise(part, part->fixed_bytes - part->allowed_bytes + one_sequence, 0, advice, sizeof advice);
    return fail(ERR_MEMORY,
                "weights, scratch and processes of %d rank%s take %s, but %s; with one sequence "
                "of max_model_len %lld, %s",
                part->node->n_ranks, part->node->n_ranks == 1 ? "" : "s",
                show_bytes((double)part->fixed_bytes), describe_device(part, device, sizeof device),
                (long long)request->max_model_len, advice);
}

static enum status too_few_pages(const struct budget_request *request,
                                 const struct budget_part *part, int64_t pages)
{
    int64_t needed = pages_of(request, request->max_model_len);
    int64_t fits = kv_tokens_of_pages(&request->plan->kv, pages, request->rows_max);
    double needed_bytes = (double)needed * (double)part->kv_page_bytes;
    char advice[256], device[160];
    if (part->node->kv_cache_memory) {
        snprintf(advice, sizeof advice, ", or --max-model-len to %lld or less", (long long)fits);
        return fail(ERR_MEMORY,
                    "--kv-cache-memory %lld holds %lld tokens (%lld pages), but one sequence of "
                    "max_model_len %lld needs %s; set --kv-cache-memory to %.0f or more%s",
                    (long long)part->node->kv_cache_memory, (long long)fits, (long long)pages,
                    (long long)request->max_model_len, show_bytes(needed_bytes), needed_bytes,
                    fits > 0 ? advice : "");
    }
    uint64_t room = part->allowed_bytes - part->fixed_bytes;
    advise(part, bytes_of_pages(part, needed) - room, fits, advice, sizeof advice);
    return fail(ERR_MEMORY,
                "the KV pool gets %s (%lld tokens): %s, weights, scratch and processes take %s; "
                "one sequence of max_model_len %lld needs %s; %s",
                show_bytes((double)room), (long long)fits,
                describe_device(part, device, sizeof device), show_bytes((double)part->fixed_bytes),
                (long long)request->max_model_len, show_bytes(needed_bytes), advice);
}

// The pages for which one machine has room: those of one sequence at least, or of what fits.
static enum status count_pages(const struct budget_request *request, const struct budget_part *part,
                               int64_t *pages, int64_t *max_model_len)
{
    const struct budget_node *node = part->node;
    uint64_t kv_bytes;
    if (node->kv_cache_memory)
        kv_bytes = (uint64_t)node->kv_cache_memory;
    else if (part->fixed_bytes >= part->allowed_bytes)
        return too_large(request, part);
    else
        kv_bytes = part->allowed_bytes - part->fixed_bytes;
    if (node->kv_cache_memory &&
        part->fixed_bytes - node->front_end_bytes + kv_bytes > node->device.available)
        log_warning("%s%sweights, scratch and --kv-cache-memory take %s together, but only %s are "
                    "free",
                    node->name, node->name[0] ? ": " : "",
                    show_bytes((double)(part->fixed_bytes + kv_bytes)),
                    show_bytes((double)node->device.available));
    uint64_t one_page = node->kv_cache_memory ? part->kv_page_bytes : bytes_of_pages(part, 1);
    assert(one_page > 0);
    *pages = (int64_t)(kv_bytes / one_page);
    *pages -= *pages % request->plan->context_ranks;
    *max_model_len = request->max_model_len;
    if (*pages < pages_of(request, request->max_model_len)) {
        int64_t fits = kv_tokens_of_pages(&request->plan->kv, *pages, request->rows_max);
        if (!request->fit_model_len || fits < 1)
            return too_few_pages(request, part, *pages);
        *max_model_len = fits;
    }
    return OK;
}

enum status budget_compute(const struct budget_request *request, struct budget *out)
{
    assert(request->n_nodes > 0 && request->n_nodes <= CLUSTER_NODES_MAX);
    TRY(sum_up(request, out));
    int64_t pages = INT64_MAX;
    for (int i = 0; i < out->n_parts; i++) {
        int64_t own_pages = 0, own_len = 0;
        enum status status = count_pages(request, &out->parts[i], &own_pages, &own_len);
        if (status != OK && request->nodes[i].name[0])
            return fail_in(status, "%s", request->nodes[i].name);
        TRY(status);
        pages = own_pages < pages ? own_pages : pages;
        out->max_model_len = own_len < out->max_model_len ? own_len : out->max_model_len;
    }
    // More than all sequences can use is of use to the prefix cache alone. It costs nothing before
    // it is used (engine_pages.c).
    out->sequence_pages = pages_of(request, out->max_model_len);
    out->sequence_state_pages =
        request->plan->kv.state_pages *
        kv_states_of_sequence(&request->plan->kv, out->max_model_len, request->rows_max);
    const int owners = request->plan->context_ranks; // of a page one of them; each has as many
    int64_t all =
        (int64_t)round_up((size_t)(out->sequence_pages * request->max_num_seqs), (size_t)owners);
    pages = pages < all || request->prefix_caching ? pages : all;
    pages = pages < KV_POOL_PAGES_MAX ? pages : KV_POOL_PAGES_MAX;
    pages -= pages % owners;
    out->kv_pages = pages;
    for (int i = 0; i < out->n_parts; i++) {
        struct budget_part *part = &out->parts[i];
        part->kv_bytes = (uint64_t)pages * part->kv_page_bytes;
        uint64_t tokens_bytes = bytes_of_pages(part, pages) - part->kv_bytes;
        part->front_end_bytes += tokens_bytes;
        part->fixed_bytes += tokens_bytes;
    }
    return OK;
}

double budget_full_requests(const struct budget *budget)
{
    return (double)budget->kv_pages / (double)budget->sequence_pages;
}

int64_t budget_kv_tokens(const struct budget *budget)
{
    const int64_t keys = budget->sequence_pages - budget->sequence_state_pages;
    return budget->kv_pages * keys / budget->sequence_pages * KV_PAGE_TOKENS / budget->kv_groups;
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

static void show_rank(const struct budget *budget, int rank, struct table *table)
{
    const struct plan_memory *memory = &budget->ranks[rank];
    char name[64];
    if (budget->n_stages > 1)
        snprintf(name, sizeof name, "rank %d, layers %d-%d", rank, budget->layers[rank].begin,
                 budget->layers[rank].end - 1);
    else
        snprintf(name, sizeof name, "rank %d", rank);
    add_budget_row(table, name, memory->weight_bytes,
                   (uint64_t)(budget->kv_pages + budget->host_pages) * memory->kv_page_bytes,
                   memory->scratch_bytes, RANK_PROCESS_BYTES);
}

struct budget_sums {
    uint64_t weights, kv, scratch, others;
};

// Of several machines each has a row that sums it up.
static void show_part(const struct budget *budget, int i, struct table *table,
                      struct budget_sums *all)
{
    const struct budget_part *part = &budget->parts[i];
    const struct budget_node *node = part->node;
    struct budget_sums own = {.kv = part->kv_bytes +
                                    (uint64_t)budget->host_pages * part->kv_page_bytes,
                              .others = budget->shared_bytes + part->front_end_bytes};
    for (int r = node->first_rank; r < node->first_rank + node->n_ranks; r++) {
        show_rank(budget, r, table);
        own.weights += budget->ranks[r].weight_bytes;
        own.scratch += budget->ranks[r].scratch_bytes;
        own.others += RANK_PROCESS_BYTES;
    }
    add_budget_row(table, "board and slots", 0, 0, 0, budget->shared_bytes);
    add_budget_row(table, "front-end", 0, 0, 0, part->front_end_bytes);
    if (node->name[0])
        add_budget_row(table, node->name, own.weights, own.kv, own.scratch, own.others);
    all->weights += own.weights;
    all->kv += own.kv;
    all->scratch += own.scratch;
    all->others += own.others;
}

void budget_print(const struct budget *budget)
{
    struct table table;
    table_init(&table, 6);
    const char *heading[] = {"memory", "weights", "KV", "scratch", "process", "total"};
    for (int i = 0; i < 6; i++)
        table_cell(&table, "%s", heading[i]);
    struct budget_sums all = {0};
    for (int i = 0; i < budget->n_parts; i++)
        show_part(budget, i, &table, &all);
    add_budget_row(&table, "all", all.weights, all.kv, all.scratch, all.others);
    enum status status = table_print(&table, stderr);
    (void)status; // out of memory for a table: the line below still comes
    table_fini(&table);
    if (budget->host_pages)
        fprintf(stderr, "KV offloading: %lld tokens more (%lld pages in host memory)\n",
                (long long)(budget->host_pages * KV_PAGE_TOKENS), (long long)budget->host_pages);
    fprintf(stderr,
            "KV cache: %lld tokens (%lld pages of %d): %.1f requests of max_model_len %lld at "
            "once\n",
            (long long)budget_kv_tokens(budget), (long long)budget->kv_pages, KV_PAGE_TOKENS,
            budget_full_requests(budget), (long long)budget->max_model_len);
    for (int i = 0; i < budget->n_parts; i++) {
        const struct budget_part *part = &budget->parts[i];
        const struct budget_node *node = part->node;
        fprintf(stderr, "%s%s%s may be taken of %s, of which %s are free\n", node->name,
                node->name[0] ? ": " : "", show_bytes((double)part->allowed_bytes),
                show_bytes((double)node->device.total), show_bytes((double)node->device.available));
    }
}

static void print_nodes_json(const struct budget *budget)
{
    for (int i = 0; i < budget->n_parts && budget->n_parts > 1; i++) {
        const struct budget_part *part = &budget->parts[i];
        fprintf(stderr,
                "%s{\"node\":%d,\"first_rank\":%d,\"ranks\":%d,\"total_bytes\":%llu,"
                "\"free_bytes\":%llu,\"allowed_bytes\":%llu,\"front_end_bytes\":%llu}%s",
                i ? "," : "\"nodes\":[", i, part->node->first_rank, part->node->n_ranks,
                (unsigned long long)part->node->device.total,
                (unsigned long long)part->node->device.available,
                (unsigned long long)part->allowed_bytes, (unsigned long long)part->front_end_bytes,
                i + 1 < budget->n_parts ? "" : "],");
    }
}

void budget_print_json(const struct budget *budget)
{
    const struct budget_part *here = &budget->parts[0];
    fprintf(stderr, "{\"memory\":{\"total_bytes\":%llu,\"free_bytes\":%llu,\"allowed_bytes\":%llu,",
            (unsigned long long)here->node->device.total,
            (unsigned long long)here->node->device.available,
            (unsigned long long)here->allowed_bytes);
    print_nodes_json(budget);
    fprintf(stderr, "\"ranks\":[");
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
            (unsigned long long)budget->shared_bytes, (unsigned long long)here->front_end_bytes,
            (long long)budget_kv_tokens(budget), (long long)budget->kv_pages,
            (long long)budget->max_model_len, budget_full_requests(budget));
}
