#include "comm/cluster_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/memory.h"

struct lookup {
    char *host, port[16];
    struct addrinfo hints;
    struct gaicb request;
};

enum status lookup_begin(const char *host, int port, struct lookup **out)
{
    struct lookup *lookup;
    TRY(memory_new(1, sizeof *lookup, "the lookup of a name", &lookup));
    enum status status = memory_text(host, &lookup->host);
    snprintf(lookup->port, sizeof lookup->port, "%d", port);
    lookup->hints = (struct addrinfo){
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    lookup->request = (struct gaicb){
        .ar_name = lookup->host, .ar_service = lookup->port, .ar_request = &lookup->hints};
    struct gaicb *list[] = {&lookup->request};
    if (status == OK && getaddrinfo_a(GAI_NOWAIT, list, 1, NULL))
        status = fail(ERR_MEMORY, "cannot start looking up %s", host);
    if (status != OK) {
        free(lookup->host);
        free(lookup);
        return status;
    }
    *out = lookup;
    return OK;
}

int lookup_ready(struct lookup *lookup, const struct addrinfo **out, const char **why)
{
    int error = gai_error(&lookup->request);
    if (error == EAI_INPROGRESS)
        return 0;
    *out = error ? NULL : lookup->request.ar_result;
    *why = error ? gai_strerror(error) : "";
    return 1;
}

void lookup_end(struct lookup *lookup)
{
    if (!lookup)
        return;
    if (gai_error(&lookup->request) == EAI_INPROGRESS &&
        gai_cancel(&lookup->request) != EAI_CANCELED)
        return; // a thread of the C library still writes there
    if (lookup->request.ar_result)
        freeaddrinfo(lookup->request.ar_result);
    free(lookup->host);
    free(lookup);
}
