#include "engine/far_message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { SMALL_PAYLOAD_MAX = 256 << 10 }; // every message but steps and their results

enum status far_begin(struct bytes *out, enum far_type type, size_t *begin)
{
    struct far_head head = {.type = (uint32_t)type};
    *begin = out->length;
    return bytes_append(out, &head, sizeof head);
}

enum status far_end(struct bytes *out, size_t begin)
{
    size_t bytes = out->length - begin - sizeof(struct far_head);
    if (bytes > UINT32_MAX)
        return fail(ERR_TOO_LARGE,
                    "a message between nodes has %zu bytes; expected less than 4 GiB", bytes);
    uint32_t number = (uint32_t)bytes;
    memcpy(out->data + begin, &number, sizeof number);
    return OK;
}

enum status far_write(struct bytes *out, enum far_type type, const void *payload, size_t bytes)
{
    size_t begin;
    TRY(far_begin(out, type, &begin));
    if (bytes)
        TRY(bytes_append(out, payload, bytes));
    return far_end(out, begin);
}

static enum status append_array(struct bytes *out, const void *items, int32_t n, size_t item_bytes)
{
    return n > 0 ? bytes_append(out, items, (size_t)n * item_bytes) : OK;
}

static enum status write_sequence(struct bytes *out, const struct step_sequence *q,
                                  const struct step_limits *limits)
{
    struct far_sequence head = {.position = q->position,
                                .first_row = q->first_row,
                                .n_tokens = q->n_tokens,
                                .n_pages = q->n_pages,
                                .n_states = q->n_states,
                                .is_long = q->is_long};
    TRY(bytes_append(out, &head, sizeof head));
    for (int group = 0; group < step_groups(limits); group++)
        TRY(append_array(out, q->pages + (size_t)group * (size_t)q->pages_stride, q->n_pages,
                         sizeof *q->pages));
    return append_array(out, q->states, q->n_states * limits->state_pages, sizeof *q->states);
}

enum status far_write_step(struct bytes *out, uint64_t generation, int64_t number,
                           const struct step *step, const struct step_limits *limits)
{
    static const struct step nothing;
    struct far_step head = {.generation = generation, .number = number, .is_canary = step == NULL};
    size_t begin;
    if (!step)
        step = &nothing;
    head.n_rows = step->n_rows;
    head.n_sequences = step->n_sequences;
    head.n_logits = step->n_logits;
    head.n_copies = step->n_copies;
    head.capture = step->capture;
    TRY(far_begin(out, FAR_STEP, &begin));
    TRY(bytes_append(out, &head, sizeof head));
    TRY(append_array(out, step->tokens, step->n_rows, sizeof *step->tokens));
    TRY(append_array(out, step->logit_rows, step->n_logits, sizeof *step->logit_rows));
    TRY(append_array(out, step->copies, step->n_copies, sizeof *step->copies));
    for (int32_t i = 0; i < step->n_sequences; i++)
        TRY(write_sequence(out, &step->sequences[i], limits));
    TRY(append_array(out, step->logit_full, step->n_logits, 1));
    return far_end(out, begin);
}

enum far_found far_read(const void *data, size_t bytes, size_t payload_max, struct far_frame *out)
{
    struct far_head head;
    if (bytes < sizeof head)
        return FAR_MORE_BYTES;
    memcpy(&head, data, sizeof head);
    if (head.type < FAR_START || head.type >= FAR_TYPES_END || head.bytes > payload_max)
        return FAR_GARBAGE;
    *out = (struct far_frame){(enum far_type)head.type, (const unsigned char *)data + sizeof head,
                              head.bytes};
    return bytes - sizeof head < head.bytes ? FAR_MORE_BYTES : FAR_FRAME;
}

bool far_take(const struct far_frame *frame, void *out, size_t bytes)
{
    if (frame->bytes != bytes)
        return false;
    memcpy(out, frame->payload, bytes);
    return true;
}

// ---- a step

enum status far_step_room_new(const struct step_limits *limits, struct far_step_room *out)
{
    const char *what = "steps of another node";
    size_t logit_rows = (size_t)limits->logit_rows_max, copies = (size_t)limits->copies_max;
    enum status status;
    *out = (struct far_step_room){0};
    TRY_DONE(
        memory_new((size_t)limits->sequences_max, sizeof *out->sequences, what, &out->sequences));
    TRY_DONE(memory_new((size_t)limits->page_entries_max, sizeof *out->pages, what, &out->pages));
    TRY_DONE(memory_new((size_t)limits->rows_max, sizeof *out->tokens, what, &out->tokens));
    TRY_DONE(memory_new(logit_rows, sizeof *out->logit_rows, what, &out->logit_rows));
    TRY_DONE(memory_new(logit_rows, sizeof *out->logit_full, what, &out->logit_full));
    TRY_DONE(memory_new(copies ? copies : 1, sizeof *out->copies, what, &out->copies));
done:
    if (status != OK)
        far_step_room_free(out);
    return status;
}

