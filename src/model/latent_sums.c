// Latent attention over a cache that ranks divide by position, by sums: see latent_context.h.
//
// Of a piece, every rank of the context gets the queries of all, [rows, heads of all], attends the
// groups of pages that it owns, and sends each rank the sums of its heads.
#include <assert.h>
#include <string.h>

#include "model/latent_context.h"

static size_t query_bytes(const struct latent_work *a)
{
    return latent_key_width(a) * input_bytes(a->m->plan->cache);
}

static size_t row_sums(const struct latent_work *a)
{
    return attention_sums_width(a->config->latent.kv_rank);
}

static size_t own_heads(const struct latent_work *a)
{
    return (size_t)range_width(a->attended);
}

static size_t all_heads(const struct latent_work *a)
{
    size_t sum = 0;
    for (int rank = 0; rank < a->m->plan->context_ranks; rank++)
        sum += (size_t)range_width(context_heads(a, rank));
    return sum;
}

static int item_tokens(const struct latent_work *a, const struct context_item *item)
{
    return context_sequence(a, item)->n_tokens;
}

// Whether it is the piece's first item of its sequence, whose rows of queries are sent once.
static bool begins_sequence(const struct context_piece *piece, int i)
{
    return i == 0 || piece->items[i].sequence != piece->items[i - 1].sequence;
}

static size_t count_query_rows(const struct latent_work *a, const struct context_piece *piece)
{
    size_t rows = 0;
    for (int i = 0; i < piece->n; i++)
        if (begins_sequence(piece, i))
            rows += (size_t)item_tokens(a, &piece->items[i]);
    return rows;
}

// ---- queries ----

// [rows, heads] of each rank, one after the other, in scratch.context_sums.
static void exchange_queries(const struct latent_work *a, const struct context_piece *piece)
{
    struct model *m = a->m;
    const size_t rows = count_query_rows(a, piece), own = own_heads(a) * query_bytes(a);
    size_t bytes[COMM_RANKS_MAX], before = 0;
    char *to = (char *)m->scratch.context_sums;
    for (int rank = 0; rank < m->plan->context_ranks; rank++) {
        bytes[rank] = rows * (size_t)range_width(context_heads(a, rank)) * query_bytes(a);
        before += rank < m->context_rank ? bytes[rank] : 0;
    }
    char *at = to + before;
    for (int i = 0; i < piece->n && a->w->thread == 0; i++)
        if (begins_sequence(piece, i)) {
            const struct step_sequence *q = context_sequence(a, &piece->items[i]);
            const size_t n = (size_t)q->n_tokens * own;
            memcpy(at, (const char *)m->scratch.latent_query + (size_t)q->first_row * own, n);
            at += n;
        }
    if (a->w->thread == 0) {
        comm_mark(m->comm, a->w->run->step->number, a->layer, "queries of latents");
        a->w->run->status = comm_all_gather(m->context, to + before, rows * own, bytes, to);
    }
    team_barrier(m->team);
}

// ... and in scratch.context_queries [rows, heads of all].
static void join_queries(const struct latent_work *a, const struct context_piece *piece)
{
    const struct model *m = a->m;
    const size_t rows = count_query_rows(a, piece), all = all_heads(a) * query_bytes(a);
    const char *from = (const char *)m->scratch.context_sums;
    char *to = m->scratch.context_queries;
    for (int rank = 0; rank < m->plan->context_ranks; rank++) {
        const size_t n = (size_t)range_width(context_heads(a, rank)) * query_bytes(a);
        for (size_t row = 0; row < rows; row++, from += n)
            if (row % (size_t)a->w->n_threads == (size_t)a->w->thread)
                memcpy(to + row * all, from, n);
        to += n;
    }
    team_barrier(m->team);
}

// ---- sums ----

// One item of this rank's, some heads of those of all ranks. `rows`: before it, of queries and of
// the rank's items.
static void attend_own(const struct latent_work *a, const struct context_item *item,
                       struct range heads, size_t query_row, size_t sums_row)
{
    const struct model *m = a->m;
    const size_t all = all_heads(a);
    int n_pages;
    const int32_t *pages = context_pages(a, item, &n_pages);
    const struct kv_place *place = &m->kv[m->plan->config.kv_layer[a->layer]];
    int32_t own_pages[KV_GROUP_PAGES];
    for (int i = 0; i < n_pages; i++)
        own_pages[i] = pages[i] / m->plan->context_ranks;
    const int n_tokens = item_tokens(a, item), n_heads = range_width(heads);
    // whole tokens are one call, and so are some heads of one token
    const int step = (size_t)n_heads == all ? n_tokens : 1;
    for (int token = 0; token < n_tokens; token += step) {
        const int first = token > item->begin ? token : item->begin;
        if (first >= token + step)
            continue;
        const size_t at = (size_t)first * all + (size_t)heads.begin;
        attend_group(
            a, item,
            &(struct context_call){
                .kv = {.type = m->plan->cache,
                       .head_dim = (int)latent_key_width(a),
                       .value_dim = a->config->latent.kv_rank,
                       .keys = m->kv_memory + place->offset,
                       .page_stride = m->page_stride,
                       .pages = own_pages},
                .token = first,
                .n_tokens = token + step - first,
                .n_heads = n_heads,
                .all_heads = all,
                .queries = m->scratch.context_queries + (query_row * all + at) * query_bytes(a),
                .sums = m->scratch.context_sums + (sums_row * all + at) * row_sums(a),
            });
    }
}

