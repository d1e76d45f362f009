#include "cmd/model_argument.h"

#include <string.h>

#include "base/file.h"
#include "hf/model_folder.h"

enum status model_argument_find(const char **model)
{
    static char folder[FILE_PATH_MAX];
    char found[FILE_PATH_MAX];
    TRY(model_folder_find(*model, found));
    if (strcmp(found, *model) == 0)
        return OK;
    memcpy(folder, found, sizeof folder);
    *model = folder;
    return OK;
}
