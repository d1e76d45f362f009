// The collectives against what they shall give, bit for bit, as groups of 1 to 8 processes.
#include "worlds.h"

#include <fcntl.h>
#include <signal.h>

static uint64_t seed;
static uint32_t random_number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

// Number i of rank r in call c: small differences of magnitude, so that another order of summation
// shows.
static float number(uint32_t call, int rank, size_t i)
{
    uint64_t x = ((uint64_t)call * 1000003u + (uint64_t)rank) * 1000000007u + i;
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return ((float)(x >> 40) / (float)(1 << 23) - 1.0f) * (float)(1u << (x & 15));
}

static unsigned char byte(uint32_t call, int rank, size_t i)
{
    return (unsigned char)((uint64_t)call * 31u + (uint64_t)rank * 7u + i * 13u + (i >> 8));
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

// The sum over leaves [first, first + width) where leaf values are number(call, leaf, i).
static bool tree_sum(const struct reduction_tree *tree, uint32_t call, size_t i, int first,
                     int width, float *out)
{
    if (width == 1) {
        *out = number(call, first, i);
        return (tree->present >> first & 1) != 0;
    }
    float left = 0, right = 0;
    bool has_left = tree_sum(tree, call, i, first, width / 2, &left);
    bool has_right = tree_sum(tree, call, i, first + width / 2, width / 2, &right);
    *out = has_left && has_right ? left + right : has_left ? left : right;
    return has_left || has_right;
}

static float expected_sum(const struct reduction_tree *tree, uint32_t call, size_t i)
{
    float sum;
    return tree_sum(tree, call, i, 0, tree->n_leaves, &sum) ? sum : 0;
}

// Sizes around every switch: nothing, one, odd, one-shot's end, a chunk's end, several chunks.
static size_t random_size(void)
{
    static const size_t edges[] = {0,     1,     2,    3,     31,     33,     1023,  1024,   1025,
                                   8191,  8192,  8193, 16384, 65535,  65536,  65537, 131072, 4096,
                                   12289, 99999, 64,   70000, 200001, 131073, 5};
    uint32_t kind = random_number() % 4;
    if (kind == 0)
        return edges[random_number() % (sizeof edges / sizeof edges[0])];
    return random_number() % (kind == 1 ? 100 : kind == 2 ? 10000 : SANITIZED ? 30000 : 150000);
}

static void random_tree(int n_ranks, struct reduction_tree *tree)
{
    memset(tree, 0, sizeof *tree);
    tree->n_ranks = n_ranks;
    tree->n_leaves = 8 << random_number() % 2;
    tree->present = random_number() & (((uint64_t)1 << tree->n_leaves) - 1);
    if (random_number() % 2)
        tree->present = ((uint64_t)1 << tree->n_leaves) - 1;
    for (int r = 0; r <= n_ranks; r++)
        tree->first_leaf[r] = r * tree->n_leaves / n_ranks;
}

// This rank's nodes [count][n].
static float *make_nodes(const struct reduction_tree *tree, uint32_t call, int rank, size_t n)
{
    struct tree_node nodes[2 * LEAVES_MAX];
    int count =
        reduction_tree_nodes(tree, tree->first_leaf[rank], tree->first_leaf[rank + 1], nodes);
    float *in = malloc(((size_t)count * n + 1) * sizeof *in);
    if (!in)
        abort();
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < n; i++)
            tree_sum(tree, call, i, nodes[k].first, nodes[k].width, &in[(size_t)k * n + i]);
    return in;
}

struct consumed {
    float *out;
    unsigned char *seen; // how often
    size_t n, count;
};

static void consume(void *context, size_t offset, const float *sum, size_t count)
{
    struct consumed *consumed = context;
    for (size_t i = offset; i < offset + count && i < consumed->n; i++)
        consumed->seen[i]++;
    consumed->count += count;
    if (offset + count <= consumed->n)
        memcpy(consumed->out + offset, sum, count * sizeof *sum);
}

