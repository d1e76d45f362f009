// What the engine and the nodes that work for it say to each other: a step comes out as it went in,
// and what is no message, or breaks the limits, is refused.
#include "testing.h"

#include "engine/far_message.h"

enum { GROUPS = 2 };

static const struct step_limits limits = {.rows_max = 8,
                                          .sequences_max = 3,
                                          .logit_rows_max = 4,
                                          .kv_groups = GROUPS,
                                          .page_entries_max = 12,
                                          .state_pages = 2,
                                          .copies_max = 2};

static const int32_t tokens[] = {5, 6, 7, 900}, logit_rows[] = {2, 3};
static const uint8_t logit_full[] = {0, 1};
static const int32_t pages_a[] = {3, 4, 9, 9, 7, 8}; // two groups, with a stride of 3
static const int32_t pages_b[] = {1, 2};
static const int32_t states_a[] = {10, 11, 12, 13};
static const struct step_copy copies[] = {{1, 20}};
static const struct step_sequence sequences[] = {
    {.first_row = 0,
     .n_tokens = 3,
     .position = 64,
     .pages = pages_a,
     .n_pages = 2,
     .pages_stride = 3,
     .states = states_a,
     .n_states = 2},
    {.first_row = 3,
     .n_tokens = 1,
     .position = 7,
     .pages = pages_b,
     .n_pages = 1,
     .pages_stride = 1,
     .is_long = true},
};

static struct step some_step(void)
{
    return (struct step){.number = 12,
                         .n_rows = 4,
                         .tokens = tokens,
                         .n_sequences = 2,
                         .sequences = sequences,
                         .n_logits = 2,
                         .logit_rows = logit_rows,
                         .logit_full = logit_full,
                         .n_copies = 1,
                         .copies = copies,
                         .capture = true};
}

static struct far_frame frame_of(const struct bytes *bytes)
{
    struct far_frame frame;
    assert_int_equal(far_read(bytes->data, bytes->length, 1 << 20, &frame), FAR_FRAME);
    return frame;
}

static void a_step_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct bytes bytes;
    struct far_step_room room;
    struct far_step head;
    struct step in = some_step(), out;
    bytes_init(&bytes);
    assert_int_equal(far_step_room_new(&limits, &room), OK);
    assert_int_equal(far_write_step(&bytes, 3, 12, &in, &limits), OK);
    struct far_frame frame = frame_of(&bytes);
    assert_int_equal(frame.type, FAR_STEP);
    assert_true(far_read_step(&frame, &limits, &room, &head, &out));
    assert_int_equal(head.generation, 3);
    assert_int_equal(out.number, 12);
    assert_true(out.capture);
    assert_memory_equal(out.tokens, tokens, sizeof tokens);
    assert_memory_equal(out.logit_rows, logit_rows, sizeof logit_rows);
    assert_memory_equal(out.logit_full, logit_full, sizeof logit_full);
    assert_memory_equal(out.copies, copies, sizeof copies);
    assert_int_equal(out.n_sequences, 2);
    for (int i = 0; i < 2; i++) {
        const struct step_sequence *a = &in.sequences[i], *b = &out.sequences[i];
        assert_int_equal(a->position, b->position);
        assert_int_equal(a->first_row, b->first_row);
        assert_int_equal(a->n_tokens, b->n_tokens);
        assert_int_equal(a->is_long, b->is_long);
        for (int group = 0; group < GROUPS; group++)
            assert_memory_equal(a->pages + group * a->pages_stride,
                                b->pages + group * b->pages_stride, (size_t)a->n_pages * 4);
        assert_int_equal(a->n_states, b->n_states);
        if (a->n_states)
            assert_memory_equal(a->states, b->states, (size_t)a->n_states * 2 * 4);
    }
    far_step_room_free(&room);
    bytes_fini(&bytes);
}

// Every number of the head, too large and below zero; every length.
static void what_breaks_the_limits_is_refused(void **state)
{
    (void)state;
    struct bytes bytes;
    struct far_step_room room;
    struct far_step head;
    struct step in = some_step(), out;
    bytes_init(&bytes);
    assert_int_equal(far_step_room_new(&limits, &room), OK);
    assert_int_equal(far_write_step(&bytes, 3, 12, &in, &limits), OK);
    struct far_frame frame = frame_of(&bytes);
    const size_t numbers[] = {
        offsetof(struct far_step, n_rows), offsetof(struct far_step, n_sequences),
        offsetof(struct far_step, n_logits), offsetof(struct far_step, n_copies)};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int32_t kept, wrong[] = {-1, 1 << 30, INT32_MIN, 13};
        char *at = bytes.data + sizeof(struct far_head) + numbers[i];
        memcpy(&kept, at, sizeof kept);
        for (int j = 0; j < 4; j++) {
            memcpy(at, &wrong[j], sizeof kept);
            assert_false(far_read_step(&frame, &limits, &room, &head, &out));
        }
        memcpy(at, &kept, sizeof kept);
    }
    for (size_t length = 0; length < frame.bytes; length++) {
        struct far_frame cut = frame;
        cut.bytes = length;
        assert_false(far_read_step(&cut, &limits, &room, &head, &out));
    }
    assert_true(far_read_step(&frame, &limits, &room, &head, &out));
    far_step_room_free(&room);
    bytes_fini(&bytes);
}

static void a_canary_is_a_head_alone(void **state)
{
    (void)state;
    struct bytes bytes;
    struct far_step_room room;
    struct far_step head;
    struct step out;
    bytes_init(&bytes);
    assert_int_equal(far_step_room_new(&limits, &room), OK);
    assert_int_equal(far_write_step(&bytes, 1, 5, NULL, &limits), OK);
    struct far_frame frame = frame_of(&bytes);
    assert_int_equal(frame.bytes, sizeof(struct far_step));
    assert_true(far_read_step(&frame, &limits, &room, &head, &out));
    assert_true(head.is_canary);
    assert_int_equal(head.number, 5);
    far_step_room_free(&room);
    bytes_fini(&bytes);
}

static void a_frame_is_known_by_its_head(void **state)
{
    (void)state;
    struct far_frame frame;
    struct far_head head = {.bytes = 4, .type = FAR_PAGES};
    unsigned char data[sizeof head + 4] = {0};
    memcpy(data, &head, sizeof head);
    for (size_t n = 0; n < sizeof data; n++)
        assert_int_equal(far_read(data, n, 64, &frame), FAR_MORE_BYTES);
    assert_int_equal(far_read(data, sizeof data, 64, &frame), FAR_FRAME);
    assert_int_equal(far_read(data, sizeof data, 3, &frame), FAR_GARBAGE); // longer than it may be
    const uint32_t types[] = {0, FAR_TYPES_END, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        head.type = types[i];
        memcpy(data, &head, sizeof head);
        assert_int_equal(far_read(data, sizeof data, 64, &frame), FAR_GARBAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_comes_out_as_it_went_in),
        cmocka_unit_test(what_breaks_the_limits_is_refused),
        cmocka_unit_test(a_canary_is_a_head_alone),
        cmocka_unit_test(a_frame_is_known_by_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
