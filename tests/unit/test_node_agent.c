// Two nodes' agents with their ranks, a thread of this process each: ranks find each other's
// addresses, what breaks one part ends the other with the same words, and the interface that is
// named is the one on the way.
#include "testing.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "comm/address_book.h"
#include "comm/cluster_interface.h"
#include "comm/flight_record.h"
#include "comm/group_spawn.h"
#include "comm/node_agent.h"
#include "comm/segment_join.h"

enum { NODES = 2 };

struct node {
    pthread_t thread;
    int index, port;
    const char *name; // of what its ranks do
    struct cluster_world world;
    int exit_status;
    char sentence[2048];
};

static int run_as_rank(const char *name)
{
    static struct segment segment;
    int local_rank;
    unsigned char own[ADDRESS_BYTES_MAX];
    if (segment_join(RANK_SEGMENT_FD, &segment, &local_rank) != OK)
        return 3;
    int rank = segment.first_rank + local_rank;
    struct flight_record *flight = &segment.ranks[local_rank].flight;
    flight_mark(flight, 5, rank, "down_proj");
    for (int i = 0; i <= rank; i++)
        flight_begin(flight, OPERATION_ALL_REDUCE);
    memset(own, 'a' + rank, sizeof own);
    address_book_put(&segment, local_rank, own, sizeof own - (size_t)rank);
    if (address_book_wait(&segment, NULL, NULL) != OK)
        return 4;
    for (int r = 0; r < segment.world_size; r++) {
        size_t bytes;
        const unsigned char *address = address_book_read(&segment, r, &bytes);
        if (!address || bytes != sizeof own - (size_t)r || address[bytes - 1] != 'a' + r)
            return 5;
    }
    if (strcmp(name, "meet") == 0)
        return 0;
    sleep(1); // beats tell the others where we are
    if (strcmp(name, "fail") == 0 && rank == 2)
        return 7;
    if (strcmp(name, "accuse") == 0 && rank == 0)
        verdict_give(&segment, 0, 2, "rank 2 cannot be reached; rank 0 waits for it");
    for (;;)
        pause();
}

static void end_node(struct node *node, struct node_agent *agent, struct group *group)
{
    (void)!group_wait(group, &node->exit_status);
    (void)!node_agent_judge(agent, node->exit_status, &node->exit_status);
    snprintf(node->sentence, sizeof node->sentence, "%s", status_message());
}

static void run_ranks(struct node *node, struct node_agent *agent)
{
    const char *arguments[] = {"agent", "--rank", node->name, NULL};
    const struct cluster_node *own = &node->world.nodes[node->index];
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = own->n_local,
                                          .world_size = node->world.size,
                                          .first_rank = own->first_rank,
                                          .n_nodes = NODES,
                                          .node = node->index};
    struct group *group;
    int n_running = 1;
    if (group_spawn(&options, &group) != OK)
        return;
    if (node->index == 0) { // ranks that were lost before the other nodes had started theirs
        node_agent_attach(agent, group, 1);
        node_agent_detach(agent);
    }
    node_agent_attach(agent, group, 2);
    enum status status = OK;
    while (n_running > 0 && status == OK) {
        node_agent_check(agent, group);
        status = group_poll(group, 20, &n_running);
    }
    if (status != OK)
        end_node(node, agent, group);
    else if (node_agent_leave(agent, NULL, NULL, &node->exit_status) != OK)
        snprintf(node->sentence, sizeof node->sentence, "%s", status_message());
    node_agent_detach(agent);
    group_close(group, 0);
}

static void *run_node(void *context)
{
    struct node *node = context;
    const struct rendezvous_options options = {.host = "127.0.0.1",
                                               .port = node->port,
                                               .hosts = node->index == 0,
                                               .node = node->index,
                                               .n_nodes = NODES,
                                               .n_local = 1 + node->index,
                                               .build = "test",
                                               .run = "",
                                               .agreement = ""};
    struct node_agent *agent;
    node->exit_status = -1;
    if (node_agent_start(&options, &agent) != OK)
        return NULL;
    if (node_agent_await(agent, patience(60), "--join-timeout", NULL, NULL, &node->world) == OK)
        run_ranks(node, agent);
    node_agent_stop(agent);
    return NULL;
}

