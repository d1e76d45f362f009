#include "comm/cluster_environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A launcher, and the names of its variables; NULL: it does not say that.
struct launcher_words {
    const char *by;
    const char *key; // set: it has spoken
    const char *rank, *size, *local_rank, *local_size, *node, *n_nodes;
    const char *tasks_per_node; // Slurm's "2(x3),1"
    const char *host, *port;
    const char *node_list; // Slurm's "gpu[001-004,9]", of which the first is node 0
};

// The first row whose key is set counts: what starts nodes before what starts tasks in them.
static const struct launcher_words launchers[] = {
    // torchrun's flags as variables, which Kubeflow sets
    {.by = "PET_NNODES",
     .key = "PET_NNODES",
     .node = "PET_NODE_RANK",
     .n_nodes = "PET_NNODES",
     .host = "PET_MASTER_ADDR",
     .port = "PET_MASTER_PORT"},
    {.by = "LeaderWorkerSet",
     .key = "LWS_GROUP_SIZE",
     .node = "LWS_WORKER_INDEX",
     .n_nodes = "LWS_GROUP_SIZE",
     .host = "LWS_LEADER_ADDRESS"},
    // Those of the step: an allocation without srun (salloc, sbatch) has one process and no step.
    {.by = "srun",
     .key = "SLURM_STEP_NUM_TASKS",
     .rank = "SLURM_PROCID",
     .size = "SLURM_STEP_NUM_TASKS",
     .local_rank = "SLURM_LOCALID",
     .tasks_per_node = "SLURM_STEP_TASKS_PER_NODE",
     .node = "SLURM_NODEID",
     .n_nodes = "SLURM_STEP_NUM_NODES",
     .node_list = "SLURM_STEP_NODELIST"},
    {.by = "Open MPI's mpiexec",
     .key = "OMPI_COMM_WORLD_SIZE",
     .rank = "OMPI_COMM_WORLD_RANK",
     .size = "OMPI_COMM_WORLD_SIZE",
     .local_rank = "OMPI_COMM_WORLD_LOCAL_RANK",
     .local_size = "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {.by = "mpiexec",
     .key = "PMI_SIZE",
     .rank = "PMI_RANK",
     .size = "PMI_SIZE",
     .local_rank = "MPI_LOCALRANKID",
     .local_size = "MPI_LOCALNRANKS"},
    {.by = "torchrun",
     .key = "LOCAL_WORLD_SIZE",
     .rank = "RANK",
     .size = "WORLD_SIZE",
     .local_rank = "LOCAL_RANK",
     .local_size = "LOCAL_WORLD_SIZE",
     .node = "GROUP_RANK",
     .n_nodes = "GROUP_WORLD_SIZE"},
};

struct reader {
    environment_reader get;
    void *context;
};

static const char *look_up(const struct reader *reader, const char *name)
{
    const char *text = name ? reader->get(reader->context, name) : NULL;
    return text && *text ? text : NULL;
}

static enum status read_number(const struct reader *reader, const char *name, int least, int *out)
{
    const char *text = look_up(reader, name);
    char *end;
    if (!text)
        return OK;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (end == text || *end || errno || number < least || number > 1 << 20)
        return fail(ERR_INPUT, "%s is \"%s\" in the environment; expected a number from %d on",
                    name, text, least);
    *out = (int)number;
    return OK;
}

// Of Slurm's "2(x3),1": tasks of nodes 0, 1, 2, then of 3.
static int tasks_of_node(const char *text, int node)
{
    while (node >= 0) {
        char *end;
        long tasks = strtol(text, &end, 10), times = 1;
        if (end == text || tasks < 1 || tasks > 1 << 20)
            return -1;
        if (end[0] == '(' && end[1] == 'x') {
            times = strtol(end + 2, &end, 10);
            end += *end == ')';
        }
        if (node < times)
            return (int)tasks;
        if (*end != ',')
            return -1;
        node -= (int)times;
        text = end + 1;
    }
    return -1;
}

// The first name of Slurm's "gpu[001-004,9]-a,b".
static bool first_of_list(const char *list, char *out, size_t room)
{
    size_t prefix = strcspn(list, "[,");
    if (list[prefix] != '[') {
        int n = snprintf(out, room, "%.*s", (int)prefix, list);
        return prefix > 0 && n >= 0 && (size_t)n < room;
    }
    const char *number = list + prefix + 1, *close = strchr(number, ']');
    size_t digits = strspn(number, "0123456789");
    if (!close || digits == 0)
        return false;
    int suffix = (int)strcspn(close + 1, "[,");
    int n = snprintf(out, room, "%.*s%.*s%.*s", (int)prefix, list, (int)digits, number, suffix,
                     close + 1);
    return n >= 0 && (size_t)n < room;
}