static int one_all_reduce(struct comm *comm, uint32_t call)
{
    struct reduction_tree tree;
    reduction_tree_plain(comm_size(comm), &tree);
    bool plain = random_number() % 2;
    if (!plain)
        random_tree(comm_size(comm), &tree);
    size_t n = random_size();
    float *in = make_nodes(&tree, call, comm_rank(comm), n);
    bool in_place = random_number() % 2 && reduction_tree_node_count(&tree, comm_rank(comm)) > 0;
    float *out = in_place ? in : malloc((n + 1) * sizeof *out);
    RANK_CHECK(out);
    if (random_number() % 2) {
        struct consumed consumed = {out, calloc(n + 1, 1), n, 0};
        RANK_CHECK(consumed.seen);
        RANK_CHECK(comm_all_reduce_into(comm, plain ? NULL : &tree, in, n, consume, &consumed) ==
                   OK);
        RANK_CHECK(consumed.count == n && !memchr(consumed.seen, 0, n));
        free(consumed.seen);
    } else {
        RANK_CHECK(comm_all_reduce(comm, plain ? NULL : &tree, in, out, n) == OK);
    }
    for (size_t i = 0; i < n; i++)
        RANK_CHECK(same_bits(out[i], expected_sum(&tree, call, i)));
    if (!in_place)
        free(out);
    free(in);
    return 0;
}

static int one_reduce_scatter(struct comm *comm, uint32_t call)
{
    struct reduction_tree tree;
    reduction_tree_plain(comm_size(comm), &tree);
    bool plain = random_number() % 2;
    if (!plain)
        random_tree(comm_size(comm), &tree);
    size_t counts[COMM_RANKS_MAX], begin = 0, n = 0;
    for (int r = 0; r < comm_size(comm); r++) {
        counts[r] = random_size();
        begin += r < comm_rank(comm) ? counts[r] : 0;
        n += counts[r];
    }
    float *in = make_nodes(&tree, call, comm_rank(comm), n);
    float *out = malloc((counts[comm_rank(comm)] + 1) * sizeof *out);
    RANK_CHECK(out);
    RANK_CHECK(comm_reduce_scatter(comm, plain ? NULL : &tree, in, counts, out) == OK);
    for (size_t i = 0; i < counts[comm_rank(comm)]; i++)
        RANK_CHECK(same_bits(out[i], expected_sum(&tree, call, begin + i)));
    free(out);
    free(in);
    return 0;
}

static int one_all_gather(struct comm *comm, uint32_t call)
{
    size_t bytes[COMM_RANKS_MAX], begin[COMM_RANKS_MAX], total = 0;
    bool even = random_number() % 2;
    size_t same = random_size();
    for (int r = 0; r < comm_size(comm); r++) {
        bytes[r] = even ? same : random_size() * 5;
        begin[r] = total;
        total += bytes[r];
    }
    size_t own = bytes[comm_rank(comm)];
    unsigned char *out = malloc(total + 1), *in = malloc(own + 1);
    RANK_CHECK(out && in);
    for (size_t i = 0; i < own; i++)
        in[i] = byte(call, comm_rank(comm), i);
    bool in_place = random_number() % 2;
    if (in_place)
        memcpy(out + begin[comm_rank(comm)], in, own);
    RANK_CHECK(comm_all_gather(comm, in_place ? out + begin[comm_rank(comm)] : in, own,
                               even ? NULL : bytes, out) == OK);
    for (int r = 0; r < comm_size(comm); r++)
        for (size_t i = 0; i < bytes[r]; i++)
            RANK_CHECK(out[begin[r] + i] == byte(call, r, i));
    free(in);
    free(out);
    return 0;
}

static int one_broadcast(struct comm *comm, uint32_t call)
{
    size_t n = random_size() * 7;
    int root = (int)(random_number() % (uint32_t)comm_size(comm));
    unsigned char *data = malloc(n + 1);
    RANK_CHECK(data);
    for (size_t i = 0; i < n; i++)
        data[i] = comm_rank(comm) == root ? byte(call, root, i) : 0;
    RANK_CHECK(comm_broadcast(comm, data, n, root) == OK);
    for (size_t i = 0; i < n; i++)
        RANK_CHECK(data[i] == byte(call, root, i));
    free(data);
    return 0;
}

// A ring: everyone to the next; even ranks send first.
static int one_ring(struct comm *comm, uint32_t call)
{
    size_t n = random_size() * 3;
    int size = comm_size(comm), rank = comm_rank(comm);
    if (size == 1)
        return 0;
    int next = (rank + 1) % size, before = (rank + size - 1) % size;
    unsigned char *out = malloc(n + 1), *in = malloc(n + 1);
    RANK_CHECK(out && in);
    for (size_t i = 0; i < n; i++)
        out[i] = byte(call, rank, i);
    for (int turn = 0; turn < 2; turn++)
        if ((rank % 2 == 0) == (turn == 0))
            RANK_CHECK(comm_send(comm, out, n, next) == OK);
        else
            RANK_CHECK(comm_recv(comm, in, n, before) == OK);
    for (size_t i = 0; i < n; i++)
        RANK_CHECK(in[i] == byte(call, before, i));
    free(in);
    free(out);
    return 0;
}

