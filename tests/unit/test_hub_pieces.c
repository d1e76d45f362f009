#include "testing.h"

#include "pretend_hub.h"

enum { FILE_BYTES = 40000, OFFSET = 1234, STRIDE = 71, BYTES = 23, N_MOST = 400 };

static unsigned char file[FILE_BYTES];
static unsigned char out[N_MOST * BYTES];

// How a hub answers: with what is asked for, or not quite.
struct manner {
    const char *before; // in front of the first part
    const char *lines;  // of each part, around Content-Range
    const char *range;  // the form of that one
    const char *after;  // behind the last part
    uint64_t total;
    long status;
    int leave;       // every answer breaks off behind so many bytes; 0: none does
    int parts_most;  // in an answer
    int skip, swap;  // the part that is left out; that changes places with the next one: from 1
    size_t too_many; // bytes behind all parts
    bool no_boundary;
    const char *encoding;
    unsigned dice;
};

static const struct manner plain = {.before = "\r\n",
                                    .lines = "Content-Type: application/octet-stream\r\n",
                                    .range = "Content-Range: bytes %llu-%llu/%llu\r\n",
                                    .after = "\r\n--THE_END--\r\n",
                                    .total = FILE_BYTES,
                                    .status = 206};

static void add(struct bytes *body, const void *data, size_t bytes)
{
    assert_int_equal(bytes_append(body, data, bytes), OK);
}

static void add_part(const struct manner *m, struct bytes *body, uint64_t first, uint64_t last)
{
    char text[256];
    const char *before = body->length ? "\r\n" : m->before;
    add(body, before, strlen(before));
    snprintf(text, sizeof text, "--THE_END\r\n%s", m->lines);
    add(body, text, strlen(text));
    snprintf(text, sizeof text, m->range, (unsigned long long)first, (unsigned long long)last,
             (unsigned long long)m->total);
    add(body, text, strlen(text));
    add(body, "\r\n", 2);
    add(body, file + first, (size_t)(last - first + 1));
}

struct asked {
    unsigned long long first, last;
};

static int read_ranges(const char *text, struct asked asked[])
{
    int n = 0, length = 0;
    for (; sscanf(text, "%llu-%llu%n", &asked[n].first, &asked[n].last, &length) == 2; text++) {
        assert_true(asked[n].first <= asked[n].last && asked[n].last < FILE_BYTES);
        assert_true(++n < N_MOST);
        text += length;
        if (*text != ',')
            break;
    }
    assert_int_equal(*text, '\0');
    return n;
}

static void reply(struct hub_client *hub, const struct hub_request *request,
                  struct hub_answer *answer, struct bytes *body)
{
    const struct manner *m = hub->context;
    struct asked asked[N_MOST];
    int n = read_ranges(request->ranges, asked);
    answer->status = m->status;
    snprintf(answer->boundary, sizeof answer->boundary, "%s", m->no_boundary ? "" : "THE_END");
    snprintf(answer->encoding, sizeof answer->encoding, "%s", m->encoding ? m->encoding : "");
    if (m->parts_most && n > m->parts_most)
        n = m->parts_most;
    if (m->swap && m->swap < n) {
        struct asked kept = asked[m->swap - 1];
        asked[m->swap - 1] = asked[m->swap];
        asked[m->swap] = kept;
    }
    for (int i = 0; i < n; i++)
        if (i + 1 != m->skip)
            add_part(m, body, asked[i].first, asked[i].last);
    add(body, m->after, strlen(m->after));
    for (size_t i = 0; i < m->too_many; i++)
        add(body, "x", 1);
    if (m->leave && body->length > (size_t)m->leave) {
        body->length = (size_t)m->leave;
        answer->cut = true;
    }
}

static size_t at_random(void *context)
{
    struct manner *m = context;
    m->dice = m->dice * 1664525U + 1013904223U;
    return 1 + (m->dice >> 16) % 100;
}

static enum status fetch(struct manner *manner, size_t n, bool *done, struct hub_client *hub)
{
    char address[HUB_URL_MAX + 1] = "";
    *hub = (struct hub_client){
        .reply = reply, .context = manner, .cut = at_random, .cut_context = manner};
    const struct hub_api api = {.context = hub};
    const struct hub_pieces pieces = {.commit = "c",
                                      .path = "model.safetensors",
                                      .file_bytes = FILE_BYTES,
                                      .offset = OFFSET,
                                      .stride = STRIDE,
                                      .n = n,
                                      .bytes = BYTES,
                                      .out = out};
    memset(out, 0, sizeof out);
    return hub_pieces_fetch(&api, hub, &pieces, address, done);
}

