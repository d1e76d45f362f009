#include "cmd/model_argument.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cmd/hub_headers.h"
#include "cmd/hub_pull.h"
#include "cmd/interrupt.h"
#include "hf/checkpoint.h"
#include "hf/model_folder.h"

// What was found before: commands ask more than once, and some for several models.
struct found_model {
    struct found_model *next;
    enum model_need need;
    char *given, *folder;
};
static struct found_model *found_models;

static enum status remember(const char *given, enum model_need need, const char *folder,
                            const char **out)
{
    struct found_model *found;
    TRY(memory_new(1, sizeof *found, "a model's folder", &found));
    found->next = found_models;
    found->need = need;
    found_models = found;
    TRY(memory_text(given, &found->given));
    TRY(memory_text(folder, &found->folder));
    *out = found->folder;
    return OK;
}

// Are the weights there, too? Another program may have fetched only some of the files.
static bool has_weights(const char *folder)
{
    struct checkpoint *checkpoint = NULL;
    enum status status = checkpoint_open(folder, &checkpoint);
    checkpoint_close(checkpoint);
    return status != ERR_IO && checkpoint_has_weights(folder);
}

// models/dmeo, where there is a folder models: a path that was mistyped, which nobody needs to
// know.
static bool is_path_of_folder(const char *given)
{
    char first[HUB_ID_MAX + 1];
    const char *slash = strchr(given, '/');
    if (!slash || slash - given > HUB_ID_MAX)
        return false;
    snprintf(first, sizeof first, "%.*s", (int)(slash - given), given);
    return file_is_folder(first);
}

static enum status fetch_model(const char *given, enum model_need need, char *folder)
{
    struct hub_pull pull;
    hub_pull_init(&pull);
    interrupts_catch();
    enum status status = hub_pull_begin(&pull, given);
    if (status == OK)
        status = hub_listing_choose(&pull.listing, pull.name.id, NULL, 0);
    if (status == OK)
        status = need == MODEL_WHOLE ? hub_pull_snapshot(&pull, folder)
                                     : hub_headers_fetch(&pull, need != MODEL_TEXTS, folder);
    hub_pull_fini(&pull);
    return status;
}

// `missing`: what the cache said, or OK of a folder that lacks weights.
static enum status fetch_missing(const char *given, enum model_need need, enum status missing,
                                 char *folder)
{
    char sentence[STATUS_MESSAGE_MAX];
    struct hub_settings settings;
    snprintf(sentence, sizeof sentence, "%s", missing == OK ? "" : status_message());
    TRY(hub_settings_read(&settings));
    if (settings.offline && missing == OK && need != MODEL_STREAMED)
        return OK; // its reader says what it lacks
    if (settings.offline && need == MODEL_STREAMED)
        return fail(ERR_USAGE,
                    "%s: --stream-from-hub reads weights from the hub, and HF_HUB_OFFLINE or "
                    "TRANSFORMERS_OFFLINE is set; unset it",
                    given);
    if (missing != OK && (settings.offline || is_path_of_folder(given)))
        return fail(missing, "%s", sentence);
    log_info("%s is %s; asking %s", given,
             missing == OK ? "only partly in the cache" : "neither a folder nor in the cache",
             settings.endpoint);
    return fetch_model(given, need, folder);
}

enum status model_argument_find(const char **model, enum model_need need)
{
    const char *given = *model;
    char folder[FILE_PATH_MAX];
    for (struct found_model *found = found_models; found; found = found->next)
        if (found->need == need && found->given && found->folder &&
            strcmp(found->given, given) == 0) {
            *model = found->folder;
            return OK;
        }
    bool is_name = hub_name_is(given) && !file_exists(given);
    enum status status = model_folder_find(given, folder);
    if (is_name && status == ERR_INPUT)
        status = fetch_missing(given, need, status, folder);
    else if (is_name && status == OK && need != MODEL_TEXTS && !has_weights(folder))
        status = fetch_missing(given, need, status, folder);
    TRY(status);
    return strcmp(folder, given) == 0 ? OK : remember(given, need, folder, model);
}
