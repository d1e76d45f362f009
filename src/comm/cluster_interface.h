// The network interface that reaches the other nodes, from the address that the way there has.
#ifndef COLROW_COMM_CLUSTER_INTERFACE_H
#define COLROW_COMM_CLUSTER_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>

enum { INTERFACE_NAME_MAX = 16, INTERFACE_DEVICES_MAX = 256 };

// False: no interface has that address.
bool interface_with_address(const char *address, char name[INTERFACE_NAME_MAX]);
// As UCX_NET_DEVICES wants it: the RDMA devices whose port is that interface ("mlx5_0:1"), then the
// interface itself. `sysfs`: where the kernel shows them, "/sys"; another folder in tests.
void interface_devices(const char *sysfs, const char *name, char *out, size_t room);

#endif
