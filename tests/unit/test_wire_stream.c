#include "testing.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "comm/wire_stream.h"

// Two ends in one process, each other's peer 1 and 0.
struct pair {
    struct wire_streams *end[2];
};

static void open_ends(struct pair *pair)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(wire_streams_open(2, "lo", &pair->end[i]), OK);
    if (!pair->end[0] || !pair->end[1]) // no loopback device here
        skip();
}

static void meet(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        struct stream_address address;
        wire_streams_address(pair->end[1 - i], &address);
        wire_stream_meet(pair->end[i], 1 - i, &address);
        assert_true(wire_stream_is_met(pair->end[i], 1 - i));
    }
}

static void close_ends(struct pair *pair)
{
    for (int i = 0; i < 2; i++)
        wire_streams_close(pair->end[i]);
}

// Until it is done, or nothing can come any more.
static bool arrives(struct pair *pair, const struct wire_message *message)
{
    double end = clock_seconds() + patience(30);
    while (!message->done && clock_seconds() < end)
        for (int i = 0; i < 2; i++)
            if (pair->end[i])
                (void)wire_streams_progress(pair->end[i]);
    return message->done;
}

static char *made_bytes(size_t n, unsigned seed)
{
    char *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(seed = seed * 1664525u + 1013904223u, seed >> 24);
    return bytes;
}

// Both directions at once, messages asked for in another order than they are sent in, also after
// they have come.
static void messages_arrive_whatever_the_order(void **state)
{
    (void)state;
    enum { MESSAGES = 7 };
    static const size_t sizes[MESSAGES] = {1, 70000, 1 << 20, 16384, 131072, 3000001, 17};
    static const int asked[MESSAGES] = {2, 0, 6, 1, 5, 4, 3};
    struct pair pair;
    struct wire_message sent[2][MESSAGES], came[2][MESSAGES];
    char *out[2][MESSAGES], *in[2][MESSAGES];
    open_ends(&pair);
    meet(&pair);
    memset(sent, 0, sizeof sent);
    memset(came, 0, sizeof came);
    for (int m = 0; m < MESSAGES; m++)
        for (int i = 0; i < 2; i++) {
            out[i][m] = made_bytes(sizes[m], (unsigned)(m * 2 + i));
            in[i][m] = malloc(sizes[m]);
            wire_stream_send(pair.end[i], 1 - i, (uint64_t)m, out[i][m], sizes[m], &sent[i][m]);
        }
    for (int k = 0; k < MESSAGES; k++)
        for (int i = 0; i < 2; i++) {
            int m = asked[k];
            wire_stream_receive(pair.end[i], 1 - i, (uint64_t)m, in[i][m], sizes[m], &came[i][m]);
            assert_true(k % 2 || arrives(&pair, &came[i][m]));
        }
    for (int m = 0; m < MESSAGES; m++)
        for (int i = 0; i < 2; i++) {
            assert_true(arrives(&pair, &came[i][m]) && arrives(&pair, &sent[i][m]));
            assert_true(!came[i][m].failed && !sent[i][m].failed);
            assert_int_equal(came[i][m].bytes, sizes[m]);
            assert_memory_equal(in[i][m], out[1 - i][m], sizes[m]);
        }
    for (int m = 0; m < MESSAGES; m++)
        for (int i = 0; i < 2; i++) {
            assert_null(wire_stream_failure(pair.end[i], 1 - i));
            free(out[i][m]);
            free(in[i][m]);
        }
    close_ends(&pair);
}

static void what_is_longer_than_its_room_fails(void **state)
{
    (void)state;
    static char out[40000], in[20000];
    struct pair pair;
    struct wire_message sent = {0}, came = {0};
    open_ends(&pair);
    meet(&pair);
    wire_stream_send(pair.end[0], 1, 5, out, sizeof out, &sent);
    wire_stream_receive(pair.end[1], 0, 5, in, sizeof in, &came);
    assert_true(arrives(&pair, &came));
    assert_true(came.failed && came.too_long);
    assert_non_null(wire_stream_failure(pair.end[1], 0));
    close_ends(&pair);
}

