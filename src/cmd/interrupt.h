// Ctrl-C, SIGTERM and SIGHUP: the first one lets a command end in order (ranks, files), a second
// one ends it at once, and the ranks with it.
#ifndef COLROW_CMD_INTERRUPT_H
#define COLROW_CMD_INTERRUPT_H

#include "base/status.h"

void interrupts_catch(void);
void interrupts_release(void);   // for who has an event loop that takes them
int interrupt_seen(void);        // the signal's number, or 0
void interrupt_note(int number); // one that an event loop has taken
// ERR_CANCELLED once one was seen.
enum status interrupt_check(void) STATUS_MUST_USE;

#endif
