// The wire over UCX's tagged messages. One worker of one thread; endpoints of error mode PEER, so
// that a connection that ends is told, once, by the callback that remembers it.
#include "comm/wire.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/new_descriptors.h"
#include "comm/reduction_tree.h"
#include "comm/segment.h"
#include "comm/ucx_library.h"
#include "comm/wire_stream.h"

enum { CLOSE_NS = 1000000000, PUSHES = 16, LONG_BYTES = 16 << 10, FDS_MAX = 2 * COMM_RANKS_MAX };

struct wire_end {
    ucp_ep_h ep;
    ucs_status_t failure;
    bool met; // a message has come or gone
};

struct wire {
    const struct ucx_library *ucx;
    ucp_context_h context;
    ucp_worker_h worker;
    ucp_address_t *address;
    struct wire_streams *streams; // for long messages; NULL: they go over UCX like all others
    unsigned char said[sizeof(struct stream_address) + ADDRESS_BYTES_MAX]; // to others
    int wake_fd;                                                           // the worker's
    struct descriptors before; // of this process, before it was opened
    bool has_met;              // somebody for the first time: connections are new
    int n_ends;
    struct wire_end end[];
};

static enum status ucx_failed(const struct wire *wire, ucs_status_t status, const char *what)
{
    return fail(status == UCS_ERR_NO_MEMORY ? ERR_MEMORY : ERR_INPUT, "UCX cannot %s: %s%s", what,
                wire->ucx->status_string(status),
                status == UCS_ERR_NO_DEVICE || status == UCS_ERR_NO_RESOURCE
                    ? " (see UCX_NET_DEVICES, UCX_TLS and COLROW_PORT_RANGE in the environment)"
                    : "");
}

static enum status make_context(struct wire *wire)
{
    const ucp_params_t params = {
        .field_mask = UCP_PARAM_FIELD_FEATURES,
        .features = UCP_FEATURE_TAG | UCP_FEATURE_WAKEUP,
    };
    ucp_config_t *config;
    ucs_status_t status = wire->ucx->config_read(NULL, NULL, &config);
    if (status != UCS_OK)
        return ucx_failed(wire, status, "read its settings from the environment");
    status = wire->ucx->init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &wire->context);
    wire->ucx->config_release(config);
    return status == UCS_OK ? OK : ucx_failed(wire, status, "find a network to use");
}

static enum status make_worker(struct wire *wire)
{
    const ucp_worker_params_t params = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
        .thread_mode = UCS_THREAD_MODE_SINGLE,
    };
    ucs_status_t status = wire->ucx->worker_create(wire->context, &params, &wire->worker);
    if (status != UCS_OK)
        return ucx_failed(wire, status, "open its end of the network");
    status = wire->ucx->worker_get_efd(wire->worker, &wire->wake_fd);
    return status == UCS_OK ? OK : ucx_failed(wire, status, "say when messages come");
}

// The interface over which UCX speaks TCP, where it speaks nothing else; into `out`. Other networks
// move memory without the processor: then UCX has the long messages, too. RDMA devices are named
// before the interface that they belong to.
static bool tcp_interface(char *out, size_t room)
{
    const char *devices = getenv("UCX_NET_DEVICES");
    const char *comma = devices ? strrchr(devices, ',') : NULL;
    int n = snprintf(out, room, "%s", comma ? comma + 1 : devices ? devices : "");
    return ucx_uses_sockets_only() && n > 0 && (size_t)n < room && !strchr(out, ':');
}

static enum status open_streams(struct wire *wire)
{
    char device[64];
    return tcp_interface(device, sizeof device)
               ? wire_streams_open(wire->n_ends, device, &wire->streams)
               : OK;
}

enum status wire_open(int world_size, struct wire **out)
{
    struct wire *wire;
    TRY(memory_new(1, sizeof *wire + (size_t)world_size * sizeof wire->end[0], "a wire", &wire));
    wire->n_ends = world_size;
    descriptors_read(&wire->before);
    enum status status;
    TRY_DONE(ucx_library_load(&wire->ucx));
    TRY_DONE(make_context(wire));
    TRY_DONE(make_worker(wire));
    TRY_DONE(open_streams(wire));
    descriptors_close_on_exec(&wire->before);
    *out = wire;
    return OK;
done:
    wire_close(wire, true);
    return status;
}

