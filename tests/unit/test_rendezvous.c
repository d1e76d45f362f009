// Nodes that find each other over the loopback, all in this process and turned by hand: any order,
// wrong keys, other versions, two that are one, strangers, and how each end is told.
#include "testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "comm/rendezvous.h"

enum { NODES_MAX = 4 };
static struct rendezvous *node[NODES_MAX]; // NULL: not started, or gone
static int port;

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (void *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct rendezvous_options options_of(int i, int n_nodes)
{
    return (struct rendezvous_options){.host = "127.0.0.1",
                                       .port = port,
                                       .hosts = i == 0,
                                       .node = i,
                                       .n_nodes = n_nodes,
                                       .n_local = 1 + i,
                                       .build = "0.1.0 (commit 1234)",
                                       .run = "",
                                       .agreement = "model: a\nsize: 12\n",
                                       .deadline_seconds = 2};
}

static void start_with(int i, const struct rendezvous_options *options)
{
    assert_int_equal(rendezvous_open(options, &node[i]), OK);
}

static void start(int i, int n_nodes)
{
    struct rendezvous_options options = options_of(i, n_nodes);
    start_with(i, &options);
}

static void stop(int i)
{
    rendezvous_close(node[i]);
    node[i] = NULL;
}

static void turn_all(void)
{
    struct pollfd fds[NODES_MAX * RENDEZVOUS_FDS_MAX];
    int n = 0, timeout;
    for (int i = 0; i < NODES_MAX; i++)
        if (node[i]) {
            rendezvous_turn(node[i]);
            n += rendezvous_fds(node[i], fds + n, &timeout);
        }
    (void)poll(fds, (nfds_t)n, 5);
}

// Until node `i` is in that state; fails the test when it never is.
static void await(int i, enum rendezvous_state state)
{
    for (double end = clock_seconds() + patience(20); rendezvous_state(node[i]) != state;) {
        assert_true(clock_seconds() < end);
        turn_all();
    }
}

static void turn_for(double seconds)
{
    for (double end = clock_seconds() + seconds; clock_seconds() < end;)
        turn_all();
}

static int begin(void **state)
{
    (void)state;
    port = free_port();
    log_set_level(LOG_ERROR); // what is refused is not news here
    return 0;
}

static int finish(void **state)
{
    (void)state;
    for (int i = 0; i < NODES_MAX; i++)
        stop(i);
    return 0;
}

static void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fprintf(stderr, "expected \"%s\" in: %s\n", part, text);
    assert_non_null(strstr(text, part));
}

