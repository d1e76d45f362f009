#include "engine/scheduler.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/scheduler_drafts.h"
#include "engine/scheduler_layout.h"
#include "engine/scheduler_pages.h"
#include "engine/scheduler_states.h"

int scheduler_steps_max(const struct scheduler *s)
{
    return s->limits.steps_max > 0 ? s->limits.steps_max : 1;
}

enum status scheduler_init(struct scheduler *s, const struct scheduler_limits *limits,
                           const struct kv_layout *kv, struct kv_pool *pool,
                           struct prefix_cache *cache)
{
    assert(limits->sequences_max > 0 && limits->rows_max > 0 && limits->steps_max >= 0 &&
           limits->steps_max <= STEPS_UNDER_WAY_MAX);
    assert(limits->logit_rows_max >= limits->sequences_max ||
           limits->logit_rows_max >= limits->rows_max);
    *s = (struct scheduler){.limits = *limits, .pool = pool, .cache = cache};
    if (kv)
        s->kv = *kv;
    else
        s->kv.n_groups = 1;
    const char *what = "the scheduler";
    size_t sequences = (size_t)limits->sequences_max, logit_rows = (size_t)limits->logit_rows_max;
    enum status status;
    for (int i = 0; i < scheduler_steps_max(s); i++)
        TRY_DONE(memory_new(sequences, sizeof *s->ring[i].members, what, &s->ring[i].members));
    TRY_DONE(memory_new(sequences, sizeof *s->sequences, what, &s->sequences));
    TRY_DONE(memory_new((size_t)limits->rows_max, sizeof *s->tokens, what, &s->tokens));
    TRY_DONE(memory_new(logit_rows, sizeof *s->logit_rows, what, &s->logit_rows));
    TRY_DONE(memory_new(logit_rows, sizeof *s->logit_full, what, &s->logit_full));
done:
    if (status != OK)
        scheduler_fini(s);
    return status;
}

void scheduler_fini(struct scheduler *s)
{
    for (int i = 0; i < STEPS_UNDER_WAY_MAX; i++)
        free(s->ring[i].members);
    free(s->sequences);
    free(s->tokens);
    free(s->logit_rows);
    free(s->logit_full);
    *s = (struct scheduler){0};
}

static void become_long(struct sequence *sequence)
{
    sequence->is_long = true;
    sequence->scope = prefix_scope_long(sequence->scope);
}

static bool becomes_long(const struct scheduler *s, const struct sequence *sequence)
{
    return s->long_length > 0 && !sequence->is_long && sequence->n_tokens > s->long_length;
}

void scheduler_add(struct scheduler *s, struct sequence *sequence)
{
    assert(sequence->state == SEQUENCE_NEW && sequence->n_tokens > 0 && sequence->n_computed == 0);
    assert(kv_pages_of_sequence(&s->kv, (int64_t)sequence->pages_max * KV_PAGE_TOKENS,
                                s->limits.rows_max) <= kv_pool_size(s->pool)); // alone it fits
    sequence->state = SEQUENCE_WAITING;
    sequence->n_cached = -1;
    if (becomes_long(s, sequence))
        become_long(sequence);
    sequence_queue_insert(&s->waiting, sequence);
}

void scheduler_remove(struct scheduler *s, struct sequence *sequence)
{
    if (sequence->state == SEQUENCE_WAITING)
        sequence_queue_remove(&s->waiting, sequence);
    if (sequence->state == SEQUENCE_RUNNING)
        sequence_queue_remove(&s->running, sequence);
    if (sequence->state == SEQUENCE_PARKED)
        sequence_queue_remove(&s->parked, sequence);
    sequence_give_pages(s, sequence);
    sequence->state = SEQUENCE_OVER;
}

static void send_back(struct scheduler *s, struct sequence *sequence)
{
    sequence_queue_remove(&s->running, sequence);
    sequence->state = SEQUENCE_WAITING;
    sequence_queue_insert(&s->waiting, sequence);
}

static void preempt(struct scheduler *s, struct sequence *sequence)
{
    assert(sequence->step_tokens == 0);
    sequence_give_pages(s, sequence);
    send_back(s, sequence);
    sequence->preemptions++;
    s->preemptions++;
}

