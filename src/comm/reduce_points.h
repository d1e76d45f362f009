// Where an all-reduce changes its ways (struct comm_points): guessed, or measured.
#ifndef COLROW_COMM_REDUCE_POINTS_H
#define COLROW_COMM_REDUCE_POINTS_H

#include "comm/transport.h"

// Sets comm->points to what suits most machines, and to what the environment asks for.
enum status reduce_points_default(struct comm *comm) STATUS_MUST_USE;
// Tries others; rank 0 decides for all. A collective.
enum status reduce_points_measure(struct comm *comm) STATUS_MUST_USE;

#endif
