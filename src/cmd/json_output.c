#include "cmd/json_output.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "text/unicode.h"

json_t *json_foreign_n(const char *text, size_t length)
{
    json_t *string = json_stringn(text, length);
    if (string)
        return string;
    struct bytes lossy;
    bytes_init(&lossy);
    if (utf8_append_lossy(&lossy, text, length) == OK)
        string = json_stringn(lossy.data, lossy.length);
    bytes_fini(&lossy);
    return string;
}

json_t *json_foreign(const char *text)
{
    return json_foreign_n(text, strlen(text));
}

enum status json_write(json_t *root, size_t flags, const char *path)
{
    char *text = root ? json_dumps(root, flags) : NULL;
    json_decref(root);
    if (!text)
        return fail(ERR_INTERNAL, "the result could not be written as JSON");
    enum status status = OK;
    struct bytes line;
    bytes_init(&line);
    if (path) {
        status = bytes_format(&line, "%s\n", text);
        if (status == OK)
            status = file_write(path, line.data, line.length);
    } else {
        output_print("%s\n", text);
        status = output_flush();
    }
    bytes_fini(&line);
    free(text);
    return status;
}
