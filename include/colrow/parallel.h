// colrow/parallel.h: tensor and pipeline parallelism for programs of your own.
//
// A program started by `colrow launch --nproc-per-node N -- ./program` (or any launcher that sets RANK, LOCAL_RANK and
// WORLD_SIZE as colrow's does) calls colrow_parallel_init() and gets process groups in the words of Megatron-LM and vLLM
// (megatron/core/tensor_parallel, vllm/distributed/parallel_state.py). All tensors are float32, row-major, owned by the
// caller. Functions return 0, or -1 with colrow_parallel_error() saying why in one sentence; after a failed collective
// the group is over.
//
// Sums are bit-identical on every rank and run along a fixed binary tree in rank order.
#ifndef COLROW_PARALLEL_H
#define COLROW_PARALLEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COLROW_API __attribute__((visibility("default")))

// world size = tensor size x pipeline size; ranks of one tensor-parallel group are adjacent (as in Megatron).
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

// Over the tensor-parallel group of the caller.
COLROW_API int colrow_all_reduce(float *data, size_t n);                             // in place
COLROW_API int colrow_all_gather(const float *data, size_t n, float *out);           // out [tp][n]
COLROW_API int colrow_reduce_scatter(const float *data, size_t n_out, float *out);   // data [tp][n_out]
COLROW_API int colrow_broadcast(float *data, size_t n, int root);
COLROW_API int colrow_barrier(void);
// Between pipeline stages: ranks of the world.
COLROW_API int colrow_send(const float *data, size_t n, int to_rank);
COLROW_API int colrow_recv(float *data, size_t n, int from_rank);

// Regions (Megatron's mappings.py), along the last dimension of [rows][columns].
COLROW_API int colrow_gather_from_tensor_region(const float *local, size_t rows, size_t local_columns, float *out);
COLROW_API int colrow_scatter_to_tensor_region(const float *full, size_t rows, size_t columns, float *local);
COLROW_API int colrow_reduce_from_tensor_region(float *data, size_t rows, size_t columns);

// y = x W^T + b with W [out_features][in_features] split over the tensor-parallel group.
struct colrow_linear {
    size_t in_features, out_features; // of the whole matrix
    const float *weight;              // this rank's part: column [out/tp][in], row [out][in/tp]
    const float *bias;                // column: [out/tp]; row: [out], the same on every rank, added once; NULL: none
    int skip_bias_add;                // leave the bias to the caller, who fuses it elsewhere
    int gather_output;                // column: y is gathered to [rows][out]; else [rows][out/tp]
    int input_is_parallel;            // row: x is [rows][in/tp] already; else [rows][in], split here
};
COLROW_API int colrow_column_parallel_linear(const struct colrow_linear *linear, const float *x, size_t rows, float *y);
COLROW_API int colrow_row_parallel_linear(const struct colrow_linear *linear, const float *x, size_t rows, float *y);

#ifdef __cplusplus
}
#endif
#endif