void far_step_room_free(struct far_step_room *room)
{
    free(room->sequences);
    free(room->pages);
    free(room->tokens);
    free(room->logit_rows);
    free(room->logit_full);
    free(room->copies);
    *room = (struct far_step_room){0};
}

struct far_cursor {
    const unsigned char *at;
    size_t left;
};

static bool take_array(struct far_cursor *cursor, void *out, int64_t n, size_t item_bytes)
{
    size_t bytes;
    if (n < 0 || !checked_mul((size_t)n, item_bytes, &bytes) || bytes > cursor->left)
        return false;
    if (bytes)
        memcpy(out, cursor->at, bytes);
    cursor->at += bytes;
    cursor->left -= bytes;
    return true;
}

static bool read_sequences(struct far_cursor *cursor, const struct step_limits *limits,
                           const struct far_step_room *room, int32_t n)
{
    int64_t n_pages = 0, groups = step_groups(limits), most = limits->page_entries_max;
    for (int32_t i = 0; i < n; i++) {
        struct far_sequence head = {0};
        if (!take_array(cursor, &head, 1, sizeof head) || head.n_pages < 1 || head.n_states < 0)
            return false;
        const int64_t entries =
            head.n_pages * groups + (int64_t)head.n_states * limits->state_pages;
        if (entries > most - n_pages ||
            !take_array(cursor, room->pages + n_pages, entries, sizeof(int32_t)))
            return false;
        room->sequences[i] = (struct step_sequence){
            .first_row = head.first_row,
            .n_tokens = head.n_tokens,
            .position = head.position,
            .pages = room->pages + n_pages,
            .n_pages = head.n_pages,
            .pages_stride = head.n_pages,
            .states = room->pages + n_pages + head.n_pages * groups,
            .n_states = head.n_states,
            .is_long = head.is_long != 0,
        };
        n_pages += entries;
    }
    return true;
}

bool far_read_step(const struct far_frame *frame, const struct step_limits *limits,
                   const struct far_step_room *room, struct far_step *head, struct step *out)
{
    struct far_cursor cursor = {frame->payload, frame->bytes};
    *out = (struct step){0};
    if (!take_array(&cursor, head, 1, sizeof *head))
        return false;
    if (head->is_canary)
        return cursor.left == 0;
    if (head->n_rows < 1 || head->n_rows > limits->rows_max || head->n_sequences < 1 ||
        head->n_sequences > limits->sequences_max || head->n_logits < 0 ||
        head->n_logits > limits->logit_rows_max || head->n_copies < 0 ||
        head->n_copies > limits->copies_max)
        return false;
    if (!take_array(&cursor, room->tokens, head->n_rows, sizeof *room->tokens) ||
        !take_array(&cursor, room->logit_rows, head->n_logits, sizeof *room->logit_rows) ||
        !take_array(&cursor, room->copies, head->n_copies, sizeof *room->copies) ||
        !read_sequences(&cursor, limits, room, head->n_sequences) ||
        !take_array(&cursor, room->logit_full, head->n_logits, 1))
        return false;
    *out = (struct step){
        .number = head->number,
        .n_rows = head->n_rows,
        .tokens = room->tokens,
        .n_sequences = head->n_sequences,
        .sequences = room->sequences,
        .n_logits = head->n_logits,
        .logit_rows = room->logit_rows,
        .logit_full = room->logit_full,
        .n_copies = head->n_copies,
        .copies = room->copies,
        .capture = head->capture != 0,
    };
    return cursor.left == 0;
}

int32_t far_captured_rows(const struct board_shape *shape, const struct step *step)
{
    return step && step->capture && shape->capture_rows_max > 0 ? step->n_rows : 0;
}

size_t far_payload_max(const struct board_shape *shape)
{
    const struct step_limits *limits = &shape->limits;
    size_t plan, logits, best, captured;
    bool good = step_plan_bytes(limits, &plan) == OK &&
                checked_mul3((size_t)limits->logit_rows_max, (size_t)shape->vocab_size,
                             sizeof(float), &logits) &&
                checked_mul3((size_t)limits->logit_rows_max, (size_t)shape->n_ranks,
                             sizeof(struct step_best), &best) &&
                checked_mul3((size_t)shape->capture_rows_max, (size_t)shape->num_hidden_layers + 1,
                             (size_t)shape->hidden_size * sizeof(float), &captured) &&
                checked_add(logits, best, &logits) && checked_add(logits, plan, &logits) &&
                checked_add(logits, captured, &logits) &&
                checked_add(logits, SMALL_PAYLOAD_MAX, &logits);
    return good && logits < UINT32_MAX ? logits : UINT32_MAX;
}
