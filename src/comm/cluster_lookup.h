// Addresses of a name, looked up without waiting.
#ifndef COLROW_COMM_CLUSTER_LOOKUP_H
#define COLROW_COMM_CLUSTER_LOOKUP_H

#include <netdb.h>

#include "base/status.h"

struct lookup;
// For TCP, to connect to.
enum status lookup_begin(const char *host, int port, struct lookup **out) STATUS_MUST_USE;
// 0: not yet. Else the addresses are there, or `*why` says why not.
int lookup_ready(struct lookup *lookup, const struct addrinfo **out, const char **why);
// Never waits for one that is under way. Accepts NULL.
void lookup_end(struct lookup *lookup);

#endif
