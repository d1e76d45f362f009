// colrow/colrow.h: open a HuggingFace model on a group of ranks, submit prompts, receive tokens.
//
// One thread owns an engine: no call is thread-safe on the same engine (a colrow_tokenizer may be
// used by many). colrow_step() does the work: it plans and runs one forward pass over all live
// requests and reports through the callback given with each request, or through colrow_poll();
// colrow_advance() is its form for event loops. Functions return 0, or -1 with colrow_error()
// saying in one sentence what is wrong and what to do, and colrow_error_class() what kind of
// failure it is.
//
// Structs begin with their size, as the program knows them: so a newer library knows which members
// an older program has. colrow_..._init() sets it; functions that fill a struct are told it by the
// inline functions of this header. For programs in other languages, the ..._sized() functions are
// what the library exports.
//
// A text is bytes of UTF-8 with a length: U+0000 is a character like any other. Where a length is 0
// the text ends at its NUL.
#ifndef COLROW_COLROW_H
#define COLROW_COLROW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef COLROW_API
#define COLROW_API __attribute__((visibility("default")))
#endif

struct colrow_engine;

COLROW_API const char *colrow_error(void); // of the last failed call on this thread

// What kind of failure it was, so that a program can answer without reading the sentence. In
// brackets: what an HTTP server says, and the exit status of the colrow program (1 where none is
// given).
enum colrow_error_class {
    COLROW_ERROR_NONE,
    COLROW_ERROR_USAGE,           // an option, or how a function was called [exit status 2]
    COLROW_ERROR_MODEL,           // the model's files, or others named in options
    COLROW_ERROR_INVALID_REQUEST, // this request; another one may succeed [400; exit status 2]
    COLROW_ERROR_TOO_LARGE,  // a good request that no engine with these options takes [400, 413]
    COLROW_ERROR_BUSY,       // no room now: the same request may succeed later [429]; so far
                             // requests reserve 4 GiB together at most for their answers
    COLROW_ERROR_GROUP_LOST, // a rank died, stopped or was late: the ranks are gone [503]
    COLROW_ERROR_MEMORY,     // [503]
    COLROW_ERROR_IO,         // the operating system refused something
    COLROW_ERROR_CANCELLED,
    COLROW_ERROR_INTERNAL, // a bug of colrow, also a request that kills the ranks by it [500]
};
COLROW_API enum colrow_error_class colrow_error_class(void); // of the same call as colrow_error()
COLROW_API const char *colrow_error_class_name(enum colrow_error_class error); // "too large", ...

COLROW_API const char *colrow_version(void);

