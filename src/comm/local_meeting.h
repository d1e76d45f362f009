// Ranks of one machine that a cluster's launcher has started one by one (`mpiexec -n 4 ./program`):
// nobody owns them. Rank 0 makes the memory that they share and hands it to the others, at a socket
// without a file whose name follows from the user, the launcher's job and MASTER_PORT.
#ifndef COLROW_COMM_LOCAL_MEETING_H
#define COLROW_COMM_LOCAL_MEETING_H

#include "comm/cluster_environment.h"
#include "comm/segment.h"

// What makes `place` a rank of a world on this machine; the sentence says what does not.
enum status local_meeting_check(const struct cluster_place *place) STATUS_MUST_USE;

// Waits until all ranks are there, at most COLROW_JOIN_TIMEOUT seconds (600), and says who is
// missing. The caller unmaps.
enum status local_meeting(const struct cluster_place *place, struct segment *out) STATUS_MUST_USE;

#endif