// Transformers drops its cache likewise (Phi-3's prepare_inputs_for_generation).
static void start_long_over(struct scheduler *s)
{
    for (struct sequence *sequence = s->waiting.first; sequence; sequence = sequence->next)
        if (becomes_long(s, sequence))
            become_long(sequence);
    for (struct sequence *sequence = s->running.first, *next; sequence; sequence = next) {
        next = sequence->next;
        if (!becomes_long(s, sequence) || sequence->step_tokens > 0)
            continue;
        become_long(sequence);
        sequence_give_pages(s, sequence);
        send_back(s, sequence);
    }
}

// ---- paused sequences ----

static void park(struct scheduler *s, struct sequence *sequence)
{
    assert(sequence->step_tokens == 0);
    sequence_queue_remove(sequence->state == SEQUENCE_RUNNING ? &s->running : &s->waiting,
                          sequence);
    sequence->state = SEQUENCE_PARKED;
    sequence_queue_insert(&s->parked, sequence);
}

void scheduler_pause(struct scheduler *s, struct sequence *sequence)
{
    sequence->paused = sequence->state != SEQUENCE_OVER;
    if (sequence->step_tokens == 0 &&
        (sequence->state == SEQUENCE_WAITING || sequence->state == SEQUENCE_RUNNING))
        park(s, sequence);
}

static bool stands_back(const struct scheduler *s, const struct sequence *sequence)
{
    return s->alone && s->alone != sequence->request;
}

void scheduler_resume(struct scheduler *s, struct sequence *sequence)
{
    sequence->paused = false;
    if (sequence->state != SEQUENCE_PARKED)
        return;
    sequence_queue_remove(&s->parked, sequence);
    bool may_run = s->running.n < s->limits.sequences_max && !stands_back(s, sequence);
    if (sequence_has_pages(s, sequence) && may_run) {
        sequence->state = SEQUENCE_RUNNING;
        sequence_queue_insert(&s->running, sequence);
        return;
    }
    if (sequence_has_pages(s, sequence)) { // others have its place in the batch
        sequence->preemptions++;
        s->preemptions++;
    }
    sequence_give_pages(s, sequence);
    sequence->state = SEQUENCE_WAITING;
    sequence_queue_insert(&s->waiting, sequence);
}

static void push_others_out(struct scheduler *s)
{
    if (!s->alone)
        return;
    for (struct sequence *sequence = s->running.first, *next; sequence; sequence = next) {
        next = sequence->next;
        // it would hold pages, and a place in the batch
        if (stands_back(s, sequence) && sequence->step_tokens == 0)
            preempt(s, sequence);
    }
}

void scheduler_isolate(struct scheduler *s, const struct request *request)
{
    if (s->alone == request)
        return;
    s->alone = request;
    push_others_out(s);
}

// Those that were paused while a step with them was under way.
static void park_paused(struct scheduler *s)
{
    for (struct sequence *sequence = s->running.first, *next; sequence; sequence = next) {
        next = sequence->next;
        if (sequence->paused && sequence->step_tokens == 0)
            park(s, sequence);
    }
}

static void lose_pages(struct scheduler *s, struct sequence *sequence)
{
    assert(sequence->step_tokens == 0);
    if (sequence->replay_end < sequence->n_computed)
        sequence->replay_end = sequence->n_computed;
    sequence_give_pages(s, sequence);
}

void scheduler_start_over(struct scheduler *s)
{
    park_paused(s);
    for (struct sequence *sequence = s->parked.first; sequence; sequence = sequence->next)
        lose_pages(s, sequence);
    for (struct sequence *sequence; (sequence = s->running.first);) {
        lose_pages(s, sequence);
        send_back(s, sequence);
    }
}

// Takes the pages of the newest paused sequence that has some. False: none has.
static bool reclaim_parked(struct scheduler *s)
{
    struct sequence *sequence = s->parked.last;
    while (sequence && !sequence_has_pages(s, sequence))
        sequence = sequence->previous;
    if (!sequence)
        return false;
    sequence_give_pages(s, sequence);
    sequence->preemptions++;
    s->preemptions++;
    return true;
}

// ---- planning ----

