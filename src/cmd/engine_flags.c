#include "cmd/engine_flags.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/confinement.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/interrupt.h"
#include "cmd/model_argument.h"
#include "engine/nodes_options.h"
#include "hf/checkpoint.h"

void engine_flags_init(struct engine_flags *engine)
{
    *engine = (struct engine_flags){.prefix_caching = true};
    colrow_options_init(&engine->options);
}

void engine_flags_init_to_measure(struct engine_flags *engine)
{
    engine_flags_init(engine);
    engine->prefix_caching = false;
    engine->options.restarts = 0;
    engine->quiet = true;
}

#define AT(field) offsetof(struct engine_flags, field)
const struct flag engine_flag_rows[ENGINE_FLAGS] = {
    {.kind = FLAG_HEADING, .help = "engine"},
    {FLAG_INT, "--tensor-parallel-size", "-tp --tp", AT(options.tensor_parallel_size), 1, 64, "N",
     "ranks that share the weights (default 1)"},
    {FLAG_INT, "--pipeline-parallel-size", "-pp --pp", AT(options.pipeline_parallel_size), 1, 64,
     "N",
     "stages of consecutive layers, each of -tp ranks (default 1); COLROW_PP_LAYER_PARTITION=16,16 "
     "says how many layers each has"},
    {FLAG_TEXT, "--dtype", NULL, AT(options.dtype), 0, 0, "TYPE",
     "auto, bfloat16, float16 or float32 (default auto: the checkpoint's)"},
    {FLAG_LENGTH, "--max-model-len", NULL, AT(options.max_model_len), 0, 1e9, "N",
     "context length in tokens; auto: what fits (default: the model's)"},
    {FLAG_INT, "--max-num-seqs", NULL, AT(options.max_num_seqs), 1, 4096, "N",
     "sequences in one step at most (default 64)"},
    {FLAG_INT, "--max-num-batched-tokens", NULL, AT(options.max_num_batched_tokens), 1, 65536, "N",
     "tokens in one step at most (default 512); beside decoding, prompts get a quarter of it"},
    {FLAG_NUMBER, "--gpu-memory-utilization", "--memory-utilization",
     AT(options.gpu_memory_utilization), 0.01, 1, "PART",
     "share of this machine's memory that all of colrow may take (default 0.92)"},
    {FLAG_BYTES, "--kv-cache-memory", "--kv-cache-memory-bytes", AT(options.kv_cache_memory), 0, 0,
     "BYTES", "memory for keys and values of all ranks together, e.g. 2GB; taken at once"},
    {FLAG_TEXT, "--kv-cache-dtype", NULL, AT(options.kv_cache_dtype), 0, 0, "TYPE",
     "auto (--dtype), float32, fp8 (fp8_e4m3) or int8 (default auto); changes bits"},
    {FLAG_TEXT, "--quantization", NULL, AT(options.quantization), 0, 0, "TYPE", QUANTIZATION_HELP},
    {FLAG_INT, "--quantization-group-size", NULL, AT(options.quantization_group_size), 32, 1024,
     "N", QUANTIZATION_GROUP_HELP},
    {FLAG_TEXT, "--quantization-lm-head", NULL, AT(options.quantization_lm_head), 0, 0, "TYPE",
     QUANTIZATION_LM_HEAD_HELP},
    {FLAG_ON, "--enable-prefix-caching", NULL, AT(prefix_caching), 0, 0, NULL,
     "whole KV pages that a prompt has in common with earlier ones are not computed again"},
    {FLAG_OFF, "--no-enable-prefix-caching", NULL, AT(prefix_caching), 0, 0, NULL,
     "only the answers to one request share its prompt"},
    {FLAG_NUMBER, "--kv-offloading-size", "--swap-space", AT(options.kv_offloading_size), 0,
     1 << 20, "GIB", "host memory of all ranks for KV pages that were pushed out (default 0)"},
    {FLAG_TEXT, "--kv-offloading-backend", NULL, AT(kv_offloading_backend), 0, 0, "BACKEND",
     "who moves them: native, which is colrow itself (default native)"},
    {FLAG_TEXT, "--scheduling-policy", NULL, AT(options.scheduling_policy), 0, 0, "POLICY",
     "fcfs, or priority: requests with a smaller priority go first (default fcfs)"},
    {FLAG_TEXT, "--tp-plan", NULL, AT(options.tp_plan), 0, 0, "FILE", TP_PLAN_HELP},
    {FLAG_TEXT, "--tp-plan-replace", NULL, AT(options.tp_plan_replace), 0, 0, "FILE",
     TP_PLAN_REPLACE_HELP},
    {FLAG_ON, "--enable-expert-parallel", NULL, AT(expert_parallel), 0, 0, NULL,
     EXPERT_PARALLEL_HELP},
    {FLAG_INT, "--expert-parallel-size", "--ep-size --ep", AT(options.expert_parallel_size), 1,
     COMM_RANKS_MAX, "N", EXPERT_PARALLEL_SIZE_HELP},
    {FLAG_TEXT, "--speculative-config", NULL, AT(options.speculative_config), 0, 0, "JSON",
     "draft tokens from the text before: "
     "'{\"method\":\"ngram\",\"num_speculative_tokens\":4,\"prompt_lookup_max\":4}'; changes no "
     "bit"},
    {FLAG_INT, "--decode-context-parallel-size", "-dcp --dcp",
     AT(options.decode_context_parallel_size), 1, COMM_RANKS_MAX, "N", CONTEXT_PARALLEL_HELP},
    {FLAG_INT, "--reduction-leaves", NULL, AT(options.reduction_leaves), 0, 64, "N",
     "leaves of a sum, a power of two (default 8); changes bits"},
    {FLAG_TEXT, "--product-order", NULL, AT(options.product_order), 0, 0, "ORDER",
     "of sums: pairs, or tiles as AMX makes them; changes bits (default auto: tiles where the CPU "
     "has AMX)"},
    {FLAG_INT, "--threads-per-rank", NULL, AT(options.threads_per_rank), 0, 256, "N",
     "cores a rank works on (default: its share of the cpuset)"},
    {FLAG_NUMBER, "--collective-timeout", NULL, AT(options.collective_timeout), 0.1, 86400,
     "SECONDS", "without progress for so long, the group ends (default 60)"},
    {FLAG_NUMBER, "--step-timeout", NULL, AT(options.step_timeout), 0, 86400, "SECONDS",
     "a step that takes longer ends the group (default 0: 1 s, or 20 times what steps of its size "
     "took)"},
    {FLAG_NUMBER, "--canary-interval", NULL, AT(options.canary_interval), 0, 86400, "SECONDS",
     "idle ranks meet so often, to find one that hangs; 0: never (default 10)"},
    {FLAG_INT, "--rank-restarts", NULL, AT(options.restarts), 0, 1000000, "N",
     "lost ranks start again so often without a step completed in between, and requests go on "
     "(default 5); 0: they fail"},
    {FLAG_UINT64, "--seed", NULL, AT(options.seed), 0, 0, "N", "for requests that have none"},
    {FLAG_TEXT, "--rank-program", NULL, AT(options.rank_program), 0, 0, "PATH",
     "the colrow program that ranks run (default: this one)"},
    {FLAG_ON, "--stream-from-hub", NULL, AT(stream_from_hub), 0, 0, NULL,
     "of org/name that is not in the cache: each rank reads its own bytes of the weights from the "
     "hub, which are kept nowhere"},
    {FLAG_ON, "--no-confinement", NULL, AT(no_confinement), 0, 0, NULL,
     "let ranks, and the server, call of the kernel what they like: no seccomp filters"},
    {FLAG_ON, "--core-dumps", NULL, AT(core_dumps), 0, 0, NULL,
     "processes that hold prompts may leave core files, and be traced"},
    {FLAG_ON, "--quiet", "-q", AT(quiet), 0, 0, NULL, "no budget, no progress, no closing line"},
    {FLAG_ON, "--verbose", "-v", AT(verbose), 0, 0, NULL, "say more"},
};

