// Frames between nodes: what is written is read, what is cut, changed or invented is refused, and
// nothing is longer than its limit.
#include "testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "comm/cluster_key.h"
#include "comm/cluster_message.h"

static struct bytes wire;

static struct frame only_frame(void)
{
    struct frame frame;
    assert_int_equal(frame_read(wire.data, wire.length, &frame), FRAME_READY);
    assert_int_equal(frame.bytes + FRAME_HEADER_BYTES, wire.length);
    for (size_t n = 0; n < wire.length; n++) // every part of it asks for more
        assert_int_equal(frame_read(wire.data, n, &frame), FRAME_MORE);
    assert_int_equal(frame_read(wire.data, wire.length, &frame), FRAME_READY);
    return frame;
}

static int begin(void **state)
{
    (void)state;
    bytes_init(&wire);
    return 0;
}

static int end(void **state)
{
    (void)state;
    bytes_fini(&wire);
    return 0;
}

static void hellos_are_proved(void **state)
{
    (void)state;
    static struct hello_message hello, found;
    static struct cluster_key key, other;
    uint8_t nonce[NONCE_BYTES] = {1}, stale[NONCE_BYTES] = {2};
    key.bytes = other.bytes = 16;
    memcpy(key.secret, "0123456789abcdef", 16);
    memcpy(other.secret, "0123456789abcdeg", 16);
    hello = (struct hello_message){.node = 3, .n_nodes = 4, .n_local = 2, .nonce = {9}};
    snprintf(hello.build, sizeof hello.build, "0.1.0 (commit 1234)");
    snprintf(hello.agreement, sizeof hello.agreement, "a: 1\nb: 2\n");
    assert_int_equal(hello_write(&wire, &hello, &key, nonce), OK);
    struct frame frame = only_frame();
    assert_true(hello_is_proved(&frame, &key, nonce));
    assert_false(hello_is_proved(&frame, &other, nonce));
    assert_false(hello_is_proved(&frame, &key, stale)); // heard in an earlier conversation
    assert_true(hello_read(&frame, &found));
    assert_int_equal(found.node, 3);
    assert_int_equal(found.n_nodes, 4);
    assert_int_equal(found.n_local, 2);
    assert_string_equal(found.build, hello.build);
    assert_string_equal(found.agreement, hello.agreement);
    // No byte of it can be changed, nor sent back as the host's.
    for (size_t i = 0; i < frame.bytes; i++) {
        wire.data[FRAME_HEADER_BYTES + i] ^= 4;
        assert_false(hello_is_proved(&frame, &key, nonce));
        wire.data[FRAME_HEADER_BYTES + i] ^= 4;
    }
    assert_false(welcome_is_proved(&frame, &key, nonce));
}

static void addresses_travel(void **state)
{
    (void)state;
    static struct address_message message, found;
    static uint8_t data[RANK_ADDRESS_BYTES_MAX];
    message.round = 7;
    message.n = COMM_RANKS_MAX;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (int r = 0; r < message.n; r++)
        message.address[r] =
            (struct rank_address){r == 1 ? 0 : RANK_ADDRESS_BYTES_MAX - (size_t)r, data + r};
    assert_int_equal(addresses_write(&wire, FRAME_BOOK, &message), OK);
    struct frame frame;
    assert_int_equal(frame_read(wire.data, wire.length, &frame), FRAME_READY);
    assert_true(addresses_read(&frame, &found));
    assert_int_equal(found.round, 7);
    assert_int_equal(found.n, COMM_RANKS_MAX);
    for (int r = 0; r < found.n; r++) {
        assert_int_equal(found.address[r].bytes, message.address[r].bytes);
        assert_memory_equal(found.address[r].data, data + r, found.address[r].bytes);
    }
    frame.bytes--; // the last rank's is cut
    assert_false(addresses_read(&frame, &found));
}

static void a_world_is_counted(void **state)
{
    (void)state;
    static struct cluster_world world, found;
    world.n_nodes = 3;
    for (int i = 0; i < 3; i++)
        world.nodes[i].n_local = 1 + i;
    snprintf(world.nodes[2].address, CLUSTER_NAME_MAX, "10.0.0.3");
    assert_int_equal(world_write(&wire, &world, 2), OK);
    struct frame frame = only_frame();
    assert_true(world_read(&frame, &found));
    assert_int_equal(found.node, 2);
    assert_int_equal(found.size, 6);
    assert_int_equal(found.nodes[2].first_rank, 3);
    assert_string_equal(found.nodes[2].address, "10.0.0.3");
    world.nodes[0].n_local = COMM_RANKS_MAX;
    bytes_clear(&wire);
    assert_int_equal(world_write(&wire, &world, 2), OK);
    frame = only_frame();
    assert_false(world_read(&frame, &found)); // more ranks than a group has
}

