// What becomes of an engine whose ranks are lost: they start again, and every request goes on from
// its tokens. Nobody is told anything twice: tokens are drawn by their positions and kept here, so
// what the next ranks compute anew are keys and values, and the bits that follow are the same
// (docs/numerics.md).
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"

enum {
    BACK_OFF_NS = 100000000, // before the second restart in a row; doubles with each further one
    BACK_OFF_DOUBLINGS = 6,  // ... up to 6.4 s
};
// A request that kills the ranks is to be found before it is enough: losses while it ran alone
// count only beyond so many.
enum { LOSSES_ALONE_MAX = 8 };
static const int64_t steady_ns = 5000000000; // ready and idle for so long: nothing was wrong

static int counted_losses(const struct recovery *recovery)
{
    int alone = recovery->n_losses_alone;
    return recovery->n_losses - (alone < LOSSES_ALONE_MAX ? alone : LOSSES_ALONE_MAX);
}

static bool is_enough(const struct recovery *recovery)
{
    return counted_losses(recovery) > recovery->restarts_max;
}

enum status engine_fail(const struct colrow_engine *engine)
{
    const struct recovery *recovery = &engine->recovery;
    enum status status = crew_fail(engine->crew);
    if (!engine->over || recovery->restarts_max == 0 || !is_enough(recovery))
        return status;
    int n = recovery->n_losses - 1;
    return fail(status, "%s; the ranks were started again %d time%s without one step completed",
                status_message(), n, n == 1 ? "" : "s");
}

// The results of the steps under way will never come, but those that were taken.
static void forget_steps(struct colrow_engine *engine)
{
    struct scheduler *scheduler = &engine->scheduler;
    if (engine->handing)
        engine_drop_rows(engine);
    for (int32_t first = engine->taking ? engine->n_taken : 0; engine_in_flight(engine);
         first = 0) {
        const struct step_under_way *step = scheduler_oldest(scheduler);
        for (int32_t i = first; i < step->n_members; i++) {
            struct completion *completion = completion_of(step->members[i].sequence);
            scheduler_member_lost(&step->members[i]);
            if (completion->closed)
                engine_close_completion(engine, completion);
        }
        scheduler_step_over(scheduler);
    }
    engine->taking = false;
}

// Every live request fails.
static void end_engine(struct colrow_engine *engine)
{
    char sentence[STATUS_MESSAGE_MAX];
    engine->over = true;
    forget_steps(engine);
    enum status fault = engine_fail(engine);
    snprintf(sentence, sizeof sentence, "%s", status_message());
    for (struct request *request = engine->first_request, *next; request; request = next) {
        next = request->next;
        engine_end_request(engine, request, COLROW_FAILED, fault, sentence);
    }
    engine->recovery.lost_ns = 0;
    engine->recovery.reason[0] = '\0';
    engine_hand_over(engine, true);
    (void)engine_fail(engine); // callbacks may have recorded others since
}

static enum status start_ranks_again(struct colrow_engine *engine, int64_t delay_ns, bool degrades)
{
    scheduler_start_over(&engine->scheduler);
    if (degrades)
        TRY(engine_take_layout(engine));
    else if (engine->cache)
        prefix_cache_clear(engine->cache);
    engine_begin_pool_anew(engine);
    engine->n_rows_last = 0;
    crew_restart(engine->crew, delay_ns);
    return OK;
}

static bool end_with(struct colrow_engine *engine)
{
    crew_add_reason(engine->crew, status_message());
    end_engine(engine);
    return false;
}

// The first time at once, then after a while that doubles.
static int64_t back_off(int n_losses)
{
    int doublings = n_losses - 2 < BACK_OFF_DOUBLINGS ? n_losses - 2 : BACK_OFF_DOUBLINGS;
    return n_losses < 2 ? 0 : (int64_t)BACK_OFF_NS << doublings;
}

// Nothing is wrong with ranks that have done a canary, or that were idle for a while when somebody
// killed them.
static void count_loss(struct colrow_engine *engine, int64_t now)
{
    struct recovery *recovery = &engine->recovery;
    int64_t done_ns = crew_done_ns(engine->crew); // no sooner than when they were ready
    if (recovery->ready_ns && done_ns > recovery->ready_ns)
        recovery->n_losses = recovery->n_losses_alone = 0;
    bool steady = crew_was_idle(engine->crew) && now - done_ns > steady_ns;
    recovery->n_losses += !steady;
}

