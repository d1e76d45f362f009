#include "comm/cluster_message.h"

#include <string.h>

#include "comm/cluster_key.h"

static const uint8_t magic[16] = "colrow nodes 1\n";

enum status challenge_write(struct bytes *out, const struct challenge_message *message)
{
    size_t begin;
    TRY(frame_begin(out, FRAME_CHALLENGE, &begin));
    TRY(bytes_append(out, magic, sizeof magic));
    TRY(frame_u32(out, (uint32_t)message->protocol));
    TRY(frame_u32(out, message->wants_key));
    TRY(bytes_append(out, message->nonce, NONCE_BYTES));
    TRY(frame_text(out, message->build));
    frame_end(out, begin);
    return OK;
}

bool challenge_read(const struct frame *frame, struct challenge_message *out)
{
    uint8_t found[sizeof magic];
    struct frame_cursor cursor = frame_cursor_of(frame);
    take_bytes(&cursor, found, sizeof found);
    out->protocol = take_number_between(&cursor, 1, INT32_MAX);
    out->wants_key = take_u32(&cursor) & 1;
    take_bytes(&cursor, out->nonce, NONCE_BYTES);
    take_text(&cursor, out->build, sizeof out->build);
    return !cursor.bad && memcmp(found, magic, sizeof magic) == 0;
}

// A frame whose payload begins with a proof of the rest.
enum { PROOF_AT = FRAME_HEADER_BYTES, PROVED_AT = PROOF_AT + SHA256_BYTES };

static enum status begin_proved(struct bytes *out, enum frame_type type, size_t *begin)
{
    static const uint8_t no_proof[SHA256_BYTES];
    TRY(frame_begin(out, type, begin));
    return bytes_append(out, no_proof, sizeof no_proof);
}

static void end_proved(struct bytes *out, size_t begin, const struct cluster_key *key,
                       enum proof_side side, const uint8_t *nonce)
{
    frame_end(out, begin);
    uint8_t *frame = (uint8_t *)out->data + begin;
    if (key)
        cluster_key_prove(key, side, nonce, frame + PROVED_AT, out->length - begin - PROVED_AT,
                          frame + PROOF_AT);
}

static bool is_proved(const struct frame *frame, const struct cluster_key *key,
                      enum proof_side side, const uint8_t *nonce)
{
    uint8_t proof[SHA256_BYTES];
    if (frame->bytes < SHA256_BYTES)
        return false;
    cluster_key_prove(key, side, nonce, frame->payload + SHA256_BYTES, frame->bytes - SHA256_BYTES,
                      proof);
    return same_secret(proof, frame->payload, SHA256_BYTES);
}

static struct frame_cursor cursor_behind_proof(const struct frame *frame)
{
    uint8_t proof[SHA256_BYTES];
    struct frame_cursor cursor = frame_cursor_of(frame);
    take_bytes(&cursor, proof, sizeof proof);
    return cursor;
}

enum status hello_write(struct bytes *out, const struct hello_message *message,
                        const struct cluster_key *key, const uint8_t host_nonce[NONCE_BYTES])
{
    size_t begin;
    TRY(begin_proved(out, FRAME_HELLO, &begin));
    TRY(bytes_append(out, message->nonce, NONCE_BYTES));
    TRY(frame_u32(out, (uint32_t)message->node));
    TRY(frame_u32(out, (uint32_t)message->n_nodes));
    TRY(frame_u32(out, (uint32_t)message->n_local));
    TRY(frame_text(out, message->build));
    TRY(frame_text(out, message->run));
    TRY(frame_text(out, message->agreement));
    end_proved(out, begin, key, GUEST_PROOF, host_nonce);
    return OK;
}

bool hello_read(const struct frame *frame, struct hello_message *out)
{
    struct frame_cursor cursor = cursor_behind_proof(frame);
    take_bytes(&cursor, out->nonce, NONCE_BYTES);
    out->node = take_number_between(&cursor, ANY_NODE, CLUSTER_NODES_MAX - 1);
    out->n_nodes = take_number_between(&cursor, 1, CLUSTER_NODES_MAX);
    out->n_local = take_number_between(&cursor, 1, COMM_RANKS_MAX);
    take_text(&cursor, out->build, sizeof out->build);
    take_text(&cursor, out->run, sizeof out->run);
    take_lines(&cursor, out->agreement, sizeof out->agreement);
    return frame_cursor_done(&cursor);
}

bool hello_is_proved(const struct frame *frame, const struct cluster_key *key,
                     const uint8_t host_nonce[NONCE_BYTES])
{
    return is_proved(frame, key, GUEST_PROOF, host_nonce);
}

enum status welcome_write(struct bytes *out, const struct welcome_message *message,
                          const struct cluster_key *key, const uint8_t guest_nonce[NONCE_BYTES])
{
    size_t begin;
    TRY(begin_proved(out, FRAME_WELCOME, &begin));
    TRY(frame_u32(out, (uint32_t)message->beat_ms));
    TRY(frame_u32(out, (uint32_t)message->deadline_ms));
    end_proved(out, begin, key, HOST_PROOF, guest_nonce);
    return OK;
}

