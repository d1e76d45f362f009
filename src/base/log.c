#include "base/log.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level lowest = LOG_INFO;
static bool never_block;
static _Atomic unsigned long n_missing; // lines left out since the last that went out

void log_set_level(enum log_level level)
{
    lowest = level;
}

enum log_level log_get_level(void)
{
    return lowest;
}

void log_never_block(void)
{
    never_block = true;
}

// A pipe is writable while it has room for PIPE_BUF bytes; longer lines do not come from here. The
// descriptor stays as it is: it may be shared with others, who do not expect O_NONBLOCK.
static bool would_block(void)
{
    struct pollfd descriptor = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&descriptor, 1, 0) == 0;
}

// One write() a line, so that lines of several ranks do not mix.
static void put_line(const char *line, size_t length)
{
    if (never_block && would_block()) {
        n_missing++;
        return;
    }
    unsigned long missing = atomic_exchange(&n_missing, 0);
    if (missing > 0) {
        char note[128];
        int n =
            snprintf(note, sizeof note,
                     "colrow: warning: %lu lines are missing here: nobody read the log\n", missing);
        ssize_t written = write(STDERR_FILENO, note, (size_t)n);
        (void)written;
    }
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; // nothing sensible can be done when stderr is gone
}

void log_raw(enum log_level level, const char *line, size_t length)
{
    if (level >= lowest)
        put_line(line, length);
}

static void log_line(enum log_level level, const char *word, const char *format, va_list args)
{
    if (level < lowest)
        return;
    char line[STATUS_MESSAGE_MAX + 64];
    int n = snprintf(line, sizeof line, "colrow: %s", word);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    size_t length = (size_t)n + (m > 0 ? (size_t)m : 0);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    put_line(line, length);
}

#define LOG_BODY(level, word)                                                                      \
    va_list args;                                                                                  \
    va_start(args, format);                                                                        \
    log_line(level, word, format, args);                                                           \
    va_end(args)

void log_debug(const char *format, ...)
{
    LOG_BODY(LOG_DEBUG, "debug: ");
}

void log_info(const char *format, ...)
{
    LOG_BODY(LOG_INFO, "");
}

void log_warning(const char *format, ...)
{
    LOG_BODY(LOG_WARNING, "warning: ");
}

void log_error(const char *format, ...)
{
    LOG_BODY(LOG_ERROR, "error: ");
}