static void await_close(struct wire *wire, void *request)
{
    int64_t end = clock_ns() + CLOSE_NS;
    while (UCS_PTR_IS_PTR(request) && wire->ucx->request_check_status(request) == UCS_INPROGRESS &&
           clock_ns() < end)
        wire->ucx->worker_progress(wire->worker);
    if (UCS_PTR_IS_PTR(request))
        wire->ucx->request_free(request);
}

// Without peace nothing of UCX is called: memory that receives still name may be gone. The process
// ends soon, and the kernel closes what is open.
void wire_close(struct wire *wire, bool in_peace)
{
    if (!wire)
        return;
    if (in_peace && wire->address)
        wire->ucx->worker_release_address(wire->worker, wire->address);
    for (int r = 0; r < wire->n_ends && in_peace; r++) {
        // What has not left yet does so first, unless the end has failed.
        bool failed = wire->end[r].failure != UCS_OK;
        const ucp_request_param_t param = {
            .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS,
            .flags = failed ? UCP_EP_CLOSE_FLAG_FORCE : 0,
        };
        if (wire->end[r].ep)
            await_close(wire, wire->ucx->ep_close_nbx(wire->end[r].ep, &param));
    }
    if (in_peace && wire->worker)
        wire->ucx->worker_destroy(wire->worker);
    if (in_peace && wire->context)
        wire->ucx->cleanup(wire->context);
    wire_streams_close(wire->streams);
    free(wire);
}

// Where the streams are, then UCX's own.
enum status wire_address(struct wire *wire, const void **address, size_t *bytes)
{
    size_t own;
    struct stream_address streams;
    assert(!wire->address);
    ucs_status_t status = wire->ucx->worker_get_address(wire->worker, &wire->address, &own);
    if (status != UCS_OK)
        return ucx_failed(wire, status, "say its address");
    if (own > ADDRESS_BYTES_MAX - sizeof streams)
        return fail(ERR_INPUT,
                    "UCX's address has %zu bytes; expected at most %zu: name the device to use in "
                    "UCX_NET_DEVICES",
                    own, ADDRESS_BYTES_MAX - sizeof streams);
    wire_streams_address(wire->streams, &streams);
    memcpy(wire->said, &streams, sizeof streams);
    memcpy(wire->said + sizeof streams, wire->address, own);
    *address = wire->said;
    *bytes = sizeof streams + own;
    return OK;
}

static void remember_failure(void *context, ucp_ep_h ep, ucs_status_t status)
{
    struct wire_end *end = context;
    (void)ep;
    end->failure = status;
}

enum status wire_connect(struct wire *wire, int peer, const void *address)
{
    struct wire_end *end = &wire->end[peer];
    struct stream_address streams;
    const unsigned char *said = address;
    if (end->ep)
        return OK;
    memcpy(&streams, said, sizeof streams);
    if (wire->streams)
        wire_stream_meet(wire->streams, peer, &streams);
    const ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER,
        .address = (const void *)(said + sizeof streams),
        .err_mode = UCP_ERR_HANDLING_MODE_PEER,
        .err_handler = {remember_failure, end},
    };
    ucs_status_t status = wire->ucx->ep_create(wire->worker, &params, &end->ep);
    if (status == UCS_OK)
        return OK;
    end->ep = NULL;
    return fail(ERR_GROUP, "rank %d cannot be reached: UCX says: %s", peer,
                wire->ucx->status_string(status));
}

bool wire_is_connected(const struct wire *wire, int peer)
{
    return wire->end[peer].ep != NULL;
}

static void finish_message(struct wire_message *message, ucs_status_t status)
{
    struct wire_end *end = &message->wire->end[message->peer];
    message->wire->has_met |= !end->met;
    end->met = true;
    message->failed = status != UCS_OK;
    message->too_long = status == UCS_ERR_MESSAGE_TRUNCATED;
    message->done = true;
    if (message->request) // else it has not been returned yet
        message->wire->ucx->request_free(message->request);
    message->request = NULL;
}

