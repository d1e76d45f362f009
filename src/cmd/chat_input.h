// What the user says next: a line, or several that belong together.
#ifndef COLROW_CMD_CHAT_INPUT_H
#define COLROW_CMD_CHAT_INPUT_H

#include "cmd/line_editor.h"

// Lines belong together where one ends with a backslash, between """ at the beginning of a line and
// """ at the end of one, and where they were pasted. Puts them into `text`, with line ends between.
enum status chat_input_read(struct line_editor *editor, struct bytes *text,
                            enum line_result *result) STATUS_MUST_USE;

#endif
