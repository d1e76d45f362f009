#include "engine/scheduler_pages.h"

#include <assert.h>

#include "engine/scheduler_states.h"

static int32_t *table_of(const struct sequence *sequence, int group)
{
    return sequence->pages + (size_t)group * (size_t)sequence->pages_max;
}

static int32_t first_page(const struct scheduler *s, int group, int32_t n_computed)
{
    return (int32_t)kv_first_page(s->kv.windows[group], n_computed);
}

void sequence_give_pages(struct scheduler *s, struct sequence *sequence)
{
    for (int group = s->kv.n_groups - 1; group >= 0; group--) {
        struct page_span *span = &sequence->spans[group];
        kv_pool_give(s->pool, table_of(sequence, group) + span->begin, span->end - span->begin);
        *span = (struct page_span){0, 0};
    }
    states_give_all(s, sequence);
    sequence->n_computed = 0;
}

bool sequence_has_pages(const struct scheduler *s, const struct sequence *sequence)
{
    for (int group = 0; group < s->kv.n_groups; group++)
        if (sequence->spans[group].begin < sequence->spans[group].end)
            return true;
    return sequence->state_span.begin < sequence->state_span.end;
}

void sequence_release_behind(struct scheduler *s, struct sequence *sequence)
{
    for (int group = 0; group < s->kv.n_groups; group++) {
        struct page_span *span = &sequence->spans[group];
        int32_t *pages = table_of(sequence, group);
        int32_t first = first_page(s, group, sequence->n_computed);
        first = first < span->end ? first : span->end;
        if (first <= span->begin)
            continue;
        kv_pool_give(s->pool, pages + span->begin, first - span->begin);
        for (; span->begin < first; span->begin++)
            pages[span->begin] = -1;
    }
    states_release_behind(s, sequence);
}

bool sequence_take_missing(struct scheduler *s, struct sequence *sequence, int32_t n_tokens)
{
    int32_t end = (int32_t)kv_pages_for(n_tokens);
    int64_t missing = 0;
    assert(end <= sequence->pages_max);
    for (int group = 0; group < s->kv.n_groups; group++)
        if (sequence->spans[group].end < end)
            missing += end - sequence->spans[group].end;
    if (missing + states_missing(s, sequence, n_tokens) > kv_pool_available(s->pool))
        return false;
    states_take(s, sequence, n_tokens);
    for (int group = 0; missing && group < s->kv.n_groups; group++) {
        struct page_span *span = &sequence->spans[group];
        if (span->end >= end)
            continue;
        bool taken = kv_pool_take_span(s->pool, table_of(sequence, group), span->end, end);
        assert(taken);
        (void)taken;
        span->end = end;
    }
    return true;
}

int64_t sequence_reserve(const struct scheduler *s, const struct sequence *sequence)
{
    return sequence->spans[0].end < sequence->pages_max
               ? s->kv.n_groups + states_reserve(s, sequence)
               : 0;
}

// ---- known prefixes ----

int32_t sequence_dispensable(const struct sequence *sequence)
{
    bool all = !sequence->prompt_logits || sequence->n_prompt_logits == sequence->n_prompt;
    return all ? sequence->n_tokens - 1 : sequence->n_prompt_logits;
}

// How many of the first `n` pages are of use when a group but the first needs those of its window:
// fills its table, and goes back until they are all known.
static int32_t find_beside(const struct scheduler *s, struct sequence *sequence, int group,
                           int32_t n)
{
    const int32_t *first = table_of(sequence, 0);
    int32_t *pages = table_of(sequence, group);
    for (int32_t i = n; i > first_page(s, group, n * KV_PAGE_TOKENS);) {
        i--;
        pages[i] = prefix_cache_beside(s->cache, first[i], group);
        if (pages[i] < 0)
            n = i; // nothing behind it is of use either
    }
    return n;
}

// Until all groups agree.
static int32_t find_common(const struct scheduler *s, struct sequence *sequence, int32_t n)
{
    for (int32_t before = -1; before != n;) {
        before = n;
        for (int group = 1; group < s->kv.n_groups; group++)
            n = find_beside(s, sequence, group, n);
        n = states_find(s, sequence, n);
    }
    return n;
}

