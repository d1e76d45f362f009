// CORS as Starlette's middleware does it, which is what vLLM's flags reach.
#include "server/http_site.h"

#include <string.h>
#include <strings.h>

static const char every_method[] = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY";
static const char *const simple_headers[] = {"Accept", "Accept-Language", "Content-Language",
                                             "Content-Type"};

static bool listed(const char *const *list, int n, struct http_text text)
{
    for (int i = 0; i < n; i++)
        if (http_text_equals(text, list[i]))
            return true;
    return false;
}

static bool has_star(const char *const *list, int n)
{
    return listed(list, n, (struct http_text){"*", 1});
}

static bool any_origin(const struct http_options *o)
{
    return has_star(o->allowed_origins, o->n_allowed_origins);
}

// Origins are compared with their case, as browsers send them.
static bool origin_allowed(const struct http_options *o, struct http_text origin)
{
    if (any_origin(o))
        return true;
    for (int i = 0; i < o->n_allowed_origins; i++)
        if (strlen(o->allowed_origins[i]) == origin.length &&
            memcmp(o->allowed_origins[i], origin.data, origin.length) == 0)
            return true;
    return false;
}

static enum status origin_fields(const struct http_options *o, struct http_text origin,
                                 struct bytes *fields)
{
    if (any_origin(o) && !o->allow_credentials)
        return bytes_text(fields, "access-control-allow-origin: *\r\n");
    TRY(bytes_format(fields, "access-control-allow-origin: %.*s\r\n", (int)origin.length,
                     origin.data));
    return o->allow_credentials ? bytes_text(fields, "access-control-allow-credentials: true\r\n")
                                : OK;
}

enum status http_cors_fields(const struct http_site *site, const struct http_request *request,
                             struct bytes *fields)
{
    const struct http_options *o = &site->options;
    struct http_text origin = {NULL, 0};
    if (request)
        origin = http_request_field(request, "Origin");
    if (origin.data && origin_allowed(o, origin))
        TRY(origin_fields(o, origin, fields));
    // Caches must know that another origin may get another answer.
    return any_origin(o) && !o->allow_credentials ? OK : bytes_text(fields, "vary: Origin\r\n");
}

bool http_cors_is_preflight(const struct http_request *request)
{
    return request->method == HTTP_METHOD_OPTIONS && http_request_field(request, "Origin").data &&
           http_request_field(request, "Access-Control-Request-Method").data;
}

static bool headers_allowed(const struct http_options *o, struct http_text wanted)
{
    if (!wanted.data)
        return true;
    const char *at = wanted.data, *end = at + wanted.length;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        const char *next = comma ? comma + 1 : end;
        while (at < stop && *at == ' ')
            at++;
        while (stop > at && stop[-1] == ' ')
            stop--;
        struct http_text name = {at, (size_t)(stop - at)};
        if (!listed(o->allowed_headers, o->n_allowed_headers, name) &&
            !listed(simple_headers, 4, name))
            return false;
        at = next;
    }
    return true;
}

static enum status list_field(struct bytes *fields, const char *name, const char *const *first,
                              int n_first, const char *const *list, int n)
{
    const char *separator = "";
    TRY(bytes_format(fields, "%s: ", name));
    for (int i = 0; i < n_first + n; i++) {
        TRY(bytes_format(fields, "%s%s", separator, i < n_first ? first[i] : list[i - n_first]));
        separator = ", ";
    }
    return bytes_text(fields, "\r\n");
}

enum status http_cors_preflight(const struct http_site *site, const struct http_request *request,
                                struct bytes *fields, struct bytes *refused)
{
    const struct http_options *o = &site->options;
    struct http_text origin = http_request_field(request, "Origin");
    struct http_text method = http_request_field(request, "Access-Control-Request-Method");
    struct http_text headers = http_request_field(request, "Access-Control-Request-Headers");
    bool every_header = has_star(o->allowed_headers, o->n_allowed_headers);
    bool all_methods = has_star(o->allowed_methods, o->n_allowed_methods);
    const char *separator = "";
    TRY(bytes_text(fields, "vary: Origin, Access-Control-Request-Method, "
                           "Access-Control-Request-Headers\r\naccess-control-max-age: 600\r\n"));
    if (all_methods)
        TRY(bytes_format(fields, "access-control-allow-methods: %s\r\n", every_method));
    else
        TRY(list_field(fields, "access-control-allow-methods", NULL, 0, o->allowed_methods,
                       o->n_allowed_methods));
    if (origin_allowed(o, origin)) {
        TRY(origin_fields(o, origin, fields));
    } else {
        TRY(bytes_text(refused, "origin"));
        separator = ", ";
    }
    if (!all_methods && !listed(o->allowed_methods, o->n_allowed_methods, method)) {
        TRY(bytes_format(refused, "%smethod", separator));
        separator = ", ";
    }
    if (every_header && headers.data)
        TRY(bytes_format(fields, "access-control-allow-headers: %.*s\r\n", (int)headers.length,
                         headers.data));
    if (!every_header)
        TRY(list_field(fields, "access-control-allow-headers", simple_headers, 4,
                       o->allowed_headers, o->n_allowed_headers));
    if (!every_header && !headers_allowed(o, headers))
        TRY(bytes_format(refused, "%sheaders", separator));
    return OK;
}
