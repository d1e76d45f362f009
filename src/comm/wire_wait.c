// Waiting for a message: spin, yield, then sleep in the kernel until the network has something. As
// long as a rank waits it moves what else is under way, too.
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "comm/pause.h"
#include "comm/peer_wait.h"
#include "comm/wire_group.h"

// Spinning is for answers that are on their way. Yielding lasts as long as that of signal_await(),
// so that a step never sleeps; but where yields take their time others want the CPU, and a sleeper
// gets it back sooner than one that yields.
enum { SPIN_NS = 50000, SPINS_PER_CLOCK = 16, YIELD_NS = 2000000, YIELDS_PER_CLOCK = 8 };
enum { CROWDED_NS = 200000, SLEEP_MS = 20, LAST_LOOKS = 100 };
enum { OTHERS_FIRST_NS = 500000000, LOOK_NS = 2000000 };

static bool moves(const struct wire_message *message)
{
    (void)wire_progress(message->wire);
    return message->done;
}

static bool comes_soon(const struct wire_message *message)
{
    int64_t begun = clock_ns(), now, before;
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (moves(message))
                return true;
            pause_briefly();
        }
        now = clock_ns();
    } while (now < begun + SPIN_NS);
    do {
        before = now;
        for (int i = 0; i < YIELDS_PER_CLOCK; i++) {
            if (moves(message))
                return true;
            sched_yield();
        }
        now = clock_ns();
    } while (now < begun + YIELD_NS && now < before + CROWDED_NS);
    return false;
}

// The peer's connection has ended. Who owns its process knows why: that verdict is waited for.
static enum status break_for_end(struct comm *comm, const struct wire_message *message,
                                 const char *failure)
{
    char fate[128];
    int64_t end = clock_ns() + OTHERS_FIRST_NS;
    while (!verdict_given(&comm->membership->segment) && clock_ns() < end)
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    snprintf(fate, sizeof fate, "is gone (its connection ended: %s)", failure);
    return break_for_peer(comm, message->peer, fate);
}

static enum status sleep_for(struct comm *comm, const struct wire_message *message)
{
    struct peer_wait wait = {.comm = comm, .peer = message->peer, .message = message};
    while (!moves(message)) {
        const char *failure = wire_failure(message->wire, message->peer);
        for (int i = 0; failure && i < LAST_LOOKS; i++)
            if (moves(message))
                return OK;
        if (failure)
            return break_for_end(comm, message, failure);
        TRY(peer_wait_check(&wait));
        wire_sleep(message->wire, SLEEP_MS);
    }
    peer_wait_end(&wait);
    return OK;
}

static enum status break_for_bytes(struct comm *comm, const struct wire_message *message,
                                   size_t bytes)
{
    char found[64] = "more than that", place[PLACE_BYTES], sentence[VERDICT_BYTES];
    flight_place(comm->flight, place);
    if (!message->too_long)
        snprintf(found, sizeof found, "%zu", message->bytes);
    snprintf(sentence, sizeof sentence,
             "rank %d expects %zu bytes from rank %d, which sends %s%s; do all nodes run the same "
             "version of colrow?",
             comm->first_rank + comm->rank, bytes, message->peer, found, place);
    return comm_break(comm, -1, sentence);
}

enum status wire_await_end(struct comm *comm, struct wire_message *message)
{
    if (message->done || moves(message))
        return OK;
    uint64_t begun = ticks_now();
    enum status status = comes_soon(message) ? OK : sleep_for(comm, message);
    comm->wait_ticks += ticks_now() - begun;
    return status;
}

enum status wire_await(struct comm *comm, struct wire_message *message, size_t bytes)
{
    TRY(wire_await_end(comm, message));
    if (message->too_long)
        return break_for_bytes(comm, message, bytes);
    if (message->failed) {
        const char *failure = wire_failure(message->wire, message->peer);
        return break_for_end(comm, message, failure ? failure : "a message failed");
    }
    return message->bytes == bytes ? OK : break_for_bytes(comm, message, bytes);
}