static int one_barrier(struct comm *comm, uint32_t call)
{
    (void)call;
    RANK_CHECK(comm_barrier(comm) == OK);
    return 0;
}

static int one_random_call(struct comm *comm, uint32_t call)
{
    static int (*const calls[])(struct comm *, uint32_t) = {
        one_all_reduce, one_all_reduce, one_reduce_scatter, one_all_gather,
        one_broadcast,  one_broadcast,  one_ring,           one_barrier};
    return calls[random_number() % (sizeof calls / sizeof calls[0])](comm, call);
}

enum { N_CALLS = SANITIZED ? 16 : 60 };

static int run_random(struct comm *comm, const char *argument)
{
    seed = strtoull(argument, NULL, 10);
    if (seed % 2)
        RANK_CHECK(comm_tune(comm) == OK);
    for (uint32_t call = 0; call < N_CALLS; call++) {
        int result = one_random_call(comm, call);
        if (result)
            return result;
    }
    RANK_CHECK(comm_barrier(comm) == OK);
    struct comm_statistics statistics;
    comm_statistics(comm, &statistics);
    RANK_CHECK(statistics.collectives >= N_CALLS / 2 &&
               statistics.seconds >= statistics.wait_seconds);
    return 0;
}

static void random_calls(void **state)
{
    (void)state;
    // What is chosen without being asked, each algorithm for all sizes, and the way that no CPU at
    // hand may choose.
    static const char *const settings[][2] = {{"COLROW_ALL_REDUCE", "auto"},
                                              {"COLROW_ALL_REDUCE", "one-shot"},
                                              {"COLROW_ALL_REDUCE", "two-shot"},
                                              {"COLROW_STREAM_BYTES", "64"}};
    for (int size = 1; size <= 8; size++)
        for (int s = 0; s < (world_is_shm() ? 4 : 2); s++) { // they are about shared memory
            char text[16];
            snprintf(text, sizeof text, "%d", s * 1000 + size);
            setenv(settings[s][0], settings[s][1], 1);
            world_pass(size, "random", text);
            unsetenv(settings[s][0]);
        }
}

// Two ranks with a node each have ways of their own; sizes around all their switches, measured ones
// included.
static int run_pair(struct comm *comm, const char *argument)
{
    static const size_t bytes[] = {4,     60,    64,    68,     1020,   4096,   4100,   8192,
                                   16380, 16384, 16388, 65532,  65536,  65540,  131072, 131076,
                                   98300, 33000, 4160,  262144, 262148, 524288, 524292, 1048580};
    struct comm_points points;
    if (*argument == 't')
        RANK_CHECK(comm_tune(comm) == OK);
    comm_points(comm, &points);
    RANK_CHECK((points.tuning_seconds > 0) <= (*argument == 't'));
    struct reduction_tree tree;
    reduction_tree_plain(2, &tree);
    for (uint32_t call = 0; call < 3 * sizeof bytes / sizeof bytes[0]; call++) {
        size_t n = bytes[call % (sizeof bytes / sizeof bytes[0])] / sizeof(float);
        float *in = make_nodes(&tree, call, comm_rank(comm), n);
        RANK_CHECK(comm_all_reduce(comm, NULL, in, in, n) == OK);
        for (size_t i = 0; i < n; i++)
            RANK_CHECK(same_bits(in[i], expected_sum(&tree, call, i)));
        free(in);
        if (call % 5 == 0) // others use the same slots in between
            RANK_CHECK(one_broadcast(comm, call) == 0);
    }
    return 0;
}

static void two_ranks_agree_at_all_switches(void **state)
{
    (void)state;
    static const char *const settings[] = {"auto", "one-shot", "two-shot"};
    for (int i = 0; i < 3; i++) {
        setenv("COLROW_ALL_REDUCE", settings[i], 1);
        world_pass(2, "pair", "untuned");
        world_pass(2, "pair", "tuned");
        unsetenv("COLROW_ALL_REDUCE");
    }
}

// Two-shot has no meeting on its way: a rank that stops there for a while, at another place in each
// call, or for good.
struct halting {
    struct consumed consumed;
    size_t halt_at; // numbers
    bool dies;
};

