// UCX, loaded at run time: one program serves machines with it and without.
#ifndef COLROW_COMM_UCX_LIBRARY_H
#define COLROW_COMM_UCX_LIBRARY_H

#include <stdbool.h>
#include <ucp/api/ucp.h>

#include "base/status.h"

// The functions that we use, under their names without `ucp_`.
struct ucx_library {
    ucs_status_t (*config_read)(const char *prefix, const char *filename, ucp_config_t **out);
    void (*config_release)(ucp_config_t *config);
    ucs_status_t (*init_version)(unsigned major, unsigned minor, const ucp_params_t *params,
                                 const ucp_config_t *config, ucp_context_h *out);
    void (*cleanup)(ucp_context_h context);
    ucs_status_t (*worker_create)(ucp_context_h context, const ucp_worker_params_t *params,
                                  ucp_worker_h *out);
    void (*worker_destroy)(ucp_worker_h worker);
    ucs_status_t (*worker_get_address)(ucp_worker_h worker, ucp_address_t **out, size_t *bytes);
    void (*worker_release_address)(ucp_worker_h worker, ucp_address_t *address);
    unsigned (*worker_progress)(ucp_worker_h worker);
    ucs_status_t (*worker_get_efd)(ucp_worker_h worker, int *fd);
    ucs_status_t (*worker_arm)(ucp_worker_h worker);
    ucs_status_t (*ep_create)(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *out);
    ucs_status_ptr_t (*ep_close_nbx)(ucp_ep_h ep, const ucp_request_param_t *param);
    ucs_status_ptr_t (*tag_send_nbx)(ucp_ep_h ep, const void *data, size_t count, ucp_tag_t tag,
                                     const ucp_request_param_t *param);
    ucs_status_ptr_t (*tag_recv_nbx)(ucp_worker_h worker, void *data, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param);
    ucs_status_t (*request_check_status)(void *request);
    void (*request_free)(void *request);
    const char *(*status_string)(ucs_status_t status);
};

// As the environment has it: the default.
bool ucx_uses_sockets_only(void);

// Sets what UCX reads from the environment, then loads it: once in a process. It stays loaded.
enum status ucx_library_load(const struct ucx_library **out) STATUS_MUST_USE;

#endif
