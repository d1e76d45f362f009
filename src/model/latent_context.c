// Latent attention over a cache that ranks divide by position (docs/numerics.md section 13).
#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/latent_context.h"

enum { GROUP_POSITIONS = KV_PAGE_TOKENS * KV_GROUP_PAGES };

static size_t sums_width(const struct latent_config *l)
{
    return attention_sums_width(l->kv_rank);
}

// ---- how much ----

// The most heads that ranks of one context attend together, and one rank by itself.
static void count_heads(const struct plan *plan, const struct cut *cut, size_t *together,
                        size_t *alone)
{
    size_t sum = 0;
    *together = *alone = 1;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        const size_t n = (size_t)range_width(cut->shares[rank].dims[DIM_HEADS]);
        sum = plan_context_rank(plan, rank) ? sum + n : n;
        *together = sum > *together ? sum : *together;
        *alone = n > *alone ? n : *alone;
    }
}

// Of a row's head: its query, as it is sent, or its sums.
static size_t exchange_width(const struct latent_config *l)
{
    const size_t key = (size_t)l->kv_rank + (size_t)l->rope_dim, sums = sums_width(l);
    return key > sums ? key : sums;
}

struct context_room context_room_of(const struct plan *plan, const struct cut *cut, int rank)
{
    const struct latent_config *l = &cut->sublayer->attention.latent;
    const size_t key = (size_t)l->kv_rank + (size_t)l->rope_dim,
                 own = (size_t)range_width(cut->shares[rank].dims[DIM_HEADS]);
    size_t together, alone;
    count_heads(plan, cut, &together, &alone);
    const size_t row = together * exchange_width(l) * sizeof(float);
    size_t rows = CONTEXT_EXCHANGE_BYTES / row;
    rows = rows < CONTEXT_ITEMS ? rows ? rows : 1 : CONTEXT_ITEMS;
    return (struct context_room){
        .state = own * sums_width(l),
        .rows = rows,
        .queries = rows * together * key * input_bytes(plan->cache),
        .exchange = rows * row,
        .pages = (size_t)CONTEXT_PAGES * KV_PAGE_TOKENS * key * compute_bytes(plan->cache),
        .thread = CONTEXT_CALL_ROWS * sums_width(l),
    };
}

int context_tokens_by_sums(const struct plan *plan, const struct cut *cut)
{
    const struct latent_config *l = &cut->sublayer->attention.latent;
    const size_t page = ((size_t)l->kv_rank + (size_t)l->rope_dim) * compute_bytes(plan->cache),
                 rows = context_room_of(plan, cut, 0).rows;
    size_t together, alone;
    count_heads(plan, cut, &together, &alone);
    // what a rank receives of a group of pages: the sums of its heads, or the pages
    const size_t n = GROUP_POSITIONS * page / (alone * sums_width(l) * sizeof(float));
    return (int)(n > rows ? rows : n > 1 ? n : 1);
}

// ---- one group of pages ----

const int32_t *context_pages(const struct latent_work *a, const struct context_item *item,
                             int *n_pages)
{
    const struct step_sequence *q = context_sequence(a, item);
    const struct kv_place *place = &a->m->kv[a->m->plan->config.kv_layer[a->layer]];
    const int64_t last = (q->position + q->n_tokens - 1) / KV_PAGE_TOKENS,
                  first = item->group * KV_GROUP_PAGES, rest = last + 1 - first;
    *n_pages = (int)(rest < KV_GROUP_PAGES ? rest : KV_GROUP_PAGES);
    return q->pages + (size_t)place->group * (size_t)q->pages_stride + first;
}

static void call_attention(const struct latent_work *a, const struct context_call *call,
                           int64_t position, int token, int n_tokens, int n_heads)
{
    const struct model *m = a->m;
    const size_t key = latent_key_width(a), sums = sums_width(&a->config->latent),
                 skipped = (size_t)(token - call->token);
    const struct attention attention = {
        .kv = call->kv,
        .n_heads = n_heads,
        .n_tokens = n_tokens,
        .position = position,
        .scale = a->config->scale,
        .q = call->queries + skipped * call->all_heads * key * input_bytes(m->plan->cache),
        .q_stride = call->all_heads * key,
        .out_type = m->plan->compute,
        .sums = call->sums + skipped * (size_t)call->n_heads * sums,
        .sums_stride = (size_t)call->n_heads * sums,
        .scratch = m->scratch.kernel + (size_t)a->w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->plan->cache == COMPUTE_BF16 ? m->order : ORDER_PAIRS,
    };
    m->kernels->attention(&attention);
}

