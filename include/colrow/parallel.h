// colrow/parallel.h: tensor and pipeline parallelism for programs of your own.
//
// A program started by `colrow launch --nproc-per-node N -- ./program` (or any launcher that sets
// RANK, LOCAL_RANK and WORLD_SIZE as colrow's does) calls colrow_parallel_init() and gets process
// groups in the words of Megatron-LM and vLLM (megatron/core/tensor_parallel,
// vllm/distributed/parallel_state.py). All tensors are float32, row-major, owned by the caller.
// Functions return 0, or -1 with colrow_parallel_error() saying why in one sentence; after a failed
// collective the group is over.
//
// Sums are bit-identical on every rank and run along a fixed binary tree in rank order. All ranks
// of a tensor-parallel group make the same calls in the same order, from one thread; who calls
// something else is told so.
//
// What does not divide evenly is split all the same: of n columns, tensor rank i of tp has [i * n /
// tp, (i + 1) * n / tp) (integer division), which is n / tp when it divides. colrow_tensor_part()
// says it.
#ifndef COLROW_PARALLEL_H
#define COLROW_PARALLEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COLROW_API __attribute__((visibility("default")))

// world size = tensor size x pipeline size; ranks of one tensor-parallel group are adjacent (as in
// Megatron). A tensor size of 0: what the pipeline leaves. Without a launcher the world is one
// rank. mpiexec, srun and torchrun may start the ranks of one machine themselves
// (docs/cluster.md).
COLROW_API int colrow_parallel_init(int tensor_parallel_size, int pipeline_parallel_size);
COLROW_API void colrow_parallel_finalize(void);
COLROW_API const char *colrow_parallel_error(void);

COLROW_API int colrow_rank(void);
COLROW_API int colrow_local_rank(void);
COLROW_API int colrow_world_size(void);
COLROW_API int colrow_tensor_parallel_rank(void);
COLROW_API int colrow_tensor_parallel_world_size(void);
COLROW_API int colrow_pipeline_parallel_rank(void);
COLROW_API int colrow_pipeline_parallel_world_size(void);
// Ranks of the world with the same tensor rank in the neighbouring stages, for send and recv; -1:
// there is none.
COLROW_API int colrow_pipeline_parallel_previous_rank(void);
COLROW_API int colrow_pipeline_parallel_next_rank(void);
// The caller's part of n columns, rows or features.
COLROW_API void colrow_tensor_part(size_t n, size_t *begin, size_t *end);

// What this rank's tensor-parallel group has cost it so far.
struct colrow_parallel_statistics {
    unsigned long long collectives, all_reduces, bytes_sent; // all_reduces: of the collectives
    double seconds, wait_seconds; // inside them; of these, waiting for others
};
COLROW_API void colrow_parallel_statistics(struct colrow_parallel_statistics *out);

// Over the tensor-parallel group of the caller.
COLROW_API int colrow_all_reduce(float *data, size_t n);                   // in place
COLROW_API int colrow_all_gather(const float *data, size_t n, float *out); // out [tp][n]
COLROW_API int colrow_reduce_scatter(const float *data, size_t n_out,
                                     float *out); // data [tp][n_out]
COLROW_API int colrow_broadcast(float *data, size_t n, int root);
COLROW_API int colrow_barrier(void);
// Between pipeline stages: ranks of the world. Short messages (up to 4 of 64 KB) are sent before
// anyone asks for them.
COLROW_API int colrow_send(const float *data, size_t n, int to_rank);
COLROW_API int colrow_recv(float *data, size_t n, int from_rank);

// Regions (Megatron's mappings.py), along the last dimension of [rows][columns]. gather: ranks may
// have different numbers of columns, `out` has room for all.
COLROW_API int colrow_gather_from_tensor_region(const float *local, size_t rows,
                                                size_t local_columns, float *out);
COLROW_API int colrow_scatter_to_tensor_region(const float *full, size_t rows, size_t columns,
                                               float *local);
COLROW_API int colrow_reduce_from_tensor_region(float *data, size_t rows, size_t columns);

// y = x W^T + b with W [out_features][in_features] split over the tensor-parallel group: `out` and
// `in` below are this rank's part of them (colrow_tensor_part()). The weight is borrowed for the
// call and packed while it is used, so that it may change between calls. A row-parallel product is
// one all-reduce; a column-parallel one needs none. Like everything that colrow computes, products
// flush denormals to zero.
struct colrow_linear {
    size_t in_features, out_features; // of the whole matrix
    const float *weight; // this rank's part: column [out][in_features], row [out_features][in]
    // column: [out]; row: [out_features], the same on every rank, added once; NULL: none
    const float *bias;
    int skip_bias_add;     // leave the bias to the caller, who fuses it elsewhere
    int gather_output;     // column: y is gathered to [rows][out_features]; else [rows][out]
    int input_is_parallel; // row: x is [rows][in] already; else [rows][in_features], split here
};
COLROW_API int colrow_column_parallel_linear(const struct colrow_linear *linear, const float *x,
                                             size_t rows, float *y);
COLROW_API int colrow_row_parallel_linear(const struct colrow_linear *linear, const float *x,
                                          size_t rows, float *y);

#ifdef __cplusplus
}
#endif
#endif