// Which logits the next `n_tokens` tokens of a sequence ask for.
static struct step_logits logits_of(const struct sequence *sequence, int32_t n_tokens)
{
    int32_t begin = sequence->n_computed + sequence->step_tokens, end = begin + n_tokens;
    struct step_logits logits = {.samples = end == sequence->n_tokens};
    if (sequence->prompt_logits) {
        int32_t from = sequence->n_prompt_logits, to = sequence->n_prompt;
        from = from > begin ? from : begin;
        to = to < end ? to : end;
        if (from < to) {
            logits.prompt_begin = from;
            logits.prompt_end = to;
        }
    }
    logits.n = logits.prompt_end - logits.prompt_begin;
    logits.n +=
        logits.samples && logits.prompt_end != end; // else the last row is a prompt's as well
    logits.full = logits.prompt_end == end || sequence->full_logits;
    return logits;
}

// What may still go into the step.
struct room {
    int32_t rows, logit_rows;
    int32_t drafts; // drafted tokens
};

static void join_queue(struct scheduler *s, struct room *room, struct sequence *sequence,
                       int32_t n_tokens, int32_t n_drafts)
{
    struct step_member *member = &s->members[s->step.n_sequences];
    *member = (struct step_member){sequence, n_tokens + n_drafts, logits_of(sequence, n_tokens)};
    member->logits.n_drafts = n_drafts;
    member->logits.n += n_drafts;
    sequence->step_tokens += member->n_tokens;
    room->rows -= member->n_tokens;
    room->logit_rows -= member->logits.n;
    room->drafts -= n_drafts;
    assert(room->rows >= 0 && room->logit_rows >= 0 &&
           s->step.n_sequences < s->limits.sequences_max);
    s->step.n_sequences++;
}

// The last one, not before `sequence`, that no step has; NULL: all are in steps.
static struct sequence *last_to_push_out(const struct scheduler *s, const struct sequence *sequence)
{
    struct sequence *last = s->running.last;
    while (last != sequence && last->step_tokens > 0)
        last = last->previous;
    return last->step_tokens > 0 ? NULL : last;
}

// Pages for one more token of a decoding sequence. False: it had to give way itself, or waits until
// a step under way is over.
static bool grow(struct scheduler *s, struct sequence *sequence)
{
    while (!sequence_take_missing(s, sequence, sequence->n_tokens)) {
        if (reclaim_parked(s))
            continue;
        struct sequence *newest = last_to_push_out(s, sequence);
        if (!newest || (newest == sequence && s->n_under_way > 0))
            return false;
        preempt(s, newest);
        if (newest == sequence)
            return false;
    }
    return true;
}

// Of those that run, so many may be in each step that all stages have some.
static int32_t decoding_share(const struct scheduler *s)
{
    return (s->running.n + scheduler_steps_max(s) - 1) / scheduler_steps_max(s);
}

static void plan_decoding(struct scheduler *s, struct room *room)
{
    int32_t share = decoding_share(s);
    room->drafts = drafts_room(s, share, room->rows, room->logit_rows);
    // in order: whoever has to give way stands behind all that joined already
    for (struct sequence *sequence = s->running.first, *next; sequence; sequence = next) {
        next = sequence->next;
        if (sequence_remaining(sequence) != 1 || sequence->paused)
            continue;
        if (room->rows < 1 || room->logit_rows < 1 || s->step.n_sequences >= share)
            return;
        bool grown = grow(s, sequence);
        if (!grown && sequence->state != SEQUENCE_RUNNING)
            return; // it was the last one
        if (!grown)
            continue;
        next = sequence->next; // the queue behind it may have changed
        join_queue(s, room, sequence, 1, draft_for(s, sequence, room->drafts));
    }
}

// A chunk of a prompt, as large as the room allows.
static void plan_chunk(struct scheduler *s, struct room *room, struct sequence *sequence)
{
    int32_t n = sequence_remaining(sequence);
    n = n < room->rows ? n : room->rows;
    for (int32_t excess; n > 0 && (excess = logits_of(sequence, n).n - room->logit_rows) > 0;)
        n -= excess; // rows that want logits stand at the end
    // of layers with windows pages are taken as the window moves on
    int32_t begin = sequence->n_computed + sequence->step_tokens;
    while (n > 0 && !sequence_take_missing(s, sequence, begin + n))
        n -= (begin + n - 1) % KV_PAGE_TOKENS + 1;
    if (n > 0)
        join_queue(s, room, sequence, n, 0);
}