static void nodes_in_any_order(void **state)
{
    (void)state;
    char text[512];
    start(2, 3);
    turn_for(0.3);
    rendezvous_waiting(node[2], text, sizeof text);
    expect_text(text, "node 0 at 127.0.0.1, port ");
    expect_text(text, "Connection refused");
    start(0, 3);
    while (rendezvous_waiting(node[0], text, sizeof text), !strstr(text, "2 of 3"))
        turn_all();
    assert_string_equal(text, "2 of 3 nodes are here; missing: node 1");
    turn_for(0.1);
    rendezvous_waiting(node[2], text, sizeof text);
    assert_string_equal(text, "2 of 3 nodes are here; missing: node 1");
    start(1, 3);
    for (int i = 0; i < 3; i++) {
        await(i, RENDEZVOUS_COMPLETE);
        const struct cluster_world *world = rendezvous_world(node[i]);
        assert_int_equal(world->node, i);
        assert_int_equal(world->n_nodes, 3);
        assert_int_equal(world->size, 6);
        assert_int_equal(world->nodes[2].first_rank, 3);
        assert_string_equal(rendezvous_own_address(node[i]), "127.0.0.1");
    }
    // Once all are there, the port belongs to the program that was started.
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    turn_all();
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (void *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
}

static void complete_group(int n)
{
    for (int i = 0; i < n; i++)
        start(i, n);
    for (int i = 0; i < n; i++)
        await(i, RENDEZVOUS_COMPLETE);
}

static void addresses_reach_all(void **state)
{
    (void)state;
    static struct address_message own;
    static uint8_t data[RANK_ADDRESS_BYTES_MAX];
    complete_group(3);
    for (uint32_t round = 1; round < 3; round++) {
        for (int i = 2; i >= 0; i--) {
            for (int j = 0; j < 3; j++)
                assert_null(rendezvous_book(node[j], round));
            own.round = round;
            own.n = 1 + i;
            for (int r = 0; r < own.n; r++) {
                memset(data + 10 * r, 'a' + 3 * i + r + (int)round, 10);
                own.address[r] = (struct rank_address){10, data + 10 * r};
            }
            rendezvous_put_addresses(node[i], &own);
            turn_for(0.05);
        }
        for (int i = 0; i < 3; i++) {
            for (double end = clock_seconds() + patience(5); !rendezvous_book(node[i], round);) {
                assert_true(clock_seconds() < end);
                turn_all();
            }
            const struct address_message *book = rendezvous_book(node[i], round);
            assert_int_equal(book->n, 6);
            for (int n = 0, k = 0; n < 3; n++)
                for (int r = 0; r <= n; r++, k++) {
                    assert_int_equal(book->address[k].bytes, 10);
                    assert_int_equal(book->address[k].data[9], 'a' + 3 * n + r + (int)round);
                }
        }
    }
}

static void a_fault_is_told_to_all(void **state)
{
    (void)state;
    char text[2048];
    complete_group(3);
    rendezvous_note_place(node[0], "rank 0, barrier 3");
    rendezvous_note_place(node[1], "rank 1, barrier 2");
    rendezvous_report(node[1], -1, 137, "rank 2 (pid 7) was killed by signal 9 (Killed)");
    for (int i = 0; i < 3; i++) {
        await(i, RENDEZVOUS_BROKEN);
        assert_int_equal(rendezvous_fault(node[i])->exit_status, 137);
        assert_int_equal(rendezvous_fault(node[i])->node, 1);
    }
    rendezvous_say_fault(node[0], text, sizeof text);
    assert_string_equal(text, "node 1 (127.0.0.1): rank 2 (pid 7) was killed by signal 9 (Killed); "
                              "last there: rank 1, barrier 2; last here: rank 0, barrier 3");
    rendezvous_say_fault(node[1], text, sizeof text);
    assert_string_equal(text, "rank 2 (pid 7) was killed by signal 9 (Killed)");
}

// A rank that accuses one of another node is heard after that node; and when nothing comes from
// there, it counts.
static void hearsay_waits(void **state)
{
    (void)state;
    complete_group(3);
    rendezvous_report(node[2], 1, 1, "rank 1 is gone; rank 3 waits for it");
    turn_for(0.2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rendezvous_state(node[i]), RENDEZVOUS_COMPLETE);
    rendezvous_report(node[1], -1, 9, "rank 1 left with exit status 9");
    for (int i = 0; i < 3; i++) {
        await(i, RENDEZVOUS_BROKEN);
        assert_int_equal(rendezvous_fault(node[i])->exit_status, 9);
    }
    for (int i = 0; i < 3; i++)
        stop(i);
    port = free_port();
    complete_group(3);
    rendezvous_report(node[2], 1, 1, "rank 1 is gone; rank 3 waits for it");
    for (int i = 0; i < 3; i++) {
        await(i, RENDEZVOUS_BROKEN);
        expect_text(rendezvous_fault(node[i])->sentence, "rank 3 waits for it");
    }
}

static void a_node_that_goes_is_lost(void **state)
{
    (void)state;
    char text[2048];
    complete_group(3);
    rendezvous_note_place(node[1], "rank 1, all-reduce 17 of step 12");
    turn_for(0.7); // a beat carries it
    stop(1);
    await(0, RENDEZVOUS_BROKEN);
    await(2, RENDEZVOUS_BROKEN);
    for (int i = 0; i < 3; i += 2) {
        assert_true(rendezvous_fault(node[i])->lost);
        rendezvous_say_fault(node[i], text, sizeof text);
        expect_text(text, "node 1 (127.0.0.1, ranks 1 to 2) is lost: its connection ended");
        expect_text(
            text,
            "last heard from there: rank 1, all-reduce 17 of step 12; last here: no collective");
    }
    for (int i = 0; i < 3; i += 2)
        stop(i);
    port = free_port();
    complete_group(3);
    stop(0);
    await(1, RENDEZVOUS_BROKEN);
    await(2, RENDEZVOUS_BROKEN);
    rendezvous_say_fault(node[2], text, sizeof text);
    expect_text(text, "node 0 (127.0.0.1, rank 0) is lost: its connection ended");
}

// One that is not turned any more, as a frozen machine: its connection stays.
static void silence_is_a_loss(void **state)
{
    (void)state;
    complete_group(2);
    struct rendezvous *frozen = node[1];
    node[1] = NULL;
    double begun = clock_seconds();
    await(0, RENDEZVOUS_BROKEN);
    assert_true(clock_seconds() - begun >= 1.9); // the deadline is 2 s, and never less
    expect_text(rendezvous_fault(node[0])->sentence, "nothing has been heard from it for 2.");
    rendezvous_close(frozen);
}

static void all_leave_together(void **state)
{
    (void)state;
    complete_group(3);
    rendezvous_leave(node[0]);
    rendezvous_leave(node[2]);
    turn_for(0.3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rendezvous_state(node[i]), RENDEZVOUS_COMPLETE);
    rendezvous_leave(node[1]);
    for (int i = 0; i < 3; i++)
        await(i, RENDEZVOUS_DONE);
    stop(0); // who is gone now is not missed
    turn_for(0.1);
    assert_int_equal(rendezvous_state(node[1]), RENDEZVOUS_DONE);
}

static void different_nodes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *build, *run, *agreement;
        int n_nodes;
        const char *sentence;
    } cases[] = {
        {"0.0.9", "", "model: a\nsize: 12\n", 2,
         "node 1 (127.0.0.1) runs colrow 0.0.9, but node 0 runs 0.1.0 (commit 1234)"},
        {NULL, "b", "model: a\nsize: 12\n", 2, "--rdzv-id \"b\", but node 0 with \"\""},
        {NULL, "", "model: b\nsize: 12\n", 2,
         "node 0 has \"model: a\", but node 1 (127.0.0.1) has \"model: b\""},
        {NULL, "", "model: a\n", 2,
         "node 0 has \"size: 12\", but node 1 (127.0.0.1) has nothing of it"},
        {NULL, "", "model: a\nsize: 12\nmore: 1\n", 2,
         "node 1 (127.0.0.1) has \"more: 1\", but node 0 has nothing of it"},
        {NULL, "", "model: a\nsize: 12\n", 3, "--nnodes 3, but node 0 with --nnodes 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rendezvous_options other = options_of(1, cases[i].n_nodes);
        if (cases[i].build)
            other.build = cases[i].build;
        other.run = cases[i].run;
        other.agreement = cases[i].agreement;
        port = free_port();
        other.port = port;
        start(0, 2);
        start_with(1, &other);
        for (int n = 0; n < 2; n++) { // on both sides
            await(n, RENDEZVOUS_REFUSED);
            expect_text(rendezvous_refusal(node[n]), cases[i].sentence);
            if (n == 1)
                assert_string_equal(rendezvous_refusal(node[0]), rendezvous_refusal(node[1]));
        }
        stop(0);
        stop(1);
    }
}

