#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[STATUS_MESSAGE_MAX];
static _Thread_local enum status recorded;

// Names from files stand in messages: no newline or terminal escape of theirs may reach the user's
// screen.
static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

// Names in parentheses: they are macros where the analyzer reads (status.h).
enum status(fail)(enum status code, const char *format, ...)
{
    char text[STATUS_MESSAGE_MAX]; // the arguments may point into `message`
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_one_line(text);
    memcpy(message, text, sizeof text);
    return status_recode(code);
}

enum status(fail_in)(enum status code, const char *format, ...)
{
    char text[STATUS_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text - 3)
        n = (int)sizeof text - 3;
    make_one_line(text);
    snprintf(text + n, sizeof text - (size_t)n, ": %.*s", (int)sizeof text - n - 3, message);
    memcpy(message, text, sizeof text);
    return status_recode(code);
}

enum status(fail_memory)(unsigned long long bytes, const char *what)
{
    return fail(ERR_MEMORY, "cannot reserve %llu bytes for %s: out of memory", bytes, what);
}

enum status(fail_errno)(const char *what, const char *path)
{
    return fail(ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

const char *status_message(void)
{
    return message;
}

enum status status_code(void)
{
    return recorded;
}

enum status status_recode(enum status code)
{
    recorded = code;
    return code;
}

void status_clear(void)
{
    message[0] = '\0';
    recorded = OK;
}

const char *status_name(enum status code)
{
    switch (code) {
    case OK:
        return "ok";
    case ERR_USAGE:
        return "usage";
    case ERR_INPUT:
        return "input";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_REQUEST:
        return "request";
    case ERR_TOO_LARGE:
        return "too large";
    case ERR_BUSY:
        return "busy";
    case ERR_MEMORY:
        return "memory";
    case ERR_IO:
        return "io";
    case ERR_GROUP:
        return "group";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}
