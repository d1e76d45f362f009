// A rank's weights in their memory, which is written here and never again.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/device.h"
#include "model/model_weights.h"
#include "model/plan_build.h"

static enum status load_all(const struct model_weights_options *options, struct model_weights *w)
{
    struct weights_layout layout;
    struct weights_loading loading = {.checkpoint = options->checkpoint,
                                      .kernels = options->kernels,
                                      .team = options->team,
                                      .shared = options->shared,
                                      .progress = options->progress,
                                      .progress_context = options->progress_context};
    TRY(plan_check_parameters(options->plan, options->checkpoint));
    TRY(weights_measure(options->plan, options->checkpoint, options->rank, &layout));
    TRY(device_memory_new(layout.bytes, "the weights", &w->memory));
    w->bytes = layout.bytes;
    TRY(weights_place(options->plan, options->checkpoint, options->rank, w->memory, &w->arena,
                      &w->weights, &layout));
    int64_t begun_ns = clock_ns();
    TRY(weights_load(&loading, &layout, &w->file_bytes_read));
    w->load_ns = (uint64_t)(clock_ns() - begun_ns);
    device_memory_seal(w->memory, w->bytes);
    return OK;
}

enum status model_weights_open(const struct model_weights_options *options,
                               struct model_weights **out)
{
    struct model_weights *w;
    *out = NULL;
    TRY(memory_new(1, sizeof *w, "weights", &w));
    arena_init(&w->arena);
    enum status status = load_all(options, w);
    if (status == OK)
        *out = w;
    else
        model_weights_close(w);
    return status;
}

void model_weights_close(struct model_weights *w)
{
    if (!w)
        return;
    device_memory_free(w->memory, w->bytes);
    arena_fini(&w->arena);
    free(w);
}

size_t model_weights_bytes(const struct model_weights *w)
{
    return w->bytes;
}

// As fast as memory: each of the lanes waits for nothing but itself.
uint64_t model_weights_sum(const struct model_weights *w, size_t begin, size_t bytes)
{
    enum { LANES = 8 };
    static const uint64_t odd = 0x9e3779b97f4a7c15u;
    const char *at = (const char *)w->memory + begin, *end = (const char *)w->memory + w->bytes;
    uint64_t lane[LANES] = {1, 2, 3, 4, 5, 6, 7, 8};
    end = (size_t)(end - at) < bytes ? end : at + bytes;
    for (; end - at >= (ptrdiff_t)sizeof lane; at += sizeof lane)
        for (int i = 0; i < LANES; i++) {
            uint64_t word;
            memcpy(&word, at + (size_t)i * sizeof word, sizeof word);
            lane[i] = (lane[i] ^ word) * odd;
        }
    for (; at < end; at++)
        lane[0] = (lane[0] ^ (unsigned char)*at) * odd;
    uint64_t sum = 0;
    for (int i = 0; i < LANES; i++)
        sum = (sum ^ lane[i]) * odd;
    return sum;
}

void model_weights_spoil(struct model_weights *w, size_t at)
{
    device_memory_unseal(w->memory, w->bytes);
    ((unsigned char *)w->memory)[at % w->bytes] ^= 1;
}
