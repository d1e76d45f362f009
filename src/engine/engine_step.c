// colrow_step() and colrow_advance(): take the results of the step under way, start the next one,
// hand the results over while the ranks compute.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/struct_size.h"

static bool has_work(const struct colrow_engine *engine)
{
    return engine->scheduler.waiting.n + engine->scheduler.running.n > 0;
}

// One step, where there is something to do. `continuous`: right after results.
static bool launch_step(struct colrow_engine *engine, bool continuous)
{
    struct scheduler *scheduler = &engine->scheduler;
    engine_choose_alone(engine);
    engine_grow_pool(engine);
    if (scheduler_plan(scheduler) == 0)
        return false;
    struct step_under_way *step = scheduler_newest(scheduler);
    scheduler->step.capture = engine->capture;
    step->launch_ns = clock_ns();
    step->continuous = continuous;
    crew_post(engine->crew, &scheduler->step);
    return true;
}

// As many as may be under way.
static void launch(struct colrow_engine *engine, bool continuous)
{
    if (crew_is_checking(engine->crew))
        return;
    while (scheduler_has_room(&engine->scheduler) && launch_step(engine, continuous))
        ;
}

static uint64_t *tokens_of_step(struct colrow_engine *engine)
{
    bool prefill = scheduler_oldest(&engine->scheduler)->n_prefill_rows > 0;
    return prefill ? &engine->statistics.prefill_tokens : &engine->statistics.decode_tokens;
}

static void count_step(struct colrow_engine *engine)
{
    struct colrow_statistics *statistics = &engine->statistics;
    struct scheduler *scheduler = &engine->scheduler;
    const struct step_under_way *step = scheduler_oldest(scheduler);
    int64_t end_ns, longest_ns = crew_step_ns(engine->crew, &end_ns);
    // one that was posted while another was under way begins when that is done
    bool follows = step->continuous || step->launch_ns < engine->end_ns;
    double seconds = (double)(end_ns - (follows ? engine->end_ns : step->launch_ns)) * 1e-9;
    double overhead = seconds - (double)longest_ns * 1e-9;
    engine->end_ns = end_ns;
    statistics->steps++;
    // with several under way a rank's step has the waiting for the stages before it, too
    statistics->overhead_seconds += engine->plan->n_stages == 1 || overhead > 0 ? overhead : 0;
    bool prefill = step->n_prefill_rows > 0;
    *(prefill ? &statistics->prefill_seconds : &statistics->decode_seconds) += seconds;
    *tokens_of_step(engine) += (uint64_t)(step->n_rows - step->n_draft_rows);
    if (!prefill)
        speculation_note_step(&engine->speculation, step->n_rows, seconds);
    statistics->preemptions = scheduler->preemptions;
    statistics->prefix_cache_queries = scheduler->prefix_queries;
    statistics->prefix_cache_hits = scheduler->prefix_hits;
    statistics->prefix_cache_host_hits = scheduler->prefix_host_hits;
    statistics->kv_pages_offloaded = scheduler->host_stores;
    statistics->kv_pages_loaded = scheduler->host_loads;
    engine->n_rows_last = step->n_rows;
    engine_note_step(engine);
}

static const float *row_of_logits(const struct colrow_engine *engine, int32_t index)
{
    return crew_results(engine->crew)->logits + (size_t)index * (size_t)engine->config.vocab_size;
}

// `index`: of the row of logits.
static enum status draw_token(struct colrow_engine *engine, struct completion *completion,
                              const struct step_logits *logits, int32_t index,
                              struct sample *sample)
{
    const struct sequence *sequence = &completion->sequence;
    if (!logits->full) {
        *sample = (struct sample){0};
        const struct step_results *results = crew_results(engine->crew);
        return sampler_best(results->best + index, engine->plan->n_ranks,
                            (size_t)results->logit_rows_max, &sample->id);
    }
    struct sampling_state state = {
        .counts = &completion->counts,
        .n_generated = completion_generated(completion),
        .sequence = (uint32_t)sequence->index,
        .position = (uint64_t)sequence->n_tokens,
    };
    return sampler_draw(engine->sampler, &sequence->request->sampling, &state,
                        row_of_logits(engine, index), sample);
}

