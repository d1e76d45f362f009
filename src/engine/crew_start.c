// Ranks that start: the first ones, and those that come after others, once these and their memory
// are gone and the nodes that are lost have been found again.
#include <assert.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/group_keepers.h"
#include "comm/group_spawn.h"
#include "comm/launcher.h"
#include "comm/node_agent.h"
#include "engine/crew_parts.h"
#include "engine/far_nodes.h"

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

void crew_close_group(struct crew *crew)
{
    if (crew->options.far)
        far_nodes_detach(crew->options.far);
    if (crew->options.agent && crew->group)
        node_agent_detach(crew->options.agent);
    group_close(crew->group, 0);
    crew->group = NULL;
    crew->board = (struct board){0};
}

// Ranks that load can only share what they fetch with those that load, too.
static bool all_will_load(struct crew *crew)
{
    bool all = true;
    for (int r = 0; r < crew->options.part.n_ranks; r++)
        all = all && !keepers_at(crew->keepers, r)->loaded;
    return all;
}

static const char *const rank_arguments[] = {"colrow", "rank", NULL};

static enum status crew_start_ranks(struct crew *crew)
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
    board->share_rows = crew->options.shape.n_sharing > 0 && all_will_load(crew);
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
        status = crew_start_ranks(crew);
    if (status != OK)
        crew_stop(crew);
    else
        *out = crew;
    return status;
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

enum status crew_start_again(struct crew *crew)
{
    if (!old_ranks_gone(crew) || clock_ns() < crew->restart_ns)
        return OK;
    if (crew->group)
        crew_close_group(crew);
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
    return crew_start_ranks(crew);
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
