#include "engine/step_watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    TIMES_USUAL = 20,
    TIMES_COLD = 100,
    COLD_STEPS = 4,  // the first of new ranks are slower, and say nothing about those to come
    ENOUGH = 8,      // steps of a size, to judge by them
    ROW_WORK = 1024, // of a row by itself, in positions that it attends to
};
static const int64_t least_ns = 1000000000, cold_least_ns = 5000000000;
static const int64_t canary_ns = 5000000000;     // idle ranks may have been swapped out
static const int64_t longest_gap_ns = 300000000; // between two looks of an owner that runs

void step_watch_init(struct step_watch *watch, double timeout_seconds)
{
    memset(watch, 0, sizeof *watch);
    watch->timeout_ns = (int64_t)(timeout_seconds * 1e9);
}

void step_watch_renew(struct step_watch *watch)
{
    watch->n_done = 0;
    watch->done_ns = clock_ns();
}

int step_watch_size(const struct step *step)
{
    int64_t work = 0;
    for (int32_t i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *q = &step->sequences[i];
        work += q->n_tokens * (ROW_WORK + q->position + q->n_tokens / 2);
    }
    int size = 0;
    while (work / 2 >= ROW_WORK && size < STEP_SIZES - 1) {
        work /= 2;
        size++;
    }
    return size;
}

void step_watch_begin(struct step_watch *watch, const struct step *step)
{
    step_watch_begin_size(watch, step ? step_watch_size(step) : -1);
}

void step_watch_begin_size(struct step_watch *watch, int size)
{
    watch->size = size;
    watch->seen_ns = 0;
    watch->looked_ns = clock_ns();
}

static void see(struct step_watch *watch, int64_t now_ns)
{
    int64_t gap = now_ns - watch->looked_ns;
    watch->seen_ns += gap < longest_gap_ns ? gap : longest_gap_ns;
    watch->looked_ns = now_ns;
}

void step_watch_begin_wait(struct step_watch *watch)
{
    step_watch_begin(watch, NULL);
}

int64_t step_watch_waited_ns(struct step_watch *watch)
{
    see(watch, clock_ns());
    return watch->seen_ns;
}

void step_watch_end(struct step_watch *watch, int64_t step_ns)
{
    watch->done_ns = clock_ns();
    see(watch, watch->done_ns);
    watch->n_done += watch->n_done < COLD_STEPS;
    // Much longer than anybody looked: something was suspended, or the owner was away.
    bool strange = step_ns > least_ns && step_ns / 2 > watch->seen_ns;
    if (watch->size < 0 || watch->n_done < COLD_STEPS || strange)
        return;
    struct step_times *times = &watch->times[watch->size];
    times->ns[times->n++ % STEP_SAMPLES] = step_ns;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Of a hundred, the second longest; of fewer, the longest.
static int64_t high_time(const struct step_times *times)
{
    int64_t sorted[STEP_SAMPLES];
    uint32_t n = times->n < STEP_SAMPLES ? times->n : STEP_SAMPLES;
    assert(n > 0);
    memcpy(sorted, times->ns, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_times);
    return sorted[n - 1 - n / 100];
}

int64_t step_watch_usual_ns(const struct step_watch *watch)
{
    if (watch->size < 0)
        return 0;
    for (int below = 0; below <= watch->size;
         below++) { // half the work takes half the time at least
        const struct step_times *times = &watch->times[watch->size - below];
        if (times->n >= ENOUGH) {
            int64_t high = high_time(times);
            return high < INT64_MAX >> (below + 8) ? high << below : INT64_MAX >> 8;
        }
    }
    for (int size = watch->size + 1; size < STEP_SIZES; size++) // more work takes no less
        if (watch->times[size].n >= ENOUGH)
            return high_time(&watch->times[size]);
    return 0;
}

int64_t step_watch_limit_ns(const struct step_watch *watch)
{
    if (watch->timeout_ns > 0)
        return watch->timeout_ns;
    if (watch->size < 0)
        return canary_ns;
    int64_t usual = step_watch_usual_ns(watch);
    bool cold = watch->n_done < COLD_STEPS;
    int64_t least = cold ? cold_least_ns : least_ns;
    if (usual == 0 || usual > INT64_MAX / TIMES_COLD)
        return INT64_MAX;
    int64_t limit = usual * (cold ? TIMES_COLD : TIMES_USUAL);
    return limit > least ? limit : least;
}

bool step_watch_look(struct step_watch *watch, int64_t now_ns)
{
    see(watch, now_ns);
    // sorting is for steps that are long already
    int64_t soonest = watch->timeout_ns ? watch->timeout_ns : least_ns;
    return watch->seen_ns > soonest && watch->seen_ns > step_watch_limit_ns(watch);
}
