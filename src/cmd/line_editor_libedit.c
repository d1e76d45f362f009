// Line editing with libedit.
#include "cmd/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/file.h"
#include "base/log.h"
#include "base/output.h"

struct terminal_editor {
    EditLine *edit;
    History *lines;
    char history[FILE_PATH_MAX]; // "": none
    const char *prompt;
    bool pasting, stopped; // stopped: by a signal
};

// Terminals put these around what is pasted, when they are asked to: its line ends are then no
// order to answer.
static const char paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";

static struct terminal_editor *editor_of(EditLine *edit)
{
    void *owner = NULL;
    el_get(edit, EL_CLIENTDATA, &owner);
    return owner;
}

static char *prompt_of(EditLine *edit)
{
    return (char *)editor_of(edit)->prompt; // libedit only reads it
}

static unsigned char begin_paste(EditLine *edit, int c)
{
    (void)c;
    editor_of(edit)->pasting = true;
    return CC_NORM;
}

static unsigned char end_paste(EditLine *edit, int c)
{
    (void)c;
    editor_of(edit)->pasting = false;
    return CC_NORM;
}

// A character. libedit's own would go on waiting after a signal.
static int read_character(EditLine *edit, wchar_t *out)
{
    mbstate_t state = {0};
    char c;
    for (;;) {
        int n = line_editor_byte(&c);
        editor_of(edit)->stopped = n < 0;
        if (n != 1)
            return n;
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-2)
            continue; // not complete yet
        if (used == (size_t)-1)
            *out = 0xFFFD;
        return 1;
    }
}

// libedit thinks in characters: without a locale that knows UTF-8 it would see bytes.
static void want_utf8(void)
{
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static bool load_history(struct terminal_editor *editor)
{
    HistEvent event;
    editor->lines = history_init();
    if (!editor->lines)
        return false;
    history(editor->lines, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->lines, &event, H_SETUNIQUE, 1);
    if (*editor->history)
        history(editor->lines, &event, H_LOAD, editor->history); // there may be none yet
    return el_set(editor->edit, EL_HIST, history, editor->lines) == 0;
}

static void bind_keys(EditLine *edit)
{
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(edit, EL_ADDFN, "colrow-paste", "Begins pasted text", begin_paste);
    el_set(edit, EL_ADDFN, "colrow-paste-end", "Ends pasted text", end_paste);
    el_set(edit, EL_BIND, "\033[200~", "colrow-paste", NULL);
    el_set(edit, EL_BIND, "\033[201~", "colrow-paste-end", NULL);
    el_source(edit, NULL); // ~/.editrc
}

// What somebody asks is nobody else's business: the file is for its owner alone.
static void save_history(const struct terminal_editor *editor)
{
    HistEvent event;
    mode_t before = umask(077);
    if (history(editor->lines, &event, H_SAVE, editor->history) < 0)
        log_warning("%s: the history of lines could not be written", editor->history);
    umask(before);
}

static void close_libedit(struct terminal_editor *editor)
{
    if (editor->lines && *editor->history)
        save_history(editor);
    if (editor->lines)
        history_end(editor->lines);
    if (editor->edit)
        el_end(editor->edit);
    free(editor);
}

static enum status open_libedit(const char *history_path, struct terminal_editor **out)
{
    struct terminal_editor *editor;
    TRY(memory_new(1, sizeof *editor, "a line editor", &editor));
    want_utf8();
    snprintf(editor->history, sizeof editor->history, "%s", history_path ? history_path : "");
    editor->prompt = "";
    editor->edit =
        el_init_fd("colrow", stdin, output(), stderr, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);
    if (!editor->edit || !load_history(editor)) {
        close_libedit(editor);
        return fail_memory(0, "a line editor");
    }
    el_set(editor->edit, EL_CLIENTDATA, editor);
    el_set(editor->edit, EL_PROMPT, prompt_of);
    el_set(editor->edit, EL_GETCFN, read_character);
    bind_keys(editor->edit);
    *out = editor;
    return OK;
}

static enum status read_libedit(struct terminal_editor *editor, const char *prompt,
                                struct bytes *line, enum line_result *result)
{
    HistEvent event;
    int n = 0;
    editor->prompt = prompt;
    fputs(paste_on, output());
    TRY(output_flush());
    const char *text = el_gets(editor->edit, &n);
    fputs(paste_off, output());
    TRY(output_flush());
    if (!text || n <= 0) {
        *result = editor->stopped ? LINE_STOPPED : LINE_END;
        editor->pasting = false;
        return OK;
    }
    if (n > 1) // not for an empty line
        history(editor->lines, &event, H_ENTER, text);
    *result = editor->pasting ? LINE_CONTINUES : LINE_READ;
    size_t length = (size_t)n - (text[n - 1] == '\n');
    if (length > LINE_BYTES_MAX)
        return fail(ERR_INPUT, "standard input: a line has more than %d bytes", LINE_BYTES_MAX);
    return bytes_append(line, text, length);
}

const struct terminal_editor_ops terminal_editor_ops = {open_libedit, read_libedit, close_libedit};