static void consume_and_halt(void *context, size_t offset, const float *sum, size_t count)
{
    struct halting *halting = context;
    consume(&halting->consumed, offset, sum, count);
    if (halting->consumed.count < halting->halt_at)
        return;
    halting->halt_at = SIZE_MAX;
    if (halting->dies)
        _exit(9);
    usleep(30000); // the other one falls asleep
}

static int run_halt(struct comm *comm, const char *argument)
{
    enum { N = 300001, HALTS = 6 };
    struct reduction_tree tree;
    reduction_tree_plain(2, &tree);
    for (uint32_t call = 0; call < HALTS; call++) {
        bool halts = (int)call % 2 == comm_rank(comm), dies = *argument == 'd' && call == HALTS - 1;
        float *in = make_nodes(&tree, call, comm_rank(comm), N), *out = malloc(N * sizeof *out);
        struct halting halting = {
            {out, calloc(N, 1), N, 0}, halts ? N / (HALTS + 1) * (call + 1) : SIZE_MAX, dies};
        RANK_CHECK(out && halting.consumed.seen);
        enum status status = comm_all_reduce_into(comm, NULL, in, N, consume_and_halt, &halting);
        // What dies may have sent all that a wire takes before.
        RANK_CHECK(status == (dies ? ERR_GROUP : OK) || (dies && !world_is_shm()));
        for (size_t i = 0; i < N && !dies; i++)
            RANK_CHECK(halting.consumed.seen[i] == 1 &&
                       same_bits(out[i], expected_sum(&tree, call, i)));
        free(halting.consumed.seen);
        free(out);
        free(in);
    }
    return 0;
}

static void a_rank_stops_on_the_way(void **state)
{
    (void)state;
    struct world world;
    int exit_status = -1;
    world_pass(2, "halt", "pauses");
    assert_int_equal(world_start(2, "halt", "dies", 60, &world), OK);
    assert_int_equal(world_wait(&world, &exit_status), ERR_GROUP);
    assert_non_null(strstr(status_message(), "rank 1"));
    world_close(&world);
}

// Halves (and the odd one) of the world work by themselves, and with the world, in turns.
static int run_split(struct comm *comm, const char *argument)
{
    (void)argument;
    int size = comm_size(comm), rank = comm_rank(comm), part = (size + 1) / 2;
    int first = rank / part * part, count = first + part <= size ? part : size - first;
    struct comm *half, *again;
    RANK_CHECK(comm_split(comm, first, count, &half) == OK);
    RANK_CHECK(comm_rank(half) == rank - first && comm_size(half) == count);
    for (uint32_t call = 0; call < N_CALLS / 2; call++) {
        seed = (uint64_t)first * 77 + call * 99991;
        RANK_CHECK(one_random_call(half, call + (uint32_t)first * 1000) == 0);
        seed = call;
        if (call % 4 == 0)
            RANK_CHECK(one_random_call(comm, call) == 0);
    }
    RANK_CHECK(comm_split(comm, rank, 1, &again) == OK); // the least that there is
    RANK_CHECK(comm_barrier(again) == OK);
    struct comm *third;
    RANK_CHECK(comm_split(comm, rank, 1, &third) == ERR_UNSUPPORTED);
    comm_close(again);
    comm_close(half);
    RANK_CHECK(comm_barrier(comm) == OK);
    return 0;
}

static void splits_work_side_by_side(void **state)
{
    (void)state;
    for (int n = 2; n <= 8; n += 2)
        world_pass(n, "split", "");
    world_pass(5, "split", "");
}

// A message that fits into the buffers leaves before anyone asks for it.
static int run_eager(struct comm *comm, const char *argument)
{
    (void)argument;
    int other = !comm_rank(comm);
    char text[4][1000] = {{0}};
    for (int i = 0; i < 4; i++)
        RANK_CHECK(comm_send(comm, text[i], sizeof text[i], other) == OK);
    for (int i = 0; i < 4; i++)
        RANK_CHECK(comm_recv(comm, text[i], sizeof text[i], other) == OK);
    return 0;
}

static void short_messages_need_no_meeting(void **state)
{
    (void)state;
    world_pass(2, "eager", "");
}