// Tokens that see a part of the group each see one position more than the one before; those behind
// all see the same. Of these all rows are as heads of one token, where nothing lies between.
void attend_group(const struct latent_work *a, const struct context_item *item,
                  const struct context_call *call)
{
    const struct step_sequence *q = context_sequence(a, item);
    const int64_t first = item->group * GROUP_POSITIONS,
                  whole = first + GROUP_POSITIONS - 1 - q->position; // sees the last of the group
    const int end = call->token + call->n_tokens;
    int token = call->token;
    if (token < whole) {
        const int n = (int)(end < whole ? end : whole) - token;
        call_attention(a, call, q->position + token - first, token, n, call->n_heads);
        token += n;
    }
    if (token < end && call->all_heads == (size_t)call->n_heads)
        call_attention(a, call, GROUP_POSITIONS - 1, token, 1, (end - token) * call->n_heads);
    else
        for (; token < end; token++)
            call_attention(a, call, GROUP_POSITIONS - 1, token, 1, call->n_heads);
}

// M' = max(M, m);  a = exp(M - M');  b = exp(m - M');  L = fma(L, a, l·b);  O = fma(O, a, o·b)
void merge_sums(const struct latent_work *a, const struct context_item *item, int token, int head,
                float *sums)
{
    const struct model *m = a->m;
    const size_t rank = (size_t)a->config->latent.kv_rank, width = sums_width(&a->config->latent),
                 n_heads = (size_t)range_width(a->attended),
                 row = (size_t)context_sequence(a, item)->first_row + (size_t)token;
    float *all = m->scratch.context_state + (row * n_heads + (size_t)head) * width;
    if (item->group > 0) {
        const float most = sums[0] > all[0] ? sums[0] : all[0], before = number_exp(all[0] - most),
                    now = number_exp(sums[0] - most);
        sums[1] = fmaf(all[1], before, sums[1] * now);
        m->kernels->scale(sums + 2, now, rank);
        m->kernels->add_scaled(sums + 2, before, all + 2, rank);
        sums[0] = most;
    }
    memcpy(all, sums, width * sizeof *all);
}

// ---- by pages ----

static size_t page_bytes(const struct latent_work *a)
{
    return KV_PAGE_TOKENS * latent_key_width(a) * compute_bytes(a->m->plan->cache);
}

// Where a page lies among those of the piece: all of a rank's behind those of the ranks before.
struct page_slots {
    size_t bytes[COMM_RANKS_MAX]; // that each rank sends
    int32_t slot[CONTEXT_PAGES];
};

static void find_slots(const struct latent_work *a, const struct context_piece *piece,
                       struct page_slots *out)
{
    const int n_ranks = a->m->plan->context_ranks;
    int count[COMM_RANKS_MAX] = {0}, before[COMM_RANKS_MAX], at = 0, n_pages;
    for (int pass = 0; pass < 2; pass++, at = 0) { // counts, then gives
        for (int i = 0; i < piece->n; i++) {
            const int32_t *pages = context_pages(a, &piece->items[i], &n_pages);
            for (int k = 0; k < n_pages; k++, at++) {
                const int owner = pages[k] % n_ranks;
                if (pass)
                    out->slot[at] = before[owner]++;
                else
                    count[owner]++;
            }
        }
        for (int rank = 0, sum = 0; rank < n_ranks && pass == 0; sum += count[rank++]) {
            before[rank] = sum;
            out->bytes[rank] = (size_t)count[rank] * page_bytes(a);
        }
    }
    assert(at == 0);
}

