// What a crew says of itself and its ranks, here and on other nodes.
#include <assert.h>

#include "engine/crew_parts.h"
#include "engine/far_nodes.h"

const struct step_results *crew_results(const struct crew *crew)
{
    return &crew->board.results[crew->taken_slot];
}

int64_t crew_step_ns(const struct crew *crew, int64_t *end_ns)
{
    *end_ns = crew->taken_end_ns;
    return crew->taken_ns;
}

const struct board_rank *crew_rank(const struct crew *crew, int rank)
{
    static const struct board_rank nothing;
    assert(rank >= 0 && rank < crew->options.shape.n_ranks);
    return crew->board.ranks ? &crew->board.ranks[rank] : &nothing;
}

// As this node counts its ranks; -1: it is another node's.
static int local_rank(const struct crew *crew, int rank)
{
    int local = rank - crew->options.part.first_rank;
    return local >= 0 && local < crew->options.part.n_ranks ? local : -1;
}

pid_t crew_pid(const struct crew *crew, int rank)
{
    pid_t pid = 0;
    if (local_rank(crew, rank) >= 0)
        return crew->group ? group_pid(crew->group, local_rank(crew, rank)) : 0;
    if (crew->options.far)
        (void)far_nodes_report(crew->options.far, rank, &pid, NULL);
    return pid;
}

uint64_t crew_bytes_read(const struct crew *crew)
{
    uint64_t bytes = 0;
    for (int r = 0; r < crew->options.shape.n_ranks; r++)
        bytes += atomic_load_explicit(&crew_rank(crew, r)->bytes_read, memory_order_relaxed);
    return bytes;
}

int64_t crew_done_ns(const struct crew *crew)
{
    return crew->watch.done_ns;
}

bool crew_step_overdue(const struct crew *crew)
{
    return crew->n_posted && crew->watch.seen_ns > step_watch_limit_ns(&crew->watch) / 2;
}

void crew_report(const struct crew *crew, int rank, struct flight_report *out)
{
    assert(rank >= 0 && rank < crew->options.shape.n_ranks);
    *out = (struct flight_report){.last_layer = -1};
    int local = local_rank(crew, rank);
    if (local >= 0 && crew->group)
        group_report(crew->group, local, out);
    else if (local < 0 && crew->options.far)
        (void)far_nodes_report(crew->options.far, rank, NULL, out);
}

uint64_t crew_generation(const struct crew *crew)
{
    return crew->generation;
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

const char *crew_last_failure(const struct crew *crew)
{
    return crew->reason;
}

bool crew_is_hopeless(const struct crew *crew)
{
    return crew->hopeless;
}

bool crew_was_idle(const struct crew *crew)
{
    assert(crew->state == CREW_BROKEN);
    return crew->was_idle;
}

int crew_exit_status(const struct crew *crew)
{
    assert(crew->state == CREW_BROKEN);
    return crew->exit_status;
}

enum crew_state crew_state(const struct crew *crew)
{
    return crew->state;
}

int crew_fd(const struct crew *crew)
{
    return crew->events.all_fd;
}