static int run_board(struct comm *comm, const char *argument)
{
    (void)argument;
    size_t bytes;
    volatile int *board = comm_board(comm, &bytes);
    RANK_CHECK(bytes == 1 << 16 && board);
    RANK_CHECK(comm_barrier(comm) == OK);
    while (board[0] != 4711) { // the owner writes it after it has started us
        RANK_CHECK(comm_check(comm) == OK);
        usleep(1000);
    }
    board[1 + comm_rank(comm)] = comm_rank(comm) + 1;
    RANK_CHECK(comm_check(comm) == OK);
    return 0;
}

static void the_board_is_shared_with_the_owner(void **state)
{
    (void)state;
    struct world world;
    int exit_status = -1;
    assert_int_equal(world_start(3, "board", "", 60, &world), OK);
    for (int i = 0; i < world.n_nodes; i++)
        *(int *)group_board(world.group[i]) = 4711;
    assert_int_equal(world_wait(&world, &exit_status), OK);
    assert_int_equal(exit_status, 0);
    for (int i = 0; i < world.n_nodes; i++)
        for (int r = world.first[i]; r < world.first[i + 1]; r++)
            assert_int_equal(((int *)group_board(world.group[i]))[1 + r], r + 1);
    world_close(&world);
}

static void one_rank_needs_no_group(void **state)
{
    (void)state;
    struct comm *comm;
    assert_int_equal(comm_open(&comm), OK);
    size_t bytes;
    assert_null(comm_board(comm, &bytes));
    assert_int_equal(comm_check(comm), OK);
    assert_int_equal(run_random(comm, "5"), 0);
    comm_close(comm);
    setenv("WORLD_SIZE", "3", 1);
    setenv("RANK", "0", 1);
    assert_int_equal(comm_open(&comm), ERR_INPUT);
    assert_non_null(strstr(status_message(), "colrow launch --nproc-per-node 3"));
    setenv("WORLD_SIZE", "x", 1);
    assert_int_equal(comm_open(&comm), ERR_INPUT);
    unsetenv("WORLD_SIZE");
    unsetenv("RANK");
}

// Signals are the program's own, and what a transport has opened is closed in children.
static int run_tidy(struct comm *comm, const char *argument)
{
    static const int signals[] = {SIGHUP, SIGILL, SIGBUS, SIGFPE, SIGSEGV, SIGUSR1, SIGTERM};
    (void)argument;
    RANK_CHECK(comm_barrier(comm) == OK);
    RANK_CHECK(comm_local_rank(comm) == atoi(getenv("LOCAL_RANK")));
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;
        RANK_CHECK(sigaction(signals[i], NULL, &action) == 0);
        RANK_CHECK(SANITIZED || action.sa_handler == SIG_DFL);
    }
    for (int fd = 3; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        RANK_CHECK(flags < 0 || (flags & FD_CLOEXEC));
    }
    return 0;
}

static void transports_keep_to_themselves(void **state)
{
    (void)state;
    world_pass(3, "tidy", "");
}

static int run_large(struct comm *comm, const char *argument)
{
    size_t n = strtoull(argument, NULL, 10);
    float *data = malloc(n * sizeof *data);
    RANK_CHECK(data);
    for (size_t i = 0; i < n; i++)
        data[i] = (float)(i % 1000) + (float)comm_rank(comm);
    RANK_CHECK(comm_all_reduce(comm, NULL, data, data, n) == OK);
    for (size_t i = 0; i < n; i++)
        RANK_CHECK(same_bits(data[i], 2 * (float)(i % 1000) + 1));
    free(data);
    return 0;
}

static void large_messages(void **state)
{
    (void)state;
    world_pass(2, "large", SANITIZED ? "1048577" : "33554433");
}

static const struct ranks_case cases[] = {
    {"random", run_random}, {"split", run_split}, {"eager", run_eager},
    {"board", run_board},   {"large", run_large}, {"tidy", run_tidy},
    {"pair", run_pair},     {"halt", run_halt},   {NULL, NULL}};

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return ranks_run(argc, argv, cases);
    if (world_is_missing())
        return 77;
    if (argc > 1) // a pattern: only these
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls),
        cmocka_unit_test(two_ranks_agree_at_all_switches),
        cmocka_unit_test(a_rank_stops_on_the_way),
        cmocka_unit_test(splits_work_side_by_side),
        cmocka_unit_test(short_messages_need_no_meeting),
        cmocka_unit_test(the_board_is_shared_with_the_owner),
        cmocka_unit_test(one_rank_needs_no_group),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(transports_keep_to_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
