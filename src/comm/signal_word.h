// A number in shared memory that one process raises and others wait for: spin, yield, futex.
#ifndef COLROW_COMM_SIGNAL_WORD_H
#define COLROW_COMM_SIGNAL_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct signal_word {
    _Atomic uint32_t value;   // compared as sequence numbers: wraps around
    _Atomic uint32_t waiters; // of those asleep in the kernel
};

void signal_raise(struct signal_word *word,
                  uint32_t value); // release store, wakes sleepers if there are any
// Same, but who sleeps goes on sleeping until the next signal_raise(): for steps on the way there.
void signal_note(struct signal_word *word, uint32_t value);

bool signal_reached(const struct signal_word *word, uint32_t value); // never waits

// What a waiter asks for before it sleeps, then after 20 ms and more, at last every 100 ms: not OK
// ends the wait with that status.
typedef enum status (*signal_check)(void *context);

// How long to spin before yielding and before sleeping. WAIT_BUSY: a peer answers within
// microseconds. WAIT_IDLE: it may take hours; spins briefly, then sleeps. WAIT_ASLEEP: who will
// raise it needs this CPU; sleeps at once, and asks only when it wakes.
enum signal_patience { WAIT_BUSY, WAIT_IDLE, WAIT_ASLEEP };
// Until value - word->value <= 0 (as int32). `check` may be NULL.
enum status signal_await(struct signal_word *word, uint32_t value, enum signal_patience patience,
                         signal_check check, void *context) STATUS_MUST_USE;

// Until the value is reached or signal_wake() is called, without asking now and then; may return
// earlier: the caller looks again.
void signal_sleep(struct signal_word *word, uint32_t value);
void signal_wake(struct signal_word *word);

#endif
