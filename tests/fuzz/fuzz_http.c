// The input is what a client sends over one connection. However the bytes are cut, the same
// requests are read and the same statuses answered; with handlers that answer later, stream, and
// clients that take slowly or leave, every exchange ends once and all that was counted is given
// back.
#include "fuzz.h"

#include <stdio.h>

#include "../http_wire_mock.h"
#include "base/log.h"

enum { NEVER = 1 << 30 };

struct pretend {
    struct http_site site;
    struct mock_wire wire;
    struct bytes seen; // requests and statuses, in order
    bool at_once;
    uint64_t dice;
    struct http_exchange *open;
    bool streaming;
    int opened, ended;
};

static unsigned roll(struct pretend *p)
{
    p->dice = p->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(p->dice >> 33);
}

static void was_left(void *owner)
{
    struct pretend *p = owner;
    assert(p->open);
    p->open = NULL;
    p->ended++;
}

static void note(struct pretend *p, const struct http_request *request)
{
    assert(strlen(request->path) > 0 && request->body[request->body_bytes] == '\0');
    assert(request->body_bytes <= (size_t)p->site.options.body_bytes_max);
    assert(request->n_fields <= HTTP_FIELDS_MAX && strlen(request->id) <= HTTP_REQUEST_ID_MAX);
    enum status kept = bytes_format(&p->seen, "%d %s %s %zu ", (int)request->method, request->path,
                                    request->tail, request->body_bytes);
    if (kept == OK && request->body_bytes)
        kept = bytes_append(&p->seen, request->body, request->body_bytes);
    assert(kept == OK);
}

static void handle(struct http_exchange *x, void *owner)
{
    struct pretend *p = owner;
    assert(!p->open);
    note(p, http_exchange_request(x));
    p->opened++;
    if (p->at_once || roll(p) % 4 == 0) {
        p->ended++;
        http_answer_json(x, 200, "{}", 2);
        return;
    }
    p->open = x;
    p->streaming = roll(p) % 2;
    http_exchange_watch(x, &(struct http_watch){was_left, NULL, NULL, p});
    if (p->streaming)
        http_events_begin(x);
}

static void log_status(const struct http_record *record, void *owner)
{
    struct pretend *p = owner;
    assert(record->status == 0 || (record->status >= 200 && record->status < 600));
    enum status kept = bytes_format(&p->seen, "-> %d\n", record->status);
    assert(kept == OK);
}

// One thing that may happen while a client is connected.
static void happen(struct pretend *p)
{
    static char piece[100000];
    switch (roll(p) % 6) {
    case 0:
        p->wire.hold = !p->wire.hold;
        break;
    case 1:
        mock_take(&p->wire, roll(p) % 300000);
        break;
    case 2:
        mock_tick(&p->wire, roll(p) % 3000);
        break;
    case 3:
        if (p->open && p->streaming)
            http_events_send(p->open, piece, roll(p) % sizeof piece);
        break;
    default:
        if (p->open && (!p->streaming || roll(p) % 3 == 0)) {
            struct http_exchange *x = p->open;
            p->open = NULL;
            p->ended++;
            if (!p->streaming)
                http_answer_error(x, 429, NULL, "x", "later");
            else if (roll(p) % 8)
                http_stream_end(x);
            else
                http_stream_abort(x);
        }
    }
    mock_settle(&p->wire);
}

// Made once: keys are digests, which take longer than a request.
static const struct http_site *site_of_all(void)
{
    static struct http_site site;
    static bool made;
    static const char *const origins[] = {"http://a"};
    static const char *const keys[] = {"k"};
    struct http_options options;
    if (made)
        return &site;
    http_options_init(&options);
    options.body_bytes_max = 1 << 16;
    options.allowed_origins = origins;
    options.n_allowed_origins = 1;
    options.root_path = "/r";
    options.request_id_headers = true;
    options.api_keys = keys;
    options.n_api_keys = 1;
    enum status status = http_site_init(&site, &options);
    assert(status == OK);
    made = true;
    return &site;
}

static void pretend_begin(struct pretend *p, bool at_once, uint64_t dice)
{
    *p = (struct pretend){.at_once = at_once, .dice = dice};
    p->site = *site_of_all();
    bytes_init(&p->seen);
    if (at_once)
        p->site.options.header_ms = p->site.options.body_ms = p->site.options.idle_ms = NEVER;
    p->site.logger = log_status;
    p->site.logger_owner = p;
    enum status made = http_site_route(&p->site, HTTP_METHOD_GET, "/", 0, handle, p);
    if (made == OK)
        made = http_site_route(&p->site, HTTP_METHOD_POST, "/e", 0, handle, p);
    if (made == OK)
        made = http_site_route(&p->site, HTTP_METHOD_GET, "/v1/{tail}", 0, handle, p);
    assert(made == OK);
    mock_open(&p->wire, &p->site);
}

static void pretend_end(struct pretend *p)
{
    mock_close(&p->wire);
    const struct http_gauges *g = &p->site.gauges;
    assert(!p->open && p->opened == p->ended);
    assert(g->connections == 0 && g->exchanges == 0 && g->streams_paused == 0);
    assert(g->buffered_bytes == 0);
    bytes_fini(&p->site.event); // its own; all else is of the site of all
    bytes_fini(&p->site.chunk);
}

// In pieces of up to `piece` bytes: of all sizes, as the dice have it.
static void feed_cut(struct pretend *p, const uint8_t *data, size_t size, size_t piece)
{
    for (size_t at = 0, n; at < size; at += n) {
        n = 1 + roll(p) % piece;
        n = size - at < n ? size - at : n;
        mock_feed(&p->wire, data + at, n);
    }
}

// A byte at a time costs a run of the connection for each: long inputs are cut into so many pieces.
enum { PIECES = 48 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pretend whole, cut;
    const uint64_t dice = size * 31 + (size ? data[size / 2] : 0);
    log_set_level(LOG_ERROR);
    pretend_begin(&whole, true, dice);
    mock_feed(&whole.wire, data, size);
    pretend_end(&whole);
    pretend_begin(&cut, true, dice);
    feed_cut(&cut, data, size, 1 + 2 * size / PIECES);
    pretend_end(&cut);
    assert(cut.seen.length == whole.seen.length);
    assert(whole.seen.length == 0 ||
           memcmp(cut.seen.data, whole.seen.data, whole.seen.length) == 0);
    bytes_fini(&cut.seen);
    bytes_fini(&whole.seen);
    pretend_begin(&cut, false, dice);
    for (size_t at = 0, n; at < size && !mock_is_over(&cut.wire); at += n) {
        n = 1 + roll(&cut) % (64 + 2 * size / PIECES);
        n = size - at < n ? size - at : n;
        mock_feed(&cut.wire, data + at, n);
        happen(&cut);
    }
    for (int i = 0; i < 8; i++)
        happen(&cut);
    pretend_end(&cut);
    bytes_fini(&cut.seen);
    return 0;
}