static void count_place(const struct scheduler *s, int32_t place, struct known_prefix *prefix)
{
    prefix->n_held++;
    if (prefix_cache_is_host(s->cache, place))
        prefix->n_host++;
    else
        prefix->n_free += kv_pool_is_free(s->pool, place);
}

static void count_places(const struct scheduler *s, const struct sequence *sequence,
                         struct known_prefix *prefix)
{
    for (int32_t i = 0; prefix->n_pages && i < s->kv.state_pages; i++)
        count_place(s,
                    sequence_state(s, sequence,
                                   kv_first_state(&s->kv, prefix->n_pages * KV_PAGE_TOKENS))[i],
                    prefix);
    for (int group = 0; group < s->kv.n_groups; group++) {
        const int32_t *pages = table_of(sequence, group);
        int32_t i = first_page(s, group, prefix->n_pages * KV_PAGE_TOKENS);
        for (; i < prefix->n_pages; i++)
            count_place(s, pages[i], prefix);
    }
}

struct known_prefix sequence_known_prefix(const struct scheduler *s, struct sequence *sequence)
{
    struct known_prefix prefix = {0};
    page_chain_begin(&prefix.chain, sequence->scope);
    if (!s->cache)
        return prefix;
    int32_t most = sequence_dispensable(sequence) / KV_PAGE_TOKENS;
    prefix.n_pages =
        prefix_cache_find(s->cache, &prefix.chain, sequence->tokens, most, table_of(sequence, 0));
    int32_t common = find_common(s, sequence, prefix.n_pages);
    if (common < prefix.n_pages) {
        page_chain_begin(&prefix.chain, sequence->scope);
        prefix.n_pages = prefix_cache_find(s->cache, &prefix.chain, sequence->tokens, common,
                                           table_of(sequence, 0));
        assert(prefix.n_pages == common);
    }
    count_places(s, sequence, &prefix);
    return prefix;
}

// Where a group's pages end when the sequence starts behind `n_known` pages: all of its tokens', or
// as many as it ever holds.
static int32_t first_end(const struct scheduler *s, const struct sequence *sequence, int group,
                         int32_t n_known)
{
    int32_t all = (int32_t)kv_pages_for(sequence->n_tokens);
    int64_t most = first_page(s, group, n_known * KV_PAGE_TOKENS) +
                   kv_pages_of_group(&s->kv, group, sequence->n_tokens, s->limits.rows_max);
    return most < all ? (int32_t)most : all;
}

int64_t sequence_start_takes(const struct scheduler *s, const struct sequence *sequence,
                             const struct known_prefix *prefix)
{
    const int32_t n_known = prefix->n_pages * KV_PAGE_TOKENS;
    int64_t taken = 0;
    if (s->kv.state_pages)
        taken = (states_first_end(s, sequence, n_known) - kv_first_state(&s->kv, n_known)) *
                (int64_t)s->kv.state_pages;
    for (int group = 0; group < s->kv.n_groups; group++)
        taken += first_end(s, sequence, group, prefix->n_pages) - first_page(s, group, n_known);
    return taken - (prefix->n_held - prefix->n_host - prefix->n_free); // those others hold, too
}

static bool load_host_pages(struct scheduler *s, int32_t *pages, int32_t n)
{
    bool taken = true;
    for (int32_t i = 0; i < n; i++)
        if (prefix_cache_is_host(s->cache, pages[i])) {
            int32_t place = pages[i];
            const int owner = (int)(place % kv_pool_owners(s->pool));
            taken = kv_pool_take_of(s->pool, owner, &pages[i]) && taken;
            prefix_cache_load(s->cache, place, pages[i]);
        }
    return taken;
}

// The state behind the known pages, and those that are taken; the former before any are taken.
static void hold_state(struct scheduler *s, struct sequence *sequence)
{
    struct page_span *span = &sequence->state_span;
    if (!s->kv.state_pages)
        return;
    span->begin = span->end = kv_first_state(&s->kv, sequence->n_computed);
    if (sequence->n_computed == 0)
        return;
    prefix_cache_hold(s->cache, sequence_state(s, sequence, span->end), s->kv.state_pages);
    span->end++;
}

