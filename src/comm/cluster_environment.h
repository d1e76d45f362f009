// What a cluster's launcher says to the processes that it starts, in their environment: Slurm's
// srun, mpiexec of MPICH and Open MPI, torchrun, Kubernetes' LeaderWorkerSet. One table, in
// cluster_environment.c.
#ifndef COLROW_COMM_CLUSTER_ENVIRONMENT_H
#define COLROW_COMM_CLUSTER_ENVIRONMENT_H

#include "base/status.h"

enum { CLUSTER_HOST_MAX = 256 };

struct cluster_place {
    const char *by; // who says it: "srun"; NULL: nobody
    // Of the processes that were started (tasks); -1: not said.
    int rank, size, local_rank, local_size;
    int node, n_nodes;                  // -1: not said, and does not follow
    char master_host[CLUSTER_HOST_MAX]; // of node 0; "": not said
    int master_port;                    // 0: not said
};

// The value of a variable, NULL when it is not set: getenv(), but for tests.
typedef const char *(*environment_reader)(void *context, const char *name);

// The first launcher of the table that has spoken. Fails, with the name of the variable, on a value
// that none can mean.
enum status cluster_environment_read(environment_reader get, void *context,
                                     struct cluster_place *out) STATUS_MUST_USE;
// The same for a program that the launcher may have started as a rank: the innermost launcher that
// numbers processes counts, such as mpiexec's in a step of srun.
enum status cluster_environment_read_rank(environment_reader get, void *context,
                                          struct cluster_place *out) STATUS_MUST_USE;

#endif
