// The server of `colrow serve`: HTTP, the API and the engine on one loop.
#ifndef COLROW_SERVER_SERVE_H
#define COLROW_SERVER_SERVE_H

#include <colrow/colrow.h>
#include <stdbool.h>

#include "base/status.h"
#include "server/http.h"
#include "server/service_manager.h"

struct serve_options {
    struct http_options http;
    const char *model;               // folder
    const char *name;                // without served_names
    const char *chat_template;       // file in place of the folder's, or NULL
    const char *const *served_names; // answers carry the first; none: the folder as given
    int n_served_names;
    int max_logprobs;
    int max_num_queued_requests; // beyond: 429; 0: no bound
    int64_t max_num_queued_tokens;
    double shutdown_seconds;   // what runs may finish for so long after SIGTERM
    double memory_utilization; // for vllm:cache_config_info
    bool prompt_tokens_details, tokenizer_info, prompt_logprobs;
    bool log_requests, log_json;
    const struct service_manager *manager; // that is told what happens, or NULL
    // What is seen while the engine loads; any may be NULL.
    void (*listens)(void *context); // once, before: who has answered at its place stops
    void (*loading)(void *context, const struct colrow_gauges *gauges); // now and then
    void (*loaded)(void *context);                                      // once
    void (*interrupted)(void *context, int signal_number);              // that ends the loading
    void *loading_context;
};
void serve_options_init(struct serve_options *options);

// Listens at once; while the engine loads, what needs the model is answered 503. Serves until
// SIGTERM, SIGINT or SIGHUP, and returns OK after it has drained, for `shutdown_seconds` at most. A
// second signal ends at once, and the first does while the engine loads: ERR_CANCELLED where that
// cost somebody an answer, or the model. Requests that are cut off are named in the log. `engine`
// is open, may be loading (colrow_open_begin()), and stays the caller's.
enum status serve_run(const struct serve_options *options,
                      struct colrow_engine *engine) STATUS_MUST_USE;

#endif
