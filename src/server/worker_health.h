// Of a node that only works for an engine elsewhere, and of every node while it waits for others:
// /health, /ping and /version, for who watches nodes one by one (Kubernetes). It answers on a
// thread of its own.
#ifndef COLROW_SERVER_WORKER_HEALTH_H
#define COLROW_SERVER_WORKER_HEALTH_H

#include "server/http.h"

struct worker_health;
// `state`: enum far_worker_state, which others keep up to date; borrowed. `heads`: this is node 0,
// which will answer requests itself.
enum status worker_health_start(const struct http_options *options, const _Atomic int *state,
                                bool heads, struct worker_health **out) STATUS_MUST_USE;
// For whom it waits, as /health is to say it; "": for none any more. From any thread.
void worker_health_waiting(struct worker_health *health, const char *text);
void worker_health_stop(struct worker_health *health); // accepts NULL

#endif