static enum status add_drawn_token(struct colrow_engine *engine, struct completion *completion,
                                   const struct step_logits *logits, int32_t index)
{
    struct sample sample;
    TRY(draw_token(engine, completion, logits, index, &sample));
    int32_t n_new = completion_generated(completion) - completion->n_delivered;
    for (int32_t i = 0; i < sample.n_logprobs; i++)
        completion->logprobs[n_new * sample.n_logprobs + i] = sample.logprobs[i];
    completion->n_logprobs = sample.n_logprobs;
    if (completion_generated(completion) == 0) {
        engine->statistics.prompt_tokens += (uint64_t)completion->sequence.n_prompt;
        engine->statistics.cached_prompt_tokens += (uint64_t)completion->sequence.n_cached;
    }
    engine->statistics.generated_tokens++;
    return completion_add(completion, sample.id);
}

// Tokens are drawn for as long as they are those that were drafted.
static enum status add_drawn_tokens(struct colrow_engine *engine, struct completion *completion,
                                    const struct step_logits *logits)
{
    struct sequence *sequence = &completion->sequence;
    int32_t n_drafts = logits->n_drafts, n_accepted = 0;
    for (int32_t index = logits->first + logits->n - 1 - n_drafts;; index++) {
        int32_t draft = n_accepted < n_drafts ? sequence->tokens[sequence->n_tokens] : -1;
        TRY(add_drawn_token(engine, completion, logits, index));
        if (sequence->tokens[sequence->n_tokens - 1] != draft)
            break;
        n_accepted++;
        if (completion->finish != COLROW_RUNNING)
            break;
    }
    if (n_drafts > 0) {
        speculation_note_draft(&engine->speculation, n_drafts, n_accepted);
        draft_judged(&engine->speculation.config, &sequence->drafts, n_drafts, n_accepted);
        completion->n_drafted += n_drafts;
        completion->n_accepted += n_accepted;
        *tokens_of_step(engine) += (uint64_t)n_accepted;
    }
    if (completion->finish == COLROW_RUNNING)
        scheduler_accept(&engine->scheduler, sequence, n_accepted);
    return OK;
}

static void take_result(struct colrow_engine *engine, const struct step_member *member)
{
    struct sequence *sequence = member->sequence;
    struct completion *completion = completion_of(sequence);
    const struct step_logits *logits = &member->logits;
    int32_t n_prompt = logits->prompt_end - logits->prompt_begin;
    if (completion->closed) {
        engine_close_completion(engine, completion);
        return;
    }
    if (sequence->request->cancelled)
        return;
    if (n_prompt > 0) {
        completion->prompt_logits = row_of_logits(engine, logits->first);
        completion->n_new_prompt_logits = n_prompt;
        completion->prompt_position = logits->prompt_begin;
        sequence->n_prompt_logits = logits->prompt_end;
    }
    if (logits->samples && add_drawn_tokens(engine, completion, logits) != OK)
        completion_fail(completion, status_code(), status_message());
    if (n_prompt > 0)
        engine->handing = completion;
    else if (logits->samples)
        engine_queue_output(engine, completion);
    if (completion->finish != COLROW_RUNNING && sequence->step_tokens == 0)
        scheduler_remove(&engine->scheduler, sequence);
}

// Logits of prompt tokens are many and large, and whoever gets them computes: a few rows at a time.
// True when all were handed over.
static bool hand_over_rows(struct colrow_engine *engine, int64_t end_ns)
{
    while (engine_hand_over_logits(engine))
        if (clock_ns() > end_ns)
            return false;
    if (engine->handing)
        engine_queue_output(engine, engine->handing);
    engine->handing = NULL;
    return true;
}

