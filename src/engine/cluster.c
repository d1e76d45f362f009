#include "engine/cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "engine/far_worker.h"
#include "engine/own_paths.h"
#include "hf/checkpoint.h"
#include "hf/model_folder.h"

enum { CLUSTER_FILE_BYTES_MAX = 16 << 20 };

int cluster_share(int n_ranks, int n_nodes, int node)
{
    assert(n_nodes > 0 && node >= 0 && node < n_nodes);
    return n_ranks / n_nodes + (node < n_ranks % n_nodes);
}

static enum status append_sum(const char *folder, const char *name, char *out)
{
    char path[FILE_PATH_MAX], hex[2 * SHA256_BYTES + 1];
    uint8_t sum[SHA256_BYTES];
    struct sha256 sha;
    struct bytes text;
    bytes_init(&text);
    TRY(file_join(folder, name, path));
    enum status status = file_read(path, CLUSTER_FILE_BYTES_MAX, &text);
    if (status == OK) {
        sha256_begin(&sha);
        sha256_add(&sha, text.data, text.length);
        sha256_end(&sha, sum);
        for (size_t i = 0; i < SHA256_BYTES; i++)
            snprintf(hex + 2 * i, 3, "%02x", sum[i]);
        size_t length = strlen(out);
        snprintf(out + length, AGREEMENT_BYTES_MAX - length, "%s: sha256 %.16s\n", name, hex);
    }
    bytes_fini(&text);
    return status;
}

enum status cluster_agreement(const struct colrow_options *options, char *out)
{
    char folder[FILE_PATH_MAX];
    struct checkpoint *checkpoint;
    *out = '\0';
    TRY(model_folder_find(options->model, folder));
    TRY(append_sum(folder, "config.json", out));
    TRY(checkpoint_open(folder, &checkpoint));
    size_t length = strlen(out);
    snprintf(out + length, AGREEMENT_BYTES_MAX - length,
             "weights: %d tensors of %" PRIu64 " bytes\ntensor-parallel-size: %d\n"
             "pipeline-parallel-size: %d\n",
             checkpoint->n_tensors, checkpoint->bytes, options->tensor_parallel_size,
             options->pipeline_parallel_size);
    checkpoint_close(checkpoint);
    return OK;
}

// ---- meeting

static void part_from_nodes(struct colrow_cluster *cluster)
{
    node_channels_close(cluster->fds);
    node_agent_stop(cluster->agent);
    cluster->agent = NULL;
}

// How long, and what for.
struct meeting {
    double seconds; // 0: any time
    const char *flag;
    bool again; // this node was taken in before
    signal_check check;
    void *context;
};

struct waiting {
    struct colrow_cluster *cluster;
    const struct meeting *meeting;
};

// Node 0 of a group that may do without some nodes: complete as soon as those are here that have
// ranks. If more are, somebody has to say anew who has which.
static enum status settle_if_here(struct colrow_cluster *cluster)
{
    bool here[CLUSTER_NODES_MAX];
    node_agent_here(cluster->agent, here);
    for (int i = 0; i < cluster->options.n_nodes; i++)
        if (cluster->layout[i] > 0 && !here[i])
            return OK;
    for (int i = 0; i < cluster->options.n_nodes; i++)
        if (cluster->layout[i] == 0 && here[i])
            return fail(ERR_GROUP, "node %d is here again", i);
    (void)node_agent_settle(cluster->agent, cluster->layout);
    return OK;
}

static enum status tell_and_check(void *context)
{
    const struct waiting *waiting = context;
    const struct meeting *meeting = waiting->meeting;
    const struct cluster_terms *terms = &waiting->cluster->terms;
    if (waiting->cluster->options.hosts && waiting->cluster->options.settles)
        TRY(settle_if_here(waiting->cluster));
    char text[CLUSTER_SENTENCE_MAX];
    if (terms->waiting) {
        node_agent_waiting(waiting->cluster->agent, text, sizeof text);
        terms->waiting(terms->waiting_context, text);
    }
    return meeting->check ? meeting->check(meeting->context) : OK;
}

// All are there. From now on this node is the one that it turned out to be.
static enum status connect_nodes(struct colrow_cluster *cluster, const struct meeting *meeting)
{
    const struct cluster_world *world = &cluster->world;
    if (cluster->terms.waiting)
        cluster->terms.waiting(cluster->terms.waiting_context, "");
    cluster->options.node = world->node;
    cluster->options.hosts = world->node == 0;
    cluster_route_find(world, cluster->agent, &cluster->route);
    for (int i = 0; i < world->n_nodes; i++)
        if (world->nodes[i].n_local > 0)
            snprintf(cluster->addresses[i], CLUSTER_NAME_MAX, "%s", world->nodes[i].address);
    TRY(node_memory_exchange(cluster->agent, world, &cluster->terms.memory, meeting->check,
                             meeting->context, cluster->memory));
    return node_channels_open(cluster->agent, world, cluster->options.deadline_seconds,
                              meeting->check, meeting->context, cluster->fds);
}

