#include "engine/crew.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/group_keepers.h"
#include "comm/group_spawn.h"
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

static enum status watch_ranks(struct crew *crew)
{
    crew->blind = false;
    for (int r = 0; r < group_size(crew->group); r++) {
        int fd = group_process_fd(crew->group, r);
        crew->blind |= fd < 0;
        TRY(crew_events_add(&crew->events, fd));
    }
    crew_events_tick(&crew->events, true);
    return OK;
}

// Nobody else looks at the group or its board any more.
static void close_group(struct crew *crew)
{
    if (crew->options.far)
        far_nodes_detach(crew->options.far);
    if (crew->options.agent && crew->group)
        node_agent_detach(crew->options.agent);
    group_close(crew->group, 0);
    crew->group = NULL;
    crew->board = (struct board){0};
}

static const char *const rank_arguments[] = {"colrow", "rank", NULL};

static enum status start_crew(struct crew *crew)
{
    struct board_options *board = &crew->options.board;
    size_t bytes;
    TRY(board_bytes(&crew->options.shape, &bytes));
    struct group_options group = {
        .program = crew->options.program,
        .arguments = rank_arguments,
        .environment = crew->options.environment,
        .n_ranks = crew->options.part.n_ranks,
        .world_size = crew->options.part.world_size,
        .first_rank = crew->options.part.first_rank,
        .n_nodes = crew->options.part.n_nodes,
        .node = crew->options.part.node,
        .board_bytes = bytes,
        .deadline_seconds = crew->options.deadline_seconds,
        .bell_fd = crew->events.bell_fd,
        .keepers = crew->keepers,
        .launcher = crew->launcher,
        .joins = true,
        .hasty = true,
    };
    crew->canary_told = false;
    board->generation = ++crew->generation;
    board->first_step = crew->next_step;
    board->bell_fd = RANK_BELL_FD;
    TRY(group_spawn(&group, &crew->group));
    TRY(board_post(group_board(crew->group), &crew->options.shape, board, &crew->board));
    crew->board.bell_fd = crew->events.bell_fd;
    if (crew->options.far)
        far_nodes_start(crew->options.far, board, &crew->board);
    if (crew->options.agent)
        node_agent_attach(crew->options.agent, crew->group, crew->generation);
    // The last rank rings when it is loaded: until the next tick everybody would wait for nothing.
    if (!board_listen(&crew->board, board_loaded(&crew->board)))
        crew_ring(crew);
    return watch_ranks(crew);
}

enum status crew_new(const struct crew_options *options, struct crew **out)
{
    struct crew *crew;
    TRY(memory_new(1, sizeof *crew, "the crew", &crew));
    crew->options = *options;
    crew->next_step = options->board.first_step ? options->board.first_step : 1;
    crew->generation = options->board.generation ? options->board.generation - 1 : 0;
    if (options->part.n_ranks == 0)
        crew->options.part =
            (struct world_part){options->shape.n_ranks, options->shape.n_ranks, 0, 1, 0};
    crew->state = CREW_LOADING;
    step_watch_init(&crew->watch, options->step_timeout_seconds);
    enum status status = crew_events_init(&crew->events);
    if (status == OK)
        status = keepers_new(crew->options.part.n_ranks, &crew->keepers);
    if (status == OK && *options->launcher)
        status = launcher_start(crew->options.launcher, crew->options.program, rank_arguments,
                                crew->options.environment, &crew->launcher);
    if (status == OK)
        status = start_crew(crew);
    if (status != OK)
        crew_stop(crew);
    else
        *out = crew;
    return status;
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
    close_group(crew);
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

// True once nothing is left of the old ranks. A keeper that does not say so ends, too.
static bool old_ranks_gone(struct crew *crew)
{
    static const int64_t patience_ns = 10000000000; // much memory may have to be given back
    if (!crew->group || group_gone(crew->group))
        return !crew->options.far || far_nodes_gone(crew->options.far);
    if (step_watch_waited_ns(&crew->watch) > patience_ns)
        group_end_keepers(crew->group);
    return false;
}

static enum status seek_nodes(struct crew *crew)
{
    bool found;
    assert(crew->options.find_nodes);
    crew->hopeless = true; // unless it goes well
    TRY(crew->options.find_nodes(crew->options.nodes_context, &crew->options.agent,
                                 &crew->options.far, &found));
    crew->hopeless = false;
    crew->seeking = !found;
    return OK;
}

// The old ranks' memory must be free before new ones reserve theirs.
static enum status start_again(struct crew *crew)
{
    if (!old_ranks_gone(crew) || clock_ns() < crew->restart_ns)
        return OK;
    if (crew->group)
        close_group(crew);
    if (crew->options.far && far_nodes_lost(crew->options.far) && crew->options.find_nodes) {
        crew->seeking = true;
        crew->options.far = NULL; // nobody's any more
        crew->options.agent = NULL;
    }
    if (crew->seeking)
        TRY(seek_nodes(crew));
    if (crew->seeking)
        return OK;
    crew->restarting = false;
    return start_crew(crew);
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
            return start_again(crew);
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

void crew_restart(struct crew *crew, int64_t delay_ns)
{
    assert(crew->state == CREW_BROKEN && delay_ns >= 0);
    crew->state = CREW_LOADING;
    crew->restarting = true;
    crew->restart_ns = clock_ns() + delay_ns;
    step_watch_begin_wait(&crew->watch);
    crew_events_tick(&crew->events, true);
    crew_ring(crew);
}

void crew_add_reason(struct crew *crew, const char *more)
{
    size_t length = strlen(crew->reason);
    snprintf(crew->reason + length, sizeof crew->reason - length, "; %s", more);
}

enum status crew_reshape(struct crew *crew, const struct crew_options *options)
{
    assert(crew->state == CREW_BROKEN && crew->hopeless && !crew->group && !crew->options.far);
    keepers_free(crew->keepers);
    crew->keepers = NULL;
    TRY(keepers_new(options->part.n_ranks, &crew->keepers));
    crew->options.shape = options->shape;
    crew->options.board = options->board;
    crew->options.part = options->part;
    crew->options.crowded = options->crowded;
    crew->taken_slot = 0;
    crew->hopeless = false;
    crew->seeking = true;
    return OK;
}

void crew_break(struct crew *crew, const char *sentence)
{
    (void)fail(ERR_GROUP, "%s", sentence);
    if (crew->state != CREW_BROKEN)
        break_crew(crew);
}

void crew_join(struct crew *crew, struct node_agent *agent)
{
    assert(crew->state == CREW_BROKEN);
    if (crew->options.agent && crew->group)
        node_agent_detach(crew->options.agent);
    crew->options.agent = agent;
}

void crew_number_from(struct crew *crew, uint64_t generation, uint64_t first_step)
{
    assert(crew->state == CREW_BROKEN && generation > 0 && first_step > 0);
    crew->generation = generation - 1;
    crew->next_step = first_step;
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
