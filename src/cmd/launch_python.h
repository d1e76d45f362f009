// What `colrow launch` starts: a program, or Python with a script or a module, as torchrun does.
#ifndef COLROW_CMD_LAUNCH_PYTHON_H
#define COLROW_CMD_LAUNCH_PYTHON_H

#include <stdbool.h>

#include "base/status.h"

enum { LAUNCH_WORDS_MAX = 3 }; // python -u -m

// Whether `name` is run by Python: a module, or a file that ends in .py.
bool launch_wants_python(const char *name, bool module, bool no_python);

// Writes what goes in front of a script or module: the interpreter and its flags, NULL-terminated
// and static. The interpreter is PYTHON_EXEC (torchrun's variable, which the Python package sets),
// that of the virtual environment, or python3 or python of PATH. Fails when there is none, or when
// the script cannot be read.
enum status launch_python_words(const char *name, bool module,
                                const char *out[LAUNCH_WORDS_MAX + 1]) STATUS_MUST_USE;

// Fails unless `name` is a program that can be run: a path, or a name of PATH.
enum status launch_find_program(const char *name) STATUS_MUST_USE;

#endif
