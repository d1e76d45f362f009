// Sequences under a scheduler and a model that sees only what lies in their pages, for tests.
#ifndef COLROW_TESTS_SCHEDULER_MODEL_H
#define COLROW_TESTS_SCHEDULER_MODEL_H

#include "testing.h"

#include "engine/scheduler.h"

enum { SEQUENCES = 24, LONG_KEY = 1 << 30 };

// Sequences whose "model" is a function of all tokens so far: a wrong position or a lost token
// changes what follows.
struct fixture {
    struct kv_pool *pool;
    struct prefix_cache *known; // NULL, unless fixture_share() was called
    struct scheduler scheduler;
    struct sequence sequences[SEQUENCES];
    int n_sequences, n_over;
    // [page][position]: the token whose keys lie there, with LONG_KEY where they are those of a
    // long sequence
    int32_t (*cache)[64];
    int n_host;   // host pages; their tokens lie behind those of the pool
    int n_common; // of the tokens of each prompt: the same as of all others
    int64_t n_rows;
    int32_t *says[STEPS_UNDER_WAY_MAX]; // of steps under way: what follows each row of logits
    int sees; // of the tokens before the next one, where all layers have a window; 0: all
};

static inline void fixture_init(struct fixture *f, int n_pages, struct scheduler_limits limits)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(kv_pool_new(n_pages, &f->pool), OK);
    assert_int_equal(scheduler_init(&f->scheduler, &limits, NULL, f->pool, NULL), OK);
    f->cache = calloc((size_t)n_pages, sizeof *f->cache);
}

// Layers in groups; before any sequence is added.
static inline void fixture_group(struct fixture *f, const struct kv_layout *kv)
{
    struct scheduler_limits limits = f->scheduler.limits;
    scheduler_fini(&f->scheduler);
    assert_int_equal(scheduler_init(&f->scheduler, &limits, kv, f->pool, f->known), OK);
}

// What lies at a position in a group's page.
static inline int32_t *cell(const struct fixture *f, const struct step_sequence *s, int group,
                            int64_t position)
{
    int32_t page = s->pages[group * s->pages_stride + position / 64];
    assert_true(page >= 0);
    return &f->cache[page][position % 64];
}

static inline void fixture_share(struct fixture *f, bool retains, int n_common)
{
    assert_int_equal(prefix_cache_new(f->pool, retains, f->n_host, &f->known), OK);
    free(f->cache);
    f->cache = calloc((size_t)(kv_pool_size(f->pool) + f->n_host), sizeof *f->cache);
    f->scheduler.cache = f->known;
    f->n_common = n_common;
}

static inline void fixture_fini(struct fixture *f)
{
    assert_int_equal(kv_pool_available(f->pool), kv_pool_size(f->pool));
    scheduler_fini(&f->scheduler);
    prefix_cache_free(f->known);
    kv_pool_free(f->pool);
    free(f->cache);
    for (int i = 0; i < f->n_sequences; i++) {
        free(f->sequences[i].tokens);
        free(f->sequences[i].pages);
        free(f->sequences[i].states);
    }
}

static inline struct sequence *add(struct fixture *f, int n_prompt, int n_generate,
                                   bool prompt_logits)
{
    struct sequence *s = &f->sequences[f->n_sequences];
    *s = (struct sequence){.arrival = (uint64_t)f->n_sequences,
                           .n_prompt = n_prompt,
                           .n_tokens = n_prompt,
                           .tokens_max = n_prompt + n_generate,
                           .prompt_logits = prompt_logits};
    s->pages_max = (int32_t)kv_pages_for(s->tokens_max);
    s->tokens = calloc((size_t)s->tokens_max, sizeof *s->tokens);
    s->pages = calloc((size_t)(s->pages_max * f->scheduler.kv.n_groups), sizeof *s->pages);
    const struct kv_layout *kv = &f->scheduler.kv;
    s->states = calloc((size_t)((s->pages_max + 1) * kv->state_pages) + 1, sizeof *s->states);
    for (int i = 0; i < n_prompt; i++)
        s->tokens[i] = i < f->n_common ? i : 1000 * (1 + f->n_sequences) + i;
    f->n_sequences++;
    scheduler_add(&f->scheduler, s);
    return s;
}

static const uint32_t hash_of_nothing = 2166136261u;

static inline uint32_t hash_on(uint32_t hash, const int32_t *tokens, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        hash = (hash ^ (uint32_t)tokens[i]) * 16777619u;
    return hash;
}

static inline int32_t next_token(const int32_t *tokens, int32_t n)
{
    return (int32_t)(hash_on(hash_of_nothing, tokens, n) >> 8);
}