// Options carry vLLM's names. Fill with colrow_options_init() first; strings are borrowed for the
// call.
struct colrow_options {
    size_t struct_size;         // set by colrow_options_init()
    const char *model;          // a HuggingFace folder
    int tensor_parallel_size;   // 1
    const char *dtype;          // "auto" | "bfloat16" | "float16" | "float32"
    int64_t max_model_len;      // 0: the model's max_position_embeddings; -1: what fits of it
    int max_num_seqs;           // 64; sequences in one step at most
    int max_num_batched_tokens; // 512; tokens in one step at most (prefill chunks)
    // 0.92: the share of this machine's memory (of the NUMA nodes of the cpuset, of the cgroup)
    // that everything of colrow may take; less where less is free when the engine opens
    double gpu_memory_utilization;
    int64_t kv_cache_memory; // bytes for KV over all ranks of this machine; 0: from the budget
    // NULL: "auto", which is dtype | "float32": attention is computed in f32 | "fp8" ("fp8_e4m3") |
    // "int8": a byte for each number, half of what bfloat16 takes; all three give other bits
    const char *kv_cache_dtype;
    const char *tp_plan;       // file with rules that are laid over colrow's plan for the family;
                               // NULL, "auto": that plan
    int reduction_leaves;      // 0: 8
    const char *product_order; // NULL: "auto" | "pairs" | "tiles": the order of sums made for AMX
                               // (bfloat16 only); other bits. auto: tiles where the CPU has AMX,
                               // pairs elsewhere; colrow_get_info() says which
    int threads_per_rank;      // 0: the cores of the cpuset shared evenly (at least 1)
    double collective_timeout; // seconds without progress that end the group; 60
    uint64_t seed;             // requests without one get theirs from this and their number
    const char *rank_program;  // the colrow program; NULL: found by itself
    int prompt_logits;         // reserve room to hand out logits of prompt tokens (colrow logits)
    int capture_hidden_states; // reserve room for hidden states (colrow verify)
    int log_level;             // 0 debug, 1 info (budget, plan), 2 warnings, 3 errors only
    // while weights are read; may be NULL
    void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total);
    void *progress_context;
    // 1: whole pages of prompts and answers that later requests begin with are not computed again;
    // no bit changes. 0: only the sequences of one request share its prompt
    int enable_prefix_caching;
    // NULL: "fcfs", first come first served | "priority": by colrow_sampling's priority, who waits
    // longest among equals; and who gives way when pages run short
    const char *scheduling_policy;
    int log_json; // the budget as one line of JSON instead of a table
    // GiB over all ranks; 0: none. Pages that are needed for something else are kept there, and
    // come back when a prompt begins with them or their sequence starts over. Needs
    // enable_prefix_caching
    double kv_offloading_size;
    // seconds that a step may take, after which the group is ended; 0: 20 times what recent steps
    // of its size took (the slowest of a hundred left out), at least 1 s. Time in which nobody
    // calls colrow_step() or colrow_advance() does not count
    double step_timeout;
    // 10: seconds after which idle ranks do a step without tokens, to find one that hangs; 0:
    // never. colrow_advance() begins it
    double canary_interval;
    // 5: how often ranks that died, stopped or hung are started again without one step completed in
    // between; every unfinished request goes on as if nothing had been. 0: the group is over with
    // its first dead rank
    int restarts;
    // 1: ranks run under seccomp filters once they are loaded, without files, sockets and programs.
    // Where colrow was built without libseccomp, or the kernel has none, they do not, and say so
    // at log_level 0
    int confinement;
    int core_dumps; // 0: ranks, which hold prompts, leave no core files and cannot be traced; 1:
                    // may
    // 1: a small process of its own starts the ranks, now and again, so that the program may forbid
    // itself to start any (`colrow serve` does)
    int launcher;
    // NULL, or a file with rules in place of tp_plan's: what they do not name is on every rank
    const char *tp_plan_replace;
    // 1: stages, each with consecutive layers and tensor_parallel_size ranks; no bit depends on it
    int pipeline_parallel_size;
    // "16,16": layers of each stage; NULL: COLROW_PP_LAYER_PARTITION or VLLM_PP_LAYER_PARTITION of
    // the environment; else evenly
    const char *pp_layer_partition;
    // Several machines ("nodes") share the ranks: every one of them opens the model, with the same
    // options but for its number. See colrow_open(). 1: this one alone; 0: as the environment says
    // that srun, mpiexec, torchrun or a LeaderWorkerSet has made
    int nnodes;
    int node_rank;           // 0 .. nnodes - 1, the number of this one; -1: as the environment says
    const char *master_addr; // name or address of node 0; NULL: likewise
    int master_port;         // TCP port at which it waits for the others; 0: likewise, or 29500
    const char *rdzv_id;     // NULL: ""; a name of this run: nodes of another one are refused
    // NULL, or a file with a secret that all nodes have; without one only loopback and private
    // addresses may join
    const char *cluster_key_file;
    double join_timeout; // 600: seconds after which missing nodes are given up; 0: never
    // the same of a node that was lost; -1: as join_timeout, with `degrade` 60
    double rejoin_timeout;
    // 1: without nodes that do not come back the others go on, with fewer stages or ranks and the
    // same bits. All strings here stay borrowed until colrow_close() then
    int degrade;
    double node_timeout; // 5: a node from which nothing is heard for so long is lost
    // NULL, or called several times a second while nodes are missing, and while this one works for
    // node 0: not 0 ends that, with COLROW_ERROR_CANCELLED
    int (*interrupted)(void *context);
    void *interrupted_context;
    // 1: of a mixture of experts ranks have whole experts, any number of them, instead of a part of
    // each; no bit changes
    int enable_expert_parallel;
    // with it: so many groups of ranks have whole experts, each rank of a group a part of each of
    // the group's; 0: each rank is a group. tensor_parallel_size is a multiple of it
    int expert_parallel_size;
    // NULL, or JSON with vLLM's keys: {"method": "ngram", "num_speculative_tokens": 4,
    // "prompt_lookup_min": 2, "prompt_lookup_max": 4}: tokens are drafted from what stood in the
    // text before, and several may come of one step; no bit changes. Not for models whose layers
    // keep a state
    const char *speculative_config;
    // of models with latent attention: groups of so many of the tensor_parallel_size ranks, a
    // multiple of it, divide the cache by position, and hold so many times the tokens; 0, 1: each
    // rank has all of it. No bit changes
    int decode_context_parallel_size;
    // NULL: "none" | "int8" | "int4": weights of layers become integers as they are loaded, with a
    // scale for each row and quantization_group_size columns (0: 128; a multiple of 32); other bits
    const char *quantization;
    int quantization_group_size;
    const char *quantization_lm_head; // NULL: "auto", which is int8 | "int8" | "int4" | "none"
};
COLROW_API void colrow_options_init_sized(struct colrow_options *options, size_t struct_size);
static inline void colrow_options_init(struct colrow_options *options)
{
    colrow_options_init_sized(options, sizeof *options);
}

