#include "comm/cluster_lookup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/memory.h"
#include "base/thread.h"

// A name server may let us wait for long, so a thread asks: one of our own, not getaddrinfo_a()'s,
// which no sanitizer knows. Who comes last, the thread or the one who asked, frees.
enum lookup_state { LOOKUP_ASKS, LOOKUP_KNOWS, LOOKUP_FORGOTTEN };

struct lookup {
    _Atomic int state;
    int error;
    char *host, port[16];
    struct addrinfo *addresses;
};

static void free_lookup(struct lookup *lookup)
{
    if (lookup->addresses)
        freeaddrinfo(lookup->addresses);
    free(lookup->host);
    free(lookup);
}

static void ask_for_addresses(struct lookup *lookup, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->addresses);
    if (lookup->error)
        lookup->addresses = NULL;
}

static void *run_lookup(void *context)
{
    struct lookup *lookup = context;
    ask_for_addresses(lookup, 0);
    // both: what was found is there for who sees it, and for who frees it
    if (atomic_exchange_explicit(&lookup->state, LOOKUP_KNOWS, memory_order_acq_rel) ==
        LOOKUP_FORGOTTEN)
        free_lookup(lookup);
    return NULL;
}

static enum status start_thread_apart(struct lookup *lookup)
{
    pthread_t thread;
    TRY(quiet_thread_start(&thread, run_lookup, lookup, "looks up a name"));
    pthread_detach(thread);
    return OK;
}

enum status lookup_begin(const char *host, int port, struct lookup **out)
{
    struct lookup *lookup;
    TRY(memory_new(1, sizeof *lookup, "the lookup of a name", &lookup));
    enum status status = memory_text(host, &lookup->host);
    snprintf(lookup->port, sizeof lookup->port, "%d", port);
    if (status == OK) {
        ask_for_addresses(lookup, AI_NUMERICHOST); // an address is known at once
        if (!lookup->error)
            atomic_init(&lookup->state, LOOKUP_KNOWS);
        else if (start_thread_apart(lookup) != OK)
            status = fail(ERR_MEMORY, "cannot start a thread to look up %s", host);
    }
    if (status == OK)
        *out = lookup;
    else
        free_lookup(lookup);
    return status;
}

int lookup_ready(struct lookup *lookup, const struct addrinfo **out, const char **why)
{
    // acquire: pairs with the thread's release
    if (atomic_load_explicit(&lookup->state, memory_order_acquire) != LOOKUP_KNOWS)
        return 0;
    *out = lookup->addresses;
    *why = lookup->error ? gai_strerror(lookup->error) : "";
    return 1;
}

void lookup_end(struct lookup *lookup)
{
    if (lookup && atomic_exchange_explicit(&lookup->state, LOOKUP_FORGOTTEN,
                                           memory_order_acq_rel) == LOOKUP_KNOWS)
        free_lookup(lookup);
}