// A state is the hash of all tokens so far, and how many they are: in each of its pages.
static inline uint32_t read_state(const struct fixture *f, const int32_t *pages, int64_t position)
{
    for (int i = 0; i < f->scheduler.kv.state_pages; i++) {
        assert_true(pages[i] >= 0);
        assert_int_equal(f->cache[pages[i]][0], position);
        assert_int_equal(f->cache[pages[i]][1], f->cache[pages[0]][1]);
    }
    return (uint32_t)f->cache[pages[0]][1];
}

// As model/states.c does: token by token, in the pages of the interval in which the token is.
static inline void advance_state(struct fixture *f, const struct step_sequence *s,
                                 const int32_t *tokens)
{
    const struct kv_layout *kv = &f->scheduler.kv;
    if (!kv->state_pages)
        return;
    int64_t interval = kv->state_interval, first = kv_first_state(kv, s->position);
    assert_int_equal(s->n_states, kv_count_states(kv, s->position, s->n_tokens));
    for (int64_t at = s->position; at < s->position + s->n_tokens; at++) {
        const int32_t *to = s->states + (at / interval - first) * kv->state_pages;
        uint32_t hash = hash_of_nothing;
        if (at > 0)
            hash =
                read_state(f, s->states + (kv_first_state(kv, at) - first) * kv->state_pages, at);
        hash = hash_on(hash, tokens + (at - s->position), 1);
        for (int i = 0; i < kv->state_pages; i++) {
            f->cache[to[i]][0] = (int32_t)at + 1;
            f->cache[to[i]][1] = (int32_t)hash;
        }
    }
}

static inline int32_t token_after(const struct fixture *f, const struct sequence *s, int32_t n)
{
    int32_t first = f->sees && n > f->sees ? n - f->sees : 0;
    return next_token(s->tokens + first, n - first);
}

// Pages of sequences that are long and of others do not mix.
static inline int32_t token_of_key(const struct step_sequence *s, int32_t key)
{
    assert_int_equal(key & LONG_KEY, s->is_long ? LONG_KEY : 0);
    return key & ~LONG_KEY;
}

// What the model would see for row `row`: the tokens in the cache up to its position.
static inline int32_t model(struct fixture *f, const struct step *step, int32_t row)
{
    for (int i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *s = &step->sequences[i];
        if (row < s->first_row || row >= s->first_row + s->n_tokens)
            continue;
        int32_t n = (int32_t)s->position + row - s->first_row + 1,
                *tokens = calloc((size_t)n, sizeof *tokens);
        int32_t first = f->sees && n > f->sees ? n - f->sees : 0;
        for (int32_t p = first; p < n; p++)
            tokens[p] = token_of_key(s, *cell(f, s, 0, p));
        for (int group = 1; group < f->scheduler.kv.n_groups; group++) {
            int64_t window = f->scheduler.kv.windows[group];
            for (int64_t p = window && n > window ? n - window : 0; p < n; p++)
                assert_int_equal(token_of_key(s, *cell(f, s, group, p)), tokens[p]);
        }
        int32_t token = next_token(tokens + first, n - first);
        if (f->scheduler.kv.state_pages && n == s->position + s->n_tokens) {
            uint32_t hash =
                read_state(f, s->states + (s->n_states - 1) * f->scheduler.kv.state_pages, n);
            assert_int_equal(hash, hash_on(hash_of_nothing, tokens, n));
        }
        free(tokens);
        return token;
    }
    assert_true(false);
    return 0;
}

// The step planned last, as ranks do it: they have done all before it. What the model says of each
// row of logits is kept until the results are taken.
static inline void post_step(struct fixture *f)
{
    struct scheduler *sched = &f->scheduler;
    const struct step *step = &sched->step;
    int64_t n_pages = kv_pool_size(f->pool);
    for (int i = 0; i < step->n_copies; i++) {
        struct step_copy copy = step->copies[i];
        assert_in_range(copy.from, 0, n_pages + f->n_host - 1);
        assert_in_range(copy.to, 0, n_pages + f->n_host - 1);
        assert_int_not_equal(copy.from < n_pages, copy.to < n_pages);
        memcpy(f->cache[copy.to], f->cache[copy.from], sizeof f->cache[0]);
    }
    for (int i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *s = &step->sequences[i];
        assert_int_equal(s->n_pages, kv_pages_for(s->position + s->n_tokens));
        for (int group = 0; group < sched->kv.n_groups; group++)
            for (int32_t t = 0; t < s->n_tokens; t++)
                *cell(f, s, group, s->position + t) =
                    step->tokens[s->first_row + t] | (s->is_long ? LONG_KEY : 0);
        advance_state(f, s, step->tokens + s->first_row);
    }
    int slot = (sched->oldest + sched->n_under_way - 1) % scheduler_steps_max(sched);
    f->says[slot] = calloc((size_t)step->n_logits + 1, sizeof *f->says[slot]);
    for (int32_t i = 0; i < step->n_logits; i++)
        f->says[slot][i] = model(f, step, step->logit_rows[i]);
}