static bool take_first_states(struct scheduler *s, struct sequence *sequence, bool load)
{
    struct page_span *span = &sequence->state_span;
    if (!s->kv.state_pages)
        return true;
    int32_t end = states_first_end(s, sequence, sequence->n_computed);
    bool taken = !load || load_host_pages(s, sequence_state(s, sequence, span->begin),
                                          (span->end - span->begin) * s->kv.state_pages);
    taken = kv_pool_take(s->pool, (end - span->end) * s->kv.state_pages,
                         sequence_state(s, sequence, span->end)) &&
            taken;
    span->end = end;
    return taken;
}

void sequence_take_first(struct scheduler *s, struct sequence *sequence,
                         const struct known_prefix *prefix)
{
    bool taken = true;
    sequence->n_computed = prefix->n_pages * KV_PAGE_TOKENS;
    sequence->chain = prefix->chain;
    for (int group = 0; group < s->kv.n_groups; group++) { // first, lest they are taken
        struct page_span *span = &sequence->spans[group];
        span->begin = first_page(s, group, sequence->n_computed);
        span->end = prefix->n_pages;
        for (int32_t i = 0; i < span->begin; i++)
            table_of(sequence, group)[i] = -1;
        if (span->begin < span->end)
            prefix_cache_hold(s->cache, table_of(sequence, group) + span->begin,
                              span->end - span->begin);
    }
    hold_state(s, sequence);
    for (int group = 0; group < s->kv.n_groups; group++) {
        struct page_span *span = &sequence->spans[group];
        int32_t *pages = table_of(sequence, group);
        int32_t end = first_end(s, sequence, group, prefix->n_pages);
        if (prefix->n_host)
            taken = load_host_pages(s, pages + span->begin, span->end - span->begin) && taken;
        taken = kv_pool_take_span(s->pool, pages, span->end, end) && taken;
        span->end = end;
        assert(end <= sequence->pages_max);
    }
    taken = take_first_states(s, sequence, prefix->n_host > 0) && taken;
    assert(taken);
    (void)taken;
}

void sequence_share_whole(struct scheduler *s, struct sequence *sequence)
{
    struct page_chain *chain = &sequence->chain;
    while ((chain->n_pages + 1) * KV_PAGE_TOKENS <= sequence->n_computed) {
        int32_t page = chain->n_pages;
        const int32_t *tokens = sequence->tokens + (size_t)page * KV_PAGE_TOKENS;
        prefix_cache_put(s->cache, chain, tokens, table_of(sequence, 0)[page]);
        for (int group = 1; group < s->kv.n_groups; group++)
            if (page >= sequence->spans[group].begin)
                prefix_cache_put_beside(s->cache, chain, group, tokens,
                                        table_of(sequence, group)[page]);
        states_share(s, sequence, page + 1);
    }
}

// ---- prefixes that others are computing ----

static bool same_page(const struct sequence *a, const struct sequence *b, int32_t page)
{
    size_t first = (size_t)page * KV_PAGE_TOKENS;
    return memcmp(a->tokens + first, b->tokens + first, KV_PAGE_TOKENS * sizeof *a->tokens) == 0;
}

// Whole pages that `running` is about to compute and that `waiting` needs next.
static int32_t pages_in_the_making(const struct scheduler *s, const struct sequence *running,
                                   const struct sequence *waiting, int32_t n_known)
{
    int32_t most = sequence_dispensable(waiting) / KV_PAGE_TOKENS;
    if (most > running->n_tokens / KV_PAGE_TOKENS)
        most = running->n_tokens / KV_PAGE_TOKENS;
    if (running->scope != waiting->scope || running->n_tokens - running->n_computed <= 1 ||
        n_known >= most || !same_page(running, waiting, n_known)) // where most prompts differ
        return 0;
    int32_t n = 0;
    while (n < most && same_page(running, waiting, n))
        n++;
    n = states_round(s, n);
    return n > n_known && running->n_computed < n * KV_PAGE_TOKENS ? n - n_known : 0;
}

bool sequence_is_in_the_making(const struct scheduler *s, const struct sequence *waiting,
                               const struct known_prefix *prefix)
{
    int32_t needed = waiting->n_tokens - prefix->n_pages * KV_PAGE_TOKENS;
    for (const struct sequence *other = s->running.first; s->cache && other; other = other->next)
        if (pages_in_the_making(s, other, waiting, prefix->n_pages) * KV_PAGE_TOKENS > needed / 2)
            return true;
    return false;
}
