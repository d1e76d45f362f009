// What the environment says of the HuggingFace hub, as huggingface_hub reads it.
#ifndef COLROW_HF_HUB_SETTINGS_H
#define COLROW_HF_HUB_SETTINGS_H

#include <stdbool.h>

#include "base/file.h"
#include "base/status.h"

enum { HUB_ENDPOINT_MAX = 512, HUB_TOKEN_MAX = 512 };

struct hub_settings {
    char cache[FILE_PATH_MAX];           // HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, $HF_HOME/hub
    char home[FILE_PATH_MAX];            // HF_HOME, ${XDG_CACHE_HOME:-~/.cache}/huggingface
    char endpoint[HUB_ENDPOINT_MAX + 1]; // HF_ENDPOINT without slashes at its end
    bool offline;                        // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE
};
enum status hub_settings_read(struct hub_settings *out) STATUS_MUST_USE;
// HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the file HF_TOKEN_PATH, $HF_HOME/token; "": there is none.
// `out` has HUB_TOKEN_MAX + 1 bytes.
enum status hub_token_read(const struct hub_settings *settings, char *out) STATUS_MUST_USE;

#endif
