// libcurl's easy interface, a handle a thread. Redirects are followed here and not by libcurl,
// since the hub's have rules of their own for the token.
#include "cmd/hub_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_SECONDS = 10,
    STILL_SECONDS = 10, // without a byte: HF_HUB_DOWNLOAD_TIMEOUT's default
    STILL_SECONDS_MAX = 3600,
    BUFFER_BYTES = 256 << 10,
};

struct hub_client {
    CURL *curl;
    char origin[HUB_ENDPOINT_MAX + 16]; // scheme://host:port of the hub
    char token[HUB_TOKEN_MAX + 32];     // the whole header line, or ""
    bool (*stopped)(void *);
    void *context;
    long still_seconds;
    char error[CURL_ERROR_SIZE];
    const struct hub_request *request; // the one under way
    struct hub_answer *answer;
    enum status status; // what a callback met
};

static pthread_once_t begun = PTHREAD_ONCE_INIT;
static CURLcode begun_with;

static void begin_curl(void)
{
    begun_with = curl_global_init(CURL_GLOBAL_DEFAULT);
}

// "https://host:443" of `url`, in one way of writing.
static bool origin_of(const char *url, char *out, size_t room)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *parts = curl_url();
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    if (good)
        good = snprintf(out, room, "%s://%s:%s", scheme, host, port) < (int)room;
    for (char *c = out; good && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return good;
}

static bool owns_address(struct hub_client *client, const char *url)
{
    char origin[sizeof client->origin];
    return origin_of(url, origin, sizeof origin) && strcmp(origin, client->origin) == 0;
}

// `name: value` of the line if it has that name.
static const char *value_of(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    line += length + 1;
    return line + strspn(line, " \t");
}

// <URL>; rel="next" among the links of a line.
static void take_next(struct hub_answer *answer, const char *value)
{
    for (const char *at = strchr(value, '<'); at; at = strchr(at + 1, '<')) {
        size_t length = strcspn(at + 1, ">");
        const char *rest = at + 1 + length;
        size_t until = strcspn(rest, ",");
        const char *relation = strstr(rest, "rel=\"next\"");
        if (relation && relation < rest + until && length <= HUB_URL_MAX) {
            snprintf(answer->next, sizeof answer->next, "%.*s", (int)length, at + 1);
            return;
        }
    }
}

static int64_t whole_number_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    return end == text || number < 0 ? -1 : number;
}

static bool take_range(struct hub_answer *answer, const char *value)
{
    unsigned long long first, last, total;
    if (sscanf(value, "bytes %20llu-%20llu/%20llu", &first, &last, &total) != 3)
        return false;
    answer->first = first;
    answer->last = last;
    answer->total = total;
    return true;
}

static void take_boundary(struct hub_answer *answer, const char *value)
{
    static const char kind[] = "multipart/byteranges";
    const char *at = strstr(value, "boundary=");
    if (strncasecmp(value, kind, sizeof kind - 1) != 0 || !at)
        return;
    at += strlen("boundary=");
    at += *at == '"';
    size_t length = strcspn(at, "\"; \t");
    if (length < sizeof answer->boundary)
        snprintf(answer->boundary, sizeof answer->boundary, "%.*s", (int)length, at);
}

static void take_header(struct hub_answer *answer, const char *line)
{
    const char *value;
    if ((value = value_of(line, "X-Error-Code")))
        snprintf(answer->code, sizeof answer->code, "%s", value);
    else if ((value = value_of(line, "X-Error-Message")))
        snprintf(answer->message, sizeof answer->message, "%s", value);
    else if ((value = value_of(line, "Link")))
        take_next(answer, value);
    else if ((value = value_of(line, "Location")) && strlen(value) <= HUB_URL_MAX)
        snprintf(answer->location, sizeof answer->location, "%s", value);
    else if ((value = value_of(line, "Content-Type")))
        take_boundary(answer, value);
    else if ((value = value_of(line, "Content-Encoding")))
        snprintf(answer->encoding, sizeof answer->encoding, "%s", value);
    else if ((value = value_of(line, "Content-Length")))
        answer->content_length = whole_number_of(value);
    else if ((value = value_of(line, "Retry-After")))
        answer->retry_after = whole_number_of(value);
    else if ((value = value_of(line, "RateLimit")) && strstr(value, ";t=") &&
             answer->retry_after < 0)
        answer->retry_after = whole_number_of(strstr(value, ";t=") + 3);
    else if ((value = value_of(line, "Content-Range")))
        answer->has_range = take_range(answer, value);
}

