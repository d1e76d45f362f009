#include "engine/struct_size.h"

#include <string.h>

enum { STRUCT_BYTES_MAX = 4096 }; // no version will have a larger one

void struct_give(void *theirs, size_t their_size, const void *ours, size_t our_size)
{
    memcpy(theirs, ours, their_size < our_size ? their_size : our_size);
    if (their_size > our_size)
        memset((char *)theirs + our_size, 0, their_size - our_size);
}

enum status struct_take(void *ours, size_t our_size, const void *theirs, size_t their_size,
                        size_t least, const char *name, const char *advice)
{
    if (their_size < least || their_size > STRUCT_BYTES_MAX)
        return fail(ERR_USAGE, "struct %s says that its size is %zu; expected %zu or more: %s",
                    name, their_size, least, advice);
    const char *bytes = theirs;
    for (size_t i = our_size; i < their_size; i++)
        if (bytes[i])
            return fail(ERR_USAGE,
                        "struct %s asks for what this version of colrow (%s) does not know; use "
                        "the one that the program was compiled for, or a newer one",
                        name, COLROW_VERSION);
    memcpy(ours, theirs, their_size < our_size ? their_size : our_size);
    return OK;
}
