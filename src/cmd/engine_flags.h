// The flags that every command with an engine shares, with vLLM's names, and the progress bar while
// it opens.
#ifndef COLROW_CMD_ENGINE_FLAGS_H
#define COLROW_CMD_ENGINE_FLAGS_H

#include <colrow/colrow.h>
#include <stdbool.h>

#include "base/progress.h"
#include "base/status.h"
#include "cmd/flags.h"

struct engine_flags {
    struct colrow_options options;
    const char *kv_offloading_backend;
    bool quiet, verbose;
    bool no_confinement, core_dumps;
    bool expert_parallel;
    bool stream_from_hub;
    bool prefix_caching; // on, but for measurements that ask the same again and again
    bool one_request;    // nothing comes after it: pages that only later ones could use are no use
    struct colrow_cluster *nodes; // found already; NULL: as the options say
    struct progress bar;
};

enum { ENGINE_FLAGS = 38, SAMPLING_FLAGS = 18 };
#define TP_PLAN_HELP                                                                               \
    "JSON: module pattern -> style, laid over colrow's plan, whose rules stay for what is not "    \
    "named "                                                                                       \
    "(default auto: that plan)"
#define EXPERT_PARALLEL_HELP                                                                       \
    "of a mixture of experts ranks have whole experts, not a part of each; the same bits"
#define CONTEXT_PARALLEL_HELP                                                                      \
    "so many ranks at a time divide the cache of latent attention by position: N times the "       \
    "tokens "                                                                                      \
    "(default 1)"
#define QUANTIZATION_HELP                                                                          \
    "int8, int4 or none: weights of layers become integers as they are loaded, a scale for each "  \
    "row and group (default none); changes bits"
#define QUANTIZATION_GROUP_HELP                                                                    \
    "with --quantization: columns that share a scale, a multiple of 32 (default 128)"
#define QUANTIZATION_LM_HEAD_HELP                                                                  \
    "with --quantization: auto, int8, int4 or none (default auto: int8)"
#define EXPERT_PARALLEL_SIZE_HELP                                                                  \
    "... in N groups of ranks, each rank a part of its group's experts (default: each rank by "    \
    "itself)"
#define TP_PLAN_REPLACE_HELP                                                                       \
    "the same in place of colrow's plan: what is not named is on every rank"
extern const struct flag engine_flag_rows[ENGINE_FLAGS]; // of struct engine_flags
void engine_flags_init(struct engine_flags *engine);
// For benchmarks: everything is computed, without pauses, and quietly.
void engine_flags_init_to_measure(struct engine_flags *engine);
// The folder behind `*model`, which may be the name of a repository (model_argument.h).
enum status engine_flags_model(const struct engine_flags *engine,
                               const char **model) STATUS_MUST_USE;
// What follows from the flags, into engine->options; signals are caught from now on.
enum status engine_flags_settle(struct engine_flags *engine, const char *model) STATUS_MUST_USE;
// Opens the engine for `model` without waiting for it, as colrow_open_begin(): on a node other than
// 0 it works, and `*out` is NULL. Signals are caught from now on.
enum status engine_flags_begin(struct engine_flags *engine, const char *model,
                               struct colrow_engine **out) STATUS_MUST_USE;
// The progress bar of an engine that loads, on a terminal; and its end, with what --verbose says.
void engine_flags_loading(struct engine_flags *engine, const struct colrow_gauges *gauges);
void engine_flags_loaded(struct engine_flags *engine, const struct colrow_engine *opened);
// The same, and waits until it is ready.
enum status engine_flags_open(struct engine_flags *engine, const char *model,
                              struct colrow_engine **out) STATUS_MUST_USE;

// One step, unless a signal was seen; `*alive`: requests are.
enum status engine_flags_step(struct colrow_engine *engine, bool *alive) STATUS_MUST_USE;

// A failed call of the public API as a status of ours, and the class of a failed request.
enum status engine_failed(void);
enum status engine_status(enum colrow_error_class error);

struct sampling_flags {
    struct colrow_sampling sampling;
    bool ignore_eos, include_stop;
    double temperature, top_p, min_p, repetition_penalty; // < 0: not given
    int top_k;                                            // < 0: not given
    const char *seed_text;
    struct flag_texts stop, stop_ids, logit_bias;
    int32_t stop_token_ids[64];
    struct colrow_token_bias biases[256];
};
extern const struct flag sampling_flag_rows[SAMPLING_FLAGS]; // of struct sampling_flags
void sampling_flags_init(struct sampling_flags *flags);
// The engine's defaults (generation_config.json), then what was given.
enum status sampling_flags_finish(struct sampling_flags *flags,
                                  const struct colrow_engine *engine) STATUS_MUST_USE;
void sampling_flags_fini(struct sampling_flags *flags);

// "1,2,3", or a file with numbers between anything that is not one. Heap memory.
enum status token_ids_from_text(const char *flag, const char *text, int32_t **ids,
                                int *n) STATUS_MUST_USE;

#endif