// What the engine calls a request was given by flags here.
enum status engine_status(enum colrow_error_class error)
{
    switch (error) {
    case COLROW_ERROR_NONE:
        return OK;
    case COLROW_ERROR_USAGE:
    case COLROW_ERROR_INVALID_REQUEST:
        return ERR_USAGE;
    case COLROW_ERROR_MODEL:
        return ERR_INPUT;
    case COLROW_ERROR_TOO_LARGE:
        return ERR_TOO_LARGE;
    case COLROW_ERROR_BUSY:
        return ERR_BUSY;
    case COLROW_ERROR_GROUP_LOST:
        return ERR_GROUP;
    case COLROW_ERROR_MEMORY:
        return ERR_MEMORY;
    case COLROW_ERROR_IO:
        return ERR_IO;
    case COLROW_ERROR_CANCELLED:
        return ERR_CANCELLED;
    case COLROW_ERROR_INTERNAL:
        break;
    }
    return ERR_INTERNAL;
}

enum status engine_failed(void)
{
    return fail(engine_status(colrow_error_class()), "%s", colrow_error());
}

void engine_flags_loading(struct engine_flags *engine, const struct colrow_gauges *gauges)
{
    if (engine->quiet || gauges->bytes_total == 0)
        return;
    if (engine->bar.total == 0)
        progress_begin(&engine->bar, "loading", (double)gauges->bytes_total);
    progress_set(&engine->bar, (double)gauges->bytes_loaded);
}

