// What is wrong with a request, as vLLM's error object says it: status, type, param, code.
#ifndef COLROW_SERVER_API_FAULT_H
#define COLROW_SERVER_API_FAULT_H

#include <colrow/colrow.h>
#include <stdbool.h>

#include "base/status.h"

enum { API_PARAM_MAX = 256, API_MESSAGE_MAX = 1024 };

struct api_fault {
    int status; // of HTTP; 0: nothing is wrong
    const char *type;
    bool has_param;
    char param[API_PARAM_MAX];
    char message[API_MESSAGE_MAX];
};

// All keep the fault that came first, and return false.
//
// The value has no form that the field takes: "Bad Request" with the place in the body.
bool fault_in_body(struct api_fault *fault, const char *path, const char *format, ...)
    STATUS_PRINTF(3, 4);
// The value has the right form, and cannot be used: "BadRequestError". `param` may be NULL.
bool fault_of_field(struct api_fault *fault, const char *param, const char *format, ...)
    STATUS_PRINTF(3, 4);
// Any other: 404, 429, 503, ... `param` may be NULL.
bool fault_with(struct api_fault *fault, int status, const char *type, const char *param,
                const char *format, ...) STATUS_PRINTF(5, 6);
// What the engine said, by its class.
bool fault_of_engine(struct api_fault *fault, enum colrow_error_class error, const char *message);
// A failure of ours on the way: the sentence recorded last.
bool fault_of_status(struct api_fault *fault, enum status status);

#endif