static size_t on_header(char *data, size_t size, size_t n, void *context)
{
    struct hub_client *client = context;
    char line[HUB_URL_MAX + 64];
    size_t length = size * n;
    if (length > 5 && strncmp(data, "HTTP/", 5) == 0) { // also behind a 100
        *client->answer = (struct hub_answer){.retry_after = -1, .content_length = -1};
        return length;
    }
    if (length < sizeof line) {
        size_t end = length;
        while (end && strchr("\r\n \t", data[end - 1]) && data[end - 1])
            end--;
        snprintf(line, sizeof line, "%.*s", (int)end, data);
        take_header(client->answer, line);
    }
    return length;
}

static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    struct hub_client *client = context;
    const struct hub_request *request = client->request;
    size_t length = size * n;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &client->answer->status);
    bool wanted = client->answer->status == 200 || client->answer->status == 206;
    if (request->sink)
        return !wanted || request->sink(request->context, client->answer, data, length) ? length
                                                                                        : 0;
    if (length > request->body_max - request->body->length) {
        client->status = fail(ERR_INPUT, "%.300s: the answer has more than %zu bytes", request->url,
                              request->body_max);
        return 0;
    }
    client->status = bytes_append(request->body, data, length);
    return client->status == OK ? length : 0;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct hub_client *client = context;
    (void)total, (void)now, (void)up_total, (void)up_now;
    return client->stopped(client->context);
}

static long still_seconds(void)
{
    const char *text = getenv("HF_HUB_DOWNLOAD_TIMEOUT");
    int64_t seconds = text ? whole_number_of(text) : -1;
    return seconds >= 1 && seconds <= STILL_SECONDS_MAX ? (long)seconds : STILL_SECONDS;
}

static bool set_options(struct hub_client *c)
{
    CURL *curl = c->curl;
    return curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, c->still_seconds) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->error) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, c) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, c) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
}

static void close_client(struct hub_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    free(client);
}

static enum status open_client(const struct hub_settings *settings, const char *token,
                               bool (*stopped)(void *), void *context, struct hub_client **out)
{
    struct hub_client *c;
    pthread_once(&begun, begin_curl);
    if (begun_with != CURLE_OK)
        return fail(ERR_INTERNAL, "libcurl cannot start: %s", curl_easy_strerror(begun_with));
    TRY(memory_new(1, sizeof *c, "a client of the hub", &c));
    c->stopped = stopped;
    c->context = context;
    c->still_seconds = still_seconds();
    if (*token)
        snprintf(c->token, sizeof c->token, "Authorization: Bearer %s", token);
    c->curl = curl_easy_init();
    if (!c->curl || !set_options(c)) {
        close_client(c);
        return fail(ERR_INTERNAL, "libcurl lacks an option that colrow needs (7.85 has them all)");
    }
    if (!origin_of(settings->endpoint, c->origin, sizeof c->origin)) {
        close_client(c);
        return fail(ERR_USAGE,
                    "HF_ENDPOINT is \"%s\"; expected the hub's address, as "
                    "https://huggingface.co",
                    settings->endpoint);
    }
    *out = c;
    return OK;
}

static bool append_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer)
        *headers = longer;
    return longer != NULL;
}

