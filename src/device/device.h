// A device: memory, kernels and a team of threads. Today the CPU; a GPU will be another row.
#ifndef COLROW_DEVICE_DEVICE_H
#define COLROW_DEVICE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"

// Zeroed memory, 64-byte aligned, on huge pages where the system gives them (2 MiB aligned from 2
// MiB on). Free with device_free(same size).
enum status device_memory_new(size_t bytes, const char *what, void **out) STATUS_MUST_USE;
// From now on whoever writes there dies of it: for large memory, which has pages of its own.
void device_memory_seal(void *memory, size_t bytes);
void device_memory_unseal(void *memory, size_t bytes);
void device_memory_free(void *memory, size_t bytes); // accepts NULL

// Bytes: all that this process could ever use, what is free of it now, and what may still be
// reserved, touched or not (UINT64_MAX: any amount). The smallest that the machine, its NUMA nodes
// (cpuset and memory policy) and the cgroups say.
struct device_memory {
    uint64_t total, available, promisable;
};
enum status device_memory_read(struct device_memory *out) STATUS_MUST_USE;
uint64_t device_resident_bytes(void);         // of this process, now
uint64_t device_resident_peak_bytes(int pid); // of a process, 0: this one; 0 when it is gone

// CPUs that this process may run on (its cpuset and affinity) and has a quota for, rounded up; at
// least 1.
int device_cpu_count(void);

#endif
