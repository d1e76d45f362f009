// Lines on standard error, and a reader that does not read.
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "testing.h"

struct reader {
    int pipe[2], stderr_before;
};

static void open_reader(struct reader *reader)
{
    assert_int_equal(pipe(reader->pipe), 0);
    fflush(stderr);
    reader->stderr_before = dup(STDERR_FILENO);
    assert_true(dup2(reader->pipe[1], STDERR_FILENO) >= 0);
}

// What was written so far.
static size_t read_all(const struct reader *reader, char *out, size_t size)
{
    size_t n = 0;
    fcntl(reader->pipe[0], F_SETFL, O_NONBLOCK);
    for (ssize_t got; n < size && (got = read(reader->pipe[0], out + n, size - n)) > 0;)
        n += (size_t)got;
    return n;
}

static void close_reader(const struct reader *reader)
{
    dup2(reader->stderr_before, STDERR_FILENO);
    close(reader->stderr_before);
    close(reader->pipe[0]);
    close(reader->pipe[1]);
}

static void a_reader_that_sleeps_holds_up_nobody(void **state)
{
    (void)state;
    enum { LINES = 20000, BYTES = 1 << 20 };
    static char text[BYTES + 1];
    struct reader reader;
    open_reader(&reader);
    log_never_block();
    for (int i = 0; i < LINES; i++)
        log_info("line %d", i); // would stand still at about the four thousandth
    size_t n = read_all(&reader, text, BYTES);
    log_info("awake");
    size_t more = read_all(&reader, text + n, BYTES - n);
    close_reader(&reader);
    text[n + more] = '\0';

    int last = -1, seen = 0, missing = 0;
    char *rest = text + n;
    for (char *line = text; line < rest; line = strchr(line, '\n') + 1, seen++)
        assert_int_equal(sscanf(line, "colrow: line %d", &last), 1);
    assert_int_equal(last, seen - 1); // whole lines, from the first on
    assert_true(seen > 1000 && seen < LINES);
    assert_int_equal(sscanf(rest, "colrow: warning: %d lines are missing", &missing), 1);
    assert_int_equal(seen + missing, LINES);
    assert_string_equal(strchr(rest, '\n') + 1, "colrow: awake\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reader_that_sleeps_holds_up_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
