#include "engine/rank_program.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0 && !file_is_folder(path);
}

static bool found_in_folder(const char *folder, size_t length, const char *name, char *out)
{
    int n = snprintf(out, FILE_PATH_MAX, "%.*s/%s", (int)length, folder, name);
    return n > 0 && n < FILE_PATH_MAX && is_program(out);
}

static bool found_in_path(const char *name, char *out)
{
    const char *path = getenv("PATH");
    for (const char *end; path && *path; path = *end ? end + 1 : end) {
        end = strchrnul(path, ':');
        if (end > path && found_in_folder(path, (size_t)(end - path), name, out))
            return true;
    }
    return false;
}

static bool is_this_program(char *out)
{
    ssize_t n = readlink("/proc/self/exe", out, FILE_PATH_MAX - 1);
    if (n <= 0)
        return false;
    out[n] = '\0';
    const char *slash = strrchr(out, '/');
    if (!slash || strcmp(slash + 1, "colrow") != 0)
        return false;
    // The file that runs, also when an upgrade has put another one in its place since: ranks that
    // are started again are of the same version.
    snprintf(out, FILE_PATH_MAX, "/proc/self/exe");
    return is_program(out);
}

// The library lies in PREFIX/lib or PREFIX/lib/ARCHITECTURE, or beside the program in a build
// folder; a program that has it linked in, in PREFIX/bin. No further: what lies around in folders
// above may be anybody's.
static bool found_beside_library(char *out)
{
    Dl_info info;
    char place[FILE_PATH_MAX];
    // through a variable: ISO C has no conversion from a function's address to void *
    enum status (*self)(const char *, char *) = rank_program_find;
    void *address;
    memcpy(&address, &self, sizeof address);
    if (!dladdr(address, &info) || !info.dli_fname || !realpath(info.dli_fname, place))
        return false;
    for (int level = 0; level < 3; level++) {
        char *slash = strrchr(place, '/');
        if (!slash)
            return false;
        *slash = '\0';
        if (found_in_folder(place, strlen(place), level == 0 ? "colrow" : "bin/colrow", out))
            return true;
    }
    return false;
}

static enum status program_named(const char *program, const char *by, char *out)
{
    if (snprintf(out, FILE_PATH_MAX, "%s", program) >= FILE_PATH_MAX)
        return fail(ERR_USAGE, "%s: the path is too long", by);
    if (strchr(program, '/') ? is_program(out) : found_in_path(program, out))
        return OK;
    return fail(ERR_USAGE, "%s names %s, which is not a program that can be run", by, program);
}

enum status rank_program_find(const char *given, char *out)
{
    if (given)
        return program_named(given, "rank_program", out);
    const char *variable = getenv("COLROW_RANK_PROGRAM");
    if (variable && *variable)
        return program_named(variable, "COLROW_RANK_PROGRAM", out);
    return own_program_find(out);
}

enum status own_program_find(char *out)
{
    if (is_this_program(out) || found_beside_library(out) || found_in_path("colrow", out))
        return OK;
    return fail(ERR_IO, "cannot find the program colrow, which the ranks run: neither beside "
                        "this library nor in PATH; set "
                        "COLROW_RANK_PROGRAM to its path");
}
