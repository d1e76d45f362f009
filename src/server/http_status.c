#include "server/http_site.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// Types as vLLM and the OpenAI client spell them.
static const struct status_text {
    int status;
    const char *phrase, *type;
} texts[] = {
    {200, "OK", NULL},
    {202, "Accepted", NULL},
    {204, "No Content", NULL},
    {307, "Temporary Redirect", NULL},
    {400, "Bad Request", "BadRequestError"},
    {401, "Unauthorized", "AuthenticationError"},
    {403, "Forbidden", "PermissionDeniedError"},
    {404, "Not Found", "NotFoundError"},
    {405, "Method Not Allowed", "MethodNotAllowedError"},
    {408, "Request Timeout", "RequestTimeoutError"},
    {413, "Content Too Large", "RequestTooLargeError"},
    {414, "URI Too Long", "RequestTooLargeError"},
    {415, "Unsupported Media Type", "UnsupportedMediaTypeError"},
    {417, "Expectation Failed", "BadRequestError"},
    {422, "Unprocessable Content", "UnprocessableEntityError"},
    {429, "Too Many Requests", "RateLimitError"},
    {431, "Request Header Fields Too Large", "RequestTooLargeError"},
    {500, "Internal Server Error", "InternalServerError"},
    {501, "Not Implemented", "NotImplementedError"},
    {503, "Service Unavailable", "ServiceUnavailableError"},
    {505, "HTTP Version Not Supported", "BadRequestError"},
};

static const struct status_text *status_text(int status)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return &texts[i];
    return NULL;
}

const char *http_status_phrase(int status)
{
    const struct status_text *text = status_text(status);
    return text ? text->phrase : "Status";
}

// "NotFoundError", for the error object.
static const char *http_status_type(int status)
{
    const struct status_text *text = status_text(status);
    return text && text->type ? text->type
           : status >= 500    ? "InternalServerError"
                              : "BadRequestError";
}

enum status http_error_text(int status, const char *type, const char *param, const char *message,
                            char **out)
{
    // Messages may quote a request: what is no UTF-8 in them is shown as '?'.
    char *clean = NULL;
    TRY(memory_text(message, &clean));
    json_t *text = json_string(clean);
    for (char *c = clean; !text && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    if (!text)
        text = json_string(clean);
    free(clean);
    json_t *object =
        text ? json_pack("{s:{s:o, s:s, s:s?, s:i}}", "error", "message", text, "type",
                         type ? type : http_status_type(status), "param", param, "code", status)
             : NULL;
    *out = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return *out ? OK : fail_memory(0, "an error object");
}
