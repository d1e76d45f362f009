// What the files of the server share.
#ifndef COLROW_SERVER_SERVE_STATE_H
#define COLROW_SERVER_SERVE_STATE_H

#include <uv.h>

#include "server/api_answer.h"
#include "server/api_lookup.h"
#include "server/metrics.h"
#include "server/serve.h"

enum { SERVE_NOTES_MAX = 4096, SERVE_SIGNALS = 3, SERVE_NOTICE_BYTES = 2048 };

// What the log says of a request beyond its HTTP side.
struct serve_note {
    char id[API_ID_MAX];
    int prompt_tokens, completion_tokens;
    int draft_tokens, accepted_draft_tokens;
    const char *finish;
    double first_token_seconds; // < 0: none came
    struct serve_note *next;
};

// What the service manager was told last, and what tells whether the server gets on.
struct serve_notice {
    uv_timer_t timer;
    char text[SERVE_NOTICE_BYTES];
    bool ready;                        // READY=1 was said
    bool hungry;                       // WATCHDOG=1 is withheld
    uint64_t sum;                      // see gets_on()
    enum colrow_state state;           // of the engine
    int64_t moved_ns, fed_ns, tick_ns; // clock_ns(); the timer's period
};

struct serve_server {
    const struct serve_options *options;
    struct colrow_engine *engine;
    struct api_model model;
    struct metrics metrics;
    uv_loop_t loop;
    uv_poll_t engine_ready;
    uv_signal_t signals[SERVE_SIGNALS]; // serve_signals
    uv_timer_t patience;                // of a shutdown
    struct serve_notice notice;
    struct http_server *http;
    struct serve_job *jobs; // alive
    int n_jobs;             // requests being worked on: /load
    int n_queued;           // no token yet
    int64_t queued_tokens;
    struct colrow_statistics seen; // at the last step
    struct serve_note *notes;
    int n_notes;
    bool loaded; // the engine was ready once: from now on requests may wait for its ranks
    bool draining, closed;
    enum status status;
};

// A request, from its arrival until the engine has let go of all its sequences.
struct serve_submission {
    struct serve_job *job;
    int prompt;
    uint64_t number; // the engine's
    bool submitted;
};

struct serve_times {
    int64_t first_ns, last_ns; // of a sequence's tokens; 0: there was none
};

struct serve_job {
    struct serve_server *server;
    struct serve_job *previous, *next;
    const struct serve_endpoint *endpoint;
    struct http_exchange *exchange; // NULL: the client is gone, or has its answer
    char *body;
    size_t body_bytes;
    char given_id[API_ID_MAX]; // X-Request-Id; "" without
    char log_id[API_ID_MAX];
    uv_work_t work;
    struct api_request request;
    struct api_fault fault;
    struct bytes out;
    struct api_answer *answer;
    struct serve_submission *submissions; // [n_prompts]
    int n_open;                           // sequences that the engine has
    bool elsewhere;                       // another thread reads it, or writes its answer
    bool written;                         // by that thread
    bool slow;                            // its client is
    int due;                              // the prompt whose log-probabilities it writes
    bool queued, streaming;               // queued: counted as one without a first token
    int64_t queued_tokens;                // of it, once its prompts are known
    int64_t received_ns, submitted_ns, first_ns;
    struct serve_times *times; // [n_choices]
};

struct serve_endpoint {
    const char *path;
    // An answer at once (JSON), or a request for the engine: one of the two. On any thread.
    bool (*look_up)(const struct api_model *model, const json_t *body, struct bytes *out,
                    struct api_fault *fault);
    enum api_kind kind;
    bool (*read)(struct api_request *request, const struct api_model *model, const char *given_id,
                 struct api_fault *fault);
    const struct answer_form *form;
};

// serve_jobs.c
http_handler serve_job_begin; // its owner is a struct serve_binding
struct serve_binding {
    struct serve_server *server;
    const struct serve_endpoint *endpoint;
};
void serve_jobs_cancel(struct serve_server *server, const char *why);
// Those whose sequences the engine still has: from now on it must only be closed.
void serve_jobs_fini(struct serve_server *server);

// serve_health.c
enum serve_condition {
    SERVE_READY,
    SERVE_LOADS,
    SERVE_RESTARTS,
    SERVE_STALLS, // a step takes too long, which will end in a restart if it goes on
    SERVE_DRAINS,
    SERVE_ENDS
};
// `why` gets a sentence, empty where it is SERVE_READY.
enum serve_condition serve_condition(const struct serve_server *server, char *why, size_t capacity);
// Answers 503 while the engine loads for the first time, and then says false.
bool serve_is_loaded(const struct serve_server *server, struct http_exchange *exchange);
http_handler serve_answer_health, serve_answer_load; // their owner is the server

// serve_expert_metrics.c: appends to /metrics; nothing for a model without experts.
enum status serve_write_expert_metrics(const struct serve_server *server, int n_ranks,
                                       struct bytes *out) STATUS_MUST_USE;

// serve_draft_metrics.c: likewise; nothing where nothing is drafted.
enum status serve_write_draft_metrics(const struct serve_server *server,
                                      const struct colrow_info *info,
                                      struct bytes *out) STATUS_MUST_USE;

// serve_routes.c
enum status serve_routes(struct serve_server *server) STATUS_MUST_USE;
void serve_measure(struct serve_server *server); // after a step

// serve_end.c
extern const int serve_signals[SERVE_SIGNALS]; // that the loop takes
enum status serve_signals_begin(struct serve_server *server) STATUS_MUST_USE;
void serve_signals_end(struct serve_server *server); // none does anything any more
// From here on the loop only runs out: requests are answered 503, connections end.
void serve_close(struct serve_server *server);

// serve_reload.c
bool serve_can_reload(const struct serve_server *server); // there is a file of keys or certificates
void serve_reload(struct serve_server *server);

// serve_notify.c
enum status serve_notice_begin(struct serve_server *server) STATUS_MUST_USE;
void serve_notice_tell(struct serve_server *server); // what has changed
void serve_notice_reload(struct serve_server *server, bool begins);
void serve_notice_stopping(struct serve_server *server);

// serve_log.c
http_logger serve_log;
void serve_note_end(struct serve_server *server, const struct serve_job *job);
void serve_notes_fini(struct serve_server *server);

#endif
