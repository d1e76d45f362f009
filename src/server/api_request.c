#include "server/api_request.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/json.h"
#include "base/utf8.h"

void api_request_init(struct api_request *request, enum api_kind kind)
{
    *request = (struct api_request){
        .kind = kind,
        .created = (int64_t)time(NULL),
        .add_special_tokens = kind == API_COMPLETION,
        .prompt_logprobs = -1,
        .truncate_prompt_tokens = INT64_MIN,
        .stream_interval = 1,
        .n = 1,
        .role = "assistant",
    };
    arena_init(&request->arena);
}

void api_request_fini(struct api_request *request)
{
    for (int i = 0; i < request->n_prompts; i++) {
        free(request->prompts[i].ids);
        free(request->prompts[i].text);
    }
    json_decref(request->body);
    arena_fini(&request->arena);
}

static bool id_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-_.:/+=@", c);
}

static void random_hex(char *out, int n)
{
    static _Atomic uint64_t counter;
    uint64_t number;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
        struct timespec now; // early at boot: unique is enough
        clock_gettime(CLOCK_REALTIME, &now);
        number = (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u + atomic_fetch_add(&counter, 1);
    }
    snprintf(out, (size_t)n + 1, "%016llx", (unsigned long long)number);
}

void api_request_name(struct api_request *request, const char *prefix, const char *given)
{
    size_t at = (size_t)snprintf(request->id, sizeof request->id, "%s", prefix), prefixed = at;
    for (const char *c = given ? given : ""; *c && at + 1 < sizeof request->id; c++)
        if (id_character(*c))
            request->id[at++] = *c;
    request->id[at] = 0;
    if (at == prefixed && at + 17 < sizeof request->id)
        random_hex(request->id + at, 16);
}

// ---- the body ----

// Python counts characters, and says at which one it stopped.
static size_t characters_before(const char *text, const char *end)
{
    size_t n = 0;
    for (; text < end; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

// The reader names the beginning of a string or number that is none, Python the place inside.
static const char *place_inside(const char *at, const char *end)
{
    const char *from = at;
    if (at < end && *at == '"') {
        for (at++; at < end; at++) {
            if ((unsigned char)*at < 0x20)
                return at;
            if (*at != '\\')
                continue;
            if (at + 1 == end || !strchr("\"\\/bfnrtu", at[1]))
                return at;
            at++;
        }
        return from; // without an end
    }
    at += at < end && *at == '-';
    return at < end && *at == '0' ? at + 1 : from;
}

// Reads it once more, for the place alone.
static bool not_json(const char *body, size_t length, struct api_fault *fault)
{
    char path[64], message[STATUS_MESSAGE_MAX];
    struct json_reader reader = {"body", body, body, body + length, JSON_PYTHON};
    struct bytes scratch;
    bytes_init(&scratch);
    snprintf(message, sizeof message, "%s", status_message());
    size_t at;
    if (!utf8_check(body, length, &at)) // which the reader relies on
        reader.at = body + at;
    else if (json_reader_skip(&reader, &scratch) == OK && json_reader_finish(&reader) == OK)
        reader.at = reader.end; // too many values: nothing is wrong at any one place
    bytes_fini(&scratch);
    snprintf(path, sizeof path, "body.%zu",
             characters_before(body, place_inside(reader.at, reader.end)));
    return fault_in_body(fault, path, "%s", message);
}

bool api_body_parse(const char *body, size_t length, json_t **out, struct api_fault *fault)
{
    static const char mark[] = "\xEF\xBB\xBF";
    *out = NULL;
    if (length >= 3 && memcmp(body, mark, 3) == 0) {
        body += 3;
        length -= 3;
    }
    if (length == 0)
        return fault_in_body(fault, "body", "the request has no body; expected a JSON object");
    enum status status =
        json_parse_within("the body", body, length, JSON_PYTHON, JSON_REQUEST_NODES_MAX, out);
    if (status == ERR_MEMORY)
        return fault_of_status(fault, status);
    if (status != OK)
        return not_json(body, length, fault);
    if (json_is_object(*out))
        return true;
    fault_in_body(fault, "body", "the body is %s; expected a JSON object", json_kind(*out));
    json_decref(*out);
    *out = NULL;
    return false;
}
