#include "server/api_fault.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static bool say(struct api_fault *fault, int status, const char *type, const char *param,
                const char *format, va_list list)
{
    if (fault->status)
        return false;
    fault->status = status;
    fault->type = type;
    fault->has_param = param != NULL;
    snprintf(fault->param, sizeof fault->param, "%s", param ? param : "");
    vsnprintf(fault->message, sizeof fault->message, format, list);
    // what came from outside may have been cut inside a character
    for (size_t at; !utf8_check(fault->message, strlen(fault->message), &at);)
        fault->message[at] = '?';
    for (size_t at; !utf8_check(fault->param, strlen(fault->param), &at);)
        fault->param[at] = '?';
    return false;
}

bool fault_in_body(struct api_fault *fault, const char *path, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(fault, 400, "Bad Request", path, format, list);
    va_end(list);
    return false;
}

bool fault_of_field(struct api_fault *fault, const char *param, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(fault, 400, "BadRequestError", param, format, list);
    va_end(list);
    return false;
}

bool fault_with(struct api_fault *fault, int status, const char *type, const char *param,
                const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(fault, status, type, param, format, list);
    va_end(list);
    return false;
}

bool fault_of_engine(struct api_fault *fault, enum colrow_error_class error, const char *message)
{
    switch (error) {
    case COLROW_ERROR_NONE:
        return true;
    case COLROW_ERROR_INVALID_REQUEST:
    case COLROW_ERROR_TOO_LARGE:
        return fault_of_field(fault, NULL, "%s", message);
    case COLROW_ERROR_BUSY:
        return fault_with(fault, 429, "TooManyRequestsError", NULL, "%s", message);
    case COLROW_ERROR_GROUP_LOST:
    case COLROW_ERROR_MEMORY:
    case COLROW_ERROR_CANCELLED:
        return fault_with(fault, 503, "ServiceUnavailableError", NULL, "%s", message);
    case COLROW_ERROR_USAGE:
    case COLROW_ERROR_MODEL:
    case COLROW_ERROR_IO:
    case COLROW_ERROR_INTERNAL:
        break;
    }
    return fault_with(fault, 500, "InternalServerError", NULL, "%s", message);
}

bool fault_of_status(struct api_fault *fault, enum status status)
{
    if (status == OK)
        return true;
    const char *message = status_message();
    if (status == ERR_REQUEST || status == ERR_TOO_LARGE || status == ERR_INPUT ||
        status == ERR_UNSUPPORTED)
        return fault_of_field(fault, NULL, "%s", message);
    if (status == ERR_MEMORY)
        return fault_with(fault, 503, "ServiceUnavailableError", NULL, "%s", message);
    return fault_with(fault, 500, "InternalServerError", NULL, "%s", message);
}
