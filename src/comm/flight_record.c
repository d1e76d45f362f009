#include "comm/flight_record.h"

#include <sched.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

// Everything in a record is for people and for the deadline, which tolerate a torn picture: relaxed
// throughout.
#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)

const char *operation_name(enum comm_operation operation)
{
    switch (operation) {
    case OPERATION_NONE:
        return "";
    case OPERATION_ALL_REDUCE:
        return "all-reduce";
    case OPERATION_REDUCE_SCATTER:
        return "reduce-scatter";
    case OPERATION_ALL_GATHER:
        return "all-gather";
    case OPERATION_BROADCAST:
        return "broadcast";
    case OPERATION_SEND:
        return "send";
    case OPERATION_RECV:
        return "receive";
    case OPERATION_BARRIER:
        return "barrier";
    case OPERATION_SPLIT:
        return "split";
    case OPERATION_TUNING:
        return "tuning";
    }
    return "an unknown operation";
}

void flight_record_init(struct flight_record *flight)
{
    atomic_init(&flight->now.step, -1);
    atomic_init(&flight->now.layer, -1);
    atomic_init(&flight->last.step, -1);
    atomic_init(&flight->last.layer, -1);
}

void flight_mark(struct flight_record *flight, int64_t step, int layer, const char *what)
{
    uint64_t words[FLIGHT_WHAT_BYTES / 8] = {0};
    if (what)
        memcpy(words, what, strnlen(what, FLIGHT_WHAT_BYTES - 1));
    for (int i = 0; i < FLIGHT_WHAT_BYTES / 8; i++)
        SET(flight->now.what[i], words[i]);
    if (GET(flight->now.step) != step) {
        SET(flight->now.step, step);
        SET(flight->n_before_step, GET(flight->n_operations));
    }
    SET(flight->now.layer, (int32_t)layer);
    SET(flight->busy_since_ns, what && step >= 0 ? clock_ns() : 0); // loading may take its time
}

void flight_begin(struct flight_record *flight, enum comm_operation operation)
{
    SET(flight->operation, (int32_t)operation);
    SET(flight->n_operations, GET(flight->n_operations) + 1);
    SET(flight->last_operation, (int32_t)operation);
    SET(flight->last_in_step, GET(flight->n_operations) - GET(flight->n_before_step));
    SET(flight->last.step, GET(flight->now.step));
    SET(flight->last.layer, GET(flight->now.layer));
    for (int i = 0; i < FLIGHT_WHAT_BYTES / 8; i++)
        SET(flight->last.what[i], GET(flight->now.what[i]));
}

void flight_wait(const struct segment *segment, struct flight_record *flight, int peer,
                 const struct signal_word *word, uint32_t value, int64_t since_ns)
{
    uintptr_t begin = (uintptr_t)segment->header, at = (uintptr_t)word;
    bool inside = at >= begin && at - begin < segment->bytes;
    SET(flight->waits_word, inside ? at - begin + 1 : 0);
    SET(flight->waits_value, value);
    SET(flight->wait_since_ns, since_ns);
    SET(flight->waits_for, peer + 1);
}

void flight_wait_end(struct flight_record *flight)
{
    SET(flight->waits_for, 0);
}

// The record is another process's: an offset that lies outside says nothing.
static bool has_come(const struct segment *segment, const struct flight_record *flight)
{
    uint64_t offset = GET(flight->waits_word) - 1;
    if (segment->bytes < sizeof(struct signal_word) ||
        offset > segment->bytes - sizeof(struct signal_word) ||
        offset % alignof(struct signal_word) != 0)
        return false;
    const struct signal_word *word =
        (const struct signal_word *)((const char *)segment->header + offset);
    return signal_reached(word, GET(flight->waits_value));
}

int flight_waits_for(const struct segment *segment, const struct flight_record *flight)
{
    int peer = GET(flight->waits_for) - 1;
    return peer >= 0 && !has_come(segment, flight) ? peer : -1;
}

// The first eight letters of the parts of a layer differ.
uint64_t flight_fingerprint(const struct flight_record *flight)
{
    uint64_t part = GET(flight->now.what[0]) * 0x9e3779b97f4a7c15u >> 44;
    return (uint64_t)GET(flight->now.step) << 32 ^
           (uint64_t)(uint32_t)GET(flight->now.layer) << 20 ^ part;
}

