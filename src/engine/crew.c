#include "engine/crew.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/group_keepers.h"
#include "comm/launcher.h"
#include "comm/node_agent.h"
#include "engine/crew_parts.h"
#include "engine/far_nodes.h"

// For the reason recorded last; who still runs is killed.
static void break_crew(struct crew *crew)
{
    snprintf(crew->reason, sizeof crew->reason, "%s", status_message());
    crew->was_idle = crew->state == CREW_READY && !crew->n_posted;
    crew->state = CREW_BROKEN;
    crew->n_posted = 0;
    crew->canary = false;
    crew->restarting = false;
    crew->exit_status = crew->group ? group_exit_status(crew->group) : 0;
    if (crew->exit_status == 0 && crew->options.far)
        crew->exit_status = far_nodes_exit_status(crew->options.far);
    if (crew->group)
        group_end(crew->group, SIGKILL, 0);
    if (crew->options.far)
        far_nodes_end(crew->options.far, crew->reason);
    crew_events_tick(&crew->events, crew->group != NULL); // until they are gone
}

enum status crew_fail(const struct crew *crew)
{
    assert(crew->state == CREW_BROKEN);
    return fail(ERR_GROUP, "%s", crew->reason);
}

static uint64_t oldest_step(const struct crew *crew)
{
    return crew->next_step - (uint64_t)crew->n_posted;
}

// The oldest of those under way.
static bool is_done(struct crew *crew)
{
    return crew->n_posted &&
           signal_reached(&crew->board.header->done, (uint32_t)board_done(oldest_step(crew)));
}

static void become_ready(struct crew *crew)
{
    crew->state = CREW_READY;
    step_watch_renew(&crew->watch);
}

// `step` NULL: a canary.
static void begin_step(struct crew *crew, const struct step *step)
{
    struct board_header *header = crew->board.header;
    bool canary = step == NULL;
    if (canary != crew->canary_told) // relaxed: ordered by the word
        atomic_store_explicit(&header->canary, canary, memory_order_relaxed);
    crew->canary_told = crew->canary = canary;
    if (step)
        crew->size[board_slot(&crew->board, crew->next_step)] = step_watch_size(step);
    if (crew->n_posted++ == 0)
        step_watch_begin(&crew->watch, step);
    if (crew->options.far)
        far_nodes_post(crew->options.far, (int64_t)crew->next_step, step);
    signal_raise(&header->plan, (uint32_t)crew->next_step++);
}

// The times of the oldest step, whose last rank has arrived.
static void note_times(struct crew *crew)
{
    int slot = board_slot(&crew->board, oldest_step(crew));
    crew->taken_ns = crew->taken_end_ns = 0;
    crew->taken_slot = crew->canary ? crew->taken_slot : slot;
    for (int r = 0; r < crew->options.shape.n_ranks && !crew->canary; r++) {
        // relaxed: ordered by `done`
        const struct board_times *times = &crew_rank(crew, r)->steps[slot];
        int64_t ns = (int64_t)atomic_load_explicit(&times->step_ns, memory_order_relaxed);
        int64_t end_ns = atomic_load_explicit(&times->end_ns, memory_order_relaxed);
        crew->taken_ns = ns > crew->taken_ns ? ns : crew->taken_ns;
        crew->taken_end_ns = end_ns > crew->taken_end_ns ? end_ns : crew->taken_end_ns;
    }
}

static void end_step(struct crew *crew)
{
    note_times(crew);
    step_watch_end(&crew->watch, crew->taken_ns);
    crew->canary = false;
    if (--crew->n_posted > 0)
        step_watch_begin_size(&crew->watch,
                              crew->size[board_slot(&crew->board, oldest_step(crew))]);
}

// While a step is under way: a group without a fault may still be too slow.
static enum status check_step_time(struct crew *crew)
{
    if (!crew->n_posted || !step_watch_look(&crew->watch, clock_ns()) || is_done(crew))
        return OK;
    char why[128], usual[48] = "";
    int64_t usual_ns = step_watch_usual_ns(&crew->watch);
    if (usual_ns)
        snprintf(usual, sizeof usual, "; steps of its size take up to %.2g s",
                 (double)usual_ns * 1e-9);
    snprintf(why, sizeof why, "; the %s has taken %.1f s (--step-timeout)%s",
             crew->canary ? "canary step" : "step", (double)crew->watch.seen_ns * 1e-9, usual);
    return group_end_late(crew->group, (int64_t)oldest_step(crew), why);
}

static int64_t next_canary_ns(const struct crew *crew)
{
    return crew->watch.done_ns + (int64_t)(crew->options.canary_seconds * 1e9);
}

// Of a ready crew: ticks while a step is under way, the canary's time else.
static void look_again(struct crew *crew)
{
    if (crew->n_posted || crew->blind || !(crew->options.canary_seconds > 0))
        crew_events_tick(&crew->events, crew->n_posted || crew->blind);
    else
        crew_events_alarm(&crew->events, next_canary_ns(crew));
}