// Own pages into their places, then those of the others.
static void gather_pages(const struct latent_work *a, const struct context_piece *piece,
                         const struct page_slots *places)
{
    struct model *m = a->m;
    const int n_ranks = m->plan->context_ranks;
    const size_t bytes = page_bytes(a);
    const char *from = m->kv_memory + m->kv[m->plan->config.kv_layer[a->layer]].offset;
    char *to = m->scratch.context_pages, *own = to;
    int n_pages, at = 0, turn = 0;
    for (int rank = 0; rank < m->context_rank; rank++)
        own += places->bytes[rank];
    for (int i = 0; i < piece->n; i++) {
        const int32_t *pages = context_pages(a, &piece->items[i], &n_pages);
        for (int k = 0; k < n_pages; k++, at++)
            if (pages[k] % n_ranks == m->context_rank && turn++ % a->w->n_threads == a->w->thread)
                memcpy(to + (size_t)places->slot[at] * bytes,
                       from + (size_t)(pages[k] / n_ranks) * m->page_stride, bytes);
    }
    team_barrier(m->team);
    if (a->w->thread == 0) {
        comm_mark(m->comm, a->w->run->step->number, a->layer, "latents");
        a->w->run->status =
            comm_all_gather(m->context, own, places->bytes[m->context_rank], places->bytes, to);
    }
    team_barrier(m->team);
}

// Some tokens and heads of a sequence, over its items [first, end) of the piece in turn. `slot`: of
// the first item's first page.
struct page_work {
    const struct context_piece *piece;
    int first, end;
    const int32_t *slot;
    int token, n_tokens;
    struct range heads; // of the attended ones
};

static void attend_pages(const struct latent_work *a, const struct page_work *work)
{
    const struct model *m = a->m;
    const size_t key = latent_key_width(a), width = sums_width(&a->config->latent),
                 n_heads = (size_t)range_width(a->attended);
    float *sums = m->scratch.context_rows + (size_t)a->w->thread * m->scratch.context_rows_stride;
    const int32_t *slot = work->slot;
    for (int i = work->first, n_pages; i < work->end; i++, slot += n_pages) {
        const struct context_item *item = &work->piece->items[i];
        (void)context_pages(a, item, &n_pages);
        const int token = work->token > item->begin ? work->token : item->begin,
                  n_tokens = work->token + work->n_tokens - token;
        if (n_tokens <= 0)
            continue;
        const size_t row = (size_t)context_sequence(a, item)->first_row + (size_t)token;
        const struct context_call call = {
            .kv = {.type = m->plan->cache,
                   .head_dim = (int)key,
                   .value_dim = a->config->latent.kv_rank,
                   .keys = m->scratch.context_pages,
                   .page_stride = page_bytes(a),
                   .pages = slot},
            .token = token,
            .n_tokens = n_tokens,
            .n_heads = range_width(work->heads),
            .all_heads = n_heads,
            .queries =
                (const char *)m->scratch.latent_query +
                (row * n_heads + (size_t)work->heads.begin) * key * input_bytes(m->plan->cache),
            .sums = sums,
        };
        attend_group(a, item, &call);
        for (int t = 0; t < n_tokens; t++)
            for (int h = 0; h < call.n_heads; h++)
                merge_sums(a, item, token + t, work->heads.begin + h,
                           sums + (size_t)(t * call.n_heads + h) * width);
    }
}

// Consecutive items of one sequence, over all of its tokens and this rank's heads; deals out calls.
static void attend_run(const struct latent_work *a, struct page_work work, int *turn)
{
    const struct step_sequence *q = context_sequence(a, &work.piece->items[work.first]);
    const int n_heads = range_width(a->attended), threads = a->w->n_threads;
    const int each = (q->n_tokens * n_heads + threads - 1) / threads,
              most = each < CONTEXT_CALL_HEADS ? each : CONTEXT_CALL_HEADS,
              heads = n_heads < most ? n_heads : most, block = CONTEXT_CALL_ROWS / heads;
    for (int head = 0; head < n_heads; head += heads)
        for (int token = 0; token < q->n_tokens; token += block) {
            work.heads = (struct range){head, head + heads < n_heads ? head + heads : n_heads};
            work.token = token;
            work.n_tokens = q->n_tokens - token < block ? q->n_tokens - token : block;
            if ((*turn)++ % threads == a->w->thread)
                attend_pages(a, &work);
        }
}

