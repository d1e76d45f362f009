#include "cmd/interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };
static volatile sig_atomic_t seen;

void interrupt_note(int number)
{
    seen = number;
}

// Without SA_RESTART: what waits (for a pipe's reader) is to stop waiting.
void interrupts_catch(void)
{
    const struct sigaction action = {.sa_handler = interrupt_note, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < N_SIGNALS; i++) {
        struct sigaction before;
        bool ignored =
            sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN; // nohup
        if (!ignored)
            sigaction(signals[i], &action, NULL);
    }
}

void interrupts_release(void)
{
    for (size_t i = 0; i < N_SIGNALS; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == interrupt_note)
            signal(signals[i], SIG_DFL);
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
