// Microseconds per drawn token, over logits as a model of 128,256 tokens has them: a few likely
// tokens above a broad normal heap. usage: bench_sampler [VOCABULARY]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/sampler.h"

enum { ROWS = 8, REPEATS = 40 };

static const struct setting {
    const char *name;
    struct sampling sampling;
} settings[] = {
    {"greedy, from logits", {.temperature = 0, .top_p = 1, .logprobs = -1}},
    {"temperature 1", {.temperature = 1, .top_p = 1, .logprobs = -1}},
    {"temperature 0.7, top_p 0.9", {.temperature = 0.7f, .top_p = 0.9, .logprobs = -1}},
    {"temperature 0.7, top_k 50", {.temperature = 0.7f, .top_p = 1, .top_k = 50, .logprobs = -1}},
    {"temperature 0.7, top_k 50, top_p 0.9",
     {.temperature = 0.7f, .top_p = 0.9, .top_k = 50, .logprobs = -1}},
    {"temperature 1, min_p 0.05", {.temperature = 1, .top_p = 1, .min_p = 0.05, .logprobs = -1}},
    {"temperature 1, repetition penalty",
     {.temperature = 1, .top_p = 1, .repetition_penalty = 1.1f, .penalties = true, .logprobs = -1}},
    {"temperature 1, 5 logprobs", {.temperature = 1, .top_p = 1, .logprobs = 5}},
    {"temperature 1, top_p 0.9 of a flat heap", {.temperature = 4, .top_p = 0.9, .logprobs = -1}},
};

static float normal(uint64_t *state)
{
    float sum = -6;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) * 0x1p-24f;
    }
    return sum;
}

// `ids`: a hash of what was drawn, the same for every version and machine.
static double measure(struct sampler *sampler, struct sampling sampling, const float *logits, int n,
                      uint32_t *ids)
{
    struct arena arena;
    struct token_counts counts;
    arena_init(&arena);
    if (token_counts_init(&counts, &arena, 512) != OK)
        exit(EXIT_FAILURE);
    for (int i = 0; i < 512; i++)
        token_counts_generated(&counts, i * 97 % n);
    double best = INFINITY;
    if (sampling.repetition_penalty == 0)
        sampling.repetition_penalty = 1;
    for (int i = 0; i < REPEATS; i++) {
        double begun = clock_seconds();
        for (int row = 0; row < ROWS; row++) {
            struct sampling_state state = {.counts = &counts, .position = (uint64_t)i};
            struct sample sample;
            if (sampler_draw(sampler, &sampling, &state, logits + (size_t)row * (size_t)n,
                             &sample) != OK)
                exit(EXIT_FAILURE);
            *ids = (*ids ^ (uint32_t)sample.id) * 16777619u;
        }
        double seconds = (clock_seconds() - begun) / ROWS;
        best = seconds < best ? seconds : best;
    }
    arena_fini(&arena);
    return best * 1e6;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 128256;
    const struct kernels *kernels;
    struct sampler *sampler;
    float *logits;
    uint64_t state = 1;
    if (n < 512 || kernels_choose(&kernels) != OK || sampler_new(n, 16, kernels, &sampler) != OK ||
        memory_new((size_t)n * ROWS, sizeof *logits, "logits", &logits) != OK)
        return EXIT_FAILURE;
    for (int i = 0; i < n * ROWS; i++)
        logits[i] = 2 * normal(&state) + (i % 5003 == 0 ? 9.0f : 0);
    printf("%d tokens, %s\n", n, kernels->isa);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        uint32_t ids = 2166136261u;
        double us = measure(sampler, settings[i].sampling, logits, n, &ids);
        printf("%-42s %8.1f us   ids %08x\n", settings[i].name, us, ids);
    }
    sampler_free(sampler);
    free(logits);
    return EXIT_SUCCESS;
}
