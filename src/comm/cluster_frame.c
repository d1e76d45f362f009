#include "comm/cluster_frame.h"

#include <assert.h>
#include <string.h>

enum {
    ADDRESSES_BYTES_MAX = 16 + COMM_RANKS_MAX * (RANK_ADDRESS_BYTES_MAX + 4),
    WORLD_BYTES_MAX = 64 + CLUSTER_NODES_MAX * (CLUSTER_NAME_MAX + 8),
    HELLO_BYTES_MAX = 128 + 4 * CLUSTER_NAME_MAX + AGREEMENT_BYTES_MAX,
    FAULT_BYTES_MAX = 64 + CLUSTER_SENTENCE_MAX + CLUSTER_PLACE_MAX,
};

size_t frame_bytes_max(enum frame_type type)
{
    switch (type) {
    case FRAME_CHALLENGE:
        return 128 + CLUSTER_NAME_MAX;
    case FRAME_HELLO:
        return HELLO_BYTES_MAX;
    case FRAME_WELCOME:
        return 128;
    case FRAME_REFUSAL:
    case FRAME_WAITING:
        return 8 + CLUSTER_SENTENCE_MAX;
    case FRAME_WORLD:
        return WORLD_BYTES_MAX;
    case FRAME_BEAT:
        return 8 + CLUSTER_PLACE_MAX;
    case FRAME_ADDRESSES:
    case FRAME_BOOK:
        return ADDRESSES_BYTES_MAX;
    case FRAME_FAULT:
        return FAULT_BYTES_MAX;
    case FRAME_DONE:
        return 0;
    case FRAME_TYPES_END:
        break;
    }
    return 0;
}

static uint32_t number_at(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_number(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> 8 * i);
}

enum frame_state frame_read(const void *data, size_t bytes, struct frame *out)
{
    const uint8_t *at = data;
    // As soon as there are bytes that no frame has: whoever sends garbage need not send eight.
    if (bytes > 4 && (at[4] == 0 || at[4] >= FRAME_TYPES_END))
        return FRAME_BAD;
    if (bytes < FRAME_HEADER_BYTES)
        return FRAME_MORE;
    out->type = (enum frame_type)at[4];
    out->bytes = number_at(at);
    out->payload = at + FRAME_HEADER_BYTES;
    if (at[5] || at[6] || at[7] || out->bytes > frame_bytes_max(out->type))
        return FRAME_BAD;
    return bytes - FRAME_HEADER_BYTES < out->bytes ? FRAME_MORE : FRAME_READY;
}

enum status frame_begin(struct bytes *out, enum frame_type type, size_t *begin)
{
    uint8_t header[FRAME_HEADER_BYTES] = {0};
    header[4] = (uint8_t)type;
    *begin = out->length;
    return bytes_append(out, header, sizeof header);
}

enum status frame_u32(struct bytes *out, uint32_t number)
{
    uint8_t bytes[4];
    put_number(bytes, number);
    return bytes_append(out, bytes, sizeof bytes);
}

enum status frame_blob(struct bytes *out, const void *data, size_t bytes)
{
    assert(bytes <= UINT32_MAX);
    TRY(frame_u32(out, (uint32_t)bytes));
    return bytes ? bytes_append(out, data, bytes) : OK;
}

enum status frame_text(struct bytes *out, const char *text)
{
    return frame_blob(out, text, strlen(text));
}

void frame_end(struct bytes *out, size_t begin)
{
    uint8_t *header = (uint8_t *)out->data + begin;
    size_t bytes = out->length - begin - FRAME_HEADER_BYTES;
    assert(bytes <= frame_bytes_max((enum frame_type)header[4]));
    put_number(header, (uint32_t)bytes);
}

struct frame_cursor frame_cursor_of(const struct frame *frame)
{
    return (struct frame_cursor){.at = frame->payload, .left = frame->bytes};
}

// NULL, and a fault, when there is less.
static const uint8_t *take_part(struct frame_cursor *cursor, size_t bytes)
{
    if (cursor->bad || bytes > cursor->left) {
        cursor->bad = true;
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += bytes;
    cursor->left -= bytes;
    return at;
}

uint32_t take_u32(struct frame_cursor *cursor)
{
    const uint8_t *at = take_part(cursor, 4);
    return at ? number_at(at) : 0;
}

int take_number_between(struct frame_cursor *cursor, int least, int most)
{
    int32_t number = (int32_t)take_u32(cursor);
    if (number >= least && number <= most)
        return number;
    cursor->bad = true;
    return least;
}

void take_bytes(struct frame_cursor *cursor, void *out, size_t bytes)
{
    const uint8_t *at = take_part(cursor, bytes);
    if (at)
        memcpy(out, at, bytes);
    else
        memset(out, 0, bytes);
}

const uint8_t *take_blob(struct frame_cursor *cursor, size_t most, size_t *bytes)
{
    *bytes = take_u32(cursor);
    if (*bytes > most)
        cursor->bad = true;
    const uint8_t *at = take_part(cursor, *bytes);
    if (!at)
        *bytes = 0;
    return at;
}

static void take_plain(struct frame_cursor *cursor, char *out, size_t room, bool lines)
{
    size_t bytes;
    const uint8_t *at = take_blob(cursor, room - 1, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        bool control = (at[i] < ' ' && !(lines && at[i] == '\n')) || at[i] == 0x7f;
        out[i] = (char)(control ? '?' : at[i]);
        if (at[i] == 0)
            cursor->bad = true;
    }
    out[cursor->bad ? 0 : bytes] = '\0';
}

void take_text(struct frame_cursor *cursor, char *out, size_t room)
{
    take_plain(cursor, out, room, false);
}

void take_lines(struct frame_cursor *cursor, char *out, size_t room)
{
    take_plain(cursor, out, room, true);
}

bool frame_cursor_done(const struct frame_cursor *cursor)
{
    return !cursor->bad && cursor->left == 0;
}
