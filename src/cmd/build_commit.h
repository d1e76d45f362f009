// The commit that the program was built from, "" where none is known; a "+" behind it says that
// files were changed.
#ifndef COLROW_CMD_BUILD_COMMIT_H
#define COLROW_CMD_BUILD_COMMIT_H

extern const char build_commit[]; // written at each build: cmake/Version.cmake

#endif
