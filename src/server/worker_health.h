// Of a node that only works for an engine elsewhere: /health, /ping and /version, for who watches
// nodes one by one (Kubernetes). It answers on a thread of its own.
#ifndef COLROW_SERVER_WORKER_HEALTH_H
#define COLROW_SERVER_WORKER_HEALTH_H

#include "server/http.h"

struct worker_health;
// `state`: enum far_worker_state, which others keep up to date; borrowed.
enum status worker_health_start(const struct http_options *options, const _Atomic int *state,
                                struct worker_health **out) STATUS_MUST_USE;
void worker_health_stop(struct worker_health *health); // accepts NULL

#endif
