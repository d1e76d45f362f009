// Standard output of the program: everything that is an answer goes through output(), so that a
// full disk, a closed descriptor or a reader that left is noticed and said, once.
#ifndef COLROW_BASE_OUTPUT_H
#define COLROW_BASE_OUTPUT_H

#include <stdio.h>

#include "base/status.h"

// Before anything else opens a file: standard descriptors that are closed stay errors, instead of
// being taken by the next file that is opened. SIGPIPE and SIGXFSZ become errors of write().
void output_begin(void);
FILE *output(void); // buffered; by lines on a terminal
void output_print(const char *format, ...) STATUS_PRINTF(1, 2);
// What was written so far reaches its reader. ERR_IO: it did not, now or before; who calls says so.
enum status output_flush(void) STATUS_MUST_USE;
// Flushes and closes. Returns `exit_status`, or 1 when it is 0 and not all could be written; says
// so unless output_flush() has let somebody else say it.
int output_end(int exit_status);

#endif