static void note_loss(struct colrow_engine *engine)
{
    struct recovery *recovery = &engine->recovery;
    int64_t now = clock_ns();
    if (recovery->reason[0]) // the ranks before these were not even ready
        log_warning("%s", recovery->reason);
    (void)crew_fail(engine->crew);
    snprintf(recovery->reason, sizeof recovery->reason, "%s", status_message());
    count_loss(engine, now);
    recovery->ready_ns = 0;
    if (recovery->lost_ns == 0)
        recovery->lost_ns = now;
}

bool engine_lose_crew(struct colrow_engine *engine)
{
    struct recovery *recovery = &engine->recovery;
    note_loss(engine);
    // what is wrong with a model that was never loaded will be wrong again
    bool loaded = engine->statistics.load_seconds > 0;
    // of a step whose results are being taken the ranks are done
    if (engine->scheduler.n_under_way > engine->taking)
        engine_note_lost_steps(engine);
    bool degrades = crew_is_hopeless(engine->crew) && engine_may_degrade(engine);
    if (!loaded || recovery->restarts_max == 0 || is_enough(recovery) ||
        (crew_is_hopeless(engine->crew) && !degrades)) {
        end_engine(engine);
        return false;
    }
    if (degrades && engine_find_layout(engine) != OK)
        return end_with(engine);
    if (engine->taking) // all ranks had done the step, and the board with its results is still here
        (void)engine_take_results(engine, INT64_MAX);
    forget_steps(engine);
    engine_end_cancelled(engine);
    engine_give_up_culprits(engine);
    engine_hand_over(engine, true);
    engine->statistics.restarts++;
    if (start_ranks_again(engine, degrades ? 0 : back_off(counted_losses(recovery)), degrades) !=
        OK)
        return end_with(engine);
    return true;
}

static void note_recovered(struct colrow_engine *engine, int64_t now)
{
    struct recovery *recovery = &engine->recovery;
    struct colrow_statistics *statistics = &engine->statistics;
    double seconds = (double)(now - recovery->lost_ns) * 1e-9;
    statistics->recoveries++;
    statistics->recovery_seconds += seconds;
    statistics->last_recovery_seconds = seconds;
    statistics->last_recovery_load_seconds = (double)recovery->load_ns * 1e-9;
    recovery->lost_ns = 0;
}

void engine_note_ready(struct colrow_engine *engine)
{
    struct recovery *recovery = &engine->recovery;
    if (recovery->ready_ns)
        return;
    recovery->ready_ns = clock_ns();
    if (engine->statistics.load_seconds == 0)
        engine->statistics.load_seconds = clock_seconds() - engine->begun;
    if (recovery->lost_ns == 0)
        return;
    recovery->load_ns = recovery->ready_ns - recovery->lost_ns;
    int n = engine->n_requests;
    log_warning("%s; restarted in %.2f s, %d request%s", recovery->reason,
                (double)recovery->load_ns * 1e-9, n, n == 1 ? " goes on" : "s go on");
    recovery->reason[0] = '\0';
    if (engine->scheduler.waiting.n == 0)
        note_recovered(engine, recovery->ready_ns);
}

void engine_note_step(struct colrow_engine *engine)
{
    engine->recovery.n_losses = engine->recovery.n_losses_alone = 0;
    if (engine->recovery.lost_ns && engine->recovery.ready_ns)
        note_recovered(engine, engine->end_ns);
}

int colrow_restart(struct colrow_engine *engine)
{
    if (engine->handing_over || !engine->over)
        return engine_result(fail(ERR_USAGE, "colrow_restart() is for an engine whose ranks are "
                                             "lost, and not for callbacks"));
    assert(engine->n_requests == 0);
    engine->recovery.n_losses = engine->recovery.n_losses_alone = 0;
    if (start_ranks_again(engine, 0, false) != OK)
        return -1;
    engine->over = false;
    return 0;
}