static void check_idle(struct crew *crew)
{
    if (crew->n_posted || !(crew->options.canary_seconds > 0) || clock_ns() < next_canary_ns(crew))
        return;
    begin_step(crew, NULL);
    crew_listen(crew);
}

// Idle ranks see `quit` at once.
static void dismiss(struct crew *crew)
{
    enum { WAIT_MS = 20, WAITS = 100 };
    struct board_header *header = crew->board.header;
    atomic_store_explicit(&header->quit, 1, memory_order_relaxed); // ordered by the word
    signal_raise(&header->plan, (uint32_t)crew->next_step);
    int n_running = 1;
    for (int i = 0; i < WAITS && n_running > 0; i++)
        if (group_poll(crew->group, WAIT_MS, &n_running) != OK)
            break;
}

void crew_stop(struct crew *crew)
{
    if (!crew)
        return;
    if (crew->canary && is_done(crew))
        end_step(crew);
    if (crew->options.far)
        far_nodes_quit(crew->options.far, crew->options.more && *crew->options.more);
    if (crew->group && crew->state == CREW_READY && !crew->n_posted)
        dismiss(crew);
    crew_close_group(crew);
    keepers_free(crew->keepers);
    launcher_stop(crew->launcher);
    crew_events_fini(&crew->events);
    free(crew);
}

static bool is_loaded(struct crew *crew)
{
    return signal_reached(&crew->board.header->done, (uint32_t)board_loaded(&crew->board));
}

// All live, and none has left in peace, which is no failure in the group's eyes.
static enum status check_ranks(struct crew *crew)
{
    int n_running;
    TRY(group_poll(crew->group, 0, &n_running));
    if (n_running == group_size(crew->group))
        return OK;
    if (crew->state == CREW_READY)
        return fail(ERR_GROUP, "%d of %d ranks left without being told to",
                    group_size(crew->group) - n_running, group_size(crew->group));
    return fail(ERR_GROUP,
                "a rank left before it was loaded: %s is not the program colrow; check "
                "COLROW_RANK_PROGRAM",
                crew->options.program);
}

// Anything that ranks do on their way to being ready changes it.
static uint64_t loading_progress(const struct crew *crew, bool *loads)
{
    uint64_t progress = crew->generation;
    *loads = false;
    for (int r = 0; r < crew->options.shape.n_ranks; r++) {
        const struct board_rank *rank = crew_rank(crew, r);
        struct flight_report report;
        crew_report(crew, r, &report);
        *loads |= strcmp(report.what, "loading") == 0;
        progress += (uint64_t)crew_pid(crew, r) + report.n_collectives + (uint64_t)report.what[0];
        progress += atomic_load_explicit(&rank->bytes_read, memory_order_relaxed);
        progress += atomic_load_explicit(&rank->kv_pages_touched, memory_order_relaxed);
    }
    return progress;
}

// Ranks that load have reasons to be slow (disks, checksums), others only start again.
static enum status check_progress(struct crew *crew)
{
    enum { LOADING_TIMES = 10, START_SECONDS = 30 };
    bool loads;
    uint64_t progress = loading_progress(crew, &loads);
    if (progress != crew->progress)
        step_watch_begin_wait(&crew->watch);
    crew->progress = progress;
    double seconds = (double)step_watch_waited_ns(&crew->watch) * 1e-9,
           most = crew->options.deadline_seconds;
    if (loads || crew->generation == 1)
        most *= LOADING_TIMES;
    else if (most > START_SECONDS)
        most = START_SECONDS;
    if (seconds < most)
        return OK;
    char why[48];
    snprintf(why, sizeof why, " for %.1f s", seconds);
    return group_end_still(crew->group, why);
}

static enum status check_nodes(struct crew *crew)
{
    char sentence[STATUS_MESSAGE_MAX];
    int node;
    if (!crew->options.far)
        return OK;
    if (crew->options.agent &&
        node_agent_fault(crew->options.agent, &node, sentence, sizeof sentence))
        far_nodes_lose(crew->options.far, node, sentence);
    return far_nodes_check(crew->options.far);
}

static enum status look(struct crew *crew)
{
    if (crew->state != CREW_BROKEN && !crew->restarting)
        TRY(check_nodes(crew));
    switch (crew->state) {
    case CREW_LOADING:
        if (crew->restarting)
            return crew_start_again(crew);
        if (!is_loaded(crew)) {
            TRY(check_ranks(crew));
            return check_progress(crew);
        }
        become_ready(crew);
        look_again(crew);
        return OK;
    case CREW_READY:
        if (is_done(crew) && !crew->canary)
            return OK;
        if (is_done(crew))
            end_step(crew);
        TRY(check_ranks(crew));
        TRY(check_step_time(crew));
        check_idle(crew);
        look_again(crew);
        return OK;
    case CREW_BROKEN:
        if (!crew->group || group_gone(crew->group))
            crew_events_tick(&crew->events, false);
        return OK;
    }
    return OK;
}

