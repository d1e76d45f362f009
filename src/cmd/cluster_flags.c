#include "cmd/cluster_flags.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cmd/interrupt.h"
#include "engine/nodes_options.h"

#define AT(field) offsetof(struct cluster_flags, field)
const struct flag cluster_flag_rows[CLUSTER_FLAGS] = {
    {.kind = FLAG_HEADING, .help = "several machines"},
    {FLAG_TEXT, "--nnodes", NULL, AT(nodes_text), 0, 0, "N", "nodes in the group (default 1)"},
    {FLAG_INT, "--node-rank", NULL, AT(node_rank), 0, CLUSTER_NODES_MAX - 1, "R",
     "which of them this is; others connect to node 0"},
    {FLAG_TEXT, "--master-addr", NULL, AT(master_addr), 0, 0, "HOST",
     "name or address of node 0; need not resolve yet"},
    {FLAG_INT, "--master-port", NULL, AT(master_port), 1, 65535, "PORT",
     "TCP port at which node 0 waits for the others (default 29500)"},
    {FLAG_TEXT, "--rdzv-endpoint", NULL, AT(rdzv_endpoint), 0, 0, "HOST:PORT",
     "both in one, as torchrun has it; then --node-rank may be absent"},
    {FLAG_TEXT, "--rdzv-id", NULL, AT(rdzv_id), 0, 0, "ID",
     "name of this run: nodes of another one are refused"},
    {FLAG_TEXT, "--rdzv-backend", NULL, AT(rdzv_backend), 0, 0, "NAME",
     "torchrun's static or c10d; changes nothing"},
    {FLAG_TEXT, "--cluster-key-file", NULL, AT(key_file), 0, 0, "FILE",
     "a secret that all nodes have; without it only private addresses may join"},
    {FLAG_NUMBER, "--join-timeout", NULL, AT(join_timeout), 0, 1e9, "SECONDS",
     "give up when nodes are still missing then; 0: never (default 600)"},
    {FLAG_NUMBER, "--node-timeout", NULL, AT(node_timeout), 2, 3600, "SECONDS",
     "a node from which nothing is heard for so long is lost (default 5)"},
};

void cluster_flags_init(struct cluster_flags *flags)
{
    *flags = (struct cluster_flags){.node_rank = -1,
                                    .rdzv_id = "",
                                    .rdzv_backend = "static",
                                    .join_timeout = 600,
                                    .node_timeout = 5};
}

// torchrun's "2", or "2:2", its way to say that no node may be missing.
static enum status read_nodes(const char *text, int *out)
{
    char *end;
    errno = 0;
    long least = strtol(text, &end, 10), most = least;
    bool good = end != text;
    if (good && *end == ':') {
        const char *second = end + 1;
        most = strtol(second, &end, 10);
        good = end != second;
    }
    if (good && !*end && !errno && least >= 1 && most > least)
        return fail(ERR_UNSUPPORTED,
                    "flag --nnodes is \"%s\"; a group whose size changes while it runs is not "
                    "supported: give one number",
                    text);
    if (!good || *end || errno || least < 1 || least != most || least > CLUSTER_NODES_MAX)
        return fail(ERR_USAGE, "flag --nnodes is \"%s\"; expected a number from 1 to %d", text,
                    CLUSTER_NODES_MAX);
    *out = (int)least;
    return OK;
}

// HOST, HOST:PORT, [IPv6]:PORT; an IPv6 address alone, too.
static enum status read_endpoint(const char *text, char *host_out, int *port_out)
{
    const char *host = text, *colon = strrchr(text, ':');
    size_t length = strlen(text);
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return fail(ERR_USAGE, "flag --rdzv-endpoint is \"%s\"; expected HOST:PORT", text);
        host = text + 1;
        length = (size_t)(close - host);
        colon = close[1] ? close + 1 : NULL;
    } else if (colon && strchr(text, ':') == colon) {
        length = (size_t)(colon - text);
    } else {
        colon = NULL;
    }
    if (colon) {
        char *end;
        long port = strtol(colon + 1, &end, 10);
        if (end == colon + 1 || *end || port < 1 || port > 65535)
            return fail(ERR_USAGE,
                        "flag --rdzv-endpoint is \"%s\"; expected a port from 1 to 65535", text);
        *port_out = (int)port;
    }
    if (length == 0 || length >= CLUSTER_HOST_MAX)
        return fail(ERR_USAGE, "flag --rdzv-endpoint is \"%s\"; expected HOST:PORT", text);
    snprintf(host_out, CLUSTER_HOST_MAX, "%.*s", (int)length, host);
    return OK;
}

