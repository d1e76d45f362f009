// Structs of the public API that grow: what a program of another version gives and takes.
#ifndef COLROW_ENGINE_STRUCT_SIZE_H
#define COLROW_ENGINE_STRUCT_SIZE_H

#include <stddef.h>

#include "base/status.h"

// Where a member ends: the size of a struct whose last one it was.
#define STRUCT_END(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

// Fills the program's struct from ours: as many bytes as both know, and nothing behind them.
void struct_give(void *theirs, size_t their_size, const void *ours, size_t our_size);

// Copies the program's struct over ours, which holds the defaults of what it does not know. A
// larger one must have nothing but zeros where we know nothing. `least`: the size in the first
// version; `advice`: how to set the size.
enum status struct_take(void *ours, size_t our_size, const void *theirs, size_t their_size,
                        size_t least, const char *name, const char *advice) STATUS_MUST_USE;

#endif
