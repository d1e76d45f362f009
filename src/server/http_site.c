#include "server/http_site.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void http_options_init(struct http_options *options)
{
    static const char *const star[] = {"*"};
    *options = (struct http_options){
        .port = 8000,
        .listen_fd = -1,
        .root_path = "",
        .body_bytes_max = 8 << 20,
        .memory_bytes_max = 512 << 20,
        .connections_max = 8192,
        .header_ms = 10000,
        .body_ms = 60000,
        .idle_ms = 60000,
        .stalled_ms = 30000,
        .retry_after_s = 1,
        .allowed_methods = star,
        .n_allowed_methods = 1,
        .allowed_headers = star,
        .n_allowed_headers = 1,
    };
}

enum status http_site_init(struct http_site *site, const struct http_options *options)
{
    *site = (struct http_site){.options = *options, .date_s = -1};
    if (!site->options.root_path)
        site->options.root_path = "";
    size_t root = strlen(site->options.root_path);
    if (root > 0 && (options->root_path[0] != '/' || options->root_path[root - 1] == '/'))
        return fail(ERR_USAGE,
                    "flag --root-path is \"%s\"; expected a path such as /colrow, without a "
                    "slash at its end",
                    options->root_path);
    if (getrandom(site->id_seed, sizeof site->id_seed, 0) != (ssize_t)sizeof site->id_seed)
        return fail_errno("getrandom", "the kernel");
    return http_keys_read(site);
}

void http_site_fini(struct http_site *site)
{
    http_keys_fini(site);
    bytes_fini(&site->event);
    bytes_fini(&site->chunk);
}

const char *http_site_date(struct http_site *site)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t;
    if ((int64_t)now != site->date_s && gmtime_r(&now, &t)) {
        site->date_s = (int64_t)now;
        snprintf(site->date, sizeof site->date, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 days[t.tm_wday % 7], (unsigned)t.tm_mday % 100, months[t.tm_mon % 12],
                 (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                 (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
    }
    return site->date;
}

// Unlike any other of this server, and of other servers, like a UUID; no secret.
void http_site_request_id(struct http_site *site, char out[HTTP_REQUEST_ID_MAX + 1])
{
    uint64_t halves[2];
    memcpy(halves, site->id_seed, sizeof halves);
    uint64_t x = halves[0] + ++site->ids_made * UINT64_C(0x9e3779b97f4a7c15); // splitmix64
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    uint64_t y = halves[1] ^ site->ids_made;
    snprintf(out, HTTP_REQUEST_ID_MAX + 1, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(x >> 32),
             (unsigned)(x >> 16) & 0xffffu, (unsigned)x & 0xfffu,
             0x8000u | ((unsigned)(y >> 48) & 0x3fffu),
             (unsigned long long)(y & UINT64_C(0xffffffffffff)));
}

enum status http_site_route(struct http_site *site, enum http_method method, const char *path,
                            unsigned flags, http_handler *handler, void *owner)
{
    static const char tail[] = "/{tail}";
    assert(handler && path[0] == '/');
    if (site->n_routes == HTTP_ROUTES_MAX)
        return fail(ERR_INTERNAL, "more than %d routes", HTTP_ROUTES_MAX);
    size_t length = strlen(path), n = strlen(tail);
    bool has_tail = length > n && strcmp(path + length - n, tail) == 0;
    site->routes[site->n_routes++] =
        (struct http_route){method, path, has_tail ? length - n + 1 : 0, flags, handler, owner};
    return OK;
}

const char *http_site_path(const struct http_site *site, const char *path)
{
    size_t n = strlen(site->options.root_path);
    bool below = strncmp(path, site->options.root_path, n) == 0 && path[n] == '/';
    return below ? path + n : path;
}

static bool route_matches(const struct http_route *route, const char *path, size_t length,
                          const char **tail)
{
    *tail = "";
    if (route->prefix_length == 0)
        return strlen(route->path) == length && memcmp(route->path, path, length) == 0;
    if (length <= route->prefix_length || memcmp(route->path, path, route->prefix_length) != 0)
        return false;
    *tail = path + route->prefix_length;
    return true;
}

// The slash at a path's end is often wrong: is there a literal route with, or without, it?
static bool route_but_for_slash(const struct http_site *site, const char *path, size_t length)
{
    bool slash = length > 1 && path[length - 1] == '/';
    for (int i = 0; i < site->n_routes; i++) {
        const char *other = site->routes[i].path;
        size_t n = strlen(other);
        if (site->routes[i].prefix_length == 0 && n == (slash ? length - 1 : length + 1) &&
            memcmp(other, path, slash ? n : length) == 0 && (slash || other[n - 1] == '/'))
            return true;
    }
    return false;
}

void http_site_match(const struct http_site *site, enum http_method method, const char *path,
                     struct http_match *out)
{
    size_t length = strlen(path);
    *out = (struct http_match){.tail = ""};
    enum http_method wanted = method == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : method;
    bool gets = false, posts = false;
    for (int i = 0; i < site->n_routes && !out->route; i++) {
        const struct http_route *route = &site->routes[i];
        if (!route_matches(route, path, length, &out->tail))
            continue;
        if (route->method == wanted)
            out->route = route;
        gets |= route->method == HTTP_METHOD_GET;
        posts |= route->method == HTTP_METHOD_POST;
    }
    if (out->route)
        return;
    if (gets || posts)
        out->allow = gets && posts ? "GET, HEAD, POST" : gets ? "GET, HEAD" : "POST";
    else
        out->other_slash = route_but_for_slash(site, path, length);
}
