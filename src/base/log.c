#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level lowest = LOG_INFO;

void log_set_level(enum log_level level)
{
    lowest = level;
}

enum log_level log_get_level(void)
{
    return lowest;
}

// One write() a line, so that lines of several ranks do not mix.
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
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; // nothing sensible can be done when stderr is gone
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
