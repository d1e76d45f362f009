// The nodes that work for an engine, played by this program over a socket: what they find comes to
// lie on the board as if their ranks were here; what breaks them, or the connection, is said.
#include "testing.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "engine/far_link.h"
#include "engine/far_nodes.h"

enum { N_RANKS = 3, FAR_RANKS = 2, VOCAB = 10, BEGIN = 4 }; // ranks 1 and 2 are the node's

static const struct board_shape shape = {
    .n_ranks = N_RANKS,
    .n_arriving = N_RANKS,
    .limits = {.rows_max = 8, .sequences_max = 2, .logit_rows_max = 2, .page_entries_max = 4},
    .kv_pages = 4,
    .vocab_size = VOCAB,
    .hidden_size = 4,
    .num_hidden_layers = 1,
    .capture_rows_max = 8,
};

struct scene {
    void *memory;
    struct board board;
    struct board_options options;
    struct far_nodes *far;
    struct far_link node; // the played one's end
};

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    size_t bytes;
    int ends[2];
    assert_int_equal(board_bytes(&shape, &bytes), OK);
    size_t whole = (bytes + BOARD_LINE - 1) / BOARD_LINE * BOARD_LINE;
    s->memory = aligned_alloc(BOARD_LINE, whole);
    memset(s->memory, 0, whole);
    s->options = (struct board_options){.generation = 2, .first_step = 7};
    assert_int_equal(board_post(s->memory, &shape, &s->options, &s->board), OK);
    s->board.bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct far_node node = {.fd = ends[0],
                            .node = 1,
                            .first_rank = 1,
                            .n_local = FAR_RANKS,
                            .address = "10.0.0.2",
                            .best_begin = 1,
                            .best_end = N_RANKS,
                            .column_begin = BEGIN,
                            .column_end = VOCAB,
                            .capture_begin = 1,
                            .capture_end = 2};
    assert_int_equal(far_nodes_new(&node, 1, &shape, 5, false, &s->far), OK);
    far_link_init(&s->node, ends[1], 1 << 20);
    far_nodes_start(s->far, &s->options, &s->board);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    far_nodes_free(s->far);
    far_link_fini(&s->node);
    close(s->board.bell_fd);
    free(s->memory);
    free(s);
    return 0;
}

static struct far_frame hear(struct scene *s, enum far_type type)
{
    struct far_frame frame = {0};
    struct pollfd fd = {.fd = s->node.fd, .events = POLLIN};
    while (!far_link_next(&s->node, &frame)) {
        assert_int_equal(poll(&fd, 1, 10000), 1);
        far_link_read(&s->node);
        assert_false(s->node.ended);
    }
    assert_int_equal(frame.type, type);
    return frame;
}

static void say(struct scene *s, enum far_type type, const void *payload, size_t bytes)
{
    assert_int_equal(far_write(&s->node.out, type, payload, bytes), OK);
    far_link_flush(&s->node);
    assert_true(far_link_flushed(&s->node));
}

static void say_loaded(struct scene *s)
{
    uint64_t generation = s->options.generation;
    (void)hear(s, FAR_START);
    say(s, FAR_READY, &generation, sizeof generation);
    board_arrive(&s->board, board_loaded(&s->board)); // rank 0
}

static enum status never(void *context)
{
    const int64_t *end = context;
    return clock_ns() < *end ? OK : fail(ERR_INTERNAL, "it takes too long");
}

static void await(struct scene *s, uint64_t done)
{
    int64_t end = clock_ns() + 20000000000;
    assert_int_equal(signal_await(&s->board.header->done, (uint32_t)done, WAIT_IDLE, never, &end),
                     OK);
}

static const char *await_fault(struct scene *s)
{
    int64_t end = clock_ns() + 20000000000;
    while (far_nodes_check(s->far) == OK)
        assert_true(clock_ns() < end);
    return status_message();
}

static void a_node_is_told_how_to_start(void **state)
{
    struct scene *s = *state;
    struct far_frame frame = hear(s, FAR_START);
    struct far_start start;
    assert_true(far_take(&frame, &start, sizeof start));
    assert_int_equal(start.options.generation, 2);
    assert_int_equal(start.options.first_step, 7);
    assert_int_equal(start.shape.n_ranks, N_RANKS);
    assert_int_equal(start.column_begin, BEGIN);
    assert_int_equal(start.column_end, VOCAB);
    assert_int_equal(start.capture_begin, 1);
    assert_int_equal(start.capture_end, 2);
}