static void check_pieces(struct manner manner, size_t n, struct hub_client *hub)
{
    bool done;
    assert_int_equal(fetch(&manner, n, &done, hub), OK);
    assert_true(done);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(out + i * BYTES, file + OFFSET + i * STRIDE, BYTES);
    for (size_t i = n * BYTES; i < sizeof out; i++)
        assert_int_equal(out[i], 0);
}

static void pieces_come_in_their_order(void **state)
{
    (void)state;
    struct hub_client hub;
    for (size_t n = 2; n <= N_MOST; n += SANITIZED ? 9 : 1) {
        struct manner manner = plain;
        manner.dice = (unsigned)n;
        check_pieces(manner, n, &hub);
        assert_int_equal(hub.requests, (n + 127) / 128);
        assert_int_equal(hub.new_urls, 1); // then where that one led
    }
}

// RFC 9110 and 2046 leave forms open: all of them are read.
static void forms_that_are_allowed(void **state)
{
    (void)state;
    struct hub_client hub;
    struct manner manner = plain;
    manner.before = "";
    check_pieces(manner, 9, &hub);
    manner.before = "what stands in front is for no one\r\nto read\r\n";
    check_pieces(manner, 9, &hub);
    manner = plain;
    manner.range = "content-range:  bytes %llu-%llu/%llu\r\nX-More: 1\r\n";
    check_pieces(manner, 9, &hub);
    manner.lines = "";
    check_pieces(manner, 9, &hub);
    manner.after = ""; // nothing more is asked for
    check_pieces(manner, 9, &hub);
}

// What was cut off is asked for again, and only that.
static void answers_that_break_off(void **state)
{
    (void)state;
    struct hub_client hub;
    for (int leave = 300; leave < 3000; leave += SANITIZED ? 37 : 7) {
        struct manner manner = plain;
        manner.leave = leave;
        check_pieces(manner, 60, &hub);
        assert_true(hub.requests > 1 && hub.new_urls == hub.requests);
    }
    struct manner manner = plain;
    manner.parts_most = 5;
    check_pieces(manner, 60, &hub);
    assert_int_equal(hub.requests, 12);
}

// Nothing comes: there is an end to asking.
static void answers_of_nothing(void **state)
{
    (void)state;
    struct hub_client hub;
    struct manner manner = plain;
    bool done;
    manner.leave = 10;
    assert_int_equal(fetch(&manner, 60, &done, &hub), ERR_IO);
    assert_false(done);
    assert_int_equal(hub.requests, HUB_TRIES_MAX);
    manner = plain;
    manner.status = 503;
    assert_int_equal(fetch(&manner, 60, &done, &hub), ERR_IO);
    assert_false(done);
}

// What is not the pieces, one by one, is left to requests for one range each.
static void other_answers(void **state)
{
    (void)state;
    static char long_line[1100];
    memset(long_line, 'x', sizeof long_line - 1);
    struct manner strange[] = {plain, plain, plain, plain, plain, plain, plain,
                               plain, plain, plain, plain, plain, plain};
    strange[0].status = 200;
    strange[1].no_boundary = true;
    strange[2].encoding = "gzip";
    strange[3].total++;
    strange[4].skip = 3;
    strange[5].swap = 2;
    strange[6].range = "Content-Range: bytes %llu-%llu/*\r\n";
    strange[7].range = "X-Range: bytes %llu-%llu/%llu\r\n";
    strange[8].range = "Content-Range: bytes 1%llu-%llu/%llu\r\n";
    strange[9].before = long_line;
    strange[10].status = 416;
    strange[11].status = 413;
    strange[12].range = "Content-Range: bytes %llu-1%llu/%llu\r\n";
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        struct hub_client hub;
        bool done = true;
        assert_int_equal(fetch(&strange[i], 20, &done, &hub), OK);
        assert_false(done);
        assert_int_equal(hub.requests, 1);
    }
}

// A hub that never ends its answer holds nobody up.
static void answers_without_an_end(void **state)
{
    (void)state;
    struct hub_client hub;
    struct manner manner = plain;
    manner.too_many = 100000;
    check_pieces(manner, 20, &hub);
    assert_true(hub.not_wanted > 90000);
    assert_int_equal(hub.requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_in_their_order),
        cmocka_unit_test(forms_that_are_allowed),
        cmocka_unit_test(answers_that_break_off),
        cmocka_unit_test(answers_of_nothing),
        cmocka_unit_test(other_answers),
        cmocka_unit_test(answers_without_an_end),
    };
    srand(1);
    for (size_t i = 0; i < sizeof file; i++)
        file[i] = (unsigned char)rand();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
