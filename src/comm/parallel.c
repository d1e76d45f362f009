// colrow/parallel.h: process groups and collectives. The products are in parallel_linear.c.
#include "colrow/parallel.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "comm/parallel_state.h"
#include "device/device.h"

// One group of groups a process, as in Megatron.
struct parallel_state parallel_state;
static struct parallel_state *const state = &parallel_state;

enum status parallel_ready(void)
{
    return state->tensor ? OK : fail(ERR_INPUT, "colrow_parallel_init() has not been called");
}

static enum status split_world(int tensor_size, int pipeline_size)
{
    int world_size = comm_size(state->world);
    if (pipeline_size >= 1 && tensor_size == 0 && world_size % pipeline_size == 0)
        tensor_size = world_size / pipeline_size;
    // In long: sizes come from the caller.
    if (tensor_size < 1 || pipeline_size < 1 || (long)tensor_size * pipeline_size != world_size)
        return fail(ERR_INPUT,
                    "tensor-parallel size %d x pipeline-parallel size %d is not the number of "
                    "ranks, %d; start as many with `colrow launch --nproc-per-node`",
                    tensor_size, pipeline_size, world_size);
    int first = comm_rank(state->world) / tensor_size * tensor_size;
    TRY(comm_split(state->world, first, tensor_size, &state->tensor));
    state->tensor_size = tensor_size;
    state->pipeline_size = pipeline_size;
    return OK;
}

static enum status init_parallel(int tensor_size, int pipeline_size)
{
    if (state->world)
        return fail(ERR_INPUT, "colrow_parallel_init() has been called already");
    TRY(kernels_choose(&state->kernels));
    TRY(device_memory_new(MATMUL_SCRATCH_BYTES, "the scratch of products", &state->scratch));
    TRY(comm_open(&state->world));
    return split_world(tensor_size, pipeline_size);
}

int colrow_parallel_init(int tensor_parallel_size, int pipeline_parallel_size)
{
    bool fresh = !state->world;
    enum status status = init_parallel(tensor_parallel_size, pipeline_parallel_size);
    if (status != OK && fresh)
        colrow_parallel_finalize();
    return parallel_result(status);
}

void colrow_parallel_finalize(void)
{
    comm_close(state->tensor);
    comm_close(state->world);
    device_memory_free(state->scratch, MATMUL_SCRATCH_BYTES);
    *state = (struct parallel_state){0};
}

const char *colrow_parallel_error(void)
{
    return status_message();
}

int colrow_rank(void)
{
    return state->world ? comm_rank(state->world) : -1;
}

int colrow_local_rank(void)
{
    return state->world ? comm_local_rank(state->world) : -1;
}

int colrow_world_size(void)
{
    return state->world ? comm_size(state->world) : -1;
}

int colrow_tensor_parallel_rank(void)
{
    return state->tensor ? comm_rank(state->tensor) : -1;
}

int colrow_tensor_parallel_world_size(void)
{
    return state->tensor ? comm_size(state->tensor) : -1;
}

int colrow_pipeline_parallel_rank(void)
{
    return state->tensor ? comm_rank(state->world) / state->tensor_size : -1;
}

int colrow_pipeline_parallel_world_size(void)
{
    return state->tensor ? state->pipeline_size : -1;
}

int colrow_pipeline_parallel_previous_rank(void)
{
    return colrow_pipeline_parallel_rank() > 0 ? colrow_rank() - state->tensor_size : -1;
}

int colrow_pipeline_parallel_next_rank(void)
{
    bool has_next = state->tensor && colrow_pipeline_parallel_rank() + 1 < state->pipeline_size;
    return has_next ? colrow_rank() + state->tensor_size : -1;
}

void colrow_tensor_part(size_t n, size_t *begin, size_t *end)
{
    // A fraction at a time, so that n * rank need not fit.
    size_t size = state->tensor ? (size_t)comm_size(state->tensor) : 1;
    size_t rank = state->tensor ? (size_t)comm_rank(state->tensor) : 0;
    *begin = n / size * rank + n % size * rank / size;
    *end = n / size * (rank + 1) + n % size * (rank + 1) / size;
}

