// A connection over a wire without a socket: deadlines by a clock of our own, back-pressure, who is
// told what, and every reservation failing once.
#include "http_wire_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct http_site site;
static struct mock_wire wire;
static struct http_exchange *held;
static int gone, paused, resumed, handled, records, last_status;

static void count_gone(void *owner)
{
    (void)owner;
    gone++;
    held = NULL;
}

static void count_paused(void *owner)
{
    (void)owner;
    paused++;
}

static void count_resumed(void *owner)
{
    (void)owner;
    resumed++;
}

static void answer_now(struct http_exchange *x, void *owner)
{
    (void)owner;
    handled++;
    http_answer(x, 200, "text/plain", http_exchange_request(x)->body,
                http_exchange_request(x)->body_bytes);
}

static void hold(struct http_exchange *x, void *owner)
{
    (void)owner;
    handled++;
    held = x;
    http_exchange_watch(x, &(struct http_watch){count_gone, count_paused, count_resumed, NULL});
}

static void note_record(const struct http_record *record, void *owner)
{
    (void)owner;
    records++;
    last_status = record->status;
}

static int set_up(void **state)
{
    struct http_options options;
    (void)state;
    http_options_init(&options);
    held = NULL;
    gone = paused = resumed = handled = records = last_status = 0;
    assert_int_equal(OK, http_site_init(&site, &options));
    site.logger = note_record;
    assert_int_equal(OK, http_site_route(&site, HTTP_METHOD_POST, "/now", 0, answer_now, NULL));
    assert_int_equal(OK, http_site_route(&site, HTTP_METHOD_GET, "/hold", 0, hold, NULL));
    mock_open(&wire, &site);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_fail_after(0);
    mock_close(&wire);
    assert_int_equal(0, site.gauges.connections);
    assert_int_equal(0, site.gauges.exchanges);
    assert_int_equal(0, site.gauges.streams_paused);
    assert_int_equal(0, site.gauges.buffered_bytes);
    http_site_fini(&site);
    return 0;
}

static void say(const char *text)
{
    mock_feed(&wire, text, strlen(text));
}

static int count(const char *text)
{
    int n = 0;
    for (const char *at = wire.sent.data; at && (at = strstr(at, text)); at++)
        n++;
    return n;
}

static void test_header_deadline(void **state)
{
    (void)state;
    say("POST /now HT");
    for (int i = 0; i < 99; i++) {
        say("T"); // a drip does not move it
        mock_tick(&wire, 100);
        assert_false(mock_is_over(&wire));
    }
    mock_tick(&wire, 100);
    assert_true(wire.finished && count("HTTP/1.1 408 ") == 1 && records == 1);
}

static void test_silence(void **state)
{
    (void)state;
    mock_tick(&wire, 9900);
    assert_false(mock_is_over(&wire));
    mock_tick(&wire, 100);
    assert_true(wire.finished && wire.sent.length == 0 && records == 0);
}

