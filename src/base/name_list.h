// "a, b, c" for messages, in a buffer whose end cuts the list and not the program.
#ifndef COLROW_BASE_NAME_LIST_H
#define COLROW_BASE_NAME_LIST_H

#include <stddef.h>

// Appends `name` to the list in `out` (a string, "" at first) of `room` bytes; where it does not
// fit, "..." once.
void name_list_add(char *out, size_t room, const char *name);

#endif