static void the_end_of_a_peer_is_told(void **state)
{
    (void)state;
    static char out[40000], in[40000];
    struct pair pair;
    struct wire_message sent = {0}, came = {0}, second = {0};
    open_ends(&pair);
    meet(&pair);
    wire_stream_send(pair.end[0], 1, 1, out, sizeof out, &sent);
    wire_stream_receive(pair.end[1], 0, 1, in, sizeof in, &came);
    assert_true(arrives(&pair, &came) && arrives(&pair, &sent));
    wire_streams_close(pair.end[0]);
    pair.end[0] = NULL;
    wire_stream_receive(pair.end[1], 0, 2, in, sizeof in, &second);
    double end = clock_seconds() + patience(30);
    while (!wire_stream_failure(pair.end[1], 0) && clock_seconds() < end)
        (void)wire_streams_progress(pair.end[1]);
    assert_string_equal(wire_stream_failure(pair.end[1], 0), "its connection ended");
    assert_false(second.done);
    close_ends(&pair);
}

static int knock(const struct stream_address *address, const void *hello, size_t bytes)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memcpy(&at.sin_addr, address->ip, sizeof at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(send(fd, hello, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
    return fd;
}

// Connections of those who do not know the token, more than there is room for, and one that says
// half of what it should.
static void strangers_are_not_let_in(void **state)
{
    (void)state;
    enum { STRANGERS = STREAM_STRANGERS_MAX + 5 };
    static char out[40000], in[40000];
    const char nonsense[40] = "cls";
    int fds[STRANGERS];
    struct pair pair;
    struct wire_message sent[2] = {{0}}, came[2] = {{0}};
    open_ends(&pair);
    for (int s = 0; s < STRANGERS; s++) {
        struct stream_address address;
        wire_streams_address(pair.end[s % 2], &address);
        fds[s] = knock(&address, nonsense, s % 3 ? sizeof nonsense : 7);
    }
    meet(&pair);
    for (int i = 0; i < 2; i++) {
        memset(out, 'x', sizeof out);
        wire_stream_send(pair.end[i], 1 - i, 3, out, sizeof out, &sent[i]);
        wire_stream_receive(pair.end[1 - i], i, 3, in, sizeof in, &came[i]);
        assert_true(arrives(&pair, &came[i]) && !came[i].failed);
        assert_memory_equal(in, out, sizeof in);
    }
    close_ends(&pair);
    for (int s = 0; s < STRANGERS; s++)
        close(fds[s]);
}

static void without_an_interface_there_are_none(void **state)
{
    (void)state;
    struct wire_streams *streams;
    struct stream_address address;
    assert_int_equal(wire_streams_open(2, "no-such-device", &streams), OK);
    assert_null(streams);
    wire_streams_address(streams, &address);
    assert_int_equal(address.port, 0);
    assert_false(wire_stream_is_met(streams, 1));
    assert_null(wire_stream_failure(streams, 1));
}

// Only ports that COLROW_PORT_RANGE allows.
static void ports_are_of_the_range(void **state)
{
    (void)state;
    struct wire_streams *streams;
    struct stream_address address;
    setenv("COLROW_PORT_RANGE", "42000-42999", 1);
    assert_int_equal(wire_streams_open(2, "lo", &streams), OK);
    if (!streams)
        skip();
    wire_streams_address(streams, &address);
    assert_in_range(address.port, 42000, 42999);
    wire_streams_close(streams);
    setenv("COLROW_PORT_RANGE", "nonsense", 1);
    assert_int_equal(wire_streams_open(2, "lo", &streams), OK);
    assert_null(streams);
    unsetenv("COLROW_PORT_RANGE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_whatever_the_order),
        cmocka_unit_test(what_is_longer_than_its_room_fails),
        cmocka_unit_test(the_end_of_a_peer_is_told),
        cmocka_unit_test(strangers_are_not_let_in),
        cmocka_unit_test(without_an_interface_there_are_none),
        cmocka_unit_test(ports_are_of_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
