// Which of the known names somebody may have meant.
#ifndef COLROW_BASE_NEAREST_NAME_H
#define COLROW_BASE_NEAREST_NAME_H

#include <stddef.h>

// How far two names are apart: insertions, deletions and replacements, those behind a common
// beginning counting less. Of long names the first 63 characters count.
int name_distance(const char *a, const char *b);

#endif
