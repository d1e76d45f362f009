// Threads beside a program's own.
#ifndef COLROW_BASE_THREAD_H
#define COLROW_BASE_THREAD_H

#include <pthread.h>

#include "base/status.h"

// A thread that no signal reaches: the program's handlers run on its own threads, and a write to
// what is closed is an error, not SIGPIPE. `purpose`: "talks to the other nodes", for the sentence.
enum status quiet_thread_start(pthread_t *thread, void *(*run)(void *), void *context,
                               const char *purpose) STATUS_MUST_USE;

// The calling thread, and threads and processes that it starts from now on, work in short pieces:
// one that has slept goes before those that compute, and gets no more of the CPUs than before. Asks
// the kernel for slices of 0.1 ms (Linux 6.12 and later); others leave things as they are.
void thread_take_short_slices(void);

#endif
