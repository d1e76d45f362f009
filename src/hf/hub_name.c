// Source: huggingface_hub, utils/_validators.py (validate_repo_id).
#include "hf/hub_name.h"

#include <stdio.h>
#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// One of the two parts of an ID.
static bool part_is(const char *text, size_t length)
{
    if (length == 0 || !is_letter(text[0]) || !is_letter(text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++) {
        bool mark = text[i] == '-' || text[i] == '.';
        if (!mark && !is_letter(text[i]))
            return false;
        if (i > 0 && mark && text[i] == text[i - 1]) // "--" stands for '/' in the cache
            return false;
    }
    return true;
}

static bool id_is(const char *text, size_t length)
{
    const char *slash = memchr(text, '/', length);
    if (!slash || length > HUB_ID_MAX)
        return false;
    size_t first = (size_t)(slash - text), second = length - first - 1;
    return part_is(text, first) && part_is(slash + 1, second) &&
           !(second > 4 && memcmp(text + length - 4, ".git", 4) == 0);
}

bool hub_digits_are(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && text[n] == '\0';
}

bool hub_commit_is(const char *text)
{
    return hub_digits_are(text, HUB_COMMIT_DIGITS);
}

// Segments between slashes, none of which leads elsewhere.
static bool stays_below(const char *text)
{
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
        if (*at == '\0')
            return true;
    }
}

bool hub_path_is(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\')
            return false;
    return length <= HUB_PATH_MAX && stays_below(text);
}

bool hub_revision_is(const char *text)
{
    return strlen(text) <= HUB_REVISION_MAX && strpbrk(text, " ~^:?*[") == NULL &&
           strstr(text, "..") == NULL && text[0] != '-' && hub_path_is(text);
}

bool hub_name_is(const char *text)
{
    return id_is(text, strcspn(text, "@"));
}

enum status hub_name_read(const char *text, struct hub_name *out)
{
    size_t length = strcspn(text, "@");
    *out = (struct hub_name){.revision = "main"};
    if (!id_is(text, length))
        return fail(ERR_USAGE,
                    "\"%.200s\" is no name of a repository; expected org/name or "
                    "org/name@revision, of letters, digits, '-', '_' and '.', at most %d",
                    text, HUB_ID_MAX);
    snprintf(out->id, sizeof out->id, "%.*s", (int)length, text);
    if (text[length] == '\0')
        return OK;
    const char *revision = text + length + 1;
    if (!hub_revision_is(revision))
        return fail(ERR_USAGE,
                    "\"%.200s\": \"%.200s\" is no revision; expected a branch, a tag, refs/pr/N or "
                    "a commit behind the @",
                    text, revision);
    snprintf(out->revision, sizeof out->revision, "%s", revision);
    out->revision_given = true;
    return OK;
}