// On several machines (nnodes) it waits for the other nodes first, in any order, then node 0 gets
// the engine, which answers with the same bits as on one machine. On another node it holds that
// node's ranks, and returns when node 0 has closed its engine: 0, with `*out` NULL. A node that is
// lost may come back, started again; requests wait for it (rejoin_timeout).
COLROW_API int colrow_open(const struct colrow_options *options, struct colrow_engine **out);
// The same without waiting for the ranks to load: all that can be refused is refused here, which
// takes as long as reading config.json, tokenizer.json and the headers of the weights (a second at
// most); then the engine is COLROW_LOADING. `progress` is not called: see colrow_get_gauges(). With
// other nodes it does wait for these, and works on a node other than 0, as colrow_open() does.
COLROW_API int colrow_open_begin(const struct colrow_options *options, struct colrow_engine **out);
COLROW_API void colrow_close(struct colrow_engine *engine); // accepts NULL

struct colrow_token_bias {
    int32_t id;
    float bias;
};

// Names and defaults of vLLM's SamplingParams. Fill with colrow_sampling_init(): greedy defaults
// come from generation_config.json when `engine` is given. Arrays and strings are copied by
// colrow_submit().
struct colrow_sampling {
    size_t struct_size;                         // set by colrow_sampling_init()
    double temperature;                         // 0: greedy
    double top_p;                               // 1
    int top_k;                                  // 0: all
    double min_p;                               // 0
    double repetition_penalty;                  // 1
    double presence_penalty, frequency_penalty; // 0
    int has_seed;
    uint64_t seed;
    const struct colrow_token_bias *logit_bias;
    int n_logit_bias;
    // 16, as vLLM, or generation_config.json's max_new_tokens; 0: up to max_length, where that is
    // not 0 (that file's), or the context's end
    int max_tokens;
    int min_tokens;
    int ignore_eos;
    const char *const *stop; // [n_stop] stop strings
    int n_stop;
    const size_t *stop_lengths; // [n_stop] bytes; NULL: each ends at its NUL
    const int32_t *stop_token_ids;
    int n_stop_token_ids;
    int include_stop_str_in_output;
    int skip_special_tokens; // 1
    int logprobs;            // -1: none; else the chosen token's and so many of the best
    int prompt_logits;       // hand out logits of every prompt token (needs the option)
    int n;                   // 1: sequences of one prompt
    int max_length;          // 0; else, where max_tokens is 0, of prompt and answer together
    int64_t priority;        // 0; smaller goes first, with scheduling_policy "priority"
};
COLROW_API void colrow_sampling_init_sized(const struct colrow_engine *engine,
                                           struct colrow_sampling *sampling, size_t struct_size);