static void run_nodes(const char *name, struct node nodes[NODES])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (void *)&address, &bytes), 0);
    close(fd);
    for (int i = 0; i < NODES; i++) {
        nodes[i] = (struct node){.index = i, .port = ntohs(address.sin_port), .name = name};
        assert_int_equal(pthread_create(&nodes[i].thread, NULL, run_node, &nodes[i]), 0);
    }
    for (int i = 0; i < NODES; i++)
        pthread_join(nodes[i].thread, NULL);
}

static void expect_sentence(const struct node *node, int exit_status, const char *part)
{
    if (node->exit_status != exit_status || !strstr(node->sentence, part))
        print_error("node %d, status %d: %s\n", node->index, node->exit_status, node->sentence);
    assert_int_equal(node->exit_status, exit_status);
    assert_non_null(strstr(node->sentence, part));
}

static void ranks_meet(void **state)
{
    (void)state;
    static struct node nodes[NODES];
    run_nodes("meet", nodes);
    for (int i = 0; i < NODES; i++) {
        expect_sentence(&nodes[i], 0, "");
        assert_int_equal(nodes[i].world.size, 3);
    }
}

static void a_failure_is_everybodys(void **state)
{
    (void)state;
    static struct node nodes[NODES];
    run_nodes("fail", nodes);
    expect_sentence(&nodes[0], 7, "node 1 (127.0.0.1): rank 2 (pid ");
    expect_sentence(&nodes[0], 7, "left with exit status 7 in step 5, layer 2, all-reduce");
    // rank 1 has begun fewer collectives than rank 2
    expect_sentence(&nodes[0], 7,
                    "; last there: rank 1, all-reduce 2 of step 5 (layer 1, down_proj); last here: "
                    "rank 0, all-reduce 1 of step 5 (layer 0, down_proj); the group was ended");
    expect_sentence(&nodes[1], 7, "left with exit status 7");
}

// Nothing is wrong with rank 2 as far as its own node knows: then the word of its peer counts.
static void an_accusation_counts_after_a_while(void **state)
{
    (void)state;
    static struct node nodes[NODES];
    run_nodes("accuse", nodes);
    for (int i = 0; i < NODES; i++)
        expect_sentence(&nodes[i], 1, "rank 2 cannot be reached; rank 0 waits for it");
    expect_sentence(&nodes[1], 1, "node 0 (127.0.0.1): ");
}

static void write_file(const char *folder, const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", folder, path);
    for (char *slash = name + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(name, 0700);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_interface_on_the_way(void **state)
{
    (void)state;
    char name[INTERFACE_NAME_MAX], devices[INTERFACE_DEVICES_MAX], command[64];
    assert_true(interface_with_address("127.0.0.1", name));
    assert_string_equal(name, "lo");
    assert_false(interface_with_address("192.0.2.77", name));
    char folder[] = "/tmp/colrow_sysfs_XXXXXX";
    assert_non_null(mkdtemp(folder));
    interface_devices(folder, "ens1", devices, sizeof devices);
    assert_string_equal(devices, "ens1");
    write_file(folder, "class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0", "ens1\n");
    write_file(folder, "class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/1", "ens1\n");
    write_file(folder, "class/infiniband/mlx5_1/ports/1/gid_attrs/ndevs/0", "ens2\n");
    write_file(folder, "class/infiniband/mlx5_2/ports/2/gid_attrs/ndevs/3", "ens1\n");
    interface_devices(folder, "ens1", devices, sizeof devices);
    assert_string_equal(devices, "mlx5_0:1,mlx5_2:2,ens1");
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--rank") == 0)
        return run_as_rank(argv[2]);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_meet),
        cmocka_unit_test(a_failure_is_everybodys),
        cmocka_unit_test(an_accusation_counts_after_a_while),
        cmocka_unit_test(the_interface_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
