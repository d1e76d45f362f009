// The board's numbers: generations, first steps that are far away, and the bell.
#include "testing.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "engine/board.h"

static const struct board_shape shape = {
    .n_ranks = 2,
    .n_arriving = 2,
    .limits = {.rows_max = 8, .sequences_max = 2, .logit_rows_max = 2, .page_entries_max = 4},
    .kv_pages = 4,
    .vocab_size = 10,
    .hidden_size = 4,
    .num_hidden_layers = 1,
};

struct posted {
    void *memory;
    size_t bytes;
    int bell_fd;
    struct board board, rank;
};

static void post_shape(struct posted *p, const struct board_shape *posted_shape,
                       uint64_t generation, uint64_t first_step)
{
    assert_int_equal(board_bytes(posted_shape, &p->bytes), OK);
    size_t whole = (p->bytes + BOARD_LINE - 1) / BOARD_LINE * BOARD_LINE;
    p->memory = aligned_alloc(BOARD_LINE, whole);
    memset(p->memory, 0, whole);
    p->bell_fd = eventfd(0, EFD_NONBLOCK);
    struct board_options options = {
        .generation = generation, .first_step = first_step, .bell_fd = p->bell_fd};
    assert_int_equal(board_post(p->memory, posted_shape, &options, &p->board), OK);
    assert_int_equal(board_attach(p->memory, p->bytes, 2, NULL, NULL, &p->rank), OK);
}

static void post(struct posted *p, uint64_t generation, uint64_t first_step)
{
    post_shape(p, &shape, generation, first_step);
}

static void forget(struct posted *p)
{
    close(p->bell_fd);
    free(p->memory);
}

static bool rang(const struct posted *p)
{
    uint64_t count;
    return read(p->bell_fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static bool has(const struct posted *p, uint64_t done)
{
    return signal_reached(&p->board.header->done, (uint32_t)done);
}

static void the_last_to_arrive_raises(void **state)
{
    (void)state;
    const uint64_t first_steps[] = {1, 77, 0x7fffffff, 0xfffffffe, 0x100000000, 0x1800000001};
    for (int i = 0; i < 6; i++) {
        struct posted p;
        uint64_t first = first_steps[i];
        post(&p, 2, first);
        assert_false(has(&p, board_loaded(&p.board)));
        assert_false(signal_reached(&p.rank.header->plan, (uint32_t)first));
        board_arrive(&p.rank, board_loaded(&p.rank));
        assert_false(has(&p, board_loaded(&p.board)));
        board_arrive(&p.rank, board_loaded(&p.rank));
        assert_true(has(&p, board_loaded(&p.board)));
        for (uint64_t number = first; number < first + 5; number++) {
            signal_raise(&p.board.header->plan, (uint32_t)number);
            assert_true(signal_reached(&p.rank.header->plan, (uint32_t)number));
            assert_false(signal_reached(&p.rank.header->plan, (uint32_t)number + 1));
            board_arrive(&p.rank, board_done(number));
            assert_false(has(&p, board_done(number)));
            board_arrive(&p.rank, board_done(number));
            assert_true(has(&p, board_done(number)));
        }
        assert_false(rang(&p)); // nobody listened
        forget(&p);
    }
}

// A rank of an early stage is ahead of one of a late stage by as many steps as there are slots.
static void steps_take_slots_in_turn(void **state)
{
    (void)state;
    for (int n_slots = 1; n_slots <= STEPS_UNDER_WAY_MAX; n_slots += 3) {
        struct board_shape several = shape;
        several.n_slots = n_slots;
        struct posted p;
        const uint64_t first = 0xfffffff0, n_steps = 3 * (uint64_t)n_slots + 1;
        post_shape(&p, &several, 1, first);
        for (int rank = 0; rank < 2; rank++)
            board_arrive(&p.rank, board_loaded(&p.rank));
        uint64_t behind = first;
        for (uint64_t number = first; number < first + n_steps; number++) {
            if (number >= first + (uint64_t)n_slots) { // its slot has to be free
                board_arrive(&p.rank, board_done(behind));
                assert_true(has(&p, board_done(behind)));
                behind++;
            }
            assert_ptr_equal(board_plan(&p.board, number), p.board.plans + (number - first) %
                                                                               (uint64_t)n_slots *
                                                                               p.board.plan_bytes);
            assert_ptr_equal(board_results(&p.board, number)->logits,
                             board_results(&p.board, number + (uint64_t)n_slots)->logits);
            signal_raise(&p.board.header->plan, (uint32_t)number);
            board_arrive(&p.rank, board_done(number));
            assert_false(has(&p, board_done(behind)));
        }
        while (behind < first + n_steps) {
            assert_false(has(&p, board_done(behind)));
            board_arrive(&p.rank, board_done(behind));
            assert_true(has(&p, board_done(behind)));
            behind++;
            assert_false(has(&p, board_done(behind)));
        }
        forget(&p);
    }
}

static void the_bell_rings_for_who_listens(void **state)
{
    (void)state;
    struct posted p;
    post(&p, 1, 1);
    assert_true(board_listen(&p.board, board_loaded(&p.board)));
    board_arrive(&p.rank, 1);
    assert_false(rang(&p));
    board_arrive(&p.rank, 1);
    assert_true(rang(&p));
    assert_false(rang(&p));
    board_arrive(&p.rank, 2);
    board_arrive(&p.rank, 2);
    assert_true(rang(&p));
    assert_false(board_listen(&p.board, 2)); // said already
    assert_true(board_listen(&p.board, 3));
    forget(&p);
}

static void what_is_no_board_is_refused(void **state)
{
    (void)state;
    struct posted p;
    post(&p, 1, 1);
    struct board other;
    assert_int_equal(board_attach(p.memory, p.bytes, 3, NULL, NULL, &other), ERR_INTERNAL);
    assert_int_equal(board_attach(p.memory, 16, 2, NULL, NULL, &other), ERR_INPUT);
    p.board.header->options.first_step = 0;
    assert_int_equal(board_attach(p.memory, p.bytes, 2, NULL, NULL, &other), ERR_INTERNAL);
    p.board.header->version++;
    assert_int_equal(board_attach(p.memory, p.bytes, 2, NULL, NULL, &other), ERR_INPUT);
    forget(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_to_arrive_raises),
        cmocka_unit_test(steps_take_slots_in_turn),
        cmocka_unit_test(the_bell_rings_for_who_listens),
        cmocka_unit_test(what_is_no_board_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