// As colrow_open() does, but a signal ends it.
static enum status await_ready(struct engine_flags *engine, struct colrow_engine *opened)
{
    enum { LOOK_MS = 50 };
    for (;;) {
        struct colrow_gauges gauges;
        colrow_get_gauges(opened, &gauges);
        engine_flags_loading(engine, &gauges);
        if (gauges.state == COLROW_READY)
            return OK;
        TRY(interrupt_check());
        struct pollfd fd = {.fd = colrow_fd(opened), .events = POLLIN};
        (void)poll(&fd, 1, LOOK_MS); // a signal ends it too, and is seen above
        if (colrow_advance(opened) < 0)
            return engine_failed();
    }
}

// --verbose: what the engine chose, and what each rank did to get ready.
static void say_more(const struct colrow_engine *engine)
{
    struct colrow_info info;
    colrow_get_info(engine, &info);
    log_debug(
        "%s, %s, keys and values in %s, quantization %s, %s, order of %s, %d thread%s a rank, "
        "max_model_len %lld, "
        "%lld pages of %lld tokens",
        info.architecture, info.dtype, info.kv_cache_dtype, info.quantization, info.isa,
        info.product_order, info.threads_per_rank, info.threads_per_rank == 1 ? "" : "s",
        (long long)info.max_model_len, (long long)info.kv_pages, (long long)info.kv_page_tokens);
    for (int r = 0; r < info.n_ranks; r++) {
        struct colrow_rank_statistics rank;
        if (colrow_get_rank_statistics(engine, r, &rank) != 0)
            continue;
        log_debug(
            "rank %d (pid %d): read %s and packed %s of weights in %.3f s, ready after %.3f s, "
            "%s resident",
            r, rank.pid, show_bytes((double)rank.file_bytes_read),
            show_bytes((double)rank.weight_bytes), rank.weights_seconds, rank.load_seconds,
            show_bytes((double)rank.resident_peak_bytes));
    }
}

void engine_flags_loaded(struct engine_flags *engine, const struct colrow_engine *opened)
{
    progress_end(&engine->bar);
    say_more(opened);
}

enum status engine_flags_model(const struct engine_flags *engine, const char **model)
{
    if (engine->quiet)
        log_set_level(LOG_WARNING);
    return model_argument_find(model, engine->stream_from_hub ? MODEL_STREAMED : MODEL_WHOLE);
}

enum status engine_flags_settle(struct engine_flags *engine, const char *model)
{
    struct colrow_options *options = &engine->options;
    const char *backend = engine->kv_offloading_backend;
    if (backend && strcmp(backend, "native") != 0)
        return fail(
            ERR_USAGE,
            "flag --kv-offloading-backend is \"%.60s\"; expected native: colrow moves pages "
            "to host memory itself, and has no other backend",
            backend);
    options->log_level = engine->verbose ? LOG_DEBUG : engine->quiet ? LOG_WARNING : LOG_INFO;
    log_set_level((enum log_level)options->log_level);
    TRY(engine_flags_model(engine, &model));
    TRY(checkpoint_folder_check(model));
    options->model = model;
    bool later = !engine->one_request || options->kv_offloading_size > 0;
    options->enable_expert_parallel = engine->expert_parallel;
    options->enable_prefix_caching = engine->prefix_caching && later;
    options->confinement = !engine->no_confinement;
    options->core_dumps = engine->core_dumps;
    if (!engine->core_dumps)
        forbid_core_dumps();
    interrupts_catch();
    return OK;
}

enum status engine_flags_begin(struct engine_flags *engine, const char *model,
                               struct colrow_engine **out)
{
    TRY(engine_flags_settle(engine, model));
    if (engine->nodes)
        return engine_open_on(&engine->options, engine->nodes, out);
    return colrow_open_begin(&engine->options, out) == 0 ? OK : engine_failed();
}

enum status engine_flags_open(struct engine_flags *engine, const char *model,
                              struct colrow_engine **out)
{
    TRY(engine_flags_begin(engine, model, out));
    if (!*out)
        return OK; // this node has worked for another one
    enum status status = await_ready(engine, *out);
    if (status == OK) {
        engine_flags_loaded(engine, *out);
        return OK;
    }
    progress_end(&engine->bar);
    colrow_close(*out); // ends ranks that load
    *out = NULL;
    return status;
}

