// The engine: what a struct colrow_engine holds. colrow_open() is in engine_open.c, colrow_step()
// in engine_step.c, what goes to users in engine_output.c, texts and numbers in engine_text.c and
// engine_report.c.
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
#include "hf/model_config.h"
#include "model/plan.h"

struct colrow_engine {
    struct model_config config;
    struct generation_config generation;
    struct plan *plan;
    struct colrow_tokenizer *text;
    const struct tokenizer *tokenizer; // of `text`; NULL: the folder has none
    char model[FILE_PATH_MAX];
    int tp_plan_fd; // holds a plan that came through a pipe, for ranks to read; -1: none
    const struct kernels *kernels;
    enum product_order order;
    int threads_per_rank;
    int64_t max_model_len;
    bool prompt_logits;
    bool by_priority; // scheduling_policy "priority"
    bool capture;     // hidden states; then no step is started ahead, so that they stay
    uint64_t seed;
    uint64_t file_bytes; // that the ranks read together while loading
    double begun;        // clock_seconds() when loading began

    struct crew *crew;
    struct step_limits limits;
    struct kv_pool *pool;
    uint64_t kv_page_bytes;     // over all ranks
    bool pool_at_once;          // all pages are to be touched, as somebody said how many there are
    int64_t pages_wanted;       // touched by the ranks, or to be
    int64_t pages_short_ns;     // clock_ns() when memory was last found short, 0: it was not
    struct prefix_cache *cache; // NULL while hidden states are captured: every row is computed
    struct scheduler scheduler;
    struct sampler *sampler;

    struct request *first_request, *last_request;
    size_t request_bytes, request_bytes_max; // that all of them reserve, and may
    int n_requests, n_cancelled;             // n_cancelled: asked for, not yet carried out
    uint64_t next_number;
    struct completion *first_output, *last_output; // to be handed over
    struct poll_queue polled;

    bool in_flight; // a step was posted and its results not all taken
    bool taking;    // ... but some of them, those of the first n_taken members
    int32_t n_taken;
    struct completion *handing; // its logits of prompt tokens are being handed over, its output is
                                // not queued yet; or NULL
    int64_t slice_ns;           // colrow_advance() takes results for about so long
    int32_t piece_bytes;        // of logits that one output of many brings
    bool continuous;            // ... right after the step before
    bool handing_over;          // a callback is running
    bool over;                  // the crew is broken, and nobody has restarted it
    bool listening;             // somebody has colrow_fd()
    int64_t launch_ns, end_ns;  // of the step raised last, of the one taken last
    int32_t n_rows_last;

    struct colrow_statistics statistics;
};

// engine_step.c
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
