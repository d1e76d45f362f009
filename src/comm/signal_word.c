#include "comm/signal_word.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/pause.h"

enum { SPINS = 100, YIELDS_PER_CLOCK = 8, SLICE_MAX_NS = 100000000 };

struct patience {
    int64_t yield_ns; // how long to yield before sleeping
    int64_t slice_ns; // how long to sleep until the first check; later ones are further apart
};

// BUSY: longer than the compute between two collectives differs among ranks, so that a step never
// sleeps. Ten wake-ups a second, where all waits end up, cost a rank 0.1 % of a core.
static const struct patience patience_of[] = {
    [WAIT_BUSY] = {2000000, 20000000},
    [WAIT_IDLE] = {50000, 100000000},
    [WAIT_ASLEEP] = {0, 20000000},
};

bool signal_reached(const struct signal_word *word, uint32_t value)
{
    // acquire: what the raiser wrote before signal_raise() is visible to whoever sees its value
    return (int32_t)(value - atomic_load_explicit(&word->value, memory_order_acquire)) <= 0;
}

// The futex is shared between processes: no FUTEX_PRIVATE_FLAG. A timeout of 0 is none.
static void futex_wait(_Atomic uint32_t *address, uint32_t seen, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, address, FUTEX_WAIT, seen, timeout_ns ? &timeout : NULL, NULL, 0);
}

void signal_raise(struct signal_word *word, uint32_t value)
{
    // seq_cst, twice here and twice in sleep_once(): either the raiser sees the sleeper's count or
    // the sleeper sees the new value. The store releases what was written before.
    atomic_store_explicit(&word->value, value, memory_order_seq_cst);
    if (atomic_load_explicit(&word->waiters, memory_order_seq_cst))
        syscall(SYS_futex, &word->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void signal_note(struct signal_word *word, uint32_t value)
{
    // release: whoever sees the value sees what was written before
    atomic_store_explicit(&word->value, value, memory_order_release);
}

static void sleep_once(struct signal_word *word, uint32_t value, int64_t timeout_ns)
{
    atomic_fetch_add_explicit(&word->waiters, 1, memory_order_seq_cst);
    uint32_t seen = atomic_load_explicit(&word->value, memory_order_seq_cst);
    if ((int32_t)(value - seen) > 0)
        futex_wait(&word->value, seen, timeout_ns);
    // relaxed: a count that is too high for a moment costs one needless wake-up
    atomic_fetch_sub_explicit(&word->waiters, 1, memory_order_relaxed);
}

void signal_sleep(struct signal_word *word, uint32_t value)
{
    if (!signal_reached(word, value))
        sleep_once(word, value, 0);
}

void signal_wake(struct signal_word *word)
{
    syscall(SYS_futex, &word->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool spin(const struct signal_word *word, uint32_t value)
{
    for (int i = 0; i < SPINS; i++) {
        if (signal_reached(word, value))
            return true;
        pause_briefly();
    }
    return false;
}

static bool yield_for(const struct signal_word *word, uint32_t value, int64_t yield_ns)
{
    int64_t end = clock_ns() + yield_ns;
    do {
        for (int i = 0; i < YIELDS_PER_CLOCK; i++) {
            if (signal_reached(word, value))
                return true;
            sched_yield();
        }
    } while (clock_ns() < end);
    return false;
}

enum status signal_await(struct signal_word *word, uint32_t value, enum signal_patience patience,
                         signal_check check, void *context)
{
    bool asleep = patience == WAIT_ASLEEP;
    if (!asleep && (spin(word, value) || yield_for(word, value, patience_of[patience].yield_ns)))
        return OK;
    int64_t slice_ns = patience_of[patience].slice_ns;
    for (bool first = true; !signal_reached(word, value); first = false) {
        enum status status = check && !(first && asleep) ? check(context) : OK;
        if (status != OK)
            return signal_reached(word, value)
                       ? OK
                       : status; // it may have raised the word and left since
        sleep_once(word, value, slice_ns);
        slice_ns = 2 * slice_ns < SLICE_MAX_NS ? 2 * slice_ns : SLICE_MAX_NS;
    }
    return OK;
}