// `*failed_late`: all were there.
static enum status meet_once(struct colrow_cluster *cluster, const struct meeting *meeting,
                             double seconds, bool *failed_late)
{
    *failed_late = false;
    TRY(node_agent_start(&cluster->options, &cluster->agent));
    struct waiting waiting = {cluster, meeting};
    TRY(node_agent_await(cluster->agent, seconds, meeting->flag, tell_and_check, &waiting,
                         &cluster->world));
    *failed_late = true;
    return connect_nodes(cluster, meeting);
}

static enum status pause_before_next(const struct meeting *meeting)
{
    if (meeting->check)
        TRY(meeting->check(meeting->context));
    nanosleep(&(struct timespec){.tv_nsec = 250 * 1000000L}, NULL);
    return OK;
}

// One that is lost while all connect to each other is waited for once more. And who comes back
// from behind a link that was down may be early: node 0 takes its old connection for good until
// the deadline has passed, and refuses the new one.
static enum status meet(struct colrow_cluster *cluster, const struct meeting *meeting)
{
    double begun = clock_seconds(),
           early = meeting->again ? 2 * cluster->options.deadline_seconds + 5 : 0;
    for (;;) {
        bool failed_late;
        double waited = clock_seconds() - begun, left = meeting->seconds - waited;
        enum status status =
            meet_once(cluster, meeting, meeting->seconds > 0 ? (left > 0.001 ? left : 0.001) : 0,
                      &failed_late);
        if (status == OK)
            return OK;
        bool refused = status == ERR_INPUT && !failed_late;
        if (refused ? waited > early : status != ERR_GROUP || !failed_late)
            return status;
        log_warning("%s; meeting again", status_message());
        part_from_nodes(cluster);
        TRY(pause_before_next(meeting));
    }
}

static void copy_options(struct colrow_cluster *cluster, const struct rendezvous_options *options)
{
    cluster->options = *options;
    snprintf(cluster->host, sizeof cluster->host, "%s", options->host);
    snprintf(cluster->build, sizeof cluster->build, "%s", options->build);
    snprintf(cluster->run, sizeof cluster->run, "%s", options->run);
    snprintf(cluster->agreement, sizeof cluster->agreement, "%s", options->agreement);
    cluster->options.host = cluster->host;
    cluster->options.build = cluster->build;
    cluster->options.run = cluster->run;
    cluster->options.agreement = cluster->agreement;
    if (options->key) {
        cluster->key = *options->key;
        cluster->options.key = &cluster->key;
    }
}

enum status cluster_join(const struct rendezvous_options *options,
                         const struct cluster_terms *terms, signal_check check, void *context,
                         struct colrow_cluster **out)
{
    struct meeting first = {terms->join_timeout, "--join-timeout", false, check, context};
    struct colrow_cluster *cluster;
    TRY(memory_new(1, sizeof *cluster, "the other nodes", &cluster));
    for (int i = 0; i < CLUSTER_NODES_MAX; i++)
        cluster->fds[i] = -1;
    copy_options(cluster, options);
    cluster->terms = *terms;
    // a guest takes what it is told; node 0 decides only where it may
    cluster->options.settles = terms->degrade || !options->hosts;
    for (int i = 0; i < options->n_nodes && terms->degrade; i++)
        cluster->layout[i] = cluster_share(terms->n_ranks, options->n_nodes, i);
    enum status status = meet(cluster, &first);
    if (status != OK)
        cluster_leave(cluster);
    else
        *out = cluster;
    return status;
}

void cluster_leave(struct colrow_cluster *cluster)
{
    if (!cluster)
        return;
    char sentence[STATUS_MESSAGE_MAX]; // what is said already stays so
    snprintf(sentence, sizeof sentence, "%s", status_message());
    enum status status = status_code();
    atomic_store(&cluster->stop, true);
    if (cluster->meets)
        pthread_join(cluster->thread, NULL);
    part_from_nodes(cluster);
    free(cluster);
    if (status != OK)
        (void)fail(status, "%s", sentence);
}

// ---- meeting again, on node 0

static enum status check_stop(void *context)
{
    struct colrow_cluster *cluster = context;
    return atomic_load(&cluster->stop) ? fail(ERR_CANCELLED, "this node leaves") : OK;
}

static enum status check_shares(const struct colrow_cluster *cluster, const int *before)
{
    for (int i = 0; i < cluster->world.n_nodes; i++)
        if (cluster->world.nodes[i].n_local != before[i])
            return fail(ERR_GROUP, "node %d came back with %d ranks; it had %d", i,
                        cluster->world.nodes[i].n_local, before[i]);
    return OK;
}

// Those of `layout` are here, or were just now.
static enum status go_on_with_those_here(struct colrow_cluster *cluster,
                                         const struct meeting *meeting)
{
    cluster->settling = false;
    if (!node_agent_settle(cluster->agent, cluster->layout))
        return fail(ERR_GROUP, "a node has gone again");
    TRY(node_agent_await(cluster->agent, meeting->seconds, meeting->flag, meeting->check,
                         meeting->context, &cluster->world));
    enum status status = connect_nodes(cluster, meeting);
    if (status != ERR_GROUP)
        return status;
    log_warning("%s; meeting again", status_message());
    part_from_nodes(cluster);
    return meet(cluster, meeting);
}

