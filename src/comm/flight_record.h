// The flight record of a rank (struct flight_record in segment.h): writing it, finding who is late,
// saying it.
#ifndef COLROW_COMM_FLIGHT_RECORD_H
#define COLROW_COMM_FLIGHT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/segment.h"

enum comm_operation {
    OPERATION_NONE,
    OPERATION_ALL_REDUCE,
    OPERATION_REDUCE_SCATTER,
    OPERATION_ALL_GATHER,
    OPERATION_BROADCAST,
    OPERATION_SEND,
    OPERATION_RECV,
    OPERATION_BARRIER,
    OPERATION_SPLIT,
    OPERATION_TUNING,
};
const char *operation_name(enum comm_operation operation); // "all-reduce"

// Of a record in zeroed memory: before any step.
void flight_record_init(struct flight_record *flight);
// `what` NULL: idle. step -1: before the first, where nobody is late.
void flight_mark(struct flight_record *flight, int64_t step, int layer, const char *what);
// A collective begins.
void flight_begin(struct flight_record *flight, enum comm_operation operation);
// A wait for rank `peer` of the world since `since_ns`, until `word` is raised to `value`; NULL or
// outside the segment: until something that others cannot look at.
void flight_wait(const struct segment *segment, struct flight_record *flight, int peer,
                 const struct signal_word *word, uint32_t value, int64_t since_ns);
void flight_wait_end(struct flight_record *flight);
// The rank of the world that it waits for; -1: none. Who sleeps over what has come waits for none:
// it hangs there, or has not been woken yet.
int flight_waits_for(const struct segment *segment, const struct flight_record *flight);
// The same on all ranks at the same place of a step, and nowhere else in it or in the next ones.
uint64_t flight_fingerprint(const struct flight_record *flight);

// " in step 12, layer 3, all-reduce of down_proj", or "" when nothing is known.
enum { PLACE_BYTES = 160 };
void flight_place(const struct flight_record *flight, char *place);
// The collective begun last: "all-reduce 17 of step 12 (layer 3, down_proj)", or "no collective".
void flight_collective(const struct flight_record *flight, char *place);

// The last collective's place, as it goes to other nodes; flight_collective() finds it in a record
// that is otherwise empty.
struct flight_call {
    int64_t step;
    int32_t layer, operation;
    uint32_t n_operations, in_step;
    uint64_t what[FLIGHT_WHAT_BYTES / 8];
};
void flight_call_read(const struct flight_record *flight, struct flight_call *out);
void flight_call_write(struct flight_record *flight, const struct flight_call *call);

// A copy for the owner's reports.
struct flight_report {
    char what[FLIGHT_WHAT_BYTES]; // it is doing
    int64_t steps_done;
    uint64_t n_collectives;              // begun so far
    enum comm_operation last_collective; // NONE: there was none
    int last_layer;                      // -1: in no layer
    char last_what[FLIGHT_WHAT_BYTES];
};
void flight_report(const struct flight_record *flight, struct flight_report *out);

// Who keeps a rank waiting, or works, for longer than the deadline. `waits_for` is followed to its
// end: of a chain only the last is late.
struct lateness {
    int rank;    // late; of the world, perhaps on another node
    int waiter;  // who has waited longest for it, or -1: nobody, it is just busy
    bool circle; // they wait for each other
    double seconds;
    int64_t key; // changes when the late rank does anything; not 0
};
bool flight_find_late(const struct segment *segment, int64_t now_ns, struct lateness *out);
// One sentence without an end.
void flight_say_late(const struct segment *segment, const struct lateness *late, char *text,
                     size_t bytes);
// Who keeps step `step` from its end, and where: likewise.
void flight_say_step(const struct segment *segment, int64_t step, char *text, size_t bytes);

// Who keeps the others from being ready, likewise.
void flight_say_start(const struct segment *segment, char *text, size_t bytes);

// The verdict: the first to give one wins. `author`: the rank that gives it, -1: the owner.
void verdict_give(struct segment *segment, int author, int culprit, const char *sentence);
bool verdict_given(const struct segment *segment);
const struct verdict *
verdict_read(const struct segment *segment); // NULL: none, or its author died while writing

#endif
