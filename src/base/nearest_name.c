#include "base/nearest_name.h"

#include <string.h>

enum { LENGTH_MAX = 63, EDIT = 4 };

static size_t counted_length(const char *name)
{
    size_t length = strlen(name);
    return length < LENGTH_MAX ? length : LENGTH_MAX;
}

static int least_of(int a, int b)
{
    return a < b ? a : b;
}

// Levenshtein's, one row of his table at a time.
static int count_edits(const char *a, size_t n, const char *b, size_t m)
{
    int row[LENGTH_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least_of(replaced, least_of(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

int name_distance(const char *a, const char *b)
{
    size_t n = counted_length(a), m = counted_length(b), common = 0;
    while (common < n && common < m && a[common] == b[common])
        common++;
    return EDIT * count_edits(a, n, b, m) - (int)common;
}
