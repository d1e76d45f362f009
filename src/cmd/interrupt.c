#include "cmd/interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t seen;

static void note_interrupt(int number)
{
    seen = number;
}

// Without SA_RESTART: what waits (for a pipe's reader) is to stop waiting.
void interrupts_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        bool ignored =
            sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN; // nohup
        if (!ignored)
            sigaction(signals[i], &action, NULL);
    }
}

int interrupt_seen(void)
{
    return seen;
}

enum status interrupt_check(void)
{
    return seen ? fail(ERR_CANCELLED, "ended by signal %d (%s)", (int)seen, strsignal(seen)) : OK;
}