// Pages in reserve for each that runs and may grow: a start that pushes itself out again would be
// for nothing.
static int64_t pages_in_reserve(const struct scheduler *s)
{
    int64_t reserve = 0;
    for (const struct sequence *other = s->running.first; other; other = other->next)
        reserve += sequence_reserve(s, other);
    return reserve;
}

static bool may_start(const struct scheduler *s, const struct sequence *sequence,
                      const struct known_prefix *prefix, int64_t reserve)
{
    return sequence_start_takes(s, sequence, prefix) + reserve <= kv_pool_available(s->pool);
}

static bool make_room(struct scheduler *s, struct sequence *sequence, struct known_prefix *prefix,
                      int64_t reserve)
{
    while (!may_start(s, sequence, prefix, reserve)) {
        if (!reclaim_parked(s))
            return false;
        *prefix = sequence_known_prefix(s, sequence); // pages of it may be free now, or forgotten
    }
    return true;
}

static void note_first_start(struct scheduler *s, struct sequence *sequence,
                             const struct known_prefix *prefix)
{
    if (sequence->n_cached >= 0)
        return;
    sequence->n_cached = sequence->n_computed;
    sequence->started_ns = clock_ns();
    if (!s->cache || !prefix_cache_retains(s->cache) || sequence->prompt_logits)
        return; // it did not ask
    s->prefix_queries += (uint64_t)sequence->n_tokens;
    s->prefix_hits += (uint64_t)sequence->n_cached;
    s->prefix_host_hits += (uint64_t)prefix->n_host * KV_PAGE_TOKENS;
}

static void start_sequence(struct scheduler *s, struct sequence *sequence,
                           const struct known_prefix *prefix)
{
    sequence_take_first(s, sequence, prefix);
    note_first_start(s, sequence, prefix);
    s->host_loads += (uint64_t)prefix->n_host;
    sequence_queue_remove(&s->waiting, sequence);
    sequence->state = SEQUENCE_RUNNING;
    sequence_queue_insert(&s->running, sequence);
}

// A long chunk of a prompt holds up everybody who decodes: a step beside them takes a part of it.
// 128 of 512 rows keep the products bound by arithmetic, so that prompts lose little. Many that
// decode give way to more, else prompts (often longer than answers) would come in too slowly.
enum { PROMPTS_PART = 4, PROMPT_ROWS_PER_DECODING = 2 };

static void spare_decoding(const struct scheduler *s, struct room *room)
{
    int32_t n = s->step.n_sequences, most = (s->limits.rows_max + PROMPTS_PART - 1) / PROMPTS_PART;
    if (n == 0)
        return;
    if (n > most / PROMPT_ROWS_PER_DECODING)
        most = n * PROMPT_ROWS_PER_DECODING;
    if (room->rows > most)
        room->rows = most;
}

static void plan_prompts(struct scheduler *s, struct room *room)
{
    for (struct sequence *sequence = s->running.first; sequence && room->rows > 0;
         sequence = sequence->next)
        if (sequence_remaining(sequence) > 1 && !sequence->paused)
            plan_chunk(s, room, sequence);
}

static void start_waiting(struct scheduler *s, struct room *room)
{
    int64_t reserve = s->waiting.first ? pages_in_reserve(s) : 0;
    int32_t n_seen = 0;
    for (struct sequence *sequence = s->waiting.first, *next; sequence; sequence = next) {
        next = sequence->next;
        if (stands_back(s, sequence))
            continue;
        if (room->rows < 1 || room->logit_rows < 1 || s->running.n >= s->limits.sequences_max ||
            n_seen++ >= s->limits.sequences_max)
            return;
        struct known_prefix prefix = sequence_known_prefix(s, sequence);
        if (sequence_is_in_the_making(s, sequence, &prefix))
            continue;
        if (!make_room(s, sequence, &prefix, reserve))
            return;
        start_sequence(s, sequence, &prefix);
        reserve += sequence_reserve(s, sequence);
        plan_chunk(s, room, sequence);
    }
}

// Copies that taking and finding pages has asked for.
static void add_copies(struct scheduler *s, uint64_t loads_before)
{
    s->step.copies = prefix_cache_copies(s->cache, &s->step.n_copies);
    s->host_stores += (uint64_t)s->step.n_copies - (s->host_loads - loads_before);
}

