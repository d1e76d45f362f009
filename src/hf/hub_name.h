// Names of repositories on the HuggingFace hub: org/name, or org/name@revision.
#ifndef COLROW_HF_HUB_NAME_H
#define COLROW_HF_HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { HUB_ID_MAX = 96, HUB_REVISION_MAX = 255, HUB_COMMIT_DIGITS = 40 };

struct hub_name {
    char id[HUB_ID_MAX + 1];             // "org/name"
    char revision[HUB_REVISION_MAX + 1]; // a branch, tag, refs/pr/N or commit; "main" if not given
    bool revision_given;
};

// Could `text` be such a name? Paths that say so (/..., ./..., ~/..., a/b/c) are none.
bool hub_name_is(const char *text);
// ERR_USAGE: a sentence that says which part is no part of a name.
enum status hub_name_read(const char *text, struct hub_name *out) STATUS_MUST_USE;
// Can it be a revision: what git takes as the name of a ref, and as folders in refs/.
bool hub_revision_is(const char *text);
// Exactly 40 lower-case hexadecimal digits: what huggingface_hub takes for a commit.
bool hub_commit_is(const char *text);
// `n` lower-case hexadecimal digits and no more.
bool hub_digits_are(const char *text, size_t n);
// A file's path inside a repository: relative, no empty, "." or ".." part, no control characters or
// backslash, at most HUB_PATH_MAX bytes. It may be used below a folder.
enum { HUB_PATH_MAX = 1024 };
bool hub_path_is(const char *text);

#endif
