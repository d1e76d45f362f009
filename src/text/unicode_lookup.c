#include "text/unicode_tables.h"

bool unicode_in_ranges(const struct unicode_range *ranges, size_t n, uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else if (code < ranges[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}

uint32_t unicode_class_of(const struct unicode_class *classes, size_t n, uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > classes[middle].last)
            low = middle + 1;
        else if (code < classes[middle].first)
            high = middle;
        else
            return classes[middle].class;
    }
    return 0;
}
