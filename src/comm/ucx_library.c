#include "comm/ucx_library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char library_name[] = "libucp.so.0";

// Remote memory needs UCX's hooks into the allocator, for its cache of registrations; sockets do
// not, and then malloc() stays the C library's.
bool ucx_uses_sockets_only(void)
{
    const char *names = getenv("UCX_TLS");
    return !names || strcmp(names, "tcp") == 0 || strcmp(names, "tcp,self") == 0;
}

// Some of it is read while the library is loaded, so all of it is set before. What a user has set
// stays, but for what would take the program's signals.
static void set_environment(void)
{
    const char *ports = getenv("COLROW_PORT_RANGE");
    setenv("UCX_HANDLE_ERRORS", "none", 1);
    setenv("UCX_DEBUG_SIGNO", "", 1);
    if (ucx_uses_sockets_only())
        setenv("UCX_MEM_EVENTS", "n", 0);
    setenv("UCX_TLS", "tcp", 0);
    // It keeps the kernel's from finding dead links; who lives is the business of control
    // connections.
    setenv("UCX_KEEPALIVE_INTERVAL", "inf", 0);
    // A chunk of an all-reduce is one message in one piece, without being asked for first:
    // measured, bench/wire_all_reduce.sh.
    setenv("UCX_TCP_TX_SEG_SIZE", "512k", 0);
    setenv("UCX_TCP_RX_SEG_SIZE", "512k", 0);
    setenv("UCX_RNDV_THRESH", "512k", 0);
    setenv("UCX_WARN_UNUSED_ENV_VARS", "n", 0);
    setenv("UCX_LOG_LEVEL", "fatal", 0); // what fails is said by us, once
    if (ports && *ports)
        setenv("UCX_TCP_PORT_RANGE", ports, 1);
}

// A function's pointer has the size of an object's wherever there is dlsym().
static bool find_symbol(void *handle, const char *name, void *where)
{
    void *symbol = dlsym(handle, name);
    memcpy(where, &symbol, sizeof symbol);
    return symbol != NULL;
}

static const char *find_all(void *handle, struct ucx_library *library)
{
    const struct {
        const char *name;
        void *where;
    } symbols[] = {
        {"ucp_config_read", &library->config_read},
        {"ucp_config_release", &library->config_release},
        {"ucp_init_version", &library->init_version},
        {"ucp_cleanup", &library->cleanup},
        {"ucp_worker_create", &library->worker_create},
        {"ucp_worker_destroy", &library->worker_destroy},
        {"ucp_worker_get_address", &library->worker_get_address},
        {"ucp_worker_release_address", &library->worker_release_address},
        {"ucp_worker_progress", &library->worker_progress},
        {"ucp_worker_get_efd", &library->worker_get_efd},
        {"ucp_worker_arm", &library->worker_arm},
        {"ucp_ep_create", &library->ep_create},
        {"ucp_ep_close_nbx", &library->ep_close_nbx},
        {"ucp_tag_send_nbx", &library->tag_send_nbx},
        {"ucp_tag_recv_nbx", &library->tag_recv_nbx},
        {"ucp_request_check_status", &library->request_check_status},
        {"ucp_request_free", &library->request_free},
        {"ucs_status_string", &library->status_string},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        if (!find_symbol(handle, symbols[i].name, symbols[i].where))
            return symbols[i].name;
    return NULL;
}

enum status ucx_library_load(const struct ucx_library **out)
{
    static struct ucx_library library;
    static bool loaded;
    if (!loaded) {
        set_environment();
        void *handle = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
            return fail(ERR_UNSUPPORTED,
                        "messages between machines go over UCX, which cannot be loaded: %s; "
                        "install it (Debian and Ubuntu: apt-get install libucx0)",
                        dlerror());
        const char *missing = find_all(handle, &library);
        if (missing)
            return fail(ERR_UNSUPPORTED, "%s has no %s; expected UCX 1.13 or later", library_name,
                        missing);
        loaded = true;
    }
    *out = &library;
    return OK;
}