enum status engine_flags_step(struct colrow_engine *engine, bool *alive)
{
    TRY(interrupt_check());
    int n = colrow_step(engine);
    *alive = n > 0;
    return n < 0 ? engine_failed() : OK;
}

void sampling_flags_init(struct sampling_flags *flags)
{
    *flags = (struct sampling_flags){
        .temperature = -1, .top_p = -1, .min_p = -1, .repetition_penalty = -1, .top_k = -1};
    colrow_sampling_init(NULL, &flags->sampling);
    flags->sampling.max_tokens = -1; // not given
}

#define OF(field) offsetof(struct sampling_flags, field)
const struct flag sampling_flag_rows[SAMPLING_FLAGS] = {
    {.kind = FLAG_HEADING, .help = "sampling"},
    {FLAG_INT, "--max-tokens", "-n", OF(sampling.max_tokens), 0, 1e9, "N",
     "new tokens at most; 0: up to the context's end (default: generation_config.json's, else "
     "256)"},
    {FLAG_NUMBER, "--temperature", "-t", OF(temperature), 0, 100, "T",
     "0: greedy (default: generation_config.json's, else 0)"},
    {FLAG_NUMBER, "--top-p", NULL, OF(top_p), 1e-6, 1, "P",
     "smallest set of tokens whose probabilities reach P"},
    {FLAG_INT, "--top-k", NULL, OF(top_k), 0, 1e9, "K", "the K likeliest tokens; 0: all"},
    {FLAG_NUMBER, "--min-p", NULL, OF(min_p), 0, 1, "P",
     "tokens at least P times as likely as the likeliest"},
    {FLAG_NUMBER, "--repetition-penalty", NULL, OF(repetition_penalty), 0.01, 100, "R", "1: none"},
    {FLAG_NUMBER, "--presence-penalty", NULL, OF(sampling.presence_penalty), -2, 2, "R", "0: none"},
    {FLAG_NUMBER, "--frequency-penalty", NULL, OF(sampling.frequency_penalty), -2, 2, "R",
     "0: none"},
    {FLAG_TEXT, "--sampling-seed", NULL, OF(seed_text), 0, 0, "N", "seed of these requests"},
    {FLAG_TEXTS, "--stop", NULL, OF(stop), 0, 0, "TEXT", "end before this text; may be repeated"},
    {FLAG_TEXTS, "--stop-token-id", "--stop-token-ids", OF(stop_ids), 0, 0, "ID",
     "end at this token; may be repeated"},
    {FLAG_TEXTS, "--logit-bias", NULL, OF(logit_bias), 0, 0, "ID:BIAS",
     "added to a token's logit; may be repeated"},
    {FLAG_INT, "--min-tokens", NULL, OF(sampling.min_tokens), 0, 1e9, "N",
     "no end before so many tokens"},
    {FLAG_ON, "--ignore-eos", NULL, OF(ignore_eos), 0, 0, NULL, "go on after the end token"},
    {FLAG_ON, "--include-stop-str-in-output", NULL, OF(include_stop), 0, 0, NULL,
     "keep the stop text"},
    {FLAG_INT, "--logprobs", NULL, OF(sampling.logprobs), -1, 100, "N",
     "log-probabilities of the chosen and the N best (with --json)"},
    {FLAG_INT, "--samples", "--n", OF(sampling.n), 1, 128, "N",
     "answers for each prompt (vLLM's n)"},
};

static enum status parse_biases(struct sampling_flags *f)
{
    for (int i = 0; i < f->logit_bias.n; i++) {
        char *end;
        const char *text = f->logit_bias.items[i];
        long id = strtol(text, &end, 10);
        double bias = *end == ':' ? strtod(end + 1, &end) : NAN;
        if (*end || id < 0 || id > INT32_MAX || isnan(bias))
            return fail(ERR_USAGE, "flag --logit-bias is \"%s\"; expected ID:BIAS, e.g. 42:-1.5",
                        text);
        if (i == (int)(sizeof f->biases / sizeof f->biases[0]))
            return fail(ERR_USAGE, "flag --logit-bias is given more than %d times", i);
        f->biases[i] = (struct colrow_token_bias){(int32_t)id, (float)bias};
    }
    return OK;
}