static void results_come_to_lie_on_the_board(void **state)
{
    struct scene *s = *state;
    static const int32_t tokens[] = {1, 2}, rows[] = {0, 1}, page[] = {0};
    static const uint8_t full[] = {0, 1};
    static const struct step_sequence sequence = {
        .n_tokens = 2, .pages = page, .n_pages = 1, .pages_stride = 1};
    const struct step step = {.n_rows = 2,
                              .tokens = tokens,
                              .n_sequences = 1,
                              .sequences = &sequence,
                              .n_logits = 2,
                              .logit_rows = rows,
                              .logit_full = full,
                              .capture = true};
    say_loaded(s);
    await(s, board_loaded(&s->board));
    far_nodes_post(s->far, 7, &step);
    struct far_frame frame = hear(s, FAR_STEP);
    struct far_step head;
    memcpy(&head, frame.payload, sizeof head);
    assert_int_equal(head.number, 7);

    struct far_done done = {.generation = 2, .number = 7};
    struct far_rank ranks[FAR_RANKS] = {{.step_ns = 11, .pid = 77}, {.step_ns = 22}};
    struct step_best best[FAR_RANKS][2] = {{{1, 4}, {2, 5}}, {{3, 8}, {4, 9}}};
    float logits[VOCAB - BEGIN] = {40, 50, 60, 70, 80, 90};
    float hidden[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}}; // after layer 0
    size_t begin;
    assert_int_equal(far_begin(&s->node.out, FAR_DONE, &begin), OK);
    assert_int_equal(bytes_append(&s->node.out, &done, sizeof done), OK);
    assert_int_equal(bytes_append(&s->node.out, ranks, sizeof ranks), OK);
    assert_int_equal(bytes_append(&s->node.out, best, sizeof best), OK);
    assert_int_equal(bytes_append(&s->node.out, logits, sizeof logits), OK);
    assert_int_equal(bytes_append(&s->node.out, hidden, sizeof hidden), OK);
    assert_int_equal(far_end(&s->node.out, begin), OK);
    far_link_flush(&s->node);
    board_arrive(&s->board, board_done(7));
    await(s, board_done(7));

    const struct step_results *results = &s->board.results[0];
    assert_int_equal(results->best[results->logit_rows_max + 1].id, 5);
    assert_int_equal(results->best[2 * results->logit_rows_max].id, 8);
    assert_memory_equal(results->logits + VOCAB + BEGIN, logits, sizeof logits);
    assert_true(results->logits[BEGIN] == 0); // a row of which only the largest was wanted
    assert_memory_equal(results->capture + 8 * 4, hidden, sizeof hidden);
    assert_true(results->capture[0] == 0); // the embedding's are rank 0's
    assert_int_equal(s->board.ranks[2].step_ns, 22);
    pid_t pid;
    assert_true(far_nodes_report(s->far, 1, &pid, NULL));
    assert_int_equal(pid, 77);
    assert_false(far_nodes_report(s->far, 0, &pid, NULL));
    assert_int_equal(far_nodes_check(s->far), OK);
}

static void a_fault_is_said_with_its_node(void **state)
{
    struct scene *s = *state;
    struct far_broken broken = {.generation = 2,
                                .exit_status = 137,
                                .sentence = "rank 2 (pid 9) was killed by signal 9 (Killed)\x1b"};
    uint64_t generation = 2;
    say_loaded(s);
    say(s, FAR_BROKEN, &broken, sizeof broken);
    assert_string_equal(await_fault(s),
                        "node 1 (10.0.0.2): rank 2 (pid 9) was killed by signal 9 (Killed)?");
    assert_int_equal(far_nodes_exit_status(s->far), 137);
    assert_false(far_nodes_gone(s->far));
    far_nodes_end(s->far, "that"); // it knows
    say(s, FAR_GONE, &generation, sizeof generation);
    for (int64_t end = clock_ns() + 20000000000; !far_nodes_gone(s->far);)
        assert_true(clock_ns() < end);
    assert_false(far_nodes_lost(s->far));

    // and starts again
    s->options.generation = 3;
    far_nodes_start(s->far, &s->options, &s->board);
    assert_int_equal(far_nodes_check(s->far), OK);
    (void)hear(s, FAR_START);
    say(s, FAR_BROKEN, &broken, sizeof broken); // a word of the generation before
    generation = 3;
    say(s, FAR_READY, &generation, sizeof generation);
    board_arrive(&s->board, board_loaded(&s->board));
    await(s, board_loaded(&s->board));
    assert_int_equal(far_nodes_check(s->far), OK);
}

static void a_lost_connection_is_a_lost_node(void **state)
{
    struct scene *s = *state;
    say_loaded(s);
    close(s->node.fd);
    s->node.fd = -1;
    assert_string_equal(await_fault(s),
                        "node 1 (10.0.0.2) with ranks 1 to 2 is lost: its connection ended");
    assert_true(far_nodes_lost(s->far));
    assert_true(far_nodes_gone(s->far));
}

// Results of a step that was not posted, of the wrong size, and bytes that are no message.
static void nonsense_loses_the_node(void **state)
{
    struct scene *s = *state;
    struct far_done done = {.generation = 2, .number = 9};
    struct far_rank ranks[FAR_RANKS] = {0};
    size_t begin;
    say_loaded(s);
    assert_int_equal(far_begin(&s->node.out, FAR_DONE, &begin), OK);
    assert_int_equal(bytes_append(&s->node.out, &done, sizeof done), OK);
    assert_int_equal(bytes_append(&s->node.out, ranks, sizeof ranks), OK);
    assert_int_equal(far_end(&s->node.out, begin), OK);
    far_link_flush(&s->node);
    assert_string_equal(await_fault(s), "node 1 (10.0.0.2) with ranks 1 to 2 is lost: it said what "
                                        "no node of this version says");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_is_told_how_to_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(results_come_to_lie_on_the_board, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fault_is_said_with_its_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_connection_is_a_lost_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_loses_the_node, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