enum status cluster_flags_resolve(const struct cluster_flags *flags, struct cluster_plan *plan)
{
    char host[CLUSTER_HOST_MAX];
    struct cluster_wish wish = {.node = flags->node_rank,
                                .host = flags->master_addr,
                                .port = flags->master_port,
                                .key_file = flags->key_file,
                                .alone = flags->standalone,
                                .any_node = flags->rdzv_endpoint != NULL};
    if (flags->nodes_text)
        TRY(read_nodes(flags->nodes_text, &wish.n_nodes));
    if (strcmp(flags->rdzv_backend, "static") != 0 && strcmp(flags->rdzv_backend, "c10d") != 0)
        return fail(ERR_UNSUPPORTED, "flag --rdzv-backend is \"%s\"; expected static or c10d",
                    flags->rdzv_backend);
    if (flags->standalone && wish.n_nodes > 1)
        return fail(ERR_USAGE, "--standalone means one node, but --nnodes is %d", wish.n_nodes);
    if (flags->rdzv_endpoint && flags->master_addr)
        return fail(ERR_USAGE, "--rdzv-endpoint and --master-addr both say where node 0 is; give "
                               "one of them");
    if (flags->rdzv_endpoint) {
        TRY(read_endpoint(flags->rdzv_endpoint, host, &wish.port));
        wish.host = host;
    }
    return cluster_plan_make(&wish, plan);
}

static int interrupted(void *context)
{
    (void)context;
    return interrupt_check() != OK;
}

void cluster_flags_give(const struct cluster_flags *flags, struct colrow_options *out)
{
    out->rdzv_id = flags->rdzv_id;
    out->cluster_key_file = flags->key_file;
    out->join_timeout = flags->join_timeout;
    out->node_timeout = flags->node_timeout;
    out->interrupted = interrupted;
}

enum status cluster_flags_settle(const struct cluster_flags *flags, struct engine_flags *engine,
                                 struct cluster_plan *plan)
{
    struct colrow_options *options = &engine->options;
    TRY(cluster_flags_resolve(flags, plan));
    if (plan->n_nodes > 1 && plan->node < 0)
        return fail(ERR_USAGE,
                    "%d nodes, but nothing says which one this is: give each a --node-rank of its "
                    "own, 0 to %d",
                    plan->n_nodes, plan->n_nodes - 1);
    options->nnodes = plan->n_nodes;
    options->node_rank = plan->node;
    options->master_addr = plan->host;
    options->master_port = plan->port;
    cluster_flags_give(flags, options);
    return nodes_options_check(options, plan->n_nodes);
}

// Is node 0 this machine? Only asked where no rank was given: then it is the one that the endpoint
// names, as with torchrun.
static bool is_own_name(const char *host)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    char name[INTERFACE_NAME_MAX], address[NI_MAXHOST];
    bool own = false;
    if (getaddrinfo(host, NULL, &hints, &list))
        return false;
    for (struct addrinfo *one = list; one && !own; one = one->ai_next)
        own = getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof address, NULL, 0,
                          NI_NUMERICHOST) == 0 &&
              interface_with_address(address, name);
    freeaddrinfo(list);
    return own;
}

enum status cluster_flags_join(const struct cluster_flags *flags, const struct cluster_plan *plan,
                               int n_local, const char *agreement, signal_check check,
                               void *context, struct node_agent **out, struct cluster_world *world)
{
    struct rendezvous_options options;
    cluster_plan_options(plan, n_local, agreement, &options);
    options.run = flags->rdzv_id;
    options.deadline_seconds = flags->node_timeout;
    enum status status = OK;
    *out = NULL;
    if (plan->node < 0 && is_own_name(plan->host)) {
        options.hosts = true;
        if (node_agent_start(&options, out) != OK)
            options.hosts = false; // another node of this machine has been faster
    }
    if (!*out)
        TRY(node_agent_start(&options, out));
    status = node_agent_await(*out, flags->join_timeout, "--join-timeout", check, context, world);
    if (status != OK) {
        node_agent_stop(*out);
        *out = NULL;
    }
    return status;
}

// ---- what ranks find

struct rank_environment {
    char text[4][CLUSTER_HOST_MAX + 16];
    const char *entries[7];
    int n;
};

static void add_entry(struct rank_environment *environment, const char *name, const char *value)
{
    int i = environment->n++;
    snprintf(environment->text[i], sizeof environment->text[i], "%s=%s", name, value);
    environment->entries[i] = environment->text[i];
    environment->entries[i + 1] = NULL;
}

static void add_number(struct rank_environment *environment, const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    add_entry(environment, name, text);
}

const char *const *cluster_flags_environment(const struct cluster_plan *plan,
                                             const struct cluster_world *world,
                                             struct node_agent *agent)
{
    static struct rank_environment environment;
    static struct cluster_route route;
    environment.n = 0;
    add_number(&environment, "GROUP_RANK", agent ? world->node : 0);
    add_number(&environment, "GROUP_WORLD_SIZE", agent ? world->n_nodes : 1);
    if (plan->host[0]) {
        add_entry(&environment, "MASTER_ADDR", plan->host);
        add_number(&environment, "MASTER_PORT", plan->port);
    }
    if (agent)
        cluster_route_find(world, agent, &route);
    for (int i = 0; agent && route.entries[i]; i++)
        environment.entries[environment.n++] = route.entries[i];
    environment.entries[environment.n] = NULL;
    return environment.entries;
}