void colrow_parallel_statistics(struct colrow_parallel_statistics *out)
{
    struct comm_statistics statistics = {0};
    if (state->tensor)
        comm_statistics(state->tensor, &statistics);
    out->collectives = statistics.collectives;
    out->all_reduces = statistics.all_reduces;
    out->bytes_sent = statistics.bytes_sent;
    out->seconds = statistics.seconds;
    out->wait_seconds = statistics.wait_seconds;
}

static enum status bytes_of(size_t n, size_t *bytes)
{
    return checked_mul(n, sizeof(float), bytes)
               ? OK
               : fail(ERR_INPUT, "a vector of %zu numbers does not fit into memory", n);
}

static enum status check_peer(int rank)
{
    TRY(parallel_ready());
    if (rank < 0 || rank >= comm_size(state->world) || rank == comm_rank(state->world))
        return fail(ERR_INPUT, "rank %d cannot exchange a message with rank %d of %d",
                    comm_rank(state->world), rank, comm_size(state->world));
    return OK;
}

static enum status all_reduce_tensor(float *data, size_t n)
{
    TRY(parallel_ready());
    return comm_all_reduce(state->tensor, NULL, data, data, n);
}

int colrow_all_reduce(float *data, size_t n)
{
    return parallel_result(all_reduce_tensor(data, n));
}

static enum status all_gather(const float *data, size_t n, float *out)
{
    size_t bytes;
    TRY(parallel_ready());
    TRY(bytes_of(n, &bytes));
    return comm_all_gather(state->tensor, data, bytes, NULL, out);
}

int colrow_all_gather(const float *data, size_t n, float *out)
{
    return parallel_result(all_gather(data, n, out));
}

static enum status reduce_scatter(const float *data, size_t n_out, float *out)
{
    TRY(parallel_ready());
    size_t counts[COMM_RANKS_MAX];
    for (int r = 0; r < comm_size(state->tensor); r++)
        counts[r] = n_out;
    return comm_reduce_scatter(state->tensor, NULL, data, counts, out);
}

int colrow_reduce_scatter(const float *data, size_t n_out, float *out)
{
    return parallel_result(reduce_scatter(data, n_out, out));
}

static enum status broadcast(float *data, size_t n, int root)
{
    size_t bytes;
    TRY(parallel_ready());
    TRY(bytes_of(n, &bytes));
    if (root < 0 || root >= comm_size(state->tensor))
        return fail(ERR_INPUT, "the root of a broadcast is tensor rank 0 to %d, not %d",
                    comm_size(state->tensor) - 1, root);
    return comm_broadcast(state->tensor, data, bytes, root);
}

int colrow_broadcast(float *data, size_t n, int root)
{
    return parallel_result(broadcast(data, n, root));
}

static enum status barrier(void)
{
    TRY(parallel_ready());
    return comm_barrier(state->tensor);
}

int colrow_barrier(void)
{
    return parallel_result(barrier());
}

static enum status send(const float *data, size_t n, int to)
{
    size_t bytes;
    TRY(check_peer(to));
    TRY(bytes_of(n, &bytes));
    return comm_send(state->world, data, bytes, to);
}

int colrow_send(const float *data, size_t n, int to_rank)
{
    return parallel_result(send(data, n, to_rank));
}

static enum status recv(float *data, size_t n, int from)
{
    size_t bytes;
    TRY(check_peer(from));
    TRY(bytes_of(n, &bytes));
    return comm_recv(state->world, data, bytes, from);
}

int colrow_recv(float *data, size_t n, int from_rank)
{
    return parallel_result(recv(data, n, from_rank));
}

int colrow_reduce_from_tensor_region(float *data, size_t rows, size_t columns)
{
    size_t n;
    if (!checked_mul(rows, columns, &n))
        return parallel_result(bytes_of(SIZE_MAX, &n));
    return colrow_all_reduce(data, n);
}