static void faults_travel(void **state)
{
    (void)state;
    static struct cluster_fault fault, found;
    fault = (struct cluster_fault){.node = 1, .culprit = 5, .exit_status = 137};
    snprintf(fault.sentence, sizeof fault.sentence, "rank 5 \x1b[31mwas\tkilled\nby 9");
    snprintf(fault.place, sizeof fault.place, "rank 5, all-reduce 17 of step 12");
    assert_int_equal(fault_write(&wire, &fault), OK);
    struct frame frame = only_frame();
    assert_true(fault_read(&frame, &found));
    assert_int_equal(found.culprit, 5);
    assert_int_equal(found.exit_status, 137);
    assert_false(found.lost);
    assert_string_equal(found.sentence, "rank 5 ?[31mwas?killed?by 9"); // no terminal obeys it
    assert_string_equal(found.place, fault.place);
    fault.exit_status = 0; // a fault is no success
    bytes_clear(&wire);
    assert_int_equal(fault_write(&wire, &fault), OK);
    frame = only_frame();
    assert_false(fault_read(&frame, &found));
}

static void garbage_is_refused(void **state)
{
    (void)state;
    struct frame frame;
    assert_int_equal(frame_read("GET / HTTP/1.1\r\n", 16, &frame), FRAME_BAD);
    assert_int_equal(frame_read("SSH-2.0-x", 9, &frame), FRAME_BAD);
    assert_int_equal(frame_read("\x16\x03\x01\x02\x00\x01", 6, &frame), FRAME_BAD); // TLS
    assert_int_equal(frame_read("", 0, &frame), FRAME_MORE);
    for (int type = 1; type < FRAME_TYPES_END; type++) {
        uint32_t most = (uint32_t)frame_bytes_max((enum frame_type)type);
        uint8_t header[FRAME_HEADER_BYTES] = {0, 0, 0, 0, (uint8_t)type};
        for (int more = 0; more < 2; more++) {
            uint32_t bytes = most + (uint32_t)more;
            for (int i = 0; i < 4; i++)
                header[i] = (uint8_t)(bytes >> 8 * i);
            assert_int_equal(frame_read(header, sizeof header, &frame), more   ? FRAME_BAD
                                                                        : most ? FRAME_MORE
                                                                               : FRAME_READY);
        }
        header[0] = header[1] = header[2] = header[3] = 0;
        header[6] = 1; // kept for later
        assert_int_equal(frame_read(header, sizeof header, &frame), FRAME_BAD);
    }
}

static void a_nul_is_no_text(void **state)
{
    (void)state;
    char text[CLUSTER_PLACE_MAX];
    size_t at;
    assert_int_equal(frame_begin(&wire, FRAME_BEAT, &at), OK);
    assert_int_equal(frame_blob(&wire, "a\0b", 3), OK);
    frame_end(&wire, at);
    struct frame frame = only_frame();
    assert_false(text_read(&frame, text, sizeof text));
    bytes_clear(&wire);
    assert_int_equal(text_write(&wire, FRAME_BEAT, "rank 2, barrier 3"), OK);
    frame = only_frame();
    assert_true(text_read(&frame, text, sizeof text));
    assert_string_equal(text, "rank 2, barrier 3");
    assert_false(text_read(&frame, text, 17)); // one too few for the NUL
}

static void private_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool is_private;
    } cases[] = {
        {"127.0.0.1", true},   {"10.255.0.1", true},      {"172.16.0.1", true},
        {"172.32.0.1", false}, {"192.168.9.9", true},     {"192.169.0.1", false},
        {"100.64.0.1", true},  {"100.128.0.1", false},    {"169.254.1.1", true},
        {"8.8.8.8", false},    {"11.0.0.1", false},       {"::1", true},
        {"fe80::1", true},     {"fd00::1", true},         {"2001:db8::1", false},
        {"fec0::1", false},    {"::ffff:10.0.0.1", true}, {"::ffff:8.8.8.8", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        bool is_six = strchr(cases[i].address, ':') != NULL;
        if (is_six)
            assert_int_equal(inet_pton(AF_INET6, cases[i].address, &six.sin6_addr), 1);
        else
            assert_int_equal(inet_pton(AF_INET, cases[i].address, &four.sin_addr), 1);
        const void *address = is_six ? (const void *)&six : (const void *)&four;
        if (address_is_private(address) != cases[i].is_private)
            fprintf(stderr, "%s\n", cases[i].address);
        assert_int_equal(address_is_private(address), cases[i].is_private);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hellos_are_proved, begin, end),
        cmocka_unit_test_setup_teardown(addresses_travel, begin, end),
        cmocka_unit_test_setup_teardown(a_world_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(faults_travel, begin, end),
        cmocka_unit_test_setup_teardown(garbage_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_nul_is_no_text, begin, end),
        cmocka_unit_test(private_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