static inline void colrow_sampling_init(const struct colrow_engine *engine,
                                        struct colrow_sampling *sampling)
{
    colrow_sampling_init_sized(engine, sampling, sizeof *sampling);
}

enum colrow_finish { COLROW_RUNNING, COLROW_STOP, COLROW_LENGTH, COLROW_CANCELLED, COLROW_FAILED };
COLROW_API const char *colrow_finish_name(enum colrow_finish finish); // "stop", "length", ...

struct colrow_logprob {
    int32_t id;
    float logprob;
    int rank; // 1: the most likely
};
struct colrow_output {
    uint64_t request;
    int index;          // 0 .. n-1
    const int32_t *ids; // new tokens
    int n_ids;
    const char *text; // newly complete UTF-8 text (may be empty); a NUL follows it
    size_t text_length;
    // [n_ids][1 + logprobs], the chosen one first; NULL when not asked for
    const struct colrow_logprob *logprobs;
    int n_logprobs; // 1 + logprobs, or 0
    // [n_prompt_logits][vocab_size] of prompt tokens from prompt_position on; those of a step may
    // come in several outputs
    const float *prompt_logits;
    int n_prompt_logits;
    int64_t prompt_position;
    enum colrow_finish finish;
    const char *stop_reason;   // the stop string that ended it, or the stop token's number; NULL
    size_t stop_reason_length; // bytes
    int32_t stop_token;        // -1: no stop token ended it
    const char *error;         // with COLROW_FAILED
    enum colrow_error_class error_class;  // with COLROW_FAILED; else COLROW_ERROR_NONE
    int prompt_tokens, completion_tokens; // so far
    int cached_tokens;                    // of the prompt: found in the prefix cache, not computed
    int preemptions;                      // how often it had to give its pages back and start over
    double queue_seconds;                 // from colrow_submit() to its first step
    int draft_tokens, accepted_draft_tokens; // so far, with speculative_config
};
typedef void (*colrow_callback)(void *context,
                                const struct colrow_output *output); // valid during the call

// Either ids (n_ids > 0) or text. Text is encoded with special tokens. Returns the request's number
// through `request`. A prompt that does not fit the context or the KV pool is refused here, with
// the numbers.
struct colrow_prompt {
    size_t struct_size; // 0: as in version 0.1, which is what {.text = "..."} makes
    const char *text;
    size_t text_length; // bytes; 0: up to its NUL
    const int32_t *ids;
    int n_ids;
    int no_special_tokens;
    const char *cache_salt;   // NULL, or: share the prefix cache only with prompts of the same salt
    size_t cache_salt_length; // bytes; 0: up to its NUL
};
COLROW_API int colrow_submit(struct colrow_engine *engine, const struct colrow_prompt *prompt,
                             const struct colrow_sampling *sampling, colrow_callback callback,
                             void *context, uint64_t *request);
// The request ends with COLROW_CANCELLED: colrow_advance() says so at once, colrow_step() with the
// results of its step. Every sequence of every request gets exactly one output whose `finish` is
// not COLROW_RUNNING, whatever happens, unless the engine is closed before.
COLROW_API int colrow_cancel(struct colrow_engine *engine, uint64_t request);
// Pauses a request whose user cannot take more for now: no step begins with it until
// colrow_resume(); outputs of the step under way still come. It keeps its KV pages while nobody
// else wants them, and no place in the batch; without its pages it starts over from its tokens,
// which changes no bit of the answer. It may be cancelled. Both may be called from callbacks, and
// more than once. -1: the request is over. A loop over colrow_step() alone must not wait for a
// paused request: a step with nothing else to do returns at once.
COLROW_API int colrow_pause(struct colrow_engine *engine, uint64_t request);
COLROW_API int colrow_resume(struct colrow_engine *engine, uint64_t request);
// Runs one step, and starts the next one before it hands over results: the ranks compute while
// callbacks run and between calls. Callbacks may submit and cancel, and nothing else. Returns the
// number of requests that are still alive, or -1 when the group is over: then every live request
// has got COLROW_FAILED. A step in which a rank is lost brings nothing: the ranks start again (the
// option `restarts`), later steps compute anew what was lost with them, and answers go on with the
// same bits.
COLROW_API int colrow_step(struct colrow_engine *engine);

