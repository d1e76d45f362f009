// A client of the OpenAI API for measuring: many requests at once in one libuv loop, and the moment
// at which each piece of an answer came.
#ifndef COLROW_CMD_BENCH_CLIENT_H
#define COLROW_CMD_BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/memory.h"

// Where to ask.
struct bench_target {
    struct sockaddr_storage address;
    const char *host;    // for Host
    const char *api_key; // or NULL
};
// "http://host:port", with a path after it or not; `*path` is borrowed from `url`. Resolves the
// name. `host` keeps what `target->host` points to (256 bytes).
enum status bench_target_parse(const char *url, struct bench_target *target, char *host,
                               const char **path) STATUS_MUST_USE;

enum { BENCH_ERROR_BYTES = 160 };

// One request and its answer.
struct bench_call {
    // filled in before
    const char *path;
    const char *body; // JSON, heap; NULL: a GET
    bool stream;      // the answer is events
    // afterwards
    bool done, good;
    char error[BENCH_ERROR_BYTES]; // why not good
    struct bytes text;             // body of an answer that is not events
    int64_t begun_ns, first_ns, ended_ns;
    int64_t *gaps_ns; // between pieces with text; [n_gaps]
    size_t n_gaps, gaps_capacity;
    int64_t last_ns;
    int prompt_tokens, completion_tokens; // the server's count; -1: it gave none
    int n_pieces;
};
void bench_call_fini(struct bench_call *call); // frees `body`, too

// Starts it; `finished` is called from the loop when it is done.
void bench_call_begin(uv_loop_t *loop, const struct bench_target *target, struct bench_call *call,
                      int timeout_ms, void (*finished)(struct bench_call *call, void *owner),
                      void *owner);

#endif