// Deals out items, or heads of them where there are fewer items than threads.
static void attend_owned(const struct latent_work *a, const struct context_piece *piece)
{
    const int all = (int)all_heads(a), threads = a->w->n_threads;
    int n_own = 0, turn = 0;
    for (int i = 0; i < piece->n; i++)
        n_own += piece->items[i].owner == a->m->context_rank;
    const int parts = n_own && n_own < threads ? (threads + n_own - 1) / n_own : 1,
              heads = (all + parts - 1) / parts;
    size_t next_query = 0, query_row = 0, sums_row = 0;
    for (int i = 0; i < piece->n; i++) {
        const struct context_item *item = &piece->items[i];
        if (begins_sequence(piece, i)) {
            query_row = next_query;
            next_query += (size_t)item_tokens(a, item);
        }
        if (item->owner != a->m->context_rank)
            continue;
        for (int head = 0; head < all; head += heads)
            if (turn++ % threads == a->w->thread)
                attend_own(a, item, (struct range){head, head + heads < all ? head + heads : all},
                           query_row, sums_row);
        sums_row += (size_t)item_tokens(a, item);
    }
    team_barrier(a->m->team);
}

static size_t rows_of_owner(const struct latent_work *a, const struct context_piece *piece,
                            int owner)
{
    size_t rows = 0;
    for (int i = 0; i < piece->n; i++)
        if (piece->items[i].owner == owner)
            rows += (size_t)item_tokens(a, &piece->items[i]);
    return rows;
}

// Each rank's heads of all rows, in scratch.context_packed, one rank after the other.
static void pack_sums(const struct latent_work *a, const struct context_piece *piece)
{
    const struct model *m = a->m;
    const size_t rows = rows_of_owner(a, piece, m->context_rank), all = all_heads(a) * row_sums(a);
    const float *from = m->scratch.context_sums;
    float *to = m->scratch.context_packed;
    for (int rank = 0; rank < m->plan->context_ranks; rank++) {
        const size_t n = (size_t)range_width(context_heads(a, rank)) * row_sums(a);
        for (size_t row = 0; row < rows; row++, to += n)
            if (row % (size_t)a->w->n_threads == (size_t)a->w->thread)
                memcpy(to, from + row * all, n * sizeof *to);
        from += n;
    }
    team_barrier(m->team);
}

static float *packed_for(const struct latent_work *a, const struct context_piece *piece, int rank)
{
    const size_t rows = rows_of_owner(a, piece, a->m->context_rank);
    float *at = a->m->scratch.context_packed;
    for (int r = 0; r < rank; r++)
        at += rows * (size_t)range_width(context_heads(a, r)) * row_sums(a);
    return at;
}

// This rank's heads of the rows of an owner, once they are there.
static float *sums_from(const struct latent_work *a, const struct context_piece *piece, int owner)
{
    float *at = a->m->scratch.context_sums;
    if (owner == a->m->context_rank)
        return packed_for(a, piece, owner);
    for (int rank = 0; rank < owner; rank++)
        if (rank != a->m->context_rank)
            at += rows_of_owner(a, piece, rank) * own_heads(a) * row_sums(a);
    return at;
}

static enum status send_sums(const struct latent_work *a, const struct context_piece *piece, int to)
{
    const size_t n = rows_of_owner(a, piece, a->m->context_rank) *
                     (size_t)range_width(context_heads(a, to)) * row_sums(a);
    return n ? comm_send(a->m->context, packed_for(a, piece, to), n * sizeof(float), to) : OK;
}

static enum status receive_sums(const struct latent_work *a, const struct context_piece *piece,
                                int from)
{
    const size_t n = rows_of_owner(a, piece, from) * own_heads(a) * row_sums(a);
    return n ? comm_recv(a->m->context, sums_from(a, piece, from), n * sizeof(float), from) : OK;
}

// Each pair of ranks in its round, the one with the smaller number sends first: nobody waits for
// one who waits for him.
static enum status swap_sums(const struct latent_work *a, const struct context_piece *piece)
{
    const struct model *m = a->m;
    const int n_ranks = m->plan->context_ranks, own = m->context_rank;
    comm_mark(m->comm, a->w->run->step->number, a->layer, "sums of latents");
    for (int round = 0; round < n_ranks; round++) {
        const int peer = (round + n_ranks - own) % n_ranks;
        if (peer > own)
            TRY(send_sums(a, piece, peer));
        if (peer != own)
            TRY(receive_sums(a, piece, peer));
        if (peer < own)
            TRY(send_sums(a, piece, peer));
    }
    return OK;
}

// Of this thread's heads, group after group.
static void merge_piece(const struct latent_work *a, const struct context_piece *piece)
{
    const size_t n_heads = own_heads(a);
    float *next[COMM_RANKS_MAX];
    for (int owner = 0; owner < a->m->plan->context_ranks; owner++)
        next[owner] = sums_from(a, piece, owner);
    for (int i = 0; i < piece->n; i++) {
        const struct context_item *item = &piece->items[i];
        for (int token = 0; token < item_tokens(a, item); token++)
            for (size_t head = 0; head < n_heads; head++, next[item->owner] += row_sums(a))
                if (token >= item->begin &&
                    (size_t)(token + (int)head) % (size_t)a->w->n_threads == (size_t)a->w->thread)
                    merge_sums(a, item, token, (int)head, next[item->owner]);
    }
    team_barrier(a->m->team);
}

void attend_by_sums(const struct latent_work *a, const struct context_piece *piece)
{
    team_barrier(a->m->team); // all have looked at the run's status before it may change
    exchange_queries(a, piece);
    LEAVE_IF_FAILED(a->w);
    join_queries(a, piece);
    attend_owned(a, piece);
    pack_sums(a, piece);
    if (a->w->thread == 0)
        a->w->run->status = swap_sums(a, piece);
    team_barrier(a->m->team);
    LEAVE_IF_FAILED(a->w);
    merge_piece(a, piece);
}
