// What another node, or a stranger, sends over the control connection: frames one after the other.
// Each is refused, or read as a message that is written back as the same bytes.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "comm/cluster_key.h"
#include "comm/cluster_message.h"

static struct bytes again;

static void check_same(const struct frame *frame, enum status status, size_t skipped)
{
    assert(status == OK);
    assert(again.length == FRAME_HEADER_BYTES + frame->bytes);
    const char *payload = again.data + FRAME_HEADER_BYTES;
    assert(memcmp(payload + skipped, frame->payload + skipped, frame->bytes - skipped) == 0);
}

static bool is_plain(const struct frame *frame)
{
    for (size_t i = 0; i < frame->bytes; i++)
        if (frame->payload[i] >= 0x7f)
            return false;
    return true;
}

static void read_texts(const struct frame *frame)
{
    char text[CLUSTER_SENTENCE_MAX];
    if (!text_read(frame, text, sizeof text))
        return;
    for (const char *c = text; *c; c++)
        assert((unsigned char)*c >= ' ' && *c != 0x7f);
    assert(strlen(text) + 4 == frame->bytes);
}

static void read_hello(const struct frame *frame)
{
    static struct hello_message hello;
    static const uint8_t nonce[NONCE_BYTES];
    static struct cluster_key key = {.bytes = CLUSTER_KEY_BYTES_MIN};
    assert(!hello_is_proved(frame, &key, nonce)); // nobody guesses it
    if (!hello_read(frame, &hello))
        return;
    assert(hello.node >= ANY_NODE && hello.node < CLUSTER_NODES_MAX && hello.n_local >= 1);
    assert(hello_write(&again, &hello, NULL, nonce) == OK);
    assert(again.length == FRAME_HEADER_BYTES + frame->bytes);
}

static void read_world(const struct frame *frame)
{
    static struct cluster_world world;
    if (!world_read(frame, &world))
        return;
    assert(world.size >= world.n_nodes && world.size <= COMM_RANKS_MAX);
    assert(world.node < world.n_nodes);
    enum status status = world_write(&again, &world, world.node);
    if (is_plain(frame) && !memchr(frame->payload, '?', frame->bytes))
        assert(status == OK && again.length == FRAME_HEADER_BYTES + frame->bytes);
}

static void read_addresses(const struct frame *frame)
{
    static struct address_message message;
    if (!addresses_read(frame, &message))
        return;
    assert(message.n >= 1 && message.n <= COMM_RANKS_MAX);
    check_same(frame, addresses_write(&again, frame->type, &message), 0);
}

static void read_fault(const struct frame *frame)
{
    struct cluster_fault fault;
    if (!fault_read(frame, &fault))
        return;
    assert(fault.exit_status > 0 && fault.exit_status < 256 && fault.culprit < COMM_RANKS_MAX);
    assert(fault_write(&again, &fault) == OK);
    assert(again.length == FRAME_HEADER_BYTES + frame->bytes);
}

static void read_message(const struct frame *frame)
{
    struct challenge_message challenge;
    struct welcome_message welcome;
    bytes_clear(&again);
    switch (frame->type) {
    case FRAME_CHALLENGE:
        if (challenge_read(frame, &challenge))
            assert(challenge.protocol > 0 && strlen(challenge.build) < CLUSTER_NAME_MAX);
        break;
    case FRAME_HELLO:
        read_hello(frame);
        break;
    case FRAME_WELCOME:
        if (welcome_read(frame, &welcome))
            assert(welcome.beat_ms > 0 && welcome.deadline_ms > 0);
        break;
    case FRAME_REFUSAL:
    case FRAME_WAITING:
    case FRAME_BEAT:
        read_texts(frame);
        break;
    case FRAME_WORLD:
        read_world(frame);
        break;
    case FRAME_ADDRESSES:
    case FRAME_BOOK:
        read_addresses(frame);
        break;
    case FRAME_FAULT:
        read_fault(frame);
        break;
    case FRAME_DONE:
        assert(frame->bytes == 0);
        break;
    case FRAME_TYPES_END:
        assert(false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    bytes_init(&again);
    while (frame_read(data, size, &frame) == FRAME_READY) {
        assert(frame.bytes <= size - FRAME_HEADER_BYTES);
        assert(frame.bytes <= frame_bytes_max(frame.type));
        read_message(&frame);
        data += FRAME_HEADER_BYTES + frame.bytes;
        size -= FRAME_HEADER_BYTES + frame.bytes;
    }
    bytes_fini(&again);
    return 0;
}