static void copy_what(const struct flight_spot *spot, char what[FLIGHT_WHAT_BYTES])
{
    for (size_t i = 0; i < FLIGHT_WHAT_BYTES / 8; i++) {
        uint64_t word = GET(spot->what[i]);
        memcpy(what + 8 * i, &word, 8);
    }
    what[FLIGHT_WHAT_BYTES - 1] = '\0';
}

void flight_collective(const struct flight_record *flight, char *place)
{
    char what[FLIGHT_WHAT_BYTES], layer[32] = "";
    const struct flight_spot *last = &flight->last;
    enum comm_operation operation = (enum comm_operation)GET(flight->last_operation);
    int64_t step = GET(last->step);
    copy_what(last, what);
    if (operation == OPERATION_NONE) {
        snprintf(place, PLACE_BYTES, "no collective");
        return;
    }
    if (GET(last->layer) >= 0)
        snprintf(layer, sizeof layer, "layer %d%s", (int)GET(last->layer), *what ? ", " : "");
    const char *open = *layer || *what ? " (" : "", *close = *open ? ")" : "";
    if (step < 0)
        snprintf(place, PLACE_BYTES, "%s %u%s%s%s%s", operation_name(operation),
                 GET(flight->n_operations), open, layer, what, close);
    else
        snprintf(place, PLACE_BYTES, "%s %u of step %lld%s%s%s%s", operation_name(operation),
                 GET(flight->last_in_step), (long long)step, open, layer, what, close);
}

void flight_call_read(const struct flight_record *flight, struct flight_call *out)
{
    *out = (struct flight_call){
        .step = GET(flight->last.step),
        .layer = GET(flight->last.layer),
        .operation = GET(flight->last_operation),
        .n_operations = GET(flight->n_operations),
        .in_step = GET(flight->last_in_step),
    };
    for (int i = 0; i < FLIGHT_WHAT_BYTES / 8; i++)
        out->what[i] = GET(flight->last.what[i]);
}

void flight_call_write(struct flight_record *flight, const struct flight_call *call)
{
    SET(flight->last.step, call->step);
    SET(flight->last.layer, call->layer);
    SET(flight->last_operation, call->operation);
    SET(flight->n_operations, call->n_operations);
    SET(flight->last_in_step, call->in_step);
    for (int i = 0; i < FLIGHT_WHAT_BYTES / 8; i++)
        SET(flight->last.what[i], call->what[i]);
}

void flight_report(const struct flight_record *flight, struct flight_report *out)
{
    *out = (struct flight_report){
        .steps_done = GET(flight->steps_done),
        .n_collectives = GET(flight->n_operations),
        .last_collective = (enum comm_operation)GET(flight->last_operation),
        .last_layer = GET(flight->last.layer),
    };
    copy_what(&flight->now, out->what);
    copy_what(&flight->last, out->last_what);
}

void flight_place(const struct flight_record *flight, char *place)
{
    char what[FLIGHT_WHAT_BYTES];
    copy_what(&flight->now, what);
    const char *operation = operation_name((enum comm_operation)GET(flight->operation));
    char step[32] = "", layer[32] = "", deed[96] = "";
    if (GET(flight->now.step) >= 0)
        snprintf(step, sizeof step, "step %lld, ", (long long)GET(flight->now.step));
    if (GET(flight->now.layer) >= 0)
        snprintf(layer, sizeof layer, "layer %d, ", (int)GET(flight->now.layer));
    snprintf(deed, sizeof deed, "%s%s%s", operation, *operation && *what ? " of " : "", what);
    int n = snprintf(place, PLACE_BYTES, " in %s%s%s", step, layer, deed);
    if (!*deed && n >= 2) // no deed: cut the last comma, or all of it
        place[*step || *layer ? n - 2 : 0] = '\0';
}

// The end of the chain that begins at `rank` of the world; `circle` when it has none. It also ends
// where another node begins.
static int end_of_waiting(const struct segment *segment, int rank, bool *circle)
{
    *circle = false;
    for (int i = 0; i <= segment->n_ranks; i++) {
        const struct rank_record *record = segment_record(segment, rank);
        int next = record ? flight_waits_for(segment, &record->flight) : -1;
        if (next < 0 || next >= segment->world_size)
            return rank;
        rank = next;
    }
    *circle = true;
    return rank;
}

