// Which build of colrow this is, for machines that must have the same: main() says it once; the
// library knows the version alone.
#ifndef COLROW_BASE_PROGRAM_BUILD_H
#define COLROW_BASE_PROGRAM_BUILD_H

void program_build_set(const char *commit); // "" where none is known
const char *program_build(void);            // "0.1.0 (commit 1a2b3c4)"

#endif
