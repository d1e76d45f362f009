#include "engine/scheduler_states.h"

#include <assert.h>

static int32_t pages_of_interval(const struct scheduler *s)
{
    return s->kv.state_interval / KV_PAGE_TOKENS;
}

int32_t *sequence_state(const struct scheduler *s, const struct sequence *sequence, int32_t number)
{
    return sequence->states + (size_t)number * (size_t)s->kv.state_pages;
}

// One behind the state in which token n_tokens - 1 is.
static int32_t end_of_states(const struct scheduler *s, int32_t n_tokens)
{
    return kv_first_state(&s->kv, n_tokens) + 1;
}

int64_t states_missing(const struct scheduler *s, const struct sequence *sequence, int32_t n_tokens)
{
    if (!s->kv.state_pages)
        return 0;
    int64_t missing = end_of_states(s, n_tokens) - sequence->state_span.end;
    return missing > 0 ? missing * s->kv.state_pages : 0;
}

void states_take(struct scheduler *s, struct sequence *sequence, int32_t n_tokens)
{
    int64_t missing = states_missing(s, sequence, n_tokens);
    if (!missing)
        return;
    bool taken = kv_pool_take(s->pool, (int32_t)missing,
                              sequence_state(s, sequence, sequence->state_span.end));
    assert(taken);
    (void)taken;
    sequence->state_span.end = end_of_states(s, n_tokens);
}

static void give_up_to(struct scheduler *s, struct sequence *sequence, int32_t end)
{
    struct page_span *span = &sequence->state_span;
    if (end <= span->begin)
        return;
    int32_t *pages = sequence_state(s, sequence, span->begin);
    int32_t n = (end - span->begin) * s->kv.state_pages;
    kv_pool_give(s->pool, pages, n);
    for (int32_t i = 0; i < n; i++)
        pages[i] = -1;
    span->begin = end;
}

void states_give_all(struct scheduler *s, struct sequence *sequence)
{
    if (!s->kv.state_pages)
        return;
    give_up_to(s, sequence, sequence->state_span.end);
    sequence->state_span = (struct page_span){0, 0};
}

void states_release_behind(struct scheduler *s, struct sequence *sequence)
{
    if (!s->kv.state_pages)
        return;
    int32_t first = kv_first_state(&s->kv, sequence->n_computed), end = sequence->state_span.end;
    give_up_to(s, sequence, first < end ? first : end);
}

int64_t states_reserve(const struct scheduler *s, const struct sequence *sequence)
{
    int64_t missing = states_missing(s, sequence, sequence->n_tokens + KV_PAGE_TOKENS);
    return missing < s->kv.state_pages ? missing : s->kv.state_pages;
}

int32_t states_round(const struct scheduler *s, int32_t n_pages)
{
    return s->kv.state_pages ? n_pages - n_pages % pages_of_interval(s) : n_pages;
}

// The pages of a state are known beside the last page of the first group before it, numbered from
// the last group on.
static bool find_state(const struct scheduler *s, struct sequence *sequence, int32_t n_pages)
{
    int32_t *pages = sequence_state(s, sequence, n_pages / pages_of_interval(s) - 1);
    for (int32_t i = 0; i < s->kv.state_pages; i++) {
        pages[i] = prefix_cache_beside(s->cache, sequence->pages[n_pages - 1], s->kv.n_groups + i);
        if (pages[i] < 0)
            return false;
    }
    return true;
}

int32_t states_find(const struct scheduler *s, struct sequence *sequence, int32_t n_pages)
{
    if (!s->kv.state_pages)
        return n_pages;
    n_pages = states_round(s, n_pages);
    while (n_pages > 0 && !find_state(s, sequence, n_pages))
        n_pages -= pages_of_interval(s);
    return n_pages;
}

int32_t states_first_end(const struct scheduler *s, const struct sequence *sequence,
                         int32_t n_known)
{
    int32_t all = end_of_states(s, sequence->n_tokens);
    int64_t most = kv_first_state(&s->kv, n_known) +
                   kv_states_of_sequence(&s->kv, sequence->n_tokens, s->limits.rows_max);
    return most < all ? (int32_t)most : all;
}

void states_share(struct scheduler *s, struct sequence *sequence, int32_t n_pages)
{
    if (!s->kv.state_pages || n_pages % pages_of_interval(s))
        return;
    int32_t number = n_pages / pages_of_interval(s) - 1;
    if (number < sequence->state_span.begin)
        return;
    assert(number < sequence->state_span.end);
    const int32_t *tokens = sequence->tokens + (size_t)(n_pages - 1) * KV_PAGE_TOKENS;
    for (int32_t i = 0; i < s->kv.state_pages; i++)
        prefix_cache_put_beside(s->cache, &sequence->chain, s->kv.n_groups + i, tokens,
                                sequence_state(s, sequence, number)[i]);
}