// What was not said, where it follows: one process a node, or as many on each, one node after the
// other.
static void derive_nodes(struct cluster_place *place)
{
    int local = place->local_size;
    if (place->node >= 0 || place->rank < 0 || place->size < 1 || local < 1 ||
        place->size % local != 0)
        return;
    if (place->rank != place->rank / local * local + place->local_rank)
        return; // dealt out in another order
    place->node = place->rank / local;
    place->n_nodes = place->size / local;
}

static enum status read_master(const struct reader *reader, const struct launcher_words *words,
                               struct cluster_place *out)
{
    const char *list = look_up(reader, words->node_list);
    const char *host = look_up(reader, "MASTER_ADDR"), *said = look_up(reader, words->host);
    if (said)
        host = said;
    if (host && strlen(host) >= sizeof out->master_host)
        return fail(ERR_INPUT, "the environment names a host of more than %d letters",
                    CLUSTER_HOST_MAX - 1);
    if (host)
        snprintf(out->master_host, sizeof out->master_host, "%s", host);
    else if (list && !first_of_list(list, out->master_host, sizeof out->master_host))
        return fail(ERR_INPUT, "%s is \"%s\" in the environment; expected a list of nodes",
                    words->node_list, list);
    TRY(read_number(reader, "MASTER_PORT", 1, &out->master_port));
    TRY(read_number(reader, words->port, 1, &out->master_port));
    if (out->master_port > 65535)
        return fail(ERR_INPUT, "the environment's port %d is none; expected 1 to 65535",
                    out->master_port);
    return OK;
}

static enum status check_place(const struct launcher_words *words, const struct cluster_place *out)
{
    if (out->size >= 0 && out->rank >= out->size)
        return fail(ERR_INPUT, "%s says that this is task %d of %d (%s, %s)", words->by, out->rank,
                    out->size, words->rank, words->size);
    if (out->n_nodes >= 0 && out->node >= out->n_nodes)
        return fail(ERR_INPUT, "%s says that this is node %d of %d (%s, %s)", words->by, out->node,
                    out->n_nodes, words->node ? words->node : words->rank,
                    words->n_nodes ? words->n_nodes : words->size);
    return OK;
}

// `words` NULL: nobody has spoken.
static enum status read_place(const struct reader *reader, const struct launcher_words *words,
                              struct cluster_place *out)
{
    *out = (struct cluster_place){
        .rank = -1, .size = -1, .local_rank = -1, .local_size = -1, .node = -1, .n_nodes = -1};
    if (!words)
        return OK;
    out->by = words->by;
    TRY(read_number(reader, words->rank, 0, &out->rank));
    TRY(read_number(reader, words->size, 1, &out->size));
    TRY(read_number(reader, words->local_rank, 0, &out->local_rank));
    TRY(read_number(reader, words->local_size, 1, &out->local_size));
    TRY(read_number(reader, words->node, 0, &out->node));
    TRY(read_number(reader, words->n_nodes, 1, &out->n_nodes));
    const char *tasks = look_up(reader, words->tasks_per_node);
    if (tasks && out->node >= 0)
        out->local_size = tasks_of_node(tasks, out->node);
    derive_nodes(out);
    TRY(check_place(words, out));
    return read_master(reader, words, out);
}

enum { LAUNCHERS = sizeof launchers / sizeof launchers[0] };

enum status cluster_environment_read(environment_reader get, void *context,
                                     struct cluster_place *out)
{
    const struct reader reader = {get, context};
    const struct launcher_words *words = NULL;
    for (int i = 0; !words && i < LAUNCHERS; i++)
        if (look_up(&reader, launchers[i].key))
            words = &launchers[i];
    return read_place(&reader, words, out);
}

enum status cluster_environment_read_rank(environment_reader get, void *context,
                                          struct cluster_place *out)
{
    const struct reader reader = {get, context};
    const struct launcher_words *words = NULL;
    for (int i = LAUNCHERS - 1; !words && i >= 0; i--)
        if (launchers[i].rank && look_up(&reader, launchers[i].key))
            words = &launchers[i];
    return read_place(&reader, words, out);
}
