// The gate in front of the parser: headers, fields, targets, chunks, however their bytes are cut.
#include "server/http_chunks.h"
#include "server/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Status 0 when the header is complete and good, -1 while it is not complete.
static int judge(const char *text, struct http_head *head)
{
    struct http_head_scan scan = {0};
    struct http_fault fault = {0};
    enum http_progress progress = HTTP_MORE;
    size_t length = strlen(text), at = 0;
    while (progress == HTTP_MORE && at < length) // a byte at a time
        progress = http_head_scan(&scan, text, ++at, &fault);
    if (progress == HTTP_COMPLETE &&
        !http_head_judge(text + scan.begin, scan.at - scan.begin, head, &fault))
        progress = HTTP_REFUSED;
    if (progress == HTTP_REFUSED)
        assert_non_null(fault.message);
    return progress == HTTP_MORE ? -1 : progress == HTTP_COMPLETE ? 0 : fault.status;
}

static void test_good_header(void **state)
{
    struct http_head head;
    (void)state;
    assert_int_equal(
        0, judge("\r\nPOST /a?b HTTP/1.1\r\nHost: h:80\r\ncontent-length:  12 \r\nX:\r\n\r\nrest",
                 &head));
    assert_true(http_text_equals(head.method, "POST") && http_text_equals(head.target, "/a?b"));
    assert_true(head.has_length && head.length == 12 && !head.chunked && head.minor == 1);
    assert_int_equal(3, head.n_fields);
    assert_true(http_text_equals(head.fields[1].value, "12") && head.fields[2].value.length == 0);
    assert_int_equal(0, judge("GET / HTTP/1.0\r\n\r\n", &head));
    assert_int_equal(0, head.minor);
    assert_int_equal(0, judge("POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: Chunked\r\nExpect: "
                              "100-Continue\r\n\r\n",
                              &head));
    assert_true(head.chunked && head.expects_continue && !head.has_length);
}

static void test_incomplete_and_early(void **state)
{
    struct http_head head;
    (void)state;
    assert_int_equal(-1, judge("GET / HTTP/1.1\r\nHost: a\r\n", &head));
    assert_int_equal(-1, judge("GET / HTTP/1.1\r\nHost: a\r\n\r", &head));
    // What cannot become good is refused before it is complete.
    assert_int_equal(400, judge("GET / HTTP/1.1\r\nHost: a\n", &head));
    assert_int_equal(400, judge("GET / HTTP/1.1\rX", &head));
    assert_int_equal(400, judge("\x16\x03\x01", &head));
    assert_int_equal(400, judge("\r\n\r\n", &head));
}

static void test_limits(void **state)
{
    static char text[64 << 10];
    struct http_head head;
    (void)state;
    for (int extra = 0; extra < 2; extra++) { // the longest request line, and one byte more
        int n = snprintf(text, sizeof text, "GET /");
        memset(text + n, 'a', HTTP_LINE_BYTES_MAX);
        n = HTTP_LINE_BYTES_MAX - (int)strlen(" HTTP/1.1\r") - 1 + extra;
        snprintf(text + n, sizeof text - (size_t)n, " HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(extra ? 414 : 0, judge(text, &head));
    }
    for (int extra = 0; extra < 2; extra++) {
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < HTTP_FIELDS_MAX - 1 + extra; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "X: %d\r\n", i);
        snprintf(text + n, sizeof text - (size_t)n, "\r\n");
        assert_int_equal(extra ? 431 : 0, judge(text, &head));
    }
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + n, 'a', HTTP_FIELDS_BYTES_MAX);
    text[n + HTTP_FIELDS_BYTES_MAX] = '\0';
    assert_int_equal(431, judge(text, &head));
}

static void test_targets(void **state)
{
    static const struct {
        const char *target, *path, *query; // path NULL: refused
    } cases[] = {
        {"/", "/", ""},
        {"/a%2Fb%20c?d=%00", "/a/b c", "d=%00"},
        {"/a?", "/a", ""},
        {"http://host/x", "/x", ""},
        {"HTTP://HOST/x?y", "/x", "y"},
        {"https://host", "/", ""},
        {"http://host?q", "/", "q"},
        {"http://other/x", NULL, NULL},
        {"http://", NULL, NULL},
        {"*", NULL, NULL},
        {"x", NULL, NULL},
        {"/%", NULL, NULL},
        {"/%4", NULL, NULL},
        {"/%4g", NULL, NULL},
        {"/%00", NULL, NULL},
        {"/%0a", NULL, NULL},
        {"/%7F", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], path[256];
        struct http_head head;
        struct http_text query;
        struct http_fault fault = {0};
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: host\r\n\r\n", cases[i].target);
        assert_int_equal(0, judge(text, &head));
        bool good = http_target_split(&head, path, &query, &fault);
        if (good != (cases[i].path != NULL))
            fail_msg("%s: %s", cases[i].target, good ? "taken" : fault.message);
        if (good) {
            assert_string_equal(cases[i].path, path);
            assert_true(http_text_equals(query, cases[i].query));
        }
    }
}

// Status 0 when the body is complete, -1 while it is not; `*used` bytes belong to it.
static int chunked(const char *text, size_t piece, uint64_t most, size_t *used)
{
    struct http_chunks chunks;
    struct http_fault fault = {0};
    enum http_progress progress = HTTP_MORE;
    size_t length = strlen(text);
    http_chunks_begin(&chunks, most);
    for (*used = 0; *used < length && progress == HTTP_MORE;) {
        size_t n = length - *used < piece ? length - *used : piece, taken = 0;
        progress = http_chunks_scan(&chunks, text + *used, n, &taken, &fault);
        *used += taken;
    }
    http_chunks_end(&chunks);
    return progress == HTTP_MORE ? -1 : progress == HTTP_COMPLETE ? 0 : fault.status;
}

static void test_chunks(void **state)
{
    static const struct {
        const char *text;
        int status;
        size_t left; // of the text, after the body
    } cases[] = {
        {"0\r\n\r\nGET", 0, 3},
        {"3\r\nabc\r\n0\r\n\r\n", 0, 0},
        {"00A\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\nrest", 0, 4},
        {"10\r\n0123456789abcdef\r\n0\r\n\r\n", 0, 0},
        {"11\r\n0123456789abcdefg\r\n0\r\n\r\n", 413, 0},
        {"9\r\n012345678\r\n8\r\n01234567\r\n", 413, 0},
        {"3\r\nabc\r\n0\r\n", -1, 0},
        {"", -1, 0},
        {"3;x\r\n", 400, 0},
        {"3\n", 400, 0},
        {"\r\n", 400, 0},
        {"0x0\r\n\r\n", 400, 0},
        {"3\r\nabcd", 400, 0},
        {"3\r\nabc\n", 400, 0},
        {"0000000000000000\r\n", 413, 0},
        {"0\r\nX : y\r\n", 400, 0},
        {"0\r\n x\r\n", 400, 0},
        {"0\r\ncontent-length: 1\r\n", 400, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 40; piece += 3) {
            size_t used;
            assert_int_equal(cases[i].status, chunked(cases[i].text, piece, 16, &used));
            if (cases[i].status == 0)
                assert_int_equal(strlen(cases[i].text) - cases[i].left, used);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_header), cmocka_unit_test(test_incomplete_and_early),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_targets),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
