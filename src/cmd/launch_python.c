#include "cmd/launch_python.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool runnable(const char *path)
{
    return access(path, X_OK) == 0;
}

static bool runnable_in_path(const char *name)
{
    char path[PATH_MAX];
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : "/usr/bin:/bin"; *at;) {
        size_t length = strcspn(at, ":");
        int n = snprintf(path, sizeof path, "%.*s/%s", (int)length, at, name);
        if (n > 0 && n < PATH_MAX && runnable(path))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

enum status launch_find_program(const char *name)
{
    if (strchr(name, '/')) {
        if (runnable(name))
            return OK;
        return fail(ERR_USAGE, "cannot run %s: %s", name, strerror(errno));
    }
    if (runnable_in_path(name))
        return OK;
    return fail(ERR_USAGE, "cannot find the program %s in PATH%s%s", name,
                runnable(name) ? "; did you mean ./" : "", runnable(name) ? name : "");
}

bool launch_wants_python(const char *name, bool module, bool no_python)
{
    size_t length = strlen(name);
    return module || (!no_python && length > 3 && strcmp(name + length - 3, ".py") == 0);
}

static enum status find_python(const char *name, const char **out)
{
    static char path[PATH_MAX];
    const char *given = getenv("PYTHON_EXEC"), *environment = getenv("VIRTUAL_ENV");
    if (given && *given) {
        *out = given;
        return launch_find_program(given);
    }
    if (environment && *environment) {
        int n = snprintf(path, sizeof path, "%s/bin/python", environment);
        if (n > 0 && n < PATH_MAX && runnable(path)) {
            *out = path;
            return OK;
        }
    }
    static const char *const names[] = {"python3", "python"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (runnable_in_path(names[i])) {
            *out = names[i];
            return OK;
        }
    return fail(ERR_USAGE,
                "cannot find python3 in PATH, which runs %s; set PYTHON_EXEC to the path of a "
                "Python",
                name);
}

enum status launch_python_words(const char *name, bool module,
                                const char *out[LAUNCH_WORDS_MAX + 1])
{
    if (!module && access(name, R_OK) != 0)
        return fail(ERR_USAGE, "cannot read the Python script %s: %s", name, strerror(errno));
    int n = 0;
    TRY(find_python(name, &out[n++]));
    out[n++] = "-u"; // what ranks print is seen when they print it
    if (module)
        out[n++] = "-m";
    out[n] = NULL;
    return OK;
}
