// What a rank finds of its group: the memory, and which of its ranks it is.
#ifndef COLROW_COMM_SEGMENT_JOIN_H
#define COLROW_COMM_SEGMENT_JOIN_H

#include "comm/segment.h"

// Maps the memory behind `fd` as the rank that RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE in
// the environment say. `*local_rank`: as the node counts.
enum status segment_join(int fd, struct segment *out, int *local_rank) STATUS_MUST_USE;

#endif
