// The flags of everything that listens: address, keys, CORS, TLS, limits; vLLM's names where it has
// them.
#ifndef COLROW_CMD_HTTP_FLAGS_H
#define COLROW_CMD_HTTP_FLAGS_H

#include <jansson.h>

#include "base/memory.h"
#include "cmd/flags.h"
#include "server/http.h"

struct http_flags {
    struct http_options options;
    struct flag_texts keys;
    const char *origins, *methods, *headers;
    double header_s, body_s, idle_s, stalled_s;
    const char **key_list; // all keys but a file's
    size_t key_list_capacity;
    json_t *lists[3]; // origins, methods, headers
    const char **list_items[3];
};

enum { HTTP_FLAGS = 24 };
void http_flags_init(struct http_flags *flags);
extern const struct flag http_flag_rows[HTTP_FLAGS]; // of a struct http_flags
// After parsing: reads VLLM_API_KEY, takes lists apart, looks at files. `flags->options` is then
// complete and lives as long as `flags`.
enum status http_flags_finish(struct http_flags *flags) STATUS_MUST_USE;
void http_flags_fini(struct http_flags *flags);

#endif
