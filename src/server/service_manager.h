// What a service manager such as systemd tells its service and is told by it, as the manual pages
// sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3) describe it: variables of the
// environment, datagrams to a socket, descriptors from 3 on.
#ifndef COLROW_SERVER_SERVICE_MANAGER_H
#define COLROW_SERVER_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct service_manager {
    int notify_fd;       // -1: nobody wants to know
    int listen_fd;       // a listening socket, -1: none was passed
    int64_t watchdog_ms; // WATCHDOG=1 is awaited so often; 0: it is not
};

// Reads the environment, and takes away from it what is for this process alone: call it before
// others are started. Fails where sockets were passed that cannot be served.
enum status service_manager_open(struct service_manager *out) STATUS_MUST_USE;
void service_manager_close(struct service_manager *manager); // but for listen_fd

// "READY=1\nSTATUS=serving": assignments, one a line. What nobody takes within 100 ms is lost.
void service_manager_say(const struct service_manager *manager, const char *format, ...)
    STATUS_PRINTF(2, 3);

#endif