static void attend_by_pages(const struct latent_work *a, const struct context_piece *piece)
{
    struct page_slots places;
    find_slots(a, piece, &places);
    gather_pages(a, piece, &places);
    LEAVE_IF_FAILED(a->w);
    int turn = 0, n_pages = 0;
    const int32_t *slot = places.slot;
    for (int first = 0, end; first < piece->n; first = end) {
        const struct page_work work = {.piece = piece, .first = first, .slot = slot};
        for (end = first;
             end < piece->n && piece->items[end].sequence == piece->items[first].sequence; end++) {
            (void)context_pages(a, &piece->items[end], &n_pages);
            slot += n_pages;
        }
        struct page_work run = work;
        run.end = end;
        attend_run(a, run, &turn);
    }
    team_barrier(a->m->team);
}

// ---- all of it ----

// All threads and ranks find the same pieces.
struct context_walk {
    const struct latent_work *a;
    struct context_room room;
    int by_sums; // tokens
    struct context_piece piece;
};

static void flush_piece(struct context_walk *walk)
{
    struct context_piece *piece = &walk->piece;
    if (piece->n && walk->a->w->run->status == OK) {
        if (piece->by_pages)
            attend_by_pages(walk->a, piece);
        else
            attend_by_sums(walk->a, piece);
    }
    *piece = (struct context_piece){0};
}

static int owner_of_item(const struct latent_work *a, const struct context_item *item)
{
    const int n_ranks = a->m->plan->context_ranks;
    int n_pages;
    const int32_t *pages = context_pages(a, item, &n_pages);
    for (int i = 1; i < n_pages; i++)
        if (pages[i] % n_ranks != pages[0] % n_ranks)
            return -1;
    return pages[0] % n_ranks;
}

// Rows are counted as often as they have groups: for each its sums are sent.
static void add_item(struct context_walk *walk, struct context_item item, bool by_sums)
{
    struct context_piece *piece = &walk->piece;
    const struct step_sequence *q = context_sequence(walk->a, &item);
    const bool by_pages = !by_sums || item.owner < 0;
    const int n_rows = by_pages ? 0 : q->n_tokens;
    int n_pages = 0;
    if (by_pages)
        (void)context_pages(walk->a, &item, &n_pages);
    if (piece->n == CONTEXT_ITEMS || (piece->n && piece->by_pages != by_pages) ||
        piece->n_pages + n_pages > CONTEXT_PAGES ||
        (size_t)piece->n_rows + (size_t)n_rows > walk->room.rows)
        flush_piece(walk);
    piece->by_pages = by_pages;
    item.first_row = piece->n_rows;
    piece->n_pages += n_pages;
    piece->n_rows += n_rows;
    piece->items[piece->n++] = item;
}

static void finish_latent_rows(const struct latent_work *a)
{
    const struct model *m = a->m;
    const size_t n_heads = (size_t)range_width(a->attended), width = sums_width(&a->config->latent),
                 rank = (size_t)a->config->latent.kv_rank, item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(a->w);
    for (size_t i = (size_t)rows.begin * n_heads; i < (size_t)rows.end * n_heads; i++) {
        float *sums = m->scratch.context_state + i * width, *o = sums + 2;
        m->kernels->scale(o, 1.0f / sums[1], rank);
        m->kernels->add_scaled(o, 0, m->ones, rank); // + 0: no negative zero
        m->kernels->round(o, rank, m->plan->compute,
                          (char *)m->scratch.latent_sums + i * rank * item);
    }
}

void attend_context(const struct latent_work *a)
{
    const struct model *m = a->m;
    const struct step *step = a->w->run->step;
    struct context_walk walk = {
        .a = a,
        .room = context_room_of(m->plan, a->cut, m->rank),
        .by_sums = m->context_exchange == CONTEXT_BY_PAGES ? 0
                   : m->context_exchange == CONTEXT_BY_SUMS
                       ? INT32_MAX
                       : context_tokens_by_sums(m->plan, a->cut),
    };
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        const bool by_sums = q->n_tokens <= walk.by_sums && (size_t)q->n_tokens <= walk.room.rows;
        for (int64_t group = 0; group * GROUP_POSITIONS < q->position + q->n_tokens; group++) {
            const int64_t before = group * GROUP_POSITIONS - q->position;
            struct context_item item = {
                .sequence = s, .group = group, .begin = (int32_t)(before > 0 ? before : 0)};
            item.owner = owner_of_item(a, &item);
            add_item(&walk, item, by_sums);
        }
    }
    flush_piece(&walk);
    LEAVE_IF_FAILED(a->w);
    finish_latent_rows(a);
}
