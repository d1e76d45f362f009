#include "engine/crew.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "comm/group.h"
#include "comm/group_spawn.h"
#include "engine/crew_events.h"

struct crew {
    struct crew_options options;
    struct crew_events events;
    enum crew_state state;
    struct group *group; // NULL: none now
    struct board board;
    uint64_t generation;
    uint64_t next_step; // number of the next to be posted
    bool posted;        // step next_step - 1 is under way
    bool restarting;    // new ranks start as soon as the old ones are gone
    bool blind;         // ranks without pidfds: only looking tells
    char reason[STATUS_MESSAGE_MAX];
};

// For the reason recorded last; who still runs is killed.
static void break_crew(struct crew *crew)
{
    snprintf(crew->reason, sizeof crew->reason, "%s", status_message());
    crew->state = CREW_BROKEN;
    crew->posted = false;
    crew->restarting = false;
    if (crew->group)
        group_end(crew->group, SIGKILL, 0);
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

static enum status start_crew(struct crew *crew)
{
    static const char *const arguments[] = {"colrow", "rank", NULL};
    struct board_options *board = &crew->options.board;
    size_t bytes;
    TRY(board_bytes(&crew->options.shape, &bytes));
    struct group_options group = {
        .program = crew->options.program,
        .arguments = arguments,
        .n_ranks = crew->options.shape.n_ranks,
        .board_bytes = bytes,
        .deadline_seconds = crew->options.deadline_seconds,
        .bell_fd = crew->events.bell_fd,
        .joins = true,
        .hasty = true,
    };
    board->generation = ++crew->generation;
    board->first_step = crew->next_step;
    board->bell_fd = RANK_BELL_FD;
    TRY(group_spawn(&group, &crew->group));
    TRY(board_post(group_board(crew->group), &crew->options.shape, board, &crew->board));
    return watch_ranks(crew);
}

enum status crew_new(const struct crew_options *options, struct crew **out)
{
    struct crew *crew;
    TRY(memory_new(1, sizeof *crew, "the crew", &crew));
    crew->options = *options;
    crew->next_step = 1;
    crew->state = CREW_LOADING;
    enum status status = crew_events_init(&crew->events);
    if (status == OK)
        status = start_crew(crew);
    if (status != OK)
        crew_stop(crew);
    else
        *out = crew;
    return status;
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
    if (crew->group && crew->state == CREW_READY && !crew->posted)
        dismiss(crew);
    group_close(crew->group, 0);
    crew_events_fini(&crew->events);
    free(crew);
}

static bool is_loaded(struct crew *crew)
{
    return signal_reached(&crew->board.header->done, (uint32_t)board_loaded(&crew->board));
}

static bool is_done(struct crew *crew)
{
    return crew->posted &&
           signal_reached(&crew->board.header->done, (uint32_t)board_done(crew->next_step - 1));
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

// The old ranks' memory must be free before new ones reserve theirs.
static enum status start_again(struct crew *crew)
{
    if (crew->group && !group_gone(crew->group))
        return OK;
    group_close(crew->group, 0);
    crew->group = NULL;
    crew->board = (struct board){0};
    crew->restarting = false;
    return start_crew(crew);
}

static enum status look(struct crew *crew)
{
    switch (crew->state) {
    case CREW_LOADING:
        if (crew->restarting)
            return start_again(crew);
        if (!is_loaded(crew))
            return check_ranks(crew);
        crew->state = CREW_READY;
        return OK;
    case CREW_READY:
        if (is_done(crew))
            return OK;
        crew_events_tick(&crew->events, crew->posted || crew->blind);
        return check_ranks(crew);
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

enum crew_state crew_state(const struct crew *crew)
{
    return crew->state;
}

void crew_restart(struct crew *crew)
{
    assert(crew->state == CREW_BROKEN);
    crew->state = CREW_LOADING;
    crew->restarting = true;
    crew_events_tick(&crew->events, true);
    crew_ring(crew);
}

void crew_want_pages(struct crew *crew, int64_t n)
{
    struct board_options *board = &crew->options.board;
    assert(n >= board->kv_pages_first && n <= crew->options.shape.kv_pages);
    board->kv_pages_first = n;
    if (crew->board.header)
        signal_raise(&crew->board.header->kv_wanted, (uint32_t)n);
}

int64_t crew_touched_pages(const struct crew *crew)
{
    int64_t least = INT64_MAX;
    for (int r = 0; r < crew->options.shape.n_ranks; r++) {
        // acquire: see touch_until()
        int64_t n = (int64_t)atomic_load_explicit(&crew_rank(crew, r)->kv_pages_touched,
                                                  memory_order_acquire);
        least = n < least ? n : least;
    }
    return least;
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

int crew_fd(const struct crew *crew)
{
    return crew->events.all_fd;
}

void crew_ring(struct crew *crew)
{
    crew_events_ring(&crew->events);
}

void crew_post(struct crew *crew, const struct step *step)
{
    assert(crew->state == CREW_READY && !crew->posted);
    assert((uint64_t)step->number == crew->next_step);
    step_plan_write(crew->board.plan, &crew->options.shape.limits, crew->generation, step);
    crew->posted = true;
    crew->next_step++;
    signal_raise(&crew->board.header->plan, (uint32_t)step->number);
}

bool crew_take(struct crew *crew)
{
    assert(crew->posted);
    bool done = is_done(crew);
    crew->posted = !done;
    return done;
}

void crew_listen(struct crew *crew)
{
    assert(crew->posted);
    crew_events_tick(&crew->events, true);
    if (!board_listen(&crew->board, board_done(crew->next_step - 1)))
        crew_ring(crew); // too late for the ranks to do so
}

enum status crew_await_step(struct crew *crew)
{
    assert(crew->posted);
    struct board_header *header = crew->board.header;
    // relaxed: a bell that nobody needed does no harm
    atomic_store_explicit(&header->listening, 0, memory_order_relaxed);
    enum status status =
        signal_await(&header->done, (uint32_t)board_done(crew->next_step - 1),
                     crew->options.crowded ? WAIT_ASLEEP : WAIT_BUSY, group_check, crew->group);
    if (status != OK) {
        break_crew(crew);
        return crew_fail(crew);
    }
    crew->posted = false;
    return OK;
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
    return check_ranks(loading->crew);
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
    crew->state = CREW_READY;
    crew_events_tick(&crew->events, crew->blind);
    return OK;
}

const struct step_results *crew_results(const struct crew *crew)
{
    return &crew->board.results;
}

const struct board_rank *crew_rank(const struct crew *crew, int rank)
{
    static const struct board_rank nothing;
    assert(rank >= 0 && rank < crew->options.shape.n_ranks);
    return crew->board.ranks ? &crew->board.ranks[rank] : &nothing;
}

pid_t crew_pid(const struct crew *crew, int rank)
{
    return crew->group ? group_pid(crew->group, rank) : 0;
}

uint64_t crew_bytes_read(const struct crew *crew)
{
    uint64_t bytes = 0;
    for (int r = 0; r < crew->options.shape.n_ranks; r++)
        bytes += atomic_load_explicit(&crew_rank(crew, r)->bytes_read, memory_order_relaxed);
    return bytes;
}

uint64_t crew_generation(const struct crew *crew)
{
    return crew->generation;
}
