#include "comm/cache_line.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

bool cache_can_demote(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1u << 25);
}

__attribute__((target("cldemote"))) void cache_demote(const char *begin, const char *end)
{
    for (const char *line = begin; line < end; line += CACHE_LINE_BYTES)
        _cldemote((void *)line); // gcc 12 declares it without const
}
#else
bool cache_can_demote(void)
{
    return false;
}

void cache_demote(const char *begin, const char *end)
{
    (void)begin, (void)end;
}
#endif
