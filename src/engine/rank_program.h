// Where the program is that ranks run: `colrow`.
#ifndef COLROW_ENGINE_RANK_PROGRAM_H
#define COLROW_ENGINE_RANK_PROGRAM_H

#include "base/status.h"

// The first of: `given` (may be NULL), COLROW_RANK_PROGRAM in the environment, this program if it
// is called colrow (whatever happens to its file later), bin/colrow beside the library that this
// code lies in, colrow in PATH. `out`: FILE_PATH_MAX bytes.
enum status rank_program_find(const char *given, char *out) STATUS_MUST_USE;
// The same without the first two, which may name a wrapper: what is colrow itself.
enum status own_program_find(char *out) STATUS_MUST_USE;

#endif
