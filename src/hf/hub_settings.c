// Source: huggingface_hub, constants.py and utils/_auth.py.
#include "hf/hub_settings.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { TOKEN_FILE_BYTES_MAX = 4096, VARIABLE_MAX = 128 };

static enum status path_too_long(const char *path)
{
    return fail(ERR_INPUT, "%.80s...: the path is longer than %d bytes", path, FILE_PATH_MAX - 1);
}

static const char *home_of(const char *user)
{
    const char *home = *user ? NULL : getenv("HOME");
    if (home)
        return home;
    const struct passwd *entry = *user ? getpwnam(user) : getpwuid(getuid());
    return entry ? entry->pw_dir : NULL;
}

// The value of the variable at `text`, which begins with '$', and how long its name is there; NULL:
// there is none, and Python leaves the text as it is.
static const char *variable_at(const char *text, size_t *length)
{
    char name[VARIABLE_MAX];
    bool braces = text[1] == '{';
    size_t n = 0;
    const char *at = text + 1 + braces;
    while (isalnum((unsigned char)at[n]) || at[n] == '_')
        n++;
    if (n == 0 || n >= sizeof name || (braces && at[n] != '}'))
        return NULL;
    snprintf(name, sizeof name, "%.*s", (int)n, at);
    *length = 1 + n + 2 * (size_t)braces;
    return getenv(name);
}

// "~", "~user" and "$NAME", "${NAME}" at the places where Python's expanduser and expandvars do.
static enum status expand_path(const char *text, char *out)
{
    struct bytes path;
    bytes_init(&path);
    enum status status = OK;
    if (text[0] == '~') {
        char user[VARIABLE_MAX];
        size_t n = strcspn(text + 1, "/");
        snprintf(user, sizeof user, "%.*s", (int)(n < sizeof user ? n : 0), text + 1);
        const char *home = home_of(user);
        if (home) {
            TRY_DONE(bytes_text(&path, home));
            text += 1 + n;
        }
    }
    while (*text) {
        size_t length = 1;
        const char *value = *text == '$' ? variable_at(text, &length) : NULL;
        if (value)
            TRY_DONE(bytes_text(&path, value));
        else
            TRY_DONE(bytes_append(&path, text, length = 1));
        text += length;
    }
    if (path.length >= FILE_PATH_MAX)
        status = path_too_long(path.data);
    else
        snprintf(out, FILE_PATH_MAX, "%s", path.length ? path.data : ".");
done:
    bytes_fini(&path);
    return status;
}

static enum status find_home(char *out)
{
    const char *home = getenv("HF_HOME"), *caches = getenv("XDG_CACHE_HOME");
    if (home)
        return expand_path(home, out);
    char folder[FILE_PATH_MAX];
    TRY(expand_path(caches ? caches : "~/.cache", folder));
    return file_join(folder, "huggingface", out);
}

static bool is_set(const char *name)
{
    static const char *const yes[] = {"1", "ON", "YES", "TRUE"};
    const char *value = getenv(name);
    for (size_t i = 0; value && i < sizeof yes / sizeof yes[0]; i++)
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    return false;
}

static enum status find_endpoint(char *out)
{
    const char *text = getenv("HF_ENDPOINT");
    if (!text || !*text)
        text = "https://huggingface.co";
    size_t length = strlen(text);
    while (length && text[length - 1] == '/')
        length--;
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    bool plain = true;
    for (size_t i = 0; i < length; i++)
        plain = plain && text[i] > 0x20 && text[i] < 0x7f && !strchr("@?#\\\"<>", text[i]);
    if (!scheme || length <= scheme || length > HUB_ENDPOINT_MAX || !plain)
        return fail(ERR_USAGE,
                    "HF_ENDPOINT is \"%.200s\"; expected the hub's address, as "
                    "https://huggingface.co",
                    text);
    snprintf(out, HUB_ENDPOINT_MAX + 1, "%.*s", (int)length, text);
    return OK;
}

enum status hub_settings_read(struct hub_settings *out)
{
    const char *cache = getenv("HF_HUB_CACHE");
    *out = (struct hub_settings){0};
    if (!cache)
        cache = getenv("HUGGINGFACE_HUB_CACHE");
    TRY(find_home(out->home));
    TRY(cache ? expand_path(cache, out->cache) : file_join(out->home, "hub", out->cache));
    out->offline = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE");
    return find_endpoint(out->endpoint);
}

// Line ends anywhere and blanks around it are no part of it, as in huggingface_hub; what is left
// goes into a header line.
static enum status clean_token(const char *where, const char *text, size_t length, char *out)
{
    size_t n = 0, begin = 0;
    while (begin < length && isspace((unsigned char)text[begin]))
        begin++;
    while (length > begin && isspace((unsigned char)text[length - 1]))
        length--;
    for (size_t i = begin; i < length; i++) {
        if (text[i] == '\r' || text[i] == '\n')
            continue;
        if (text[i] <= 0x20 || text[i] >= 0x7f || n == HUB_TOKEN_MAX) {
            out[0] = '\0';
            return fail(ERR_INPUT,
                        "%s: holds no token; expected at most %d letters and digits, as the hub's "
                        "page of tokens shows them",
                        where, HUB_TOKEN_MAX);
        }
        out[n++] = text[i];
    }
    out[n] = '\0';
    return OK;
}

enum status hub_token_read(const struct hub_settings *settings, char *out)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    char path[FILE_PATH_MAX];
    out[0] = '\0';
    if (is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value)
            TRY(clean_token(names[i], value, strlen(value), out));
        if (*out)
            return OK;
    }
    const char *named = getenv("HF_TOKEN_PATH");
    TRY(named ? expand_path(named, path) : file_join(settings->home, "token", path));
    if (!file_exists(path) || file_is_folder(path))
        return OK;
    struct bytes text;
    bytes_init(&text);
    enum status status = file_read(path, TOKEN_FILE_BYTES_MAX, &text);
    if (status == OK)
        status = clean_token(path, text.data, text.length, out);
    bytes_fini(&text);
    return status;
}