static void *meet_again(void *context)
{
    struct colrow_cluster *cluster = context;
    const struct meeting meeting = {cluster->terms.rejoin_timeout, "--rejoin-timeout", true,
                                    check_stop, cluster};
    int before[CLUSTER_NODES_MAX] = {0};
    enum status status;
    for (int i = 0; i < cluster->world.n_nodes; i++)
        before[i] = cluster->world.nodes[i].n_local;
    if (cluster->settling) {
        status = go_on_with_those_here(cluster, &meeting);
    } else {
        part_from_nodes(cluster);
        status = meet(cluster, &meeting);
        if (status == OK)
            status = check_shares(cluster, before);
    }
    cluster->short_of = status == ERR_GROUP && cluster->terms.degrade;
    cluster->status = status;
    if (status != OK)
        snprintf(cluster->sentence, sizeof cluster->sentence, "%s", status_message());
    atomic_store(&cluster->met, true);
    return NULL;
}

void cluster_here(struct colrow_cluster *cluster, bool here[CLUSTER_NODES_MAX])
{
    assert(cluster->short_of && !cluster->meets);
    memset(here, 0, CLUSTER_NODES_MAX * sizeof *here);
    if (cluster->agent)
        node_agent_here(cluster->agent, here);
    here[0] = true;
}

void cluster_settle(struct colrow_cluster *cluster, const int layout[CLUSTER_NODES_MAX])
{
    assert(cluster->short_of && !cluster->meets);
    memcpy(cluster->layout, layout, sizeof cluster->layout);
    cluster->short_of = false;
    cluster->settling = cluster->agent != NULL;
}

enum status cluster_meet_again(struct colrow_cluster *cluster, bool *met)
{
    *met = false;
    if (!cluster->meets) {
        atomic_store(&cluster->met, false);
        TRY(quiet_thread_start(&cluster->thread, meet_again, cluster, "looks for lost nodes"));
        cluster->meets = true;
    }
    if (!atomic_load(&cluster->met))
        return OK;
    pthread_join(cluster->thread, NULL);
    cluster->meets = false;
    if (cluster->status != OK)
        return fail(ERR_GROUP, "%s", cluster->sentence);
    *met = true;
    return OK;
}

// ---- working for an engine elsewhere

static enum status fill_worker(const struct colrow_options *options, struct crew_options *crew)
{
    char folder[FILE_PATH_MAX];
    const char *plan = own_tp_plan(options);
    if (plan && strlen(plan) >= FILE_PATH_MAX)
        return fail(ERR_USAGE, "a path is longer than %d bytes", FILE_PATH_MAX - 1);
    TRY(model_folder_find(options->model, folder));
    crew->board.log_level = options->log_level;
    return own_paths_fill(options, folder, plan ? plan : "", crew);
}

static void fill_place(const struct colrow_cluster *cluster, struct far_worker_options *worker)
{
    const struct cluster_world *world = &cluster->world;
    worker->fd = cluster->fds[0];
    worker->agent = cluster->agent;
    worker->part =
        (struct world_part){world->nodes[world->node].n_local, world->size,
                            world->nodes[world->node].first_rank, world->n_nodes, world->node};
}

// Works, and looks for the engine again when it is lost. `worker`: its options.
static enum status work_while_met(struct colrow_cluster *cluster,
                                  struct far_worker_options *options, signal_check check,
                                  void *context)
{
    struct far_worker *worker;
    TRY(far_worker_new(options, &worker));
    enum status status;
    for (;;) {
        bool lost;
        fill_place(cluster, options);
        status = far_worker_run(worker, &lost);
        if (!lost)
            break;
        log_warning("%s; looking for it again", status_message());
        part_from_nodes(cluster);
        status = meet(cluster, &(struct meeting){cluster->terms.join_timeout, "--join-timeout",
                                                 true, check, context});
        if (status != OK)
            break;
    }
    char sentence[STATUS_MESSAGE_MAX];
    snprintf(sentence, sizeof sentence, "%s", status == OK ? "" : status_message());
    far_worker_free(worker);
    return status == OK ? OK : fail(status, "%s", sentence);
}

enum status cluster_work(struct colrow_cluster *cluster, const struct colrow_options *options,
                         _Atomic int *state, signal_check check, void *context)
{
    struct far_worker_options *worker;
    TRY(memory_new(1, sizeof *worker, "this node's ranks", &worker));
    worker->state = state;
    worker->check = check;
    worker->context = context;
    worker->crew.environment = cluster->route.entries;
    worker->more = &cluster->more;
    enum status status = fill_worker(options, &worker->crew);
    if (status == OK)
        status = work_while_met(cluster, worker, check, context);
    free(worker);
    return status;
}
