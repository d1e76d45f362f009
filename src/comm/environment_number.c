#include "comm/environment_number.h"

#include <errno.h>
#include <stdlib.h>

enum status environment_number(const char *name, int least, int most, int *out)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return fail(ERR_INPUT, "%s is not set; start the program with `colrow launch`", name);
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || number < least || number > most)
        return fail(ERR_INPUT, "%s is \"%s\"; expected a number from %d to %d", name, text, least,
                    most);
    *out = (int)number;
    return OK;
}
