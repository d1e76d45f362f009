// What `colrow bench comm` measures, for who predicts from it.
#ifndef COLROW_CMD_BENCH_COMM_H
#define COLROW_CMD_BENCH_COMM_H

#include <stddef.h>

#include "base/status.h"

enum { BENCH_COMM_LARGE = 1 << 20 };
// Seconds of an all-reduce between processes of this machine: of 64 bytes, and of BENCH_COMM_LARGE.
enum status bench_comm_measure(int n_ranks, double *small, double *large) STATUS_MUST_USE;

#endif