static void two_that_are_one(void **state)
{
    (void)state;
    char text[256];
    start(0, 3);
    start(1, 3);
    while (rendezvous_waiting(node[0], text, sizeof text), !strstr(text, "2 of 3"))
        turn_all();
    struct rendezvous_options same = options_of(1, 3);
    start_with(2, &same);
    await(2, RENDEZVOUS_REFUSED);
    expect_text(rendezvous_refusal(node[2]), "node 1 (127.0.0.1) is here already");
    stop(2);
    assert_int_equal(rendezvous_state(node[0]), RENDEZVOUS_GATHERING); // the others go on
    start(2, 3);
    for (int i = 0; i < 3; i++)
        await(i, RENDEZVOUS_COMPLETE);
}

static void nodes_without_a_number(void **state)
{
    (void)state;
    struct rendezvous_options any = options_of(1, 3);
    any.node = ANY_NODE;
    start(0, 3);
    start_with(1, &any);
    start_with(2, &any);
    for (int i = 0; i < 3; i++)
        await(i, RENDEZVOUS_COMPLETE);
    assert_int_equal(rendezvous_world(node[1])->node + rendezvous_world(node[2])->node, 3);
}

static void too_many_ranks(void **state)
{
    (void)state;
    struct rendezvous_options many = options_of(1, 2);
    many.n_local = COMM_RANKS_MAX;
    start(0, 2);
    start_with(1, &many);
    for (int i = 0; i < 2; i++) {
        await(i, RENDEZVOUS_REFUSED);
        expect_text(rendezvous_refusal(node[i]), "65 ranks together; a group has at most 64");
    }
}

// ---- keys

static struct cluster_key keys[2];

static void start_with_key(int i, const struct cluster_key *key)
{
    struct rendezvous_options options = options_of(i, 2);
    options.key = key;
    start_with(i, &options);
}

static void keys_are_proved(void **state)
{
    (void)state;
    static const struct {
        int host, guest; // -1: none
        const char *sentence;
    } cases[] = {
        {0, 0, NULL},
        {0, 1, "the node at 127.0.0.1 has another cluster key than node 0"},
        {0, -1, "node 0 (127.0.0.1) has a cluster key: give this node the same"},
        {-1, 0, "node 0 (127.0.0.1) has no cluster key, but this node has"},
    };
    for (int k = 0; k < 2; k++) {
        keys[k].bytes = 20;
        memset(keys[k].secret, 'k' + k, 20);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        port = free_port();
        start_with_key(0, cases[i].host < 0 ? NULL : &keys[cases[i].host]);
        start_with_key(1, cases[i].guest < 0 ? NULL : &keys[cases[i].guest]);
        await(1, cases[i].sentence ? RENDEZVOUS_REFUSED : RENDEZVOUS_COMPLETE);
        if (cases[i].sentence) {
            expect_text(rendezvous_refusal(node[1]), cases[i].sentence);
            turn_for(0.05);
            assert_int_equal(rendezvous_state(node[0]), RENDEZVOUS_GATHERING);
        }
        stop(0);
        stop(1);
    }
}

