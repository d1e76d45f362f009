// Requests to the hub. One of two files answers: hub_http_curl.c, or hub_http_none.c of a build
// without libcurl.
#ifndef COLROW_CMD_HUB_HTTP_H
#define COLROW_CMD_HUB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "hf/hub_settings.h"

enum { HUB_URL_MAX = 8192, HUB_REDIRECTS_MAX = 8 };

// What came back. All of it is input: lengths are limited, nothing else is checked.
struct hub_answer {
    long status;                    // of HTTP; 0: there was no answer
    bool cut;                       // the connection failed, stood still, or closed before its end
    bool hopeless;                  // ... in a way that another try will not change (certificates)
    bool from_hub;                  // the last answer came from the hub's own host
    char trouble[256];              // why, if `cut`
    char code[64];                  // X-Error-Code
    char message[256];              // X-Error-Message
    char next[HUB_URL_MAX + 1];     // Link: <...>; rel="next"
    char location[HUB_URL_MAX + 1]; // of a redirect
    char encoding[32];              // Content-Encoding
    int64_t retry_after;            // seconds; -1: not said
    int64_t content_length;         // -1: not said
    bool has_range;                 // Content-Range: bytes first-last/total
    uint64_t first, last, total;
    char boundary[80]; // of multipart/byteranges; "": it is not
};

// A piece of the body of a 200 or 206. False ends the transfer.
typedef bool hub_sink(void *context, const struct hub_answer *answer, const void *data,
                      size_t bytes);
struct hub_request {
    const char *url;
    bool ranged;
    uint64_t first, last;
    const char *ranges; // "0-9,20-29" instead of these two; NULL: none
    hub_sink *sink;     // NULL: the body goes to `body`, at most `body_max` bytes of it
    void *context;      // for the sink
    struct bytes *body; // the caller's
    size_t body_max;
    const char *caller; // behind our name in User-Agent; NULL: nothing
    char *found;        // HUB_URL_MAX + 1 bytes: the address that answered at last; NULL: not asked
};

// Of one thread.
struct hub_client;
struct hub_http {
    bool exists; // false: open() always fails
    // `stopped` is asked several times a second whether to end a transfer.
    enum status (*open)(const struct hub_settings *settings, const char *token,
                        bool (*stopped)(void *), void *context, struct hub_client **out);
    void (*close)(struct hub_client *client); // accepts NULL
    // Follows redirects: the token goes to the hub's own scheme, host and port alone, and nothing
    // leaves https for http. OK whatever came back; `answer` says what.
    enum status (*get)(struct hub_client *client, const struct hub_request *request,
                       struct hub_answer *answer);
    // Is `url` at the hub's own scheme, host and port?
    bool (*owns)(struct hub_client *client, const char *url);
};
extern const struct hub_http hub_http;

#endif
