// Rows of which every rank of a machine has some columns, while weights come from the hub. There a
// rank's part of such a matrix is a short piece of each row, and a hub gives one range at a time: a
// request for each piece would take for ever, one for whole rows brings what others need. So the
// ranks that load at the same time share them: each block of whole rows is fetched by one of them,
// and all take their columns out of it. What each of them asks the hub for is as much as its share.
//
// A block lies in a slot of memory that all map, which the next block gets when everybody has taken
// what it wants. All ranks go through the same blocks in the same order.
#ifndef COLROW_MODEL_SHARED_ROWS_H
#define COLROW_MODEL_SHARED_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "comm/signal_word.h"
#include "hf/checkpoint.h"

struct shared_rows_memory;
size_t shared_rows_bytes(void); // of that memory, for one group of ranks; zeroed, aligned to 128

struct shared_rows {
    struct shared_rows_memory *memory;
    int self, n;                    // of the ranks that share, n of them
    uint64_t given[COMM_RANKS_MAX]; // bytes of the blocks so far that each of them has to fetch
    signal_check check;             // ends waits; the caller sets it
    void *context;
};

// How many rows a block of the tensor has; 0: not one.
int64_t shared_rows_fitting(const struct tensor_info *tensor);
// Waits until all have said a number that stands for their list of blocks. `*agreed`: it is the
// same for all.
enum status shared_rows_agree(struct shared_rows *shared, uint64_t number,
                              bool *agreed) STATUS_MUST_USE;
// The next block, of so many bytes: is it this rank's to fetch? Whoever has had least gets it. To
// be called for all blocks in their order, by one thread at a time.
bool shared_rows_give(struct shared_rows *shared, uint64_t bytes);
// Of a block that is ours: waits until its place is free, which is to be filled.
enum status shared_rows_begin(struct shared_rows *shared, uint32_t block,
                              char **place) STATUS_MUST_USE;
void shared_rows_filled(struct shared_rows *shared, uint32_t block);
// Waits until the block is there, and says where; until shared_rows_taken() it stays.
enum status shared_rows_await(struct shared_rows *shared, uint32_t block,
                              const char **place) STATUS_MUST_USE;
void shared_rows_taken(struct shared_rows *shared, uint32_t block);
// After the last block: the last one to leave gives the memory back to the system.
void shared_rows_leave(struct shared_rows *shared);

#endif
