#include "comm/cluster_interface.h"

#include <glob.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool interface_with_address(const char *address, char name[INTERFACE_NAME_MAX])
{
    struct ifaddrs *list, *one;
    bool found = false;
    if (getifaddrs(&list))
        return false;
    for (one = list; one && !found; one = one->ifa_next) {
        char text[NI_MAXHOST];
        int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t bytes =
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if ((family != AF_INET && family != AF_INET6) ||
            getnameinfo(one->ifa_addr, bytes, text, sizeof text, NULL, 0, NI_NUMERICHOST))
            continue;
        found = strcmp(text, address) == 0;
        if (found)
            snprintf(name, INTERFACE_NAME_MAX, "%s", one->ifa_name);
    }
    freeifaddrs(list);
    return found;
}

static bool file_says(const char *path, const char *word)
{
    char text[64];
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, word) == 0;
}

// "mlx5_0:1" of ".../infiniband/mlx5_0/ports/1/gid_attrs/ndevs/3", unless `out` ends with it.
static void add_port(const char *path, char *out, size_t room)
{
    char device[64], port[16], both[96];
    const char *from = strstr(path, "/infiniband/");
    if (!from || sscanf(from, "/infiniband/%63[^/]/ports/%15[^/]", device, port) != 2)
        return;
    snprintf(both, sizeof both, "%s:%s,", device, port);
    size_t length = strlen(out), own = strlen(both);
    if (length < own || strcmp(out + length - own, both) != 0)
        snprintf(out + length, room - length, "%s", both);
}

void interface_devices(const char *sysfs, const char *name, char *out, size_t room)
{
    char pattern[512];
    glob_t found;
    out[0] = '\0';
    snprintf(pattern, sizeof pattern, "%s/class/infiniband/*/ports/*/gid_attrs/ndevs/*", sysfs);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (file_says(found.gl_pathv[i], name))
                add_port(found.gl_pathv[i], out, room - INTERFACE_NAME_MAX);
        globfree(&found);
    }
    size_t length = strlen(out);
    snprintf(out + length, room - length, "%s", name);
}
