// A message of fixed size with file descriptors (SCM_RIGHTS), over a socket of datagrams or packets
// between an owner and the processes that it started.
#ifndef COLROW_COMM_DESCRIPTOR_MESSAGE_H
#define COLROW_COMM_DESCRIPTOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

enum { MESSAGE_DESCRIPTORS_MAX = 4 };

// Never waits. False: the other side is gone, or takes nothing now.
bool descriptor_message_send(int socket, const void *message, size_t bytes, const int *fds,
                             size_t n_fds);
// Waits. `fds` has room for MESSAGE_DESCRIPTORS_MAX, which are close-on-exec and the caller's.
// False: the other side is gone, or sent something else.
bool descriptor_message_receive(int socket, void *message, size_t bytes, int *fds, size_t *n_fds);

#endif
