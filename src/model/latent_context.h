// Latent attention over a cache that ranks divide by position: latent_context.c and latent_sums.c.
//
// A page has one owner among the ranks of a context. As the sublayer's queries
// meet them, some groups of pages (KV_GROUP_PAGES) at a time, a "piece", are attended in one of two
// ways, in ascending order for each sequence:
//   by sums    who owns a group of pages attends it for the heads of all ranks, whose queries it
//              gets, and sends each rank the sums of its heads
//   by pages   the owners send their pages to all, and each rank attends its heads
// Either way the sums of groups are merged in the order, and with the roundings, of one rank.
#ifndef COLROW_MODEL_LATENT_CONTEXT_H
#define COLROW_MODEL_LATENT_CONTEXT_H

#include "model/latent_work.h"

enum { CONTEXT_ITEMS = 256, CONTEXT_PAGES = 64, CONTEXT_EXCHANGE_BYTES = 8 << 20 };
// Rows (a token's head each) of one call of attention over pages that have come, and heads.
enum { CONTEXT_CALL_ROWS = 96, CONTEXT_CALL_HEADS = 64 };
struct context_item {
    int32_t sequence;
    int32_t first_row; // of the piece's rows: of its sequence's new tokens
    int32_t begin;     // of the sequence's tokens: from there on they see the group
    int64_t group;
    int owner; // whose pages they are; -1: of several
};
struct context_piece {
    int n;
    bool by_pages;
    int n_pages, n_rows; // of all items; of their sequences
    struct context_item items[CONTEXT_ITEMS];
};

// scratch.latent_query against all cached positions, to scratch.latent_sums. A barrier before;
// the run may have failed.
void attend_context(const struct latent_work *a);
// What that takes of memory (model/scratch.h), and how many new tokens of a sequence are attended
// by sums, at most.
struct context_room {
    size_t state;             // floats of a row
    size_t rows;              // of a piece by sums
    size_t queries, exchange; // bytes
    size_t pages, thread;     // bytes, floats
};
struct context_room context_room_of(const struct plan *plan, const struct cut *cut, int rank);
int context_tokens_by_sums(const struct plan *plan, const struct cut *cut);
// Attends `n_tokens` tokens from `token` on of an item's sequence, for `n_heads` heads, into `sums`
// [n_tokens, n_heads, sums]. `queries`: of the first token and head, [token, all_heads, key]; `kv`
// of the group's pages alone.
struct context_call {
    struct kv_view kv;
    int token, n_tokens, n_heads;
    size_t all_heads;
    const char *queries;
    float *sums;
};
void attend_group(const struct latent_work *a, const struct context_item *item,
                  const struct context_call *call);
// The sums of a row's group of pages, which are written over, join those of the groups before.
void merge_sums(const struct latent_work *a, const struct context_item *item, int token, int head,
                float *sums);
// latent_sums.c: a piece by sums. Barriers before and after.
void attend_by_sums(const struct latent_work *a, const struct context_piece *piece);

// The ids of an item's pages.
const int32_t *context_pages(const struct latent_work *a, const struct context_item *item,
                             int *n_pages);
static inline const struct step_sequence *context_sequence(const struct latent_work *a,
                                                           const struct context_item *item)
{
    return &a->w->run->step->sequences[item->sequence];
}
// Heads that a rank of this context attends.
static inline struct range context_heads(const struct latent_work *a, int context_rank)
{
    const int first = a->m->rank - a->m->context_rank;
    return a->cut->shares[first + context_rank].dims[DIM_HEADS];
}

#endif
