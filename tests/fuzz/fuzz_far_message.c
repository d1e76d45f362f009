// What another node sends to an engine, or an engine to a node: frames one after the other. Each is
// refused or read, a step as one that keeps the limits and can be written again as the same bytes.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "engine/far_message.h"

enum { PAYLOAD_MAX = 4096 };

static const struct step_limits limits = {.rows_max = 16,
                                          .sequences_max = 4,
                                          .logit_rows_max = 8,
                                          .kv_groups = 2,
                                          .state_pages = 2,
                                          .page_entries_max = 32,
                                          .copies_max = 3};

static void check_step(const struct far_frame *frame, const struct far_step *head,
                       const struct step *step)
{
    static struct bytes again;
    bytes_clear(&again);
    enum status status = far_write_step(&again, head->generation, head->number,
                                        head->is_canary ? NULL : step, &limits);
    assert(status == OK);
    if (head->is_canary)
        return;
    assert(step->n_rows >= 1 && step->n_rows <= limits.rows_max);
    assert(step->n_sequences >= 1 && step->n_sequences <= limits.sequences_max);
    assert(step->n_logits >= 0 && step->n_logits <= limits.logit_rows_max);
    assert(step->n_copies >= 0 && step->n_copies <= limits.copies_max);
    assert(again.length == sizeof(struct far_head) + frame->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct far_step_room room;
    if (!room.tokens) {
        enum status status = far_step_room_new(&limits, &room);
        assert(status == OK);
    }
    struct far_frame frame;
    while (far_read(data, size, PAYLOAD_MAX, &frame) == FAR_FRAME) {
        struct far_step head;
        struct step step;
        uint64_t number;
        assert(frame.bytes <= PAYLOAD_MAX);
        if (frame.type == FAR_STEP && far_read_step(&frame, &limits, &room, &head, &step))
            check_step(&frame, &head, &step);
        if (far_take(&frame, &number, sizeof number))
            assert(frame.bytes == sizeof number);
        data += sizeof(struct far_head) + frame.bytes;
        size -= sizeof(struct far_head) + frame.bytes;
    }
    return 0;
}
