// Lines that somebody types: with history and cursor keys where stdin and stdout are a terminal and
// libedit was there when colrow was built, else as they come.
#ifndef COLROW_CMD_LINE_EDITOR_H
#define COLROW_CMD_LINE_EDITOR_H

#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"

enum { LINE_BYTES_MAX = 1 << 20, HISTORY_LINES = 1000 };

struct line_editor; // opaque

enum line_result {
    LINE_READ,
    LINE_CONTINUES, // read, and pasted together with what follows
    LINE_STOPPED,   // a signal came: interrupt_seen(), or Ctrl-C as line_editor_interrupted() says
    LINE_END        // the input's
};

// `terminal`: stdin and stdout are one, and prompts are shown. `history`: a file that lines are
// remembered in from one session to the next; NULL: none.
enum status line_editor_open(bool terminal, const char *history,
                             struct line_editor **out) STATUS_MUST_USE;
void line_editor_close(struct line_editor *editor); // accepts NULL
// Appends the next line to `line`, without its end.
enum status line_editor_read(struct line_editor *editor, const char *prompt, struct bytes *line,
                             enum line_result *result) STATUS_MUST_USE;

// Ctrl-C is noted from here on, and ends neither the program nor a read() that it interrupts with
// anything but LINE_STOPPED.
void line_editor_catch(void);
bool line_editor_interrupted(void); // since the last call

// What line_editor_libedit.c brings, or line_editor_plain.c: nothing (`open` is NULL).
struct terminal_editor;
struct terminal_editor_ops {
    enum status (*open)(const char *history, struct terminal_editor **out);
    enum status (*read)(struct terminal_editor *editor, const char *prompt, struct bytes *line,
                        enum line_result *result);
    void (*close)(struct terminal_editor *editor);
};
extern const struct terminal_editor_ops terminal_editor_ops;
// One byte of stdin: 1, 0 at its end, -1 when a signal came.
int line_editor_byte(char *out);

#endif