// One request at one address.
static enum status get_once(struct hub_client *c, const char *url)
{
    struct curl_slist *headers = NULL;
    char range[64], agent[128];
    c->answer->from_hub = owns_address(c, url);
    bool from_hub = c->answer->from_hub;
    // Compressed, a range would count other bytes.
    bool good = append_header(&headers, "Accept-Encoding: identity");
    if (from_hub && c->token[0])
        good = good && append_header(&headers, c->token);
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)c->request->first,
             (unsigned long long)c->request->last);
    const char *caller = c->request->caller;
    snprintf(agent, sizeof agent, "colrow/" COLROW_VERSION "%s%s", caller ? "; " : "",
             caller ? caller : "");
    const char *asked = c->request->ranges ? c->request->ranges : range;
    good = good && curl_easy_setopt(c->curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c->curl, CURLOPT_USERAGENT, agent) == CURLE_OK &&
           curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(c->curl, CURLOPT_RANGE, c->request->ranged ? asked : NULL) == CURLE_OK;
    if (!good) {
        curl_slist_free_all(headers);
        return fail_memory(HUB_URL_MAX, "a request");
    }
    *c->answer = (struct hub_answer){.retry_after = -1, .content_length = -1};
    c->error[0] = '\0';
    c->status = OK;
    CURLcode code = curl_easy_perform(c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->answer->status);
    curl_slist_free_all(headers);
    c->answer->from_hub = from_hub;
    c->answer->cut = code != CURLE_OK;
    c->answer->hopeless = code == CURLE_PEER_FAILED_VERIFICATION ||
                          code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
                          code == CURLE_SSL_CACERT_BADFILE;
    if (code != CURLE_OK)
        snprintf(c->answer->trouble, sizeof c->answer->trouble, "%s",
                 c->error[0] ? c->error : curl_easy_strerror(code));
    return c->status;
}

// The address that a redirect from `url` leads to, into `url` (HUB_URL_MAX + 1 bytes).
static enum status follow_location(char *url, const char *location)
{
    char *whole = NULL;
    CURLU *parts = curl_url();
    bool secure = strncasecmp(url, "https:", 6) == 0;
    enum status status = OK;
    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_set(parts, CURLUPART_URL, location, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_URL, &whole, 0) != CURLUE_OK || strlen(whole) > HUB_URL_MAX)
        status =
            fail(ERR_INPUT, "%.300s: redirects to \"%.300s\", which is no address", url, location);
    else if (secure && strncasecmp(whole, "https:", 6) != 0)
        status = fail(ERR_INPUT, "%.300s: redirects away from https, to %.300s", url, whole);
    else
        snprintf(url, HUB_URL_MAX + 1, "%s", whole);
    curl_free(whole);
    curl_url_cleanup(parts);
    return status;
}

static enum status get_following(struct hub_client *c, const struct hub_request *request,
                                 struct hub_answer *answer)
{
    char url[HUB_URL_MAX + 1];
    if (snprintf(url, sizeof url, "%s", request->url) >= (int)sizeof url)
        return fail(ERR_INPUT, "%.300s...: the address has more than %d bytes", request->url,
                    HUB_URL_MAX);
    c->request = request;
    c->answer = answer;
    for (int i = 0; i <= HUB_REDIRECTS_MAX; i++) {
        if (request->body)
            bytes_clear(request->body);
        TRY(get_once(c, url));
        if (request->found)
            snprintf(request->found, HUB_URL_MAX + 1, "%s", url);
        if (answer->status < 300 || answer->status >= 400 || !answer->location[0])
            return OK;
        TRY(follow_location(url, answer->location));
    }
    return fail(ERR_INPUT, "%.300s: redirects more than %d times", request->url, HUB_REDIRECTS_MAX);
}

const struct hub_http hub_http = {.exists = true,
                                  .open = open_client,
                                  .close = close_client,
                                  .get = get_following,
                                  .owns = owns_address};