// ---- For programs with an event loop: no call below waits for ranks or files.
//
// Readable while there is something for colrow_advance() to do: results, a dead rank, loading that
// goes on, a request submitted or cancelled since. The engine's: only poll it (level-triggered),
// for reading.
COLROW_API int colrow_fd(struct colrow_engine *engine);
// Does what can be done now, and returns: takes results that are there, starts the next step, calls
// callbacks (one step's at most). Returns as colrow_step(); 0 also means that nothing remains to be
// done. While loading, requests wait. Drawing and decoding tokens go on at the next call when they
// have taken 2 ms. Long texts are better encoded on another thread, with the handle of
// colrow_get_tokenizer(), and submitted as ids.
COLROW_API int colrow_advance(struct colrow_engine *engine);
// Starts the ranks of an engine again that is COLROW_BROKEN: they were never loaded, or lost more
// often than the option `restarts` allows. Requests that failed stay failed; new ones are taken
// from now on, and wait until the engine is COLROW_READY.
COLROW_API int colrow_restart(struct colrow_engine *engine);

enum colrow_state { COLROW_LOADING, COLROW_READY, COLROW_BROKEN };
// What is so now, for metrics and admission; colrow_get_statistics() counts what has been.
struct colrow_gauges {
    enum colrow_state state;
    int restarts;                       // of the ranks
    uint64_t bytes_loaded, bytes_total; // of the weights, over all ranks, while loading
    int requests;                       // alive
    int running_sequences;              // with pages, in the batch
    int waiting_sequences;              // for pages or for a place in the batch
    int64_t kv_pages_used, kv_pages;    // of kv_page_tokens tokens each
    int paused_sequences;               // by colrow_pause(); neither running nor waiting
    int64_t kv_pages_usable; // of kv_pages: those that have memory; more get it as they are needed
    // since the last step of the ranks (of canary_interval too) was done, or since they were ready;
    // 0 while they load
    double seconds_since_step;
    // 1: one is under way for more than half of the time after which it ends the group
    int step_overdue;
    // why the ranks were lost the last time, a sentence: the engine's, until the next call. "":
    // they never were
    const char *last_failure;
    int nodes, nodes_serving; // machines of the group; those that have ranks now
};
COLROW_API void colrow_get_gauges_sized(const struct colrow_engine *engine,
                                        struct colrow_gauges *out, size_t struct_size);
static inline void colrow_get_gauges(const struct colrow_engine *engine, struct colrow_gauges *out)
{
    colrow_get_gauges_sized(engine, out, sizeof *out);
}

// For requests submitted without a callback: the next output, or 0 when there is none. Runs steps
// as needed when `wait` is set (not for requests that are paused). Valid until the next call on the
// engine. Returns 1 with an output, 0 without, -1 on error.
COLROW_API int colrow_poll_sized(struct colrow_engine *engine, int wait, struct colrow_output *out,
                                 size_t struct_size);
static inline int colrow_poll(struct colrow_engine *engine, int wait, struct colrow_output *out)
{
    return colrow_poll_sized(engine, wait, out, sizeof *out);
}

// Text. Results are heap memory of the caller: free().
COLROW_API int colrow_encode(const struct colrow_engine *engine, const char *text,
                             int add_special_tokens, int32_t **ids, int *n_ids);
COLROW_API int colrow_decode(const struct colrow_engine *engine, const int32_t *ids, int n_ids,
                             int skip_special_tokens, char **text);