void engine_drop_rows(struct colrow_engine *engine)
{
    engine->handing->prompt_logits = NULL;
    engine->handing->n_new_prompt_logits = 0;
    engine_queue_output(engine, engine->handing);
    engine->handing = NULL;
}

static void count_drafts(struct colrow_engine *engine)
{
    const struct speculation *from = &engine->speculation;
    struct colrow_statistics *to = &engine->statistics;
    to->drafts = from->n_drafts;
    to->draft_tokens = from->n_draft_tokens;
    to->accepted_draft_tokens = from->n_accepted;
    memcpy(to->accepted_draft_tokens_at, from->n_accepted_at, sizeof from->n_accepted_at);
}

bool engine_take_results(struct colrow_engine *engine, int64_t end_ns)
{
    struct scheduler *scheduler = &engine->scheduler;
    const struct step_under_way *step = scheduler_oldest(scheduler);
    if (!engine->taking) {
        count_step(engine);
        engine->n_taken = 0;
    }
    engine->taking = true;
    if (engine->handing && !hand_over_rows(engine, end_ns))
        return false;
    while (engine->n_taken < step->n_members) {
        const struct step_member *member = &step->members[engine->n_taken++];
        scheduler_member_done(scheduler, member);
        take_result(engine, member);
        if (engine->handing && !hand_over_rows(engine, end_ns))
            return false;
        if (engine->n_taken < step->n_members && clock_ns() > end_ns)
            return false;
    }
    engine->statistics.replayed_tokens = scheduler->replayed_tokens;
    count_drafts(engine);
    scheduler_step_over(scheduler);
    engine->taking = false;
    return true;
}

void engine_end_request(struct colrow_engine *engine, struct request *request,
                        enum colrow_finish finish, enum status fault, const char *error)
{
    for (int32_t i = 0; i < request->n; i++) {
        struct completion *completion = &request->completions[i];
        struct sequence *sequence = &completion->sequence;
        if (completion->finish != COLROW_RUNNING)
            continue;
        if (completion == engine->handing)
            engine_drop_rows(engine);
        if (finish == COLROW_FAILED)
            completion_fail(completion, fault, error);
        else
            completion_end(completion, finish);
        if (sequence->state != SEQUENCE_OVER && sequence->step_tokens == 0)
            scheduler_remove(&engine->scheduler, sequence);
        engine_queue_output(engine, completion);
    }
}

void engine_end_cancelled(struct colrow_engine *engine)
{
    for (struct request *request = engine->first_request; request && engine->n_cancelled;
         request = request->next)
        if (request->cancelled)
            engine_end_request(engine, request, COLROW_CANCELLED, OK, NULL);
    engine->n_cancelled = 0;
}

enum status engine_await_ready(struct colrow_engine *engine, void (*progress)(void *context),
                               void *context)
{
    TRY(crew_await_ready(engine->crew, progress, context));
    engine_note_ready(engine);
    return OK;
}

// Results are in: takes them, starts the next step, hands over while the ranks compute.
static void finish_step(struct colrow_engine *engine, int64_t end_ns)
{
    if (!engine_take_results(engine, end_ns))
        return;
    engine_end_cancelled(engine);
    bool ahead = !engine->capture;
    engine_hand_over(engine, !ahead);
    if (!ahead)
        return;
    engine_end_cancelled(engine); // a callback may have asked for it
    launch(engine, true);
    engine_hand_over(engine, true);
}

// Nothing can start before ranks have touched more pages.
static bool waits_for_pages(const struct colrow_engine *engine)
{
    return !engine_in_flight(engine) && has_work(engine) && engine_pool_grows(engine);
}

