// As ranks.h, over any transport: RANKS_TRANSPORT in the environment is shm (default), ucx (every
// rank on the wire) or nested (ranks on several nodes, which are groups of this one process: it
// carries addresses and verdicts between them, as `colrow launch` does between machines).
#ifndef COLROW_TESTS_WORLDS_H
#define COLROW_TESTS_WORLDS_H

#include "ranks.h"

#include "comm/address_book.h"

enum { WORLD_NODES_MAX = 3 };

struct world {
    int n_nodes;
    bool met; // addresses have been carried
    int first[WORLD_NODES_MAX + 1];
    struct group *group[WORLD_NODES_MAX];
};

static inline const char *world_transport(void)
{
    const char *name = getenv("RANKS_TRANSPORT");
    return name ? name : "shm";
}

static inline bool world_is_shm(void)
{
    return strcmp(world_transport(), "shm") == 0;
}

// Uneven where the number is: 1 + 1, 1 + 2, 2 + 2, 2 + 3, then three nodes.
static inline void world_place(struct world *world, int n_ranks)
{
    bool nested = strcmp(world_transport(), "nested") == 0 && n_ranks > 1;
    world->n_nodes = !nested ? 1 : n_ranks < 6 ? 2 : 3;
    for (int i = 0; i <= world->n_nodes; i++)
        world->first[i] = n_ranks * i / world->n_nodes;
}

static inline int world_size(const struct world *world)
{
    return world->first[world->n_nodes];
}

static inline void world_close(struct world *world)
{
    for (int i = 0; i < world->n_nodes; i++)
        group_close(world->group[i], 0);
}

static inline enum status world_start(int n_ranks, const char *name, const char *argument,
                                      double deadline, struct world *world)
{
    *world = (struct world){0};
    world_place(world, n_ranks);
    if (!world_is_shm()) {
        setenv("UCX_NET_DEVICES", "lo", 0); // what CMake says stays
        setenv("COLROW_TRANSPORT", world_transport(), 1);
    }
    const char *arguments[] = {"ranks", "--rank", name, argument, NULL};
    for (int i = 0; i < world->n_nodes; i++) {
        struct group_options options = {.program = "/proc/self/exe",
                                        .arguments = arguments,
                                        .n_ranks = world->first[i + 1] - world->first[i],
                                        .board_bytes = 1 << 16,
                                        .deadline_seconds = deadline};
        if (world->n_nodes > 1) {
            options.world_size = n_ranks;
            options.first_rank = world->first[i];
            options.n_nodes = world->n_nodes;
            options.node = i;
        }
        TRY(group_spawn(&options, &world->group[i]));
    }
    return OK;
}

static inline bool world_carries(struct world *world, int node, int rank)
{
    const void *address;
    size_t bytes;
    if (!address_book_take(group_segment(world->group[node]), rank, &address, &bytes))
        return false;
    for (int to = 0; to < world->n_nodes; to++)
        (void)address_book_fill(group_segment(world->group[to]), world->first[node] + rank, address,
                                bytes); // again: it is there
    return true;
}

static inline void world_meet(struct world *world)
{
    bool all = true;
    for (int i = 0; i < world->n_nodes; i++)
        for (int r = 0; r < world->first[i + 1] - world->first[i]; r++)
            all = world_carries(world, i, r) && all;
    for (int i = 0; all && !world->met && i < world->n_nodes; i++)
        address_book_complete(group_segment(world->group[i]));
    world->met |= all;
}

// What one node says ends the others.
static inline enum status world_spread(struct world *world, int *exit_status)
{
    char sentence[STATUS_MESSAGE_MAX];
    int n_running;
    snprintf(sentence, sizeof sentence, "%s", status_message());
    for (int i = 0; i < world->n_nodes; i++) {
        group_give_verdict(world->group[i], -1, sentence);
        while (group_poll(world->group[i], 20, &n_running) == OK && n_running > 0)
            ;
        if (group_exit_status(world->group[i]) != 0)
            *exit_status = group_exit_status(world->group[i]);
    }
    return fail(ERR_GROUP, "%s", sentence);
}

// As group_wait().
static inline enum status world_wait(struct world *world, int *exit_status)
{
    *exit_status = 0;
    for (int n_left = 1; n_left > 0;) {
        n_left = 0;
        world_meet(world);
        for (int i = 0; i < world->n_nodes; i++) {
            int n_running;
            if (group_poll(world->group[i], world->n_nodes > 1 ? 1 : 5, &n_running) != OK) {
                *exit_status = group_exit_status(world->group[i]);
                return world->n_nodes > 1 ? world_spread(world, exit_status) : ERR_GROUP;
            }
            n_left += n_running;
        }
    }
    return OK;
}

// Runs a case to its end; all ranks shall return 0.
static inline void world_pass(int n_ranks, const char *name, const char *argument)
{
    struct world world;
    int exit_status = -1;
    assert_int_equal(world_start(n_ranks, name, argument, 60, &world), OK);
    if (world_wait(&world, &exit_status) != OK)
        fprintf(stderr, "%s at %d ranks over %s: %s\n", name, n_ranks, world_transport(),
                status_message());
    assert_int_equal(exit_status, 0);
    world_close(&world);
}

// Not built in, or not installed here: that is no failure of ours.
static inline bool world_is_missing(void)
{
    struct world world;
    int exit_status = -1;
    if (world_is_shm())
        return false;
    assert_int_equal(world_start(2, "none", "", 60, &world), OK);
    bool missing = world_wait(&world, &exit_status) != OK && exit_status == 77;
    if (missing)
        fprintf(stderr, "skipped: this colrow has no UCX, or libucp.so.0 is not installed\n");
    world_close(&world);
    return missing;
}

#endif