bool welcome_read(const struct frame *frame, struct welcome_message *out)
{
    struct frame_cursor cursor = cursor_behind_proof(frame);
    out->beat_ms = take_number_between(&cursor, 1, 1 << 20);
    out->deadline_ms = take_number_between(&cursor, 1, 1 << 30);
    return frame_cursor_done(&cursor);
}

bool welcome_is_proved(const struct frame *frame, const struct cluster_key *key,
                       const uint8_t guest_nonce[NONCE_BYTES])
{
    return is_proved(frame, key, HOST_PROOF, guest_nonce);
}

enum status text_write(struct bytes *out, enum frame_type type, const char *text)
{
    size_t begin, room = frame_bytes_max(type) - 8, length = strlen(text);
    TRY(frame_begin(out, type, &begin));
    TRY(frame_blob(out, text, length < room ? length : room - 1));
    frame_end(out, begin);
    return OK;
}

bool text_read(const struct frame *frame, char *out, size_t room)
{
    struct frame_cursor cursor = frame_cursor_of(frame);
    take_text(&cursor, out, room);
    return frame_cursor_done(&cursor);
}

bool cluster_world_count(struct cluster_world *world)
{
    world->size = 0;
    for (int i = 0; i < world->n_nodes; i++) {
        world->nodes[i].first_rank = world->size;
        world->size += world->nodes[i].n_local;
    }
    return world->size <= COMM_RANKS_MAX;
}

enum status world_write(struct bytes *out, const struct cluster_world *world, int node)
{
    size_t begin;
    TRY(frame_begin(out, FRAME_WORLD, &begin));
    TRY(frame_u32(out, (uint32_t)world->n_nodes));
    TRY(frame_u32(out, (uint32_t)node));
    for (int i = 0; i < world->n_nodes; i++) {
        TRY(frame_u32(out, (uint32_t)world->nodes[i].n_local));
        TRY(frame_text(out, world->nodes[i].address));
    }
    frame_end(out, begin);
    return OK;
}

bool world_read(const struct frame *frame, struct cluster_world *out)
{
    struct frame_cursor cursor = frame_cursor_of(frame);
    out->n_nodes = take_number_between(&cursor, 1, CLUSTER_NODES_MAX);
    out->node = take_number_between(&cursor, 0, out->n_nodes - 1);
    for (int i = 0; i < out->n_nodes; i++) {
        out->nodes[i].n_local = take_number_between(&cursor, 0, COMM_RANKS_MAX);
        take_text(&cursor, out->nodes[i].address, sizeof out->nodes[i].address);
    }
    return frame_cursor_done(&cursor) && cluster_world_count(out);
}

enum status addresses_write(struct bytes *out, enum frame_type type,
                            const struct address_message *message)
{
    size_t begin;
    TRY(frame_begin(out, type, &begin));
    TRY(frame_u32(out, message->round));
    TRY(frame_u32(out, (uint32_t)message->n));
    for (int r = 0; r < message->n; r++)
        TRY(frame_blob(out, message->address[r].data, message->address[r].bytes));
    frame_end(out, begin);
    return OK;
}

bool addresses_read(const struct frame *frame, struct address_message *out)
{
    struct frame_cursor cursor = frame_cursor_of(frame);
    out->round = take_u32(&cursor);
    out->n = take_number_between(&cursor, 1, COMM_RANKS_MAX);
    for (int r = 0; r < out->n; r++)
        out->address[r].data = take_blob(&cursor, RANK_ADDRESS_BYTES_MAX, &out->address[r].bytes);
    return frame_cursor_done(&cursor);
}

enum status fault_write(struct bytes *out, const struct cluster_fault *fault)
{
    size_t begin;
    TRY(frame_begin(out, FRAME_FAULT, &begin));
    TRY(frame_u32(out, (uint32_t)fault->node));
    TRY(frame_u32(out, fault->lost));
    TRY(frame_u32(out, (uint32_t)fault->culprit));
    TRY(frame_u32(out, (uint32_t)fault->exit_status));
    TRY(frame_text(out, fault->sentence));
    TRY(frame_text(out, fault->place));
    frame_end(out, begin);
    return OK;
}

bool fault_read(const struct frame *frame, struct cluster_fault *out)
{
    struct frame_cursor cursor = frame_cursor_of(frame);
    out->node = take_number_between(&cursor, 0, CLUSTER_NODES_MAX - 1);
    out->lost = take_number_between(&cursor, 0, 1) != 0;
    out->culprit = take_number_between(&cursor, -1, COMM_RANKS_MAX - 1);
    out->exit_status = take_number_between(&cursor, 1, 255);
    take_text(&cursor, out->sentence, sizeof out->sentence);
    take_text(&cursor, out->place, sizeof out->place);
    return frame_cursor_done(&cursor);
}

enum status done_write(struct bytes *out)
{
    size_t begin;
    TRY(frame_begin(out, FRAME_DONE, &begin));
    frame_end(out, begin);
    return OK;
}
