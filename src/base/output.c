#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

enum { OUTPUT_BUFFER_BYTES = 64 << 10 };

static FILE *stream;
static int failed_errno; // of the first write that failed
static bool told;        // somebody was told

// Below stdio, whose own stream forgets why a write failed while a later call reports that it did.
static ssize_t write_output(void *cookie, const char *data, size_t bytes)
{
    (void)cookie;
    size_t done = 0;
    while (done < bytes && !failed_errno) {
        ssize_t n = write(STDOUT_FILENO, data + done, bytes - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            failed_errno = errno;
    }
    return (ssize_t)done; // fewer than asked for: an error of the stream
}

void output_begin(void)
{
    // Opened the wrong way round: reading and writing them is EBADF, as if they were closed.
    static const int wrong_way[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", wrong_way[fd]); // takes the lowest number, which is `fd`
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

FILE *output(void)
{
    if (!stream) {
        stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_output});
        if (!stream)
            return stdout; // out of memory at the first word: nothing will be said anyway
        setvbuf(stream, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, OUTPUT_BUFFER_BYTES);
    }
    return stream;
}

void output_print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(output(), format, args);
    va_end(args);
}

enum status output_flush(void)
{
    if (stream && fflush(stream) != 0 && !failed_errno)
        failed_errno = errno;
    if (!failed_errno)
        return OK;
    told = true;
    errno = failed_errno;
    return fail_errno("write", "standard output");
}

int output_end(int exit_status)
{
    bool silent = told;
    enum status status = stream ? output_flush() : OK;
    // Network file systems report a full disk only here.
    if (stream && status == OK && close(STDOUT_FILENO) != 0)
        status = fail_errno("write", "standard output");
    if (status == OK)
        return exit_status;
    if (!silent)
        log_error("%s", status_message());
    return exit_status ? exit_status : EXIT_FAILURE;
}