// Who is late on another node is known better there: that one goes first.
enum { OTHER_NODE_FIRST_NS = 1000000000 };

// The rank that has waited longest or, with `waiting` false, has been busy longest, if that is
// longer than the deadline.
static bool find_longest(const struct segment *segment, int64_t now_ns, bool waiting,
                         struct lateness *out)
{
    int64_t longest = segment->header->deadline_ns;
    bool found = false;
    for (int r = 0; r < segment->n_ranks; r++) {
        const struct flight_record *flight = &segment->ranks[r].flight;
        int64_t since = waiting ? GET(flight->wait_since_ns) : GET(flight->busy_since_ns);
        bool waits = flight_waits_for(segment, flight) >= 0;
        if (waits != waiting || since == 0 || now_ns - since <= longest)
            continue;
        bool circle;
        int rank = end_of_waiting(segment, segment->first_rank + r, &circle);
        if (!segment_record(segment, rank) &&
            now_ns - since <= segment->header->deadline_ns + OTHER_NODE_FIRST_NS)
            continue;
        longest = now_ns - since;
        found = true;
        out->rank = rank;
        out->circle = circle;
        out->waiter = waiting ? segment->first_rank + r : -1;
        out->seconds = (double)longest * 1e-9;
    }
    return found;
}

bool flight_find_late(const struct segment *segment, int64_t now_ns, struct lateness *out)
{
    if (!find_longest(segment, now_ns, true, out) && !find_longest(segment, now_ns, false, out))
        return false;
    const struct rank_record *record = segment_record(segment, out->rank);
    if (!record) // that the waiter goes on waiting is all that can be seen
        record = segment_record(segment, out->waiter);
    out->key =
        GET(record->flight.busy_since_ns) + GET(record->flight.n_operations) * 64 + out->rank + 1;
    return true;
}

static void say_late_elsewhere(const struct segment *segment, const struct lateness *late,
                               char *text, size_t bytes)
{
    char place[PLACE_BYTES];
    flight_place(&segment_record(segment, late->waiter)->flight, place);
    snprintf(text, bytes, "rank %d on another node is late: rank %d has waited for it for %.1f s%s",
             late->rank, late->waiter, late->seconds, place);
}

void flight_say_late(const struct segment *segment, const struct lateness *late, char *text,
                     size_t bytes)
{
    char own_place[PLACE_BYTES], waiter_place[PLACE_BYTES];
    const struct rank_record *record = segment_record(segment, late->rank);
    if (!record) {
        say_late_elsewhere(segment, late, text, bytes);
        return;
    }
    int pid = GET(record->pid);
    flight_place(&record->flight, own_place);
    if (late->waiter < 0) {
        snprintf(text, bytes, "rank %d (pid %d) is late: it has been busy for %.1f s%s", late->rank,
                 pid, late->seconds, own_place);
        return;
    }
    flight_place(&segment_record(segment, late->waiter)->flight, waiter_place);
    if (late->circle)
        snprintf(text, bytes,
                 "ranks wait for each other: rank %d (pid %d)%s, and rank %d%s, for %.1f s",
                 late->rank, pid, own_place, late->waiter, waiter_place, late->seconds);
    else
        snprintf(text, bytes,
                 "rank %d (pid %d) is late%s%s: rank %d has waited for it for %.1f s%s", late->rank,
                 pid, *own_place ? ", still" : "", own_place, late->waiter, late->seconds,
                 waiter_place);
}

// Its record may still show where it ended the step before.
static bool has_begun(const struct flight_record *flight, int64_t step)
{
    return GET(flight->busy_since_ns) != 0 && GET(flight->now.step) == step;
}

// The rank that step `step` waits for: not done with it, and waiting for nobody; of several the one
// that has been where it is for longest. -1: all are done, or wait in a circle.
static int find_straggler(const struct segment *segment, int64_t step)
{
    int straggler = -1;
    int64_t since = INT64_MAX;
    for (int r = 0; r < segment->n_ranks; r++) {
        const struct flight_record *flight = &segment->ranks[r].flight;
        int64_t busy_since = has_begun(flight, step) ? GET(flight->busy_since_ns) : INT64_MIN;
        if (GET(flight->steps_done) >= step || flight_waits_for(segment, flight) >= 0 ||
            busy_since >= since)
            continue;
        straggler = r;
        since = busy_since;
    }
    return straggler;
}

