// Built where there is no libedit: the terminal's own line editing has to do.
#include "cmd/line_editor.h"

#include <stddef.h>

const struct terminal_editor_ops terminal_editor_ops = {NULL, NULL, NULL};