struct colrow_message {
    const char *role, *content;
};
COLROW_API int colrow_apply_chat_template(const struct colrow_engine *engine,
                                          const struct colrow_message *messages, int n,
                                          int add_generation_prompt, char **text);

// The same without an engine's thread: a handle that any number of threads may use at once. It is
// immutable and counted: every open, get and share is paired with a close. Results are heap memory
// of the caller: free(). `length` of a text that goes in, in bytes; 0: up to its NUL. `*length` of
// one that comes out may be NULL; a NUL follows the text.
struct colrow_tokenizer;
// Reads the text files of a HuggingFace folder alone.
COLROW_API int colrow_tokenizer_open(const char *model, struct colrow_tokenizer **out);
// The engine's own; it may outlive the engine.
COLROW_API struct colrow_tokenizer *colrow_get_tokenizer(const struct colrow_engine *engine);
COLROW_API struct colrow_tokenizer *colrow_tokenizer_share(struct colrow_tokenizer *tokenizer);
COLROW_API void colrow_tokenizer_close(struct colrow_tokenizer *tokenizer); // accepts NULL
// Text that is not UTF-8 is COLROW_ERROR_INVALID_REQUEST.
COLROW_API int colrow_tokenizer_encode(const struct colrow_tokenizer *tokenizer, const char *text,
                                       size_t length, int add_special_tokens, int32_t **ids,
                                       int *n_ids);
COLROW_API int colrow_tokenizer_decode(const struct colrow_tokenizer *tokenizer, const int32_t *ids,
                                       int n_ids, int skip_special_tokens, char **text,
                                       size_t *length);
COLROW_API int colrow_tokenizer_apply_chat_template(const struct colrow_tokenizer *tokenizer,
                                                    const struct colrow_message *messages, int n,
                                                    int add_generation_prompt, char **text,
                                                    size_t *length);

struct colrow_info {
    int tensor_parallel_size, vocab_size, num_hidden_layers, hidden_size;
    int64_t max_model_len, kv_pages, kv_page_tokens;
    const char *dtype, *kv_cache_dtype, *isa, *architecture, *product_order;
    int threads_per_rank;
    int max_new_tokens, max_length; // of generation_config.json; 0: not said
    int prefix_caching;             // 1: on
    int64_t kv_host_pages;          // of kv_offloading_size
    int pipeline_parallel_size;     // stages
    int n_ranks;                    // of all stages
    int speculative_tokens;         // drafted at most for a sequence in a step; 0: none are
    const char *quantization;       // "int4-g128-lm_head-int8"; "none"
};
COLROW_API void colrow_get_info_sized(const struct colrow_engine *engine, struct colrow_info *out,
                                      size_t struct_size);
static inline void colrow_get_info(const struct colrow_engine *engine, struct colrow_info *out)
{
    colrow_get_info_sized(engine, out, sizeof *out);
}