static void test_body_and_idle_deadlines(void **state)
{
    (void)state;
    say("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    mock_tick(&wire, 59900);
    say("c");
    assert_true(handled == 1 && count("HTTP/1.1 200 ") == 1 && !mock_is_over(&wire));
    mock_tick(&wire, 59900); // idle
    say("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    assert_false(mock_is_over(&wire));
    mock_tick(&wire, 60000);
    assert_true(wire.finished && count("HTTP/1.1 408 ") == 1 && last_status == 408);
}

static void test_no_deadline_for_answers(void **state)
{
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    mock_tick(&wire, 3600000);
    assert_false(mock_is_over(&wire));
    http_answer_json(held, 200, "{}", 2);
    mock_settle(&wire);
    assert_true(count("HTTP/1.1 200 ") == 1 && !mock_is_over(&wire));
}

static void test_back_pressure(void **state)
{
    static char piece[64 << 10];
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.hold = true;
    http_stream_begin(held, 200, "text/plain");
    for (int i = 0; i < 4; i++)
        http_stream_send(held, piece, sizeof piece - 100);
    assert_true(paused == 0 && http_stream_unsent(held) < HTTP_PAUSE_BYTES);
    http_stream_send(held, piece, 600);
    assert_true(paused == 1 && site.gauges.streams_paused == 1);
    http_stream_send(held, piece, 600);
    assert_int_equal(1, paused);
    mock_take(&wire, 100000);
    assert_int_equal(0, resumed);
    for (int i = 0; i < 100; i++) { // little by little, at a modem's rate
        mock_tick(&wire, 1000);
        mock_take(&wire, 260);
    }
    assert_false(mock_is_over(&wire));
    mock_take(&wire, 50000);
    assert_true(resumed == 1 && site.gauges.streams_paused == 0);
    mock_tick(&wire, 100);
    mock_tick(&wire, 29900);
    assert_int_equal(0, gone);
    mock_tick(&wire, 100); // nothing for 30 s
    assert_true(gone == 1 && wire.cut && site.gauges.dropped_slow == 1 && last_status == 200);
}

// Reads 20 bytes each second for ever: 240 a second were the least.
static void test_drip(void **state)
{
    static char piece[64 << 10];
    int seconds = 0;
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.hold = true;
    http_stream_begin(held, 200, "text/plain");
    http_stream_send(held, piece, sizeof piece);
    for (; !mock_is_over(&wire) && seconds < 100; seconds++) {
        mock_take(&wire, 20);
        mock_tick(&wire, 1000);
    }
    assert_int_equal(seconds, 33); // each costs 1000 ms and earns 83 ms
    assert_true(gone == 1 && wire.cut && site.gauges.dropped_slow == 1);
}

// What the kernel takes in one piece is no sign of the client.
static void test_kernel_buffers(void **state)
{
    static char piece[64 << 10];
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.hold = true;
    http_stream_begin(held, 200, "text/plain");
    http_stream_send(held, piece, sizeof piece);
    for (int i = 0; i < 10; i++) {
        wire.under_way += 3000;
        mock_take(&wire, 3000);
        mock_tick(&wire, 2999);
    }
    assert_false(mock_is_over(&wire));
    mock_tick(&wire, 20);
    assert_true(wire.cut);
}

// Less than the rate, but all that there is: a slow stream to a client that reads.
static void test_slow_stream(void **state)
{
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.hold = true;
    http_stream_begin(held, 200, "text/plain");
    for (int i = 0; i < 1000; i++) {
        http_stream_send(held, "x", 1);
        mock_tick(&wire, 200);
        mock_take(&wire, 100);
        mock_tick(&wire, 800);
    }
    assert_false(mock_is_over(&wire));
}

static void test_owner_that_does_not_pause(void **state)
{
    static char piece[1 << 20];
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    wire.hold = true;
    http_stream_begin(held, 200, "text/plain");
    for (int i = 0; i < 20 && held; i++)
        http_stream_send(held, piece, sizeof piece);
    assert_true(gone == 0 &&
                http_stream_unsent(held) < HTTP_STREAM_BYTES_MAX + 2 * (int)sizeof piece);
    mock_settle(&wire); // told from the loop, not from within its own call
    assert_true(gone == 1 && wire.cut);
}

static void test_pipelined_flood(void **state)
{
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 10000; i++)
        say("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    assert_true(!wire.receiving && handled == 1);
    assert_true(wire.connection.in.length < HTTP_PIPELINED_BYTES_MAX + 100);
    wire.hold = true;
    http_answer_json(held, 200, "{}", 2);
    mock_settle(&wire);
    int some = handled;
    assert_true(some > 1000 && wire.receiving);
    for (int i = 0; i < 10000; i++)
        say("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    assert_true(!wire.receiving && wire.unsent < HTTP_PAUSE_BYTES + 1000);
    some = handled;
    mock_take(&wire, 1 << 20);
    assert_true(wire.receiving);
    say("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    assert_true(handled > some);
}

static void test_leaving(void **state)
{
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    http_connection_ended(&wire.connection, true);
    assert_true(gone == 1 && wire.cut && records == 1 && last_status == 0);
}

static void test_abort(void **state)
{
    (void)state;
    say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    http_events_begin(held);
    http_events_send(held, "a\nb", 3);
    http_stream_abort(held);
    mock_settle(&wire);
    assert_true(gone == 0 && wire.cut && count("data: a\ndata: b\n\n") == 1 &&
                count("0\r\n\r\n") == 0);
}

// Whatever reservation fails, the exchange ends, and nothing stays behind.
static void test_memory_fails(void **state)
{
    int answered = 0;
    for (long n = 1; n < 60; n++) {
        memory_fail_after(n);
        say("POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nOrigin: b\r\n\r\n"
            "3\r\nabc\r\n0\r\nX: y\r\n\r\n");
        say("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        if (held && wire.connection.exchange.state == EXCHANGE_WAITING) {
            http_events_begin(held);
            http_events_send(held, "x", 1);
            http_stream_end(held);
            mock_settle(&wire);
            answered++;
        }
        memory_fail_after(0);
        tear_down(state);
        set_up(state);
    }
    assert_true(answered > 3);
}

static void test_error_object(void **state)
{
    char *text;
    (void)state;
    assert_int_equal(OK, http_error_text(404, NULL, NULL, "no \"x\"\n", &text));
    assert_string_equal("{\"error\":{\"message\":\"no "
                        "\\\"x\\\"\\n\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}}",
                        text);
    free(text);
    assert_int_equal(OK, http_error_text(400, "T", "p", "a\xff", &text));
    assert_string_equal(
        "{\"error\":{\"message\":\"a?\",\"type\":\"T\",\"param\":\"p\",\"code\":400}}", text);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_header_deadline),
        TEST(test_silence),
        TEST(test_body_and_idle_deadlines),
        TEST(test_no_deadline_for_answers),
        TEST(test_back_pressure),
        TEST(test_drip),
        TEST(test_kernel_buffers),
        TEST(test_slow_stream),
        TEST(test_owner_that_does_not_pause),
        TEST(test_pipelined_flood),
        TEST(test_leaving),
        TEST(test_abort),
        TEST(test_memory_fails),
        TEST(test_error_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