enum crew_state crew_poll(struct crew *crew)
{
    crew_events_clear(&crew->events);
    if (look(crew) != OK)
        break_crew(crew);
    return crew->state;
}

void crew_add_reason(struct crew *crew, const char *more)
{
    size_t length = strlen(crew->reason);
    snprintf(crew->reason + length, sizeof crew->reason - length, "; %s", more);
}

void crew_break(struct crew *crew, const char *sentence)
{
    (void)fail(ERR_GROUP, "%s", sentence);
    if (crew->state != CREW_BROKEN)
        break_crew(crew);
}

bool crew_is_gone(struct crew *crew)
{
    assert(crew->state == CREW_BROKEN);
    return !crew->group || group_gone(crew->group);
}

void crew_post_canary(struct crew *crew)
{
    assert(crew->state == CREW_READY && !crew->n_posted);
    begin_step(crew, NULL);
}

void crew_want_pages(struct crew *crew, int64_t n)
{
    struct board_options *board = &crew->options.board;
    bool broken = crew->state == CREW_BROKEN;
    assert((n >= board->kv_pages_first || broken) && n <= crew->options.shape.kv_pages);
    board->kv_pages_first = n;
    if (crew->board.header && !broken)
        signal_raise(&crew->board.header->kv_wanted, (uint32_t)n);
    if (crew->options.far && !broken)
        far_nodes_want_pages(crew->options.far, n);
}

void crew_watch(struct crew *crew)
{
    crew_events_tick(&crew->events, true);
}

enum crew_state crew_await_news(struct crew *crew)
{
    enum { WAIT_MS = 100 };
    struct pollfd event = {.fd = crew->events.all_fd, .events = POLLIN};
    (void)poll(&event, 1, WAIT_MS); // a signal: looks a little earlier
    return crew_poll(crew);
}

void crew_ring(struct crew *crew)
{
    crew_events_ring(&crew->events);
}

void crew_post(struct crew *crew, const struct step *step)
{
    assert(crew->state == CREW_READY && !crew->canary &&
           crew->n_posted < board_slots(&crew->options.shape));
    struct step numbered = *step;
    numbered.number = (int64_t)crew->next_step;
    step_plan_write(board_plan(&crew->board, crew->next_step), &crew->options.shape.limits,
                    crew->generation, &numbered);
    begin_step(crew, step);
}

bool crew_take(struct crew *crew)
{
    assert(crew->n_posted && !crew->canary);
    if (!is_done(crew))
        return false;
    end_step(crew);
    return true;
}

void crew_listen(struct crew *crew)
{
    assert(crew->n_posted);
    crew_events_tick(&crew->events, true);
    if (!board_listen(&crew->board, board_done(oldest_step(crew))))
        crew_ring(crew); // too late for the ranks to do so
}

static enum status check_waiting(void *context)
{
    struct crew *crew = context;
    TRY(group_check(crew->group));
    TRY(check_nodes(crew));
    return check_step_time(crew);
}

static enum status await_step(struct crew *crew)
{
    struct board_header *header = crew->board.header;
    // relaxed: a bell that nobody needed does no harm
    atomic_store_explicit(&header->listening, 0, memory_order_relaxed);
    enum status status =
        signal_await(&header->done, (uint32_t)board_done(oldest_step(crew)),
                     crew->options.crowded ? WAIT_ASLEEP : WAIT_BUSY, check_waiting, crew);
    if (status != OK) {
        break_crew(crew);
        return crew_fail(crew);
    }
    end_step(crew);
    return OK;
}

enum status crew_await_step(struct crew *crew)
{
    assert(crew->n_posted && !crew->canary);
    return await_step(crew);
}

bool crew_is_checking(const struct crew *crew)
{
    return crew->canary;
}

enum status crew_await_free(struct crew *crew)
{
    return crew->canary ? await_step(crew) : OK;
}

struct loading {
    struct crew *crew;
    void (*progress)(void *context);
    void *context;
};

static enum status check_loading(void *context)
{
    struct loading *loading = context;
    if (loading->progress)
        loading->progress(loading->context);
    TRY(check_ranks(loading->crew));
    TRY(check_nodes(loading->crew));
    return check_progress(loading->crew);
}

enum status crew_await_ready(struct crew *crew, void (*progress)(void *context), void *context)
{
    while (crew->restarting)
        crew_await_news(crew);
    struct loading loading = {crew, progress, context};
    enum status status = OK;
    if (crew->state == CREW_LOADING)
        status = signal_await(&crew->board.header->done, (uint32_t)board_loaded(&crew->board),
                              WAIT_IDLE, check_loading, &loading);
    if (status != OK)
        break_crew(crew);
    if (crew->state == CREW_BROKEN)
        return crew_fail(crew);
    if (progress && crew->state == CREW_LOADING)
        progress(context);
    if (crew->state == CREW_LOADING)
        become_ready(crew);
    look_again(crew);
    return OK;
}
