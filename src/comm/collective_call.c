#include "comm/collective_call.h"

#include <stdio.h>
#include <string.h>

uint64_t collective_call(enum comm_operation operation, int root, uint64_t count)
{
    return (uint64_t)operation << 56 | (uint64_t)root << 48 | (count & 0xffffffffffffu);
}

int collective_cut(const size_t *parts, int n)
{
    uint64_t hash = 0;
    for (int r = 0; r < n; r++)
        hash = (hash ^ parts[r]) * 0x9e3779b97f4a7c15u;
    return (int)(hash >> 56);
}

// "all-reduce 17 of step 12 (layer 3, down_proj), of 4096 numbers"
enum { CALL_BYTES = PLACE_BYTES + 64 };
static void say_call(const struct flight_record *flight, uint64_t call, char *text)
{
    static const uint64_t count_mask = 0xffffffffffffu;
    char place[PLACE_BYTES];
    enum comm_operation operation = (enum comm_operation)(call >> 56);
    unsigned long long count = call & count_mask;
    int root = (int)(call >> 48 & 255);
    flight_collective(flight, place);
    if (operation == OPERATION_BARRIER)
        snprintf(text, CALL_BYTES, "%s", place);
    else if (operation == OPERATION_BROADCAST)
        snprintf(text, CALL_BYTES, "%s, of %llu bytes from rank %d", place, count, root);
    else
        snprintf(text, CALL_BYTES, "%s, of %llu %s", place, count,
                 operation == OPERATION_ALL_GATHER ? "bytes" : "numbers");
}

enum status break_for_mismatch(struct comm *comm, int peer, uint64_t own, uint64_t other,
                               const struct flight_record *others_flight)
{
    char own_call[CALL_BYTES], other_call[CALL_BYTES], pid[32] = "", sentence[VERDICT_BYTES];
    const struct rank_record *record = segment_record(&comm->membership->segment, peer);
    say_call(comm->flight, own, own_call);
    say_call(others_flight, other, other_call);
    bool alike = own != other && strcmp(own_call, other_call) == 0;
    const char *cut = alike ? ", cut among ranks in another way" : "";
    if (record) // relaxed: for people
        snprintf(pid, sizeof pid, " (pid %d)",
                 (int)atomic_load_explicit(&record->pid, memory_order_relaxed));
    snprintf(sentence, sizeof sentence,
             "ranks call different collectives: rank %d is in %s, rank %d%s in %s%s",
             comm->first_rank + comm->rank, own_call, peer, pid, other_call, cut);
    return comm_break(comm, -1, sentence);
}
