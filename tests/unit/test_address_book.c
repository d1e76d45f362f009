// Parts of a world on several nodes, here in one process tree: how their ranks are counted, how
// their addresses go round, and whose word counts when one of them fails.
#include "testing.h"

#include <stdlib.h>
#include <unistd.h>

#include "comm/address_book.h"
#include "comm/flight_record.h"
#include "comm/group.h"
#include "comm/group_spawn.h"
#include "comm/segment_join.h"

enum { NODES = 2, WORLD = 3 };
static const int sizes[NODES] = {1, 2}, first[NODES] = {0, 1};

static enum status start_part(int node, const char *name, struct group **out)
{
    const char *arguments[] = {"part", name, NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = sizes[node],
                                          .world_size = WORLD,
                                          .first_rank = first[node],
                                          .n_nodes = NODES,
                                          .node = node};
    return group_spawn(&options, out);
}

// Carries every address to every node; false: one is not there yet.
static bool carry_addresses(struct group *const groups[NODES])
{
    const void *address;
    size_t bytes;
    for (int node = 0; node < NODES; node++)
        for (int r = 0; r < sizes[node]; r++)
            if (!address_book_take(group_segment(groups[node]), r, &address, &bytes))
                return false;
    for (int to = 0; to < NODES; to++) {
        for (int node = 0; node < NODES; node++)
            for (int r = 0; r < sizes[node]; r++) {
                assert_true(address_book_take(group_segment(groups[node]), r, &address, &bytes));
                assert_true(
                    address_book_fill(group_segment(groups[to]), first[node] + r, address, bytes));
            }
        address_book_complete(group_segment(groups[to]));
    }
    return true;
}

// In a rank: its address is its number, as often as its number says.
static int meet(struct segment *segment, int local_rank)
{
    int world_rank = segment->first_rank + local_rank;
    unsigned char own[ADDRESS_BYTES_MAX];
    size_t bytes = 0;
    memset(own, world_rank + 1, sizeof own);
    address_book_put(segment, local_rank, own, world_rank == 2 ? sizeof own : (size_t)world_rank);
    if (address_book_wait(segment, NULL, NULL) != OK)
        return 1;
    for (int r = 0; r < WORLD; r++) {
        const unsigned char *address = address_book_read(segment, r, &bytes);
        if (!address || bytes != (r == 2 ? sizeof own : (size_t)r) ||
            (bytes && address[bytes - 1] != r + 1))
            return 2;
    }
    return 0;
}

static int run_as_rank(const char *name)
{
    struct segment segment;
    int local_rank;
    if (segment_join(RANK_SEGMENT_FD, &segment, &local_rank) != OK) {
        fprintf(stderr, "%s\n", status_message());
        return 3;
    }
    if (strcmp(name, "meet") == 0)
        return meet(&segment, local_rank);
    int world_rank = segment.first_rank + local_rank;
    struct flight_record *flight = &segment.ranks[local_rank].flight;
    flight_mark(flight, 5, 1, "down_proj");
    if (strcmp(name, "wait") == 0 && world_rank > 0) { // for rank 0, which does nothing
        atomic_store(&flight->wait_since_ns, 1);
        atomic_store(&flight->waits_for, 1);
    } else if (strcmp(name, "accuse") == 0 && world_rank == 2) {
        verdict_give(&segment, 2, 0, "rank 0 does not answer");
        return 4;
    } else if (strcmp(name, "die") == 0 && world_rank == 2) {
        return 5;
    }
    for (;;)
        pause();
}

static void addresses_go_round(void **state)
{
    (void)state;
    struct group *groups[NODES];
    for (int node = 0; node < NODES; node++)
        assert_int_equal(start_part(node, "meet", &groups[node]), OK);
    while (!carry_addresses(groups))
        usleep(1000);
    for (int node = 0; node < NODES; node++) {
        int exit_status = -1;
        const unsigned char more[ADDRESS_BYTES_MAX + 1] = {0};
        assert_false(address_book_fill(group_segment(groups[node]), 0, more, 1));
        assert_false(address_book_fill(group_segment(groups[node]), 0, more, sizeof more));
        if (group_wait(groups[node], &exit_status) != OK)
            print_error("%s\n", status_message());
        assert_int_equal(exit_status, 0);
        group_close(groups[node], 0);
    }
}

static void await_end(struct group *group)
{
    int n_running;
    while (group_poll(group, 20, &n_running) == OK)
        ;
}

static void ranks_are_named_as_the_world_counts(void **state)
{
    (void)state;
    struct group *group;
    assert_int_equal(start_part(1, "die", &group), OK);
    await_end(group);
    assert_non_null(strstr(status_message(), "rank 2 (pid "));
    assert_non_null(strstr(status_message(), "left with exit status 5 in step 5, layer 1"));
    assert_int_equal(group_exit_status(group), 5);
    group_close(group, 0);
}

// Who accuses a rank of another node is heard there first; without an answer its own word stands.
static void another_nodes_word_is_waited_for(void **state)
{
    (void)state;
    for (int answered = 0; answered < 2; answered++) {
        struct group *group;
        int culprit = -1, n_running = 2;
        assert_int_equal(start_part(1, "accuse", &group), OK);
        while (!group_verdict(group, &culprit))
            usleep(1000);
        assert_int_equal(culprit, 0);
        while (n_running == 2) // the accuser leaves, and is not blamed
            assert_int_equal(group_poll(group, 20, &n_running), OK);
        if (answered)
            group_give_verdict(group, 0, "rank 0 (pid 7) fell over; the group was ended");
        await_end(group);
        assert_string_equal(status_message(), answered
                                                  ? "rank 0 (pid 7) fell over; the group was ended"
                                                  : "rank 0 does not answer; the group was ended");
        group_close(group, 0);
    }
}

static void who_is_late_elsewhere_is_named(void **state)
{
    (void)state;
    struct group *group;
    assert_int_equal(start_part(1, "wait", &group), OK);
    await_end(group);
    assert_non_null(strstr(status_message(), "rank 0 on another node is late: rank "));
    group_close(group, 0);
}

static void parts_must_fit_the_world(void **state)
{
    (void)state;
    const char *arguments[] = {"true", NULL};
    struct group_options options = {
        .program = "true", .arguments = arguments, .n_ranks = 2, .world_size = 3, .n_nodes = 2};
    struct group *group;
    options.first_rank = 2;
    assert_int_equal(group_spawn(&options, &group), ERR_INPUT);
    assert_non_null(strstr(status_message(), "no part of a world of 3"));
    options.first_rank = 1;
    options.node = 2;
    assert_int_equal(group_spawn(&options, &group), ERR_INPUT);
}

int main(int argc, char **argv)
{
    if (argc == 2 && getenv(SEGMENT_FD_VARIABLE))
        return run_as_rank(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_go_round),
        cmocka_unit_test(ranks_are_named_as_the_world_counts),
        cmocka_unit_test(another_nodes_word_is_waited_for),
        cmocka_unit_test(who_is_late_elsewhere_is_named),
        cmocka_unit_test(parts_must_fit_the_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