enum { COLROW_DRAFT_TOKENS_MAX = 16 };
struct colrow_statistics {
    uint64_t prompt_tokens, generated_tokens, steps;
    double prefill_seconds, decode_seconds; // steps with / without prompt tokens
    uint64_t prefill_tokens, decode_tokens; // processed in those steps
    double load_seconds;
    uint64_t preemptions;
    double overhead_seconds; // of the steps: what no rank spent in its forward pass (hand-over,
                             // sampling, bookkeeping)
    // tokens of prompts when they first start: looked up in the prefix cache, and found
    uint64_t prefix_cache_queries, prefix_cache_hits;
    uint64_t cached_prompt_tokens;   // of prompt_tokens: not computed
    uint64_t prefix_cache_host_hits; // of prefix_cache_hits: in pages of kv_offloading_size
    uint64_t kv_pages_offloaded, kv_pages_loaded; // to these pages, and back
    // lost ranks that were started again, and tokens of requests computed once more because of it
    uint64_t restarts, replayed_tokens;
    // from the moment when the loss was noticed until the next step was complete (where nothing
    // waited: until the new ranks were ready); of it until they were ready. All times, and the last
    double recovery_seconds, last_recovery_seconds, last_recovery_load_seconds;
    // requests that failed (COLROW_ERROR_INTERNAL) because ranks were lost with them again and
    // again, also when they ran alone
    uint64_t requests_given_up;
    uint64_t recoveries; // whose times recovery_seconds sums up: several restarts may make one
    // with speculative_config: drafts made, their tokens, those that were drawn, and these by their
    // place in the draft
    uint64_t drafts, draft_tokens, accepted_draft_tokens;
    uint64_t accepted_draft_tokens_at[COLROW_DRAFT_TOKENS_MAX];
};
struct colrow_rank_statistics {
    int pid;
    uint64_t weight_bytes, kv_bytes, scratch_bytes, resident_peak_bytes, file_bytes_read;
    double load_seconds, step_seconds, all_reduce_seconds,
        wait_seconds; // wait: within all_reduce, for peers
    uint64_t bytes_sent;
    double weights_seconds; // of load_seconds: from the first byte of the weights read to the last
                            // one packed
    uint64_t host_kv_bytes; // pages of kv_offloading_size
    uint64_t last_step;   // number of the last step it has finished; those of canary_interval count
    uint64_t collectives; // begun since it was started
    const char *last_collective; // "all-reduce"; "": none. Static
    int last_layer;              // where that was; -1: in no layer
    char last_part[32];          // "down_proj"
    int stage;                   // of the pipeline; its rank r has number r % tensor_parallel_size
    int first_layer, n_layers;   // of the stage
    double stage_seconds;        // with other stages: receiving and sending the stream
};
COLROW_API void colrow_get_statistics_sized(const struct colrow_engine *engine,
                                            struct colrow_statistics *out, size_t struct_size);
static inline void colrow_get_statistics(const struct colrow_engine *engine,
                                         struct colrow_statistics *out)
{
    colrow_get_statistics_sized(engine, out, sizeof *out);
}
COLROW_API int colrow_get_rank_statistics_sized(const struct colrow_engine *engine, int rank,
                                                struct colrow_rank_statistics *out,
                                                size_t struct_size);
static inline int colrow_get_rank_statistics(const struct colrow_engine *engine, int rank,
                                             struct colrow_rank_statistics *out)
{
    return colrow_get_rank_statistics_sized(engine, rank, out, sizeof *out);
}

// What a rank's experts have computed, of a mixture of experts. They are counted in at most
// COLROW_EXPERT_GROUPS groups of consecutive experts (one each, where there are not more), over all
// of the rank's layers. A pair is a token and an expert that it has chosen in a layer.
enum { COLROW_EXPERT_GROUPS = 64 };
struct colrow_expert_statistics {
    int n_groups; // of experts of which the rank has any; 0: the model has no experts
    int first_expert[COLROW_EXPERT_GROUPS], last_expert[COLROW_EXPERT_GROUPS];
    uint64_t pairs[COLROW_EXPERT_GROUPS];
    uint64_t all_pairs; // the sum of these
    // of the rank of the stage that had the most, summed up layer by layer and step by step: beside
    // the mean of all_pairs over the stage's ranks it says how long ranks with whole experts wait
    // for the busiest
    uint64_t busiest_pairs;
};
COLROW_API int colrow_get_expert_statistics_sized(const struct colrow_engine *engine, int rank,
                                                  struct colrow_expert_statistics *out,
                                                  size_t struct_size);
static inline int colrow_get_expert_statistics(const struct colrow_engine *engine, int rank,
                                               struct colrow_expert_statistics *out)
{
    return colrow_get_expert_statistics_sized(engine, rank, out, sizeof *out);
}

// Hidden states of the last step (needs capture_hidden_states): [num_hidden_layers +
// 1][rows][hidden_size] with the given row count and strides in floats.
COLROW_API const float *colrow_hidden_states(const struct colrow_engine *engine, int *n_rows,
                                             size_t *layer_stride);

#ifdef __cplusplus
}
#endif
#endif
