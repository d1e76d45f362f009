// Which way is faster depends on caches that no documentation describes, so the ways are tried out:
// a few calls each, the fastest counts, one question after the other. Every rank makes the same
// calls; rank 0's clock decides.
#include "comm/reduce_points.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/cache_line.h"

enum {
    DEMOTE_BYTES = 4096,
    SPREAD_BYTES = 64 << 10,
    STREAM_BYTES = 4096,
    CHUNK_BYTES = 128 << 10,
    PROBE_BYTES_MAX = 512 << 10,
    SERIES = 4,
    WAYS_MAX = 4,
};
static const double enough_seconds = 4e-3; // no further question after this time
static const double margin = 0.95;         // of the time, to leave what was guessed

static const char *asked_for(void)
{
    const char *text = getenv("COLROW_ALL_REDUCE");
    return text && strcmp(text, "auto") != 0 ? text : NULL;
}

enum status reduce_points_default(struct comm *comm)
{
    const char *text = asked_for(), *stream = getenv("COLROW_STREAM_BYTES");
    comm->points = (struct comm_points){
        .demote_bytes = cache_can_demote() ? DEMOTE_BYTES : 0,
        .spread_bytes = SPREAD_BYTES,
        .one_shot_bytes = comm->size == 2 ? 128 << 10 : 32 << 10,
        .chunk_bytes = CHUNK_BYTES,
        .stream_bytes = stream ? strtoull(stream, NULL, 10) : SIZE_MAX,
    };
    if (text && strcmp(text, "one-shot") == 0)
        comm->points.one_shot_bytes = SLOT_BYTES;
    else if (text && strcmp(text, "two-shot") == 0)
        comm->points.one_shot_bytes = 0;
    else if (text)
        return fail(ERR_INPUT, "COLROW_ALL_REDUCE is \"%s\"; expected auto, one-shot or two-shot",
                    text);
    return OK;
}

struct tuning {
    struct comm *comm;
    float *data; // [PROBE_BYTES_MAX], zeros
    double begun;
    bool enough; // rank 0 has spent its time
};

// One series of calls; the seconds of one of them.
static enum status time_series(struct tuning *t, const struct comm_points *way, size_t bytes,
                               double *seconds)
{
    struct reduction_tree tree;
    const struct reduce_sink sink = {.out = t->data};
    int repeats = bytes <= 16384 ? 8 : bytes <= 131072 ? 3 : 1;
    reduction_tree_plain(t->comm->size, &tree);
    t->comm->points = *way;
    double begun = 0;
    for (int i = -1; i < repeats; i++) { // the first call finds the slots as another way left them
        if (i == 0)
            begun = clock_seconds();
        TRY(t->comm->transport->all_reduce(t->comm, &tree, t->data, bytes / sizeof *t->data,
                                           &sink));
    }
    *seconds = (clock_seconds() - begun) / repeats;
    return OK;
}

// Which of the ways is the fastest for `bytes`, and rank 0's choice becomes everyone's points. The
// ways take turns, so that whatever disturbs the machine meets all of them.
static enum status choose(struct tuning *t, const struct comm_points *ways, int n_ways,
                          size_t bytes)
{
    struct {
        int32_t best, enough;
    } verdict = {0, 0};
    double least[WAYS_MAX], seconds;
    for (int series = -1; series < SERIES; series++) // the first one warms up
        for (int i = 0; i < n_ways; i++) {
            TRY(time_series(t, &ways[i], bytes, &seconds));
            if (series <= 0 || seconds < least[i])
                least[i] = seconds;
        }
    for (int i = 1; i < n_ways; i++)
        if (least[i] < least[0] * margin && least[i] < least[verdict.best])
            verdict.best = i;
    verdict.enough = clock_seconds() - t->begun > enough_seconds;
    TRY(t->comm->transport->broadcast(t->comm, &verdict, sizeof verdict, 0));
    t->comm->points = ways[verdict.best];
    t->enough = verdict.enough;
    return OK;
}

// Spread slots, streamed ones, both, neither.
static enum status choose_writing(struct tuning *t)
{
    enum { BYTES = 16 << 10 };
    struct comm_points ways[WAYS_MAX];
    int n = 0;
    bool two = t->comm->size == 2, may_stream = !getenv("COLROW_STREAM_BYTES");
    for (int stream = 0; stream <= may_stream; stream++)
        for (int flat = 0; flat <= two; flat++) {
            ways[n] = t->comm->points;
            ways[n].spread_bytes = two && !flat ? SPREAD_BYTES : 0;
            if (stream)
                ways[n].stream_bytes = STREAM_BYTES;
            n++;
        }
    TRY(choose(t, ways, n, BYTES));
    if (!may_stream || t->comm->points.stream_bytes == SIZE_MAX)
        return OK;
    // What goes past the caches costs most where much does: the larger messages have to agree.
    ways[0] = ways[1] = t->comm->points;
    ways[0].stream_bytes = SIZE_MAX;
    return choose(t, ways, 2, CHUNK_BYTES);
}

static enum status choose_demotion(struct tuning *t)
{
    struct comm_points ways[2] = {t->comm->points, t->comm->points};
    ways[1].demote_bytes = 0;
    return choose(t, ways, 2, DEMOTE_BYTES);
}

// Doubles the end of one-shot for as long as it wins.
static enum status choose_one_shot(struct tuning *t)
{
    for (size_t bytes = t->comm->size == 2 ? 32 << 10 : 8 << 10; bytes <= SLOT_BYTES && !t->enough;
         bytes *= 2) {
        struct comm_points ways[2] = {t->comm->points, t->comm->points};
        ways[0].one_shot_bytes = bytes;
        ways[1].one_shot_bytes = bytes - 1;
        TRY(choose(t, ways, 2, bytes));
        if (t->comm->points.one_shot_bytes < bytes)
            break;
    }
    return OK;
}

static enum status choose_chunk(struct tuning *t)
{
    struct comm_points ways[3] = {t->comm->points, t->comm->points, t->comm->points};
    ways[1].chunk_bytes = CHUNK_BYTES / 2;
    ways[2].chunk_bytes = (size_t)CHUNK_BYTES * 2;
    return choose(t, ways, 3, PROBE_BYTES_MAX);
}

static enum status ask_all(struct tuning *t)
{
    if (t->comm->size == 2 && t->comm->points.demote_bytes)
        TRY(choose_demotion(t));
    if (!t->enough)
        TRY(choose_writing(t));
    if (!t->enough && !asked_for())
        TRY(choose_one_shot(t));
    if (!t->enough && t->comm->size == 2)
        TRY(choose_chunk(t));
    return OK;
}

enum status reduce_points_measure(struct comm *comm)
{
    struct tuning t = {.comm = comm};
    bool crowded = comm->membership->n_cpus < comm->size;
    TRY(memory_new(PROBE_BYTES_MAX, 1, "a message to tune the all-reduce", &t.data));
    // Nobody's clock starts before the last one is here.
    enum status status = comm->transport->barrier(comm);
    t.begun = clock_seconds();
    if (status == OK)
        status = comm->transport->broadcast(comm, &crowded, sizeof crowded, 0);
    if (status == OK && !crowded) {
        status = ask_all(&t);
        comm->points.tuning_seconds = clock_seconds() - t.begun;
    }
    free(t.data);
    return status;
}
