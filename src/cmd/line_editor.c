#include "cmd/line_editor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/output.h"
#include "cmd/interrupt.h"

struct line_editor {
    bool terminal;
    struct terminal_editor *edited; // NULL: lines come as they are
};

static volatile sig_atomic_t interrupted;

static void note_interrupted(int number)
{
    (void)number;
    interrupted = 1;
}

// Without SA_RESTART: read() returns.
void line_editor_catch(void)
{
    const struct sigaction action = {.sa_handler = note_interrupted};
    sigaction(SIGINT, &action, NULL);
}

bool line_editor_interrupted(void)
{
    bool was = interrupted;
    interrupted = 0;
    return was;
}

enum status line_editor_open(bool terminal, const char *history, struct line_editor **out)
{
    struct line_editor *editor;
    TRY(memory_new(1, sizeof *editor, "a line editor", &editor));
    editor->terminal = terminal;
    enum status status = OK;
    if (terminal && terminal_editor_ops.open)
        status = terminal_editor_ops.open(history, &editor->edited);
    if (status != OK) {
        free(editor);
        return status;
    }
    *out = editor;
    return OK;
}

void line_editor_close(struct line_editor *editor)
{
    if (!editor)
        return;
    if (editor->edited)
        terminal_editor_ops.close(editor->edited);
    free(editor);
}

// Signals come only while this waits: one that came between a look at the flags and read() would be
// seen a line too late.
int line_editor_byte(char *out)
{
    sigset_t signals, before;
    ssize_t n = -1;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    while (n < 0 && !interrupted && !interrupt_seen()) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (ppoll(&input, 1, NULL, &before) < 0)
            continue; // a signal, or memory is short for a moment
        n = read(STDIN_FILENO, out, 1);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            n = 0; // a terminal that is gone has ended
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return (int)n;
}

// A byte at a time: what follows the line is for later reads, and people type slowly.
static enum status read_plain(struct bytes *line, enum line_result *result)
{
    size_t before = line->length;
    char c;
    int n;
    *result = LINE_READ;
    while ((n = line_editor_byte(&c)) == 1 && c != '\n') {
        if (line->length - before == LINE_BYTES_MAX)
            return fail(ERR_INPUT, "standard input: a line has more than %d bytes", LINE_BYTES_MAX);
        TRY(bytes_append(line, &c, 1));
    }
    if (n < 0)
        *result = LINE_STOPPED;
    else if (n == 0 && line->length == before)
        *result = LINE_END;
    return OK;
}

enum status line_editor_read(struct line_editor *editor, const char *prompt, struct bytes *line,
                             enum line_result *result)
{
    if (editor->edited)
        return terminal_editor_ops.read(editor->edited, prompt, line, result);
    if (editor->terminal) {
        output_print("%s", prompt);
        TRY(output_flush());
    }
    return read_plain(line, result);
}
