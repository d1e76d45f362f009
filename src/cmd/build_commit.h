// The commit that the program was built from, "" where none is known (a "+" behind it says that
// files were changed), and the day on which it was made.
#ifndef COLROW_CMD_BUILD_COMMIT_H
#define COLROW_CMD_BUILD_COMMIT_H

extern const char build_commit[], build_date[]; // written at each build: cmake/Version.cmake

#endif
