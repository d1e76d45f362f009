// The engine: what a struct colrow_engine holds. colrow_open() is in engine_open.c, colrow_step()
// in engine_step.c, lost ranks in engine_recover.c, what goes to users in engine_output.c, texts
// and numbers in engine_text.c.
#ifndef COLROW_ENGINE_ENGINE_H
#define COLROW_ENGINE_ENGINE_H

#include <colrow/colrow.h>
#include <stdbool.h>

#include "engine/budget.h"
#include "engine/crew.h"
#include "engine/kv_pool.h"
#include "engine/poll_queue.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/tokenizer_handle.h"
#include "hf/generation_config.h"
#include "model/model_config.h"
#include "model/plan.h"

// What the engine knows of lost ranks (engine_recover.c).
struct recovery {
    int restarts_max;   // without one step completed in between
    int n_losses;       // since the last completed step
    int n_losses_alone; // ... of them, while a suspect ran alone
    int n_suspects;     // requests; at least so many when it is not 0
    int64_t ready_ns;   // clock_ns() when the present ranks were loaded; 0: they are not
    int64_t lost_ns;    // ... when the loss was noticed that is being made good; 0: none is
    int64_t load_ns;    // how long it took then until ranks were ready again
    char reason[STATUS_MESSAGE_MAX]; // of the loss that no warning has told yet
};

struct colrow_engine {
    struct model_config config;
    struct generation_config generation;
    struct plan *plan;
    struct colrow_tokenizer *text;
    const struct tokenizer *tokenizer; // of `text`; NULL: the folder has none
    char model[FILE_PATH_MAX];
    char quantization[QUANTIZATION_TEXT]; // for people
    int tp_plan_fd; // holds a plan that came through a pipe, for ranks to read; -1: none
    const struct kernels *kernels;
    enum product_order order;
    int threads_per_rank;
    int steps_max; // under way at a time
    int64_t max_model_len;
    bool prompt_logits;
    bool by_priority; // scheduling_policy "priority"
    bool capture;     // hidden states; then no step is started ahead, so that they stay
    uint64_t seed;
    uint64_t file_bytes; // that the ranks read together while loading
    double begun;        // clock_seconds() when loading began

    struct crew *crew;
    struct engine_nodes *nodes;         // other machines that have ranks; NULL: there are none
    struct colrow_cluster *own_cluster; // theirs, to be left with the engine; NULL: the caller's
    struct opening *opening; // NULL, or kept to go on with fewer nodes (engine_degrade.c)
    struct step_limits limits;
    struct kv_pool *pool;
    uint64_t kv_page_bytes;     // over all ranks
    bool pool_at_once;          // all pages are to be touched, as somebody said how many there are
    int64_t pages_wanted;       // touched by the ranks, or to be
    int64_t pages_short_ns;     // clock_ns() when memory was last found short, 0: it was not
    struct prefix_cache *cache; // NULL while hidden states are captured: every row is computed
    struct scheduler scheduler;
    struct speculation speculation;
    struct sampler *sampler;

    struct request *first_request, *last_request;
    size_t request_bytes, request_bytes_max; // that all of them reserve, and may
    int n_requests, n_cancelled;             // n_cancelled: asked for, not yet carried out
    uint64_t next_number;
    struct completion *first_output, *last_output; // to be handed over
    struct poll_queue polled;

    bool taking; // results of the oldest step under way: those of its first n_taken members
    int32_t n_taken;
    struct completion *handing; // its logits of prompt tokens are being handed over, its output is
                                // not queued yet; or NULL
    int64_t slice_ns;           // colrow_advance() takes results for about so long
    int32_t piece_bytes;        // of logits that one output of many brings
    bool handing_over;          // a callback is running
    bool over;                  // the crew is broken, and nobody has restarted it
    bool listening;             // somebody has colrow_fd()
    int64_t end_ns;             // of the step taken last
    int32_t n_rows_last;        // of the step taken last; 0: the ranks have done none
    struct recovery recovery;

    struct colrow_statistics statistics;
};

// Steps were posted, and their results not all taken.
static inline bool engine_in_flight(const struct colrow_engine *engine)
{
    return engine->scheduler.n_under_way > 0;
}

// engine_options.c
// What the program gave, with the defaults of what it does not know.
enum status engine_take_options(const struct colrow_options *given,
                                struct colrow_options *out) STATUS_MUST_USE;