static void key_files(void **state)
{
    (void)state;
    static struct cluster_key key;
    char path[] = "/tmp/colrow_key_XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "0123456789abcdef\r\n", 18), 18);
    assert_int_equal(cluster_key_read(path, &key), OK);
    assert_int_equal(key.bytes, 16);
    assert_int_equal(ftruncate(fd, 15), 0);
    assert_int_equal(cluster_key_read(path, &key), ERR_INPUT);
    expect_text(status_message(), "a cluster key has 16 bytes or more, this one 15");
    assert_int_equal(ftruncate(fd, CLUSTER_KEY_BYTES_MAX + 1), 0);
    assert_int_not_equal(cluster_key_read(path, &key), OK);
    close(fd);
    unlink(path);
    assert_int_not_equal(cluster_key_read(path, &key), OK);
}

// ---- strangers

static int knock(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (void *)&address, sizeof address), 0);
    return fd;
}

static bool is_closed(int fd)
{
    char bytes[512];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void strangers_do_no_harm(void **state)
{
    (void)state;
    enum { SILENT = 2 * STRANGERS_MAX };
    int silent[SILENT];
    static const char *const said[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02",
                                       "\xff\xff\xff\xff\x02\0\0\0", "x"};
    start(0, 2);
    turn_all();
    for (int i = 0; i < SILENT; i++) { // more than are kept: the oldest go
        silent[i] = knock();
        turn_all();
    }
    for (int i = 0; i < 4; i++) {
        int fd = knock();
        turn_all();
        assert_true(send(fd, said[i], i == 2 ? 8 : strlen(said[i]), MSG_NOSIGNAL) > 0);
        for (double end = clock_seconds() + patience(10); i < 3 && !is_closed(fd);) {
            assert_true(clock_seconds() < end);
            turn_all();
        }
        close(fd);
    }
    assert_true(is_closed(silent[0]));
    start(1, 2); // whom it is for gets in all the same
    await(0, RENDEZVOUS_COMPLETE);
    await(1, RENDEZVOUS_COMPLETE);
    turn_all();
    assert_true(is_closed(silent[SILENT - 1]));
    for (int i = 0; i < SILENT; i++)
        close(silent[i]);
}

// What answers at node 0's port is something else: it is tried again and again, and said.
static void another_host(void **state)
{
    (void)state;
    char text[512];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(listener, (void *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
    start(1, 2);
    for (int i = 0; i < 2; i++) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        while (poll(&ready, 1, 0) == 0)
            turn_all();
        int fd = accept(listener, NULL, NULL);
        assert_true(send(fd, "220 mail ready\r\n", 16, MSG_NOSIGNAL) == 16);
        while (rendezvous_waiting(node[1], text, sizeof text), !strstr(text, "protocol"))
            turn_all();
        expect_text(text, "it does not speak colrow's protocol");
        close(fd);
    }
    close(listener);
    start(0, 2);
    await(1, RENDEZVOUS_COMPLETE);
}

static void a_name_that_does_not_resolve(void **state)
{
    (void)state;
    char text[512];
    struct rendezvous_options options = options_of(1, 2);
    options.host = "colrow-test.invalid";
    start_with(1, &options);
    for (double end = clock_seconds() + patience(30);;) {
        turn_all();
        rendezvous_waiting(node[1], text, sizeof text);
        if (strstr(text, "colrow-test.invalid, port ") && strstr(text, ": "))
            break;
        assert_true(clock_seconds() < end);
    }
    assert_int_equal(rendezvous_state(node[1]), RENDEZVOUS_GATHERING);
}

static void a_port_that_is_taken(void **state)
{
    (void)state;
    struct rendezvous *second;
    struct rendezvous_options options = options_of(0, 2);
    start(0, 2);
    assert_int_equal(rendezvous_open(&options, &second), ERR_IO);
    expect_text(status_message(), "give all nodes another --master-port");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, finish)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nodes_in_any_order),
        CASE(addresses_reach_all),
        CASE(a_fault_is_told_to_all),
        CASE(hearsay_waits),
        CASE(a_node_that_goes_is_lost),
        CASE(silence_is_a_loss),
        CASE(all_leave_together),
        CASE(different_nodes_are_refused),
        CASE(two_that_are_one),
        CASE(nodes_without_a_number),
        CASE(too_many_ranks),
        CASE(keys_are_proved),
        CASE(key_files),
        CASE(strangers_do_no_harm),
        CASE(another_host),
        CASE(a_name_that_does_not_resolve),
        CASE(a_port_that_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
