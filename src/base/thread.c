#include "base/thread.h"

#include <signal.h>
#include <string.h>

enum status quiet_thread_start(pthread_t *thread, void *(*run)(void *), void *context,
                               const char *purpose)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? fail(ERR_MEMORY, "cannot start the thread that %s: %s", purpose, strerror(error))
                 : OK;
}