static void send_done(void *request, ucs_status_t status, void *context)
{
    (void)request;
    finish_message(context, status);
}

static void receive_done(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info,
                         void *context)
{
    struct wire_message *message = context;
    (void)request;
    message->bytes = info->length;
    finish_message(message, status);
}

// What is neither done nor failed yet ends in one of the callbacks.
static enum status follow(struct wire_message *message, ucs_status_ptr_t request)
{
    if (UCS_PTR_IS_ERR(request) && UCS_PTR_STATUS(request) == UCS_ERR_NO_MEMORY)
        return fail(ERR_MEMORY, "UCX is out of memory");
    if (UCS_PTR_IS_PTR(request) && !message->done)
        message->request = request;
    else if (UCS_PTR_IS_PTR(request))
        message->wire->ucx->request_free(request);
    else
        finish_message(message, UCS_PTR_STATUS(request));
    return OK;
}

enum status wire_send(struct wire *wire, int peer, uint64_t tag, const void *data, size_t bytes,
                      struct wire_message *message)
{
    assert(wire->end[peer].ep);
    *message = (struct wire_message){.wire = wire, .peer = peer};
    const ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
        .cb.send = send_done,
        .user_data = message,
    };
    return follow(message, wire->ucx->tag_send_nbx(wire->end[peer].ep, data, bytes, tag, &param));
}

// The callback is asked for in any case: not every version says otherwise how much has come.
enum status wire_receive(struct wire *wire, int peer, uint64_t tag, void *data, size_t bytes,
                         struct wire_message *message)
{
    *message = (struct wire_message){.wire = wire, .peer = peer};
    const ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv = receive_done,
        .user_data = message,
    };
    return follow(message,
                  wire->ucx->tag_recv_nbx(wire->worker, data, bytes, tag, UINT64_MAX, &param));
}

enum status wire_send_long(struct wire *wire, int peer, uint64_t tag, const void *data,
                           size_t bytes, struct wire_message *message)
{
    if (!wire_stream_is_met(wire->streams, peer) || bytes < LONG_BYTES)
        return wire_send(wire, peer, tag, data, bytes, message);
    *message = (struct wire_message){.wire = wire, .peer = peer};
    wire_stream_send(wire->streams, peer, tag, data, bytes, message);
    return OK;
}

enum status wire_receive_long(struct wire *wire, int peer, uint64_t tag, void *data, size_t bytes,
                              struct wire_message *message)
{
    if (!wire_stream_is_met(wire->streams, peer) || bytes < LONG_BYTES)
        return wire_receive(wire, peer, tag, data, bytes, message);
    *message = (struct wire_message){.wire = wire, .peer = peer};
    wire_stream_receive(wire->streams, peer, tag, data, bytes, message);
    return OK;
}

bool wire_progress(struct wire *wire)
{
    bool streamed = wire->streams && wire_streams_progress(wire->streams);
    return wire->ucx->worker_progress(wire->worker) > 0 || streamed;
}

// UCX's own flush waits for the peer's progress, which may be busy or asleep: this is what can be
// done alone.
void wire_push(struct wire *wire)
{
    for (int i = 0; i < PUSHES && wire_progress(wire); i++)
        ;
    if (wire->has_met)
        descriptors_close_on_exec(&wire->before);
    wire->has_met = false;
}

void wire_sleep(struct wire *wire, int milliseconds)
{
    ucs_status_t status = wire->ucx->worker_arm(wire->worker);
    if (status == UCS_ERR_BUSY) // something has come meanwhile
        return;
    struct pollfd ready[1 + FDS_MAX] = {{.fd = wire->wake_fd, .events = POLLIN}};
    int n = 1 + (wire->streams ? wire_streams_fds(wire->streams, ready + 1, FDS_MAX) : 0);
    (void)poll(ready, (nfds_t)n, milliseconds);
}

const char *wire_failure(const struct wire *wire, int peer)
{
    ucs_status_t failure = wire->end[peer].failure;
    return failure == UCS_OK ? wire_stream_failure(wire->streams, peer)
                             : wire->ucx->status_string(failure);
}
