#include "server/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

enum {
    FIRST_FD = 3, // SD_LISTEN_FDS_START
    PASSED_MAX = 64,
    MESSAGE_BYTES_MAX = 4096,
    SAY_MS = 100,
};

// A number of the environment; -1 where there is none.
static int64_t number_in(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !*text)
        return -1;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno != 0 || *end || number < 0 ? -1 : (int64_t)number;
}

static bool is_for_this_process(const char *name)
{
    return number_in(name) == (int64_t)getpid();
}

// ---- telling ----

static enum status open_notify(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_usec = (suseconds_t)SAY_MS * 1000};
    size_t length = strlen(path);
    if ((*path != '/' && *path != '@') || length < 2 || length >= sizeof address.sun_path)
        return fail(ERR_INPUT,
                    "NOTIFY_SOCKET is \"%s\"; expected a path or, after an @, an abstract name",
                    path);
    memcpy(address.sun_path, path, length);
    if (*path == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno("socket", path);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, (const struct sockaddr *)&address, size) != 0) {
        enum status status = fail_errno("connect to NOTIFY_SOCKET", path);
        close(fd);
        return status;
    }
    *out = fd;
    return OK;
}

void service_manager_say(const struct service_manager *manager, const char *format, ...)
{
    char message[MESSAGE_BYTES_MAX];
    va_list arguments;
    if (manager->notify_fd < 0)
        return;
    va_start(arguments, format);
    int n = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    if (send(manager->notify_fd, message, length, MSG_NOSIGNAL) < 0)
        log_debug("the service manager does not listen: %s", strerror(errno));
}

// ---- the socket ----

static int option_of(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

static enum status check_passed(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1 ||
        (address.ss_family != AF_INET && address.ss_family != AF_INET6 &&
         address.ss_family != AF_UNIX))
        return fail(ERR_USAGE,
                    "descriptor %d, which the service manager passed (LISTEN_FDS), is no listening "
                    "stream socket; expected ListenStream= of a port or of a path",
                    fd);
    return OK;
}

// Which of `n` is named "colrow"; -1 where not exactly one is.
static int find_passed(const char *names, int n)
{
    static const char wanted[] = "colrow";
    int found = -1, n_found = 0;
    for (int i = 0; i < n && names; i++) {
        size_t length = strcspn(names, ":");
        if (length == sizeof wanted - 1 && memcmp(names, wanted, length) == 0) {
            found = i;
            n_found++;
        }
        names = names[length] ? names + length + 1 : NULL;
    }
    return n_found == 1 ? found : -1;
}

static enum status take_passed(int *out)
{
    const char *names = getenv("LISTEN_FDNAMES");
    int64_t n = number_in("LISTEN_FDS");
    if (n <= 0 || !is_for_this_process("LISTEN_PID"))
        return OK;
    if (n > PASSED_MAX)
        return fail(ERR_USAGE, "LISTEN_FDS is %lld; expected %d at most", (long long)n, PASSED_MAX);
    for (int i = 0; i < (int)n; i++)
        (void)fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC); // one that is not open is found below
    int which = n == 1 ? 0 : find_passed(names, (int)n);
    if (which < 0)
        return fail(ERR_USAGE,
                    "the service manager passed %d sockets (\"%s\"); colrow serves one: name it "
                    "with FileDescriptorName=colrow",
                    (int)n, names ? names : "");
    TRY(check_passed(FIRST_FD + which));
    *out = FIRST_FD + which;
    return OK;
}

// ---- both ----

static void read_watchdog(struct service_manager *manager)
{
    int64_t us = number_in("WATCHDOG_USEC");
    bool ours = !getenv("WATCHDOG_PID") || is_for_this_process("WATCHDOG_PID");
    if (us >= 1000 && ours)
        manager->watchdog_ms = us / 1000;
}

enum status service_manager_open(struct service_manager *out)
{
    static const char *const variables[] = {"NOTIFY_SOCKET",  "LISTEN_PID",    "LISTEN_FDS",
                                            "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"};
    const char *notify = getenv("NOTIFY_SOCKET");
    *out = (struct service_manager){.notify_fd = -1, .listen_fd = -1};
    enum status status = take_passed(&out->listen_fd);
    // a service that cannot be seen is better than none
    if (status == OK && notify && *notify && open_notify(notify, &out->notify_fd) != OK)
        log_warning("%s", status_message());
    read_watchdog(out);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    return status;
}

void service_manager_close(struct service_manager *manager)
{
    if (manager->notify_fd >= 0)
        close(manager->notify_fd);
    manager->notify_fd = -1;
}