static void fill_step(struct scheduler *s)
{
    struct room room = {s->limits.rows_max, s->limits.logit_rows_max, 0};
    uint64_t preemptions = s->preemptions;
    plan_decoding(s, &room);
    spare_decoding(s, &room);
    plan_prompts(s, &room);
    if (s->preemptions == preemptions) // else what starts would be pushed out again
        start_waiting(s, &room);
}

bool scheduler_has_room(const struct scheduler *s)
{
    return s->n_under_way < (s->alone ? 1 : scheduler_steps_max(s));
}

// Prompts that wait for each other's pages would wait for ever: the newest starts over.
static void make_progress(struct scheduler *s)
{
    while (s->step.n_sequences == 0 && s->running.n > 0 && s->n_under_way == 0) {
        if (!reclaim_parked(s))
            preempt(s, s->running.last);
        fill_step(s);
    }
}

int32_t scheduler_plan(struct scheduler *s)
{
    if (!scheduler_has_room(s))
        return 0;
    if (s->cache)
        prefix_cache_copied(s->cache); // by the step before: a plan with copies has rows
    uint64_t loads = s->host_loads;
    struct step_under_way *step = &s->ring[(s->oldest + s->n_under_way) % scheduler_steps_max(s)];
    s->members = step->members;
    step->n_prefill_rows = step->n_draft_rows = 0;
    s->step = (struct step){
        .number = s->step.number,
        .tokens = s->tokens,
        .sequences = s->sequences,
        .logit_rows = s->logit_rows,
        .logit_full = s->logit_full,
    };
    park_paused(s);
    push_others_out(s);
    start_long_over(s);
    fill_step(s);
    make_progress(s);
    scheduler_lay_out(s, step);
    if (s->cache)
        add_copies(s, loads);
    assert(s->step.n_rows > 0 || s->step.n_copies == 0);
    if (s->step.n_rows > 0) {
        s->step.number++;
        s->n_under_way++;
    }
    return s->step.n_rows;
}

static void count_replayed(struct scheduler *s, const struct sequence *sequence, int32_t n_tokens)
{
    int32_t end = sequence->n_computed + n_tokens;
    end = end < sequence->replay_end ? end : sequence->replay_end;
    if (end > sequence->n_computed)
        s->replayed_tokens += (uint64_t)(end - sequence->n_computed);
}

// The next `n_tokens` of its tokens have keys and values now.
static void note_computed(struct scheduler *s, struct sequence *sequence, int32_t n_tokens)
{
    count_replayed(s, sequence, n_tokens);
    sequence->n_computed += n_tokens;
    assert(sequence->step_tokens >= 0 && sequence->n_computed <= sequence->n_tokens);
    if (sequence->n_computed > sequence->computed_most)
        sequence->computed_most = sequence->n_computed;
    if (s->cache)
        sequence_share_whole(s, sequence);
    sequence_release_behind(s, sequence);
}

void scheduler_member_done(struct scheduler *s, const struct step_member *member)
{
    member->sequence->step_tokens -= member->n_tokens;
    note_computed(s, member->sequence, member->n_tokens - member->logits.n_drafts);
}

void scheduler_accept(struct scheduler *s, struct sequence *sequence, int32_t n_accepted)
{
    if (n_accepted > 0)
        note_computed(s, sequence, n_accepted);
}

void scheduler_member_lost(const struct step_member *member)
{
    member->sequence->step_tokens -= member->n_tokens;
    assert(member->sequence->step_tokens >= 0);
}

void scheduler_step_over(struct scheduler *s)
{
    assert(s->n_under_way > 0);
    s->oldest = (s->oldest + 1) % scheduler_steps_max(s);
    s->n_under_way--;
}

void scheduler_move(struct scheduler *s, const struct kv_layout *kv, struct kv_pool *pool,
                    struct prefix_cache *cache, int32_t steps_max)
{
    assert(s->n_under_way == 0 && kv->n_groups == s->kv.n_groups &&
           kv->state_pages == s->kv.state_pages && steps_max > 0 && s->ring[steps_max - 1].members);
    s->kv = *kv;
    s->pool = pool;
    s->cache = cache;
    s->limits.steps_max = steps_max;
    s->oldest = 0;
}
