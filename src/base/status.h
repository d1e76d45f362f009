// Status codes and the one sentence that explains a failure.
//
// What can fail returns `enum status`. The place that detects a failure says it once with fail():
// which file, key, flag or rank; what was expected; what was found; what to do. Callers pass it on
// with TRY().
#ifndef COLROW_BASE_STATUS_H
#define COLROW_BASE_STATUS_H

#include <stdarg.h>

enum status {
    OK = 0,
    ERR_USAGE,       // a flag, an option, or how a function was called
    ERR_INPUT,       // a file, or other input, says something unusable
    ERR_UNSUPPORTED, // understood, but not something this program does
    ERR_REQUEST,     // a request says something unusable: another one may succeed
    ERR_TOO_LARGE,   // a request is good, but too large for the limits it was checked against
    ERR_BUSY,        // ... or comes when there is no room: the same one may succeed later
    ERR_MEMORY,
    ERR_IO,
    ERR_GROUP, // a rank died, stopped or was late: the group is over
    ERR_CANCELLED,
    ERR_INTERNAL, // a bug of ours
};

#define STATUS_MUST_USE __attribute__((warn_unused_result))
#define STATUS_PRINTF(f, a) __attribute__((format(printf, f, a)))

// Records the sentence (per thread, at most STATUS_MESSAGE_MAX bytes, control characters shown as
// ?) and returns `code`.
enum { STATUS_MESSAGE_MAX = 2048 };
enum status fail(enum status code, const char *format, ...) STATUS_PRINTF(2, 3);
enum status fail_memory(unsigned long long bytes, const char *what); // ERR_MEMORY, with the size
enum status fail_errno(const char *what, const char *path);          // ERR_IO, with strerror(errno)

// Puts "prefix: " in front of the recorded sentence; returns `code`.
enum status fail_in(enum status code, const char *format, ...) STATUS_PRINTF(2, 3);

#ifdef __clang_analyzer__
// The analyzer sees one file at a time and has to be told that what failed is never OK.
#define fail(code, ...) (fail(code, __VA_ARGS__), (code))
#define fail_memory(bytes, what) (fail_memory(bytes, what), ERR_MEMORY)
#define fail_errno(what, path) (fail_errno(what, path), ERR_IO)
#define fail_in(code, ...) (fail_in(code, __VA_ARGS__), (code))
#endif

// The sentence recorded last on this thread ("" if none), and the code that came with it.
const char *status_message(void);
enum status status_code(void);
// Gives the recorded sentence another code, where a caller knows better what the fault means;
// returns it.
enum status status_recode(enum status code);
const char *status_name(enum status code);
void status_clear(void);

#define TRY(expression)                                                                            \
    do {                                                                                           \
        enum status try_status_ = (expression);                                                    \
        if (try_status_ != OK)                                                                     \
            return try_status_;                                                                    \
    } while (0)

// For functions that hold resources: sets `status` and goes to the label `done`.
#define TRY_DONE(expression)                                                                       \
    do {                                                                                           \
        status = (expression);                                                                     \
        if (status != OK)                                                                          \
            goto done;                                                                             \
    } while (0)

#endif
