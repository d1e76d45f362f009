#include "base/name_list.h"

#include <assert.h>
#include <string.h>

void name_list_add(char *out, size_t room, const char *name)
{
    static const char more[] = ", ...";
    size_t used = strlen(out), length = strlen(name), comma = used ? 2 : 0;
    assert(used < room && room >= sizeof more);
    if (used >= 3 && strcmp(out + used - 3, "...") == 0)
        return;
    if (used + comma + length + sizeof more > room) { // so that what says "more" always fits
        memcpy(out + used, comma ? more : more + 2, comma ? sizeof more : sizeof more - 2);
        return;
    }
    memcpy(out + used, ", ", comma);
    memcpy(out + used + comma, name, length + 1);
}