static void say_straggler(const struct segment *segment, int rank, int64_t step, char *text,
                          size_t bytes)
{
    const struct flight_record *flight = &segment->ranks[rank].flight;
    int pid = GET(segment->ranks[rank].pid);
    int64_t since = GET(flight->busy_since_ns);
    char place[PLACE_BYTES];
    flight_place(flight, place);
    int number = segment->first_rank + rank;
    if (!has_begun(flight, step))
        snprintf(text, bytes, "rank %d (pid %d) has not begun step %lld", number, pid,
                 (long long)step);
    else
        snprintf(text, bytes, "rank %d (pid %d) has been%s for %.1f s", number, pid, place,
                 (double)(clock_ns() - since) * 1e-9);
}

// The others that are not done, as many as fit into a sentence.
static void say_others(const struct segment *segment, int straggler, int64_t step, char *text,
                       size_t bytes)
{
    enum { SAID_MAX = 2 };
    int n_said = 0;
    for (int r = 0; r < segment->n_ranks && n_said < SAID_MAX; r++) {
        const struct flight_record *flight = &segment->ranks[r].flight;
        if (r == straggler || GET(flight->steps_done) >= step)
            continue;
        char place[PLACE_BYTES];
        flight_place(flight, place);
        size_t length = strlen(text);
        int peer = flight_waits_for(segment, flight), number = segment->first_rank + r;
        if (peer >= 0 && straggler >= 0 && peer == segment->first_rank + straggler)
            snprintf(text + length, bytes - length, ", and rank %d waits for it%s", number, place);
        else if (peer >= 0)
            snprintf(text + length, bytes - length, ", and rank %d waits for rank %d%s", number,
                     peer, place);
        else
            snprintf(text + length, bytes - length, ", and rank %d is%s", number,
                     has_begun(flight, step) ? place : " idle");
        n_said++;
    }
}

void flight_say_step(const struct segment *segment, int64_t step, char *text, size_t bytes)
{
    int straggler = find_straggler(segment, step);
    if (straggler >= 0)
        say_straggler(segment, straggler, step, text, bytes);
    else
        snprintf(text, bytes, "step %lld does not end", (long long)step);
    say_others(segment, straggler, step, text, bytes);
}

void flight_say_start(const struct segment *segment, char *text, size_t bytes)
{
    snprintf(text, bytes, "the ranks make no progress");
    for (int r = 0; r < segment->n_ranks; r++) {
        const struct flight_record *flight = &segment->ranks[r].flight;
        char place[PLACE_BYTES];
        flight_place(flight, place);
        if (flight_waits_for(segment, flight) >= 0 || !*place)
            continue;
        snprintf(text, bytes, "rank %d (pid %d) makes no progress%s", segment->first_rank + r,
                 (int)GET(segment->ranks[r].pid), place);
        return;
    }
}

void verdict_give(struct segment *segment, int author, int culprit, const char *sentence)
{
    struct verdict *verdict = &segment->header->verdict;
    uint32_t none = VERDICT_NONE;
    // One writer: whoever makes the exchange. The release below publishes the text to those who
    // acquire VERDICT_GIVEN.
    if (!atomic_compare_exchange_strong_explicit(&verdict->state, &none, VERDICT_WRITING,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    verdict->author = author;
    verdict->culprit = culprit;
    snprintf(verdict->sentence, sizeof verdict->sentence, "%s", sentence);
    atomic_store_explicit(&verdict->state, VERDICT_GIVEN, memory_order_release);
}

bool verdict_given(const struct segment *segment)
{
    return GET(segment->header->verdict.state) != VERDICT_NONE;
}

const struct verdict *verdict_read(const struct segment *segment)
{
    enum { LOOKS = 1000 }; // a sentence is written in a microsecond, unless its author dies over it
    const struct verdict *verdict = &segment->header->verdict;
    for (int i = 0; i < LOOKS; i++) {
        // acquire: pairs with the release in verdict_give(); the text does not change any more
        uint32_t state = atomic_load_explicit(&verdict->state, memory_order_acquire);
        if (state != VERDICT_WRITING)
            return state == VERDICT_GIVEN ? verdict : NULL;
        sched_yield();
    }
    return NULL;
}
