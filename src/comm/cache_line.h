// Cache lines that are about to be read by another core.
#ifndef COLROW_COMM_CACHE_LINE_H
#define COLROW_COMM_CACHE_LINE_H

#include <stdbool.h>

enum { CACHE_LINE_BYTES = 64 };

// Whether this CPU can do cache_demote().
bool cache_can_demote(void);
// Hints that the lines of [begin, end) are better kept in the last-level cache, where others fetch
// them sooner than from this core's. Changes nothing but time; call it only if cache_can_demote().
void cache_demote(const char *begin, const char *end);

#endif