static enum status step_waiting(struct colrow_engine *engine)
{
    if (crew_state(engine->crew) == CREW_LOADING)
        TRY(engine_await_ready(engine, NULL, NULL));
    engine_end_cancelled(engine);
    if (!engine_in_flight(engine)) {
        // with nothing to do this is the only place where a dead group is noticed
        if (!has_work(engine) && crew_poll(engine->crew) == CREW_BROKEN)
            return crew_fail(engine->crew);
        TRY(crew_await_free(engine->crew));
    }
    if (!engine->taking)
        launch(engine, false);
    if (!engine_in_flight(engine)) {
        engine_hand_over(engine, true);
        if (waits_for_pages(engine) && crew_await_news(engine->crew) == CREW_BROKEN)
            return crew_fail(engine->crew);
        return OK;
    }
    if (!engine->taking)
        TRY(crew_await_step(engine->crew));
    finish_step(engine, INT64_MAX);
    return OK;
}

// Somebody must come back although no rank will ring: there is a step to start, or results to take.
static void ring_for_more(struct colrow_engine *engine)
{
    bool idle = !engine_in_flight(engine) && !crew_is_checking(engine->crew) &&
                crew_state(engine->crew) == CREW_READY;
    if (idle && !engine->n_cancelled && waits_for_pages(engine))
        crew_watch(engine->crew); // they ring; the clock is for memory that others give back
    else if (engine->taking || engine->n_cancelled || (idle && has_work(engine)))
        crew_ring(engine->crew);
}

// Before somebody goes to sleep on colrow_fd().
static void leave_word(struct colrow_engine *engine)
{
    if (engine_in_flight(engine) && !engine->taking)
        crew_listen(engine->crew);
    ring_for_more(engine);
}

static enum status step_and_leave_word(struct colrow_engine *engine)
{
    TRY(step_waiting(engine));
    if (engine->listening)
        leave_word(engine);
    return OK;
}

static enum status step_at_hand(struct colrow_engine *engine)
{
    enum crew_state state = crew_poll(engine->crew);
    if (state == CREW_BROKEN)
        return crew_fail(engine->crew);
    engine_end_cancelled(engine);
    if (state == CREW_READY) {
        engine_note_ready(engine);
        if (!engine->taking)
            launch(engine, false);
        if (engine->taking || (engine_in_flight(engine) && crew_take(engine->crew)))
            finish_step(engine, clock_ns() + engine->slice_ns);
    }
    engine_hand_over(engine, true);
    leave_word(engine);
    return OK;
}

static int run_step(struct colrow_engine *engine, const char *function,
                    enum status (*step)(struct colrow_engine *))
{
    if (engine->handing_over)
        return engine_result(
            fail(ERR_USAGE, "%s() was called from a callback; callbacks may submit and cancel only",
                 function));
    if (engine->over)
        return engine_result(engine_fail(engine));
    return step(engine) == OK || engine_lose_crew(engine) ? engine->n_requests : -1;
}

int colrow_step(struct colrow_engine *engine)
{
    return run_step(engine, "colrow_step", step_and_leave_word);
}

int colrow_advance(struct colrow_engine *engine)
{
    if (engine->over)
        (void)crew_poll(engine->crew); // collects who has exited since
    return run_step(engine, "colrow_advance", step_at_hand);
}

// Paused requests alone bring nothing, however many steps are run.
static bool may_bring_output(const struct colrow_engine *engine)
{
    return engine->n_requests > 0 &&
           (has_work(engine) || engine_in_flight(engine) || engine->n_cancelled > 0);
}

int colrow_poll_sized(struct colrow_engine *engine, int wait, struct colrow_output *out,
                      size_t struct_size)
{
    if (engine->handing_over) {
        fail(ERR_USAGE, "colrow_poll() was called from a callback");
        return -1;
    }
    bool failed = false;
    while (wait && !failed && poll_queue_is_empty(&engine->polled) && may_bring_output(engine))
        failed = colrow_step(engine) < 0;
    struct colrow_output output;
    if (poll_queue_next(&engine->polled, &output)) {
        struct_give(out, struct_size, &output, sizeof output);
        return 1;
    }
    if (!engine->over)
        return 0;
    return engine_result(engine_fail(engine));
}