static enum status parse_stop_ids(struct sampling_flags *f)
{
    for (int i = 0; i < f->stop_ids.n; i++) {
        char *end;
        const char *text = f->stop_ids.items[i];
        long id = strtol(text, &end, 10);
        if (*end || end == text || id < 0 || id > INT32_MAX)
            return fail(ERR_USAGE, "flag --stop-token-id is \"%s\"; expected a token id", text);
        if (i == (int)(sizeof f->stop_token_ids / sizeof f->stop_token_ids[0]))
            return fail(ERR_USAGE, "flag --stop-token-id is given more than %d times", i);
        f->stop_token_ids[i] = (int32_t)id;
    }
    return OK;
}

enum status sampling_flags_finish(struct sampling_flags *f, const struct colrow_engine *engine)
{
    enum { TOKENS_DEFAULT = 256 };
    struct colrow_sampling given = f->sampling, *s = &f->sampling;
    struct colrow_info info;
    colrow_get_info(engine, &info);
    colrow_sampling_init(engine, s);
    if (given.max_tokens >= 0) {
        s->max_tokens = given.max_tokens;
        s->max_length = 0;
    } else if (!info.max_new_tokens && !info.max_length) {
        s->max_tokens = TOKENS_DEFAULT;
    }
    s->min_tokens = given.min_tokens;
    s->presence_penalty = given.presence_penalty;
    s->frequency_penalty = given.frequency_penalty;
    s->logprobs = given.logprobs;
    s->n = given.n;
    s->ignore_eos = f->ignore_eos;
    s->include_stop_str_in_output = f->include_stop;
    if (f->temperature >= 0)
        s->temperature = f->temperature;
    if (f->temperature == 0) { // then the file's other numbers are of no use, whatever they are
        s->top_p = 1;
        s->top_k = 0;
        s->min_p = 0;
    }
    if (f->top_p >= 0)
        s->top_p = f->top_p;
    if (f->min_p >= 0)
        s->min_p = f->min_p;
    if (f->repetition_penalty >= 0)
        s->repetition_penalty = f->repetition_penalty;
    if (f->top_k >= 0)
        s->top_k = f->top_k;
    if (f->seed_text) {
        char *end;
        s->seed = strtoull(f->seed_text, &end, 10);
        s->has_seed = 1;
        if (*end || end == f->seed_text || f->seed_text[0] == '-')
            return fail(ERR_USAGE,
                        "flag --sampling-seed is \"%s\"; expected a non-negative integer",
                        f->seed_text);
    }
    TRY(parse_stop_ids(f));
    TRY(parse_biases(f));
    s->stop = f->stop.items;
    s->n_stop = f->stop.n;
    s->stop_token_ids = f->stop_token_ids;
    s->n_stop_token_ids = f->stop_ids.n;
    s->logit_bias = f->biases;
    s->n_logit_bias = f->logit_bias.n;
    return OK;
}

void sampling_flags_fini(struct sampling_flags *f)
{
    free(f->stop.items);
    free(f->stop_ids.items);
    free(f->logit_bias.items);
}

enum status token_ids_from_text(const char *flag, const char *text, int32_t **ids, int *n)
{
    enum { IDS_FILE_BYTES_MAX = 64 << 20 };
    struct bytes file;
    size_t capacity = 0;
    bytes_init(&file);
    *ids = NULL;
    *n = 0;
    enum status status = OK;
    if (!*text)
        return fail(ERR_USAGE, "flag %s is empty; expected token ids such as 1,2,3, or a file",
                    flag);
    bool id_before = false, is_list = strspn(text, "0123456789, ") == strlen(text);
    const char *name = is_list ? flag : text;
    if (!is_list) {
        TRY_DONE(file_read_given(text, IDS_FILE_BYTES_MAX, &file));
        text = file.data ? file.data : "";
    }
    enum status wrong = is_list ? ERR_USAGE : ERR_INPUT;
    for (const char *at = text; *at;) {
        if (!isdigit((unsigned char)*at)) {
            if (!strchr(", \t\r\n[]", *at) || (*at == ',' && !id_before)) {
                status =
                    fail(wrong, "%s: expected token ids such as 1,2,3; found \"%.12s\"", name, at);
                goto done;
            }
            id_before = id_before && *at != ',';
            at++;
            continue;
        }
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (errno || id > INT32_MAX) {
            status = fail(wrong, "%s: token id %.20s is too large", name, at);
            goto done;
        }
        TRY_DONE(memory_grow(ids, &capacity, (size_t)*n + 1, sizeof **ids, "token ids"));
        (*ids)[(*n)++] = (int32_t)id;
        id_before = true;
        at = end;
    }
    if (*n == 0)
        status = fail(wrong, "%s: holds no token ids", name);
done:
    bytes_fini(&file);
    if (status != OK) {
        free(*ids);
        *ids = NULL;
    }
    return status;
}