static inline void take_member(struct fixture *f, const struct step_member *member,
                               const int32_t *says)
{
    struct sequence *s = member->sequence;
    const struct step_logits *logits = &member->logits;
    scheduler_member_done(&f->scheduler, member);
    for (int32_t p = logits->prompt_begin; p < logits->prompt_end; p++) {
        assert_int_equal(p, s->n_prompt_logits++);
        assert_int_equal(says[logits->first + p - logits->prompt_begin], token_after(f, s, p + 1));
    }
    if (!logits->samples)
        return;
    assert_int_equal(s->step_tokens, 0);
    int32_t token = says[logits->first + logits->n - 1];
    assert_int_equal(token, token_after(f, s, s->n_tokens));
    s->tokens[s->n_tokens++] = token;
    if (s->n_tokens == s->tokens_max) {
        scheduler_remove(&f->scheduler, s);
        f->n_over++;
    }
}

// The results of the oldest step.
static inline void take_step(struct fixture *f)
{
    int slot = f->scheduler.oldest;
    const struct step_under_way *step = scheduler_oldest(&f->scheduler);
    for (int i = 0; i < step->n_members; i++)
        take_member(f, &step->members[i], f->says[slot]);
    free(f->says[slot]);
    f->says[slot] = NULL;
    scheduler_step_over(&f->scheduler);
}

static inline void execute(struct fixture *f)
{
    post_step(f);
    take_step(f);
}

static inline void check_plan(const struct fixture *f)
{
    const struct scheduler *s = &f->scheduler;
    assert_in_range(s->step.n_rows, 1, s->limits.rows_max);
    assert_in_range(s->step.n_sequences, 1, s->limits.sequences_max);
    assert_in_range(s->step.n_logits, 0, s->limits.logit_rows_max);
    for (int i = 0; i < s->step.n_sequences; i++)
        assert_int_equal(s->step.sequences[i].is_long,
                         s->long_length && s->members[i].sequence->n_tokens > s->long_length);
    for (int i = 0; i < s->step.n_sequences; i++) // prompts' rows are all of them wanted
        for (int32_t p = s->members[i].logits.prompt_begin; p < s->members[i].logits.prompt_end;
             p++)
            assert_int_equal(
                s->logit_full[s->members[i].logits.first + p - s->members[i].logits.prompt_begin],
                1);
    for (int i = 1; i < s->step.n_logits; i++)
        assert_true(s->logit_rows[i] > s->logit_rows[i - 1]);
}

static inline int run(struct fixture *f)
{
    int steps = 0;
    while (scheduler_plan(&f->scheduler) > 0) {
        check_plan(f);
        f->n_rows += f->scheduler.step.n_rows;
        execute(f);
        assert_true(++steps < 100000);
    }
    assert_int_equal(f->n_over, f->n_sequences);
    return steps;
}

// The first eight sequences are paused and resumed at random instants, and then run to their ends.
static inline void run_with_pauses(struct fixture *f, unsigned seed)
{
    unsigned random = seed * 2654435761u + 1;
    for (int step = 0; step < 3000 && f->n_over < 8; step++) {
        bool any = scheduler_plan(&f->scheduler) > 0;
        if (any)
            check_plan(f);
        random = random * 1664525u + 1013904223u;
        struct sequence *s = &f->sequences[random >> 29];
        (random & (1u << 20) ? scheduler_pause : scheduler_resume)(&f->scheduler, s);
        if (any)
            execute(f);
    }
    for (int i = 0; i < 8; i++)
        scheduler_resume(&f->scheduler, &f->sequences[i]);
    run(f);
}

// Twelve prompts of all lengths; `again`: those of the first twelve once more.
static inline void add_prompts(struct fixture *f, bool again)
{
    for (int i = 0; i < 12; i++) {
        struct sequence *own = add(f, 20 + 17 * i, 100, !again && i % 5 == 4);
        if (again)
            memcpy(own->tokens, f->sequences[i].tokens,
                   (size_t)own->n_prompt * sizeof *own->tokens);
    }
}

#endif