enum status engine_check_options(const struct colrow_options *options) STATUS_MUST_USE;

// engine_recover.c
// ERR_GROUP with the sentence why an engine is over, or why its crew is broken.
enum status engine_fail(const struct colrow_engine *engine);
// The crew is broken: starts it again, with every request back in the queue. False: that has been
// tried often enough, the engine is over and every request has failed.
bool engine_lose_crew(struct colrow_engine *engine);
void engine_note_ready(struct colrow_engine *engine); // the ranks are loaded
void engine_note_step(struct colrow_engine *engine);  // a step is complete

// engine_degrade.c
// The nodes that are lost do not come back, and the engine may do without: finds a layout for those
// that are left. engine->plan is its plan then, which nobody uses yet.
enum status engine_find_layout(struct colrow_engine *engine) STATUS_MUST_USE;
bool engine_may_degrade(const struct colrow_engine *engine);
// With that layout, and no page held: pages, ranks and nodes as it wants them.
enum status engine_take_layout(struct colrow_engine *engine) STATUS_MUST_USE;

// engine_suspects.c
// Those under way, before they are forgotten.
void engine_note_lost_steps(struct colrow_engine *engine);
// ... and after that: requests that were found too often fail.
void engine_give_up_culprits(struct colrow_engine *engine);
// Before a step is planned: whether a request is to run alone, and which.
void engine_choose_alone(struct colrow_engine *engine);

// engine_step.c
// True when all results of the oldest step under way are taken. What is not yet taken when the time
// is over counts as under way.
bool engine_take_results(struct colrow_engine *engine, int64_t end_ns);
// The user will not get the rows of `handing` that are left.
void engine_drop_rows(struct colrow_engine *engine);
// Ends every open sequence of a request. What a step under way contains leaves the scheduler when
// its results are in. `fault` and `error` are for COLROW_FAILED.
void engine_end_request(struct colrow_engine *engine, struct request *request,
                        enum colrow_finish finish, enum status fault, const char *error);
void engine_end_cancelled(struct colrow_engine *engine);
// Waits for the ranks to load; `progress` may be NULL.
enum status engine_await_ready(struct colrow_engine *engine, void (*progress)(void *context),
                               void *context) STATUS_MUST_USE;
// News for colrow_advance() that do not come from the ranks.
static inline void engine_ring(struct colrow_engine *engine)
{
    if (engine->listening)
        crew_ring(engine->crew);
}

// engine_pages.c
int64_t engine_first_pages(const struct colrow_engine *engine); // touched before ranks are ready
// Before a step is planned: takes pages that have been touched, asks for more where they run short.
void engine_grow_pool(struct colrow_engine *engine);
bool engine_pool_grows(const struct colrow_engine *engine); // not all of it is usable yet
// The memory of all pages was the lost ranks', nobody holds one: the next ranks begin with what the
// queue needs, and the pool grows as ever.
void engine_begin_pool_anew(struct colrow_engine *engine);

// engine_output.c
void engine_queue_output(struct colrow_engine *engine, struct completion *completion);
// Hands over the next rows of `handing`'s logits ahead of the output they belong to. False: what is
// left goes with that, or its last output was handed over and `handing` is NULL.
bool engine_hand_over_logits(struct colrow_engine *engine);
// Hands over what is queued: all of it, or only what would not survive the next step.
void engine_hand_over(struct colrow_engine *engine, bool all);
// The last output was handed over: frees what the sequence held, and its request with its last
// sequence.
void engine_close_completion(struct colrow_engine *engine, struct completion *completion);
void engine_drop_requests(struct colrow_engine *engine);

// engine_text.c
enum colrow_error_class error_class_of(enum status status);
enum status engine_take_sampling(const struct colrow_sampling *given,
                                 struct colrow_sampling *out) STATUS_MUST_USE;

// What the model's own reading would call unusable input came with a request here.
static inline enum status of_a_request(enum status status)
{
    return status == ERR_INPUT || status == ERR_UNSUPPORTED ? status_recode(ERR_REQUEST) : status;
}

// A public function's result: 0, or -1 with the sentence recorded.
static inline int engine_result(enum status status)
{
    return status == OK ? 0 : -1;
}

#endif
