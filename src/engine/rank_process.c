#include "engine/rank.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confinement.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "comm/keeper.h"
#include "device/device.h"
#include "device/team.h"
#include "device/topology.h"
#include "engine/board.h"
#include "engine/rank_check.h"
#include "engine/rank_pages.h"
#include "hf/checkpoint.h"
#include "model/model.h"

// One process until the weights are there, which then is the keeper (comm/keeper.h) of those who
// work with them, one after the other.
struct rank {
    int rank, n_ranks;       // of all stages
    int local_rank, n_local; // as this node counts
    struct keeper *keeper;   // NULL in those
    struct board board;      // in the keeper: while loading
    struct board_rank *own;  // our part of it
    struct plan *plan;
    const struct kernels *kernels;
    struct model_weights *weights;
    struct rank_check *check;
    int cpus[TOPOLOGY_CORES_MAX];
    int n_cpus;                // 0: threads are not bound
    bool confined, core_dumps; // as the board says
    int64_t begun_ns;
    uint64_t generation;

    struct comm *comm;         // of all ranks
    struct comm *stage_comm;   // of those of the own stage; the same where there is one stage
    struct comm *context_comm; // of those that divide the cache by position; NULL: nobody does
    struct team *team;
    struct model *model;
    struct rank_pages *pages;
    struct step_sequence *sequences; // [sequences_max]
    // for tests of requests that kill (COLROW_DIE_AT_TOKEN): with this one a step aborts; -1: none
    int32_t deadly_token;
};

// All numbers for the front-end are counters that it reads now and then: relaxed suffices.
#define PUBLISH(field, value)                                                                      \
    atomic_store_explicit(&rank->own->field, (value), memory_order_relaxed)

// ---- loading ----

static void show_progress(void *context, uint64_t bytes_read)
{
    struct rank *rank = context;
    PUBLISH(bytes_read, bytes_read);
}

static enum status compile_rank_plan(struct rank *rank, const struct model_config *config,
                                     const struct checkpoint *checkpoint)
{
    const struct board_options *options = &rank->board.header->options;
    const char *partition = options->layer_partition;
    struct tp_plan_rules rules;
    bool has_rules = options->tp_plan[0] != '\0';
    if (has_rules)
        TRY(tp_plan_file(options->tp_plan, MODEL_TYPES(config), &rules));
    enum status status = plan_compile(
        config,
        &(struct plan_options){
            .n_ranks = rank->n_ranks / board_stages(options),
            .n_stages = board_stages(options),
            .layer_partition = partition[0] ? partition : NULL,
            .layer_partition_name = "the layer partition",
            .reduction_leaves = options->reduction_leaves,
            .expert_parallel = options->expert_parallel != 0,
            .expert_parallel_size = options->expert_parallel_size,
            .context_ranks = options->context_parallel_size,
            .compute = (enum compute_type)options->compute,
            .kv_cache = (enum kv_cache)options->kv_cache,
            .quantization = {options->quantization_bits, options->quantization_lm_head_bits,
                             options->quantization_group},
            .rules = has_rules ? &rules : NULL,
            .rules_replace = options->tp_plan_replaces != 0,
            .checkpoint = checkpoint,
            .head_is_embed = options->head_is_embed != 0,
        },
        &rank->plan);
    if (has_rules)
        tp_plan_close(&rules);
    return status;
}

static enum status find_cpus(struct rank *rank)
{
    int n_threads = rank->board.header->options.threads_per_rank;
    struct topology topology;
    TRY(topology_read(&topology));
    // bound only where each thread gets a core of its own; else the kernel may move them about
    bool fits = n_threads <= TEAM_THREADS_MAX && rank->n_local * n_threads <= topology.n_cores &&
                topology_share(&topology, rank->local_rank, rank->n_local, n_threads, rank->cpus) ==
                    n_threads;
    rank->n_cpus = fits ? n_threads : 0;
    if (fits)
        topology_bind_memory(rank->cpus, n_threads);
    return OK;
}

static enum status start_team(struct rank *rank)
{
    return team_new(rank->board.header->options.threads_per_rank, rank->n_cpus ? rank->cpus : NULL,
                    &rank->team);
}

// The keeper itself works nowhere: who is forked off finds all CPUs.
static enum status load_weights(struct rank *rank, const struct checkpoint *checkpoint)
{
    cpu_set_t cpus;
    bool known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
    TRY(start_team(rank));
    const struct plan *plan = rank->plan;
    struct shared_rows shared = {.self = rank->rank % plan->n_ranks, .n = plan->n_ranks};
    bool shares = rank->board.header->options.share_rows && checkpoint->remote;
    if (shares)
        shared.memory = (struct shared_rows_memory *)(rank->board.sharing +
                                                      (size_t)(rank->rank / plan->n_ranks) *
                                                          shared_rows_bytes());
    struct model_weights_options options = {
        .plan = rank->plan,
        .checkpoint = checkpoint,
        .rank = rank->rank,
        .kernels = rank->kernels,
        .team = rank->team,
        .shared = shares ? &shared : NULL,
        .progress = show_progress,
        .progress_context = rank,
    };
    enum status status = model_weights_open(&options, &rank->weights);
    team_free(rank->team);
    rank->team = NULL;
    if (known)
        (void)sched_setaffinity(0, sizeof cpus, &cpus); // it was so before
    return status;
}

static enum status load_rank(struct rank *rank, const struct byte_sources *sources)
{
    size_t bytes;
    struct byte_source *source = NULL;
    void *memory = keeper_board(rank->keeper, &bytes);
    rank->rank = keeper_rank(rank->keeper);
    rank->n_ranks = keeper_group_size(rank->keeper);
    rank->local_rank = keeper_local_rank(rank->keeper);
    rank->n_local = keeper_local_size(rank->keeper);
    keeper_mark(rank->keeper, "starting");
    TRY(board_attach(memory, bytes, rank->n_ranks, NULL, NULL, &rank->board));
    rank->own = &rank->board.ranks[rank->rank];
    const struct board_options *options = &rank->board.header->options;
    rank->confined = options->confinement != 0;
    rank->core_dumps = options->core_dumps != 0;
    struct model_config config;
    struct checkpoint *checkpoint;
    log_set_level(LOG_ERROR); // what is unusual about the files the front-end has said
    TRY(model_config_read(options->model, &config));
    log_set_level((enum log_level)options->log_level);
    TRY(kernels_choose(&rank->kernels));
    TRY(checkpoint_open(options->model, &checkpoint));
    enum status status;
    TRY_DONE(compile_rank_plan(rank, &config, checkpoint));
    TRY_DONE(find_cpus(rank));
    keeper_mark(rank->keeper, "loading");
    if (checkpoint->remote) {
        TRY_DONE(sources->open(checkpoint->remote, rank->rank, &source));
        checkpoint_read_from(checkpoint, sources, source);
    }
    TRY_DONE(load_weights(rank, checkpoint));
    TRY_DONE(rank_check_new(rank->weights, &rank->check));
    keeper_end_when(rank->keeper, rank_check_spoilt(rank->check));
done:
    sources->close(source);
    checkpoint_close(checkpoint);
    return status;
}

// ---- working ----

static enum status open_rank_model(struct rank *rank)
{
    const struct step_limits *limits = &rank->board.header->shape.limits;
    struct model_options options = {
        .plan = rank->plan,
        .weights = rank->weights,
        .comm = rank->stage_comm,
        .world = rank->comm,
        .context = rank->context_comm,
        .kernels = rank->kernels,
        .order = (enum product_order)rank->board.header->options.product_order,
        .team = rank->team,
        .rows_max = limits->rows_max,
        .logit_rows_max = limits->logit_rows_max,
        .kv_pages = rank->board.header->shape.kv_pages,
        .host_pages = rank->board.header->shape.host_pages,
    };
    TRY(model_open(&options, &rank->model));
    TRY(rank_pages_start(&rank->board, rank->own, rank->model, &rank->pages));
    struct model_memory memory;
    model_memory(rank->model, &memory);
    PUBLISH(bytes_read, memory.file_bytes_read);
    PUBLISH(weight_bytes, memory.weight_bytes);
    PUBLISH(kv_bytes, memory.kv_bytes);
    PUBLISH(host_kv_bytes, memory.host_kv_bytes);
    PUBLISH(scratch_bytes, memory.scratch_bytes);
    PUBLISH(weights_ns, memory.weights_ns);
    PUBLISH(resident_peak_bytes, device_resident_peak_bytes(0));
    PUBLISH(load_ns, (uint64_t)(clock_ns() - rank->begun_ns));
    return OK;
}

static void confine_to(enum confinement kind, const struct rank *rank)
{
    const char *why;
    if (rank->confined && !confine(kind, &why))
        log_debug("rank %d is not confined: %s", rank->rank, why);
}

static enum status join_stage(struct rank *rank)
{
    const struct plan *plan = rank->plan;
    rank->stage_comm = rank->comm;
    if (plan->n_stages == 1)
        return OK;
    rank->stage_comm = NULL;
    int first = rank->rank / plan->n_ranks * plan->n_ranks;
    return comm_split(rank->comm, first, plan->n_ranks, &rank->stage_comm);
}

// Those that divide the cache by position.
static enum status join_context(struct rank *rank)
{
    const int n = rank->plan->context_ranks, own = comm_rank(rank->stage_comm);
    if (n == 1)
        return OK;
    return comm_split(rank->stage_comm, own / n * n, n, &rank->context_comm);
}

static enum status join(struct rank *rank)
{
    TRY(comm_open(&rank->comm));
    comm_mark(rank->comm, -1, -1, "starting");
    size_t bytes;
    void *memory = comm_board(rank->comm, &bytes);
    TRY(board_attach(memory, bytes, rank->n_ranks, comm_check, rank->comm, &rank->board));
    rank->own = &rank->board.ranks[rank->rank];
    log_set_level((enum log_level)rank->board.header->options.log_level);
    size_t n_sequences = (size_t)rank->board.header->shape.limits.sequences_max;
    TRY(memory_new(n_sequences, sizeof *rank->sequences, "step plans", &rank->sequences));
    TRY(start_team(rank));
    comm_mark(rank->comm, -1, -1, NULL);
    TRY(join_stage(rank));
    TRY(join_context(rank));
    TRY(comm_tune(rank->stage_comm)); // threads sit where they will work, and nobody loads any more
    TRY(open_rank_model(rank));
    confine_to(CONFINE_RANK, rank);
    board_arrive(&rank->board, board_loaded(&rank->board));
    return rank_check_start(rank->check, rank->comm);
}

static void add_statistics(const struct comm *comm, struct comm_statistics *sum)
{
    struct comm_statistics more;
    comm_statistics(comm, &more);
    sum->seconds += more.seconds;
    sum->wait_seconds += more.wait_seconds;
    sum->bytes_sent += more.bytes_sent;
}

static void publish_times(struct rank *rank, uint64_t number, int64_t begin_ns, int64_t *total_ns)
{
    struct comm_statistics statistics, between = {0};
    comm_statistics(rank->stage_comm, &statistics);
    if (rank->context_comm)
        add_statistics(rank->context_comm, &statistics);
    if (rank->stage_comm != rank->comm)
        comm_statistics(rank->comm, &between);
    int64_t end_ns = clock_ns();
    int slot = board_slot(&rank->board, number);
    *total_ns += end_ns - begin_ns;
    PUBLISH(step_ns, (uint64_t)*total_ns);
    PUBLISH(steps[slot].step_ns, (uint64_t)(end_ns - begin_ns));
    PUBLISH(steps[slot].end_ns, end_ns);
    PUBLISH(all_reduce_ns, (uint64_t)(statistics.seconds * 1e9));
    PUBLISH(wait_ns, (uint64_t)(statistics.wait_seconds * 1e9));
    PUBLISH(stage_ns, (uint64_t)(between.seconds * 1e9));
    PUBLISH(bytes_sent, statistics.bytes_sent + between.bytes_sent);
}

static void publish_expert_counts(struct rank *rank)
{
    const struct expert_counts *counts = model_expert_counts(rank->model);
    if (counts->busiest == 0) // the model has no experts
        return;
    for (int leaf = 0; leaf < EXPERT_LEAVES; leaf++)
        PUBLISH(expert_pairs[leaf], counts->pairs[leaf]);
    PUBLISH(busiest_pairs, counts->busiest);
}

static void die_at_token(const struct rank *rank, const struct step *step)
{
    for (int32_t i = 0; i < step->n_rows && rank->deadly_token >= 0; i++)
        if (step->tokens[i] == rank->deadly_token)
            (void)raise(SIGABRT);
}

static enum status execute_step(struct rank *rank, uint64_t number, int64_t *total_ns)
{
    const struct board_header *header = rank->board.header;
    int64_t begin_ns = clock_ns();
    struct step step;
    TRY(step_plan_read(board_plan(&rank->board, number), &header->shape.limits,
                       header->options.generation, number, rank->sequences, &step));
    die_at_token(rank, &step);
    rank_pages_follow(rank->pages);
    TRY(model_forward(rank->model, &step, board_results(&rank->board, number)));
    publish_times(rank, number, begin_ns, total_ns);
    publish_expert_counts(rank);
    return OK;
}

// For the test of confinement: COLROW_FORBIDDEN_CALL=RANK:socket, execve, fork or open, in the
// first generation, before its first step.
static void try_forbidden(const struct rank *rank)
{
    const char *asked = getenv("COLROW_FORBIDDEN_CALL");
    const char *call = asked ? strchr(asked, ':') : NULL;
    char *nothing[] = {NULL};
    if (!call || atoi(asked) != rank->rank || rank->generation != 1)
        return;
    call++;
    int result = -1;
    if (strcmp(call, "socket") == 0)
        result = socket(AF_INET, SOCK_STREAM, 0);
    else if (strcmp(call, "execve") == 0)
        result = execve("/bin/true", nothing, nothing);
    else if (strcmp(call, "fork") == 0)
        result = fork();
    else if (strcmp(call, "open") == 0)
        result = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    log_warning("rank %d made the call %s: %s", rank->rank, call,
                result < 0 ? strerror(errno) : "it was let through");
    if (result == 0)
        _exit(EXIT_SUCCESS); // forked
}

// Executes step plans until told to leave. Allocates nothing; for the test that sees to it, a
// reservation may be made to fail.
static enum status serve(struct rank *rank)
{
    struct board_header *header = rank->board.header;
    const struct board_options *options = &header->options;
    int64_t total_ns = 0;
    if (getenv("COLROW_FAIL_STEP_RESERVATION"))
        memory_fail_after(1);
    const char *deadly = getenv("COLROW_DIE_AT_TOKEN");
    rank->deadly_token = deadly ? atoi(deadly) : -1;
    for (uint64_t number = options->first_step;; number++) {
        comm_mark(rank->comm, -1, -1, NULL);
        TRY(signal_await(&header->plan, (uint32_t)number, WAIT_BUSY, comm_check, rank->comm));
        // relaxed: ordered by the word
        if (atomic_load_explicit(&header->quit, memory_order_relaxed))
            return OK;
        if (total_ns == 0)
            try_forbidden(rank);
        if (atomic_load_explicit(&header->canary, memory_order_relaxed))
            TRY(model_canary(rank->model, (int64_t)number));
        else
            TRY(execute_step(rank, number, &total_ns));
        comm_finish_step(rank->comm, (int64_t)number);
        board_arrive(&rank->board, board_done(number));
    }
}

static void stop_working(struct rank *rank)
{
    rank_check_stop(rank->check);
    rank_pages_stop(rank->pages);
    model_close(rank->model);
    team_free(rank->team);
    free(rank->sequences);
    comm_close(rank->context_comm);
    if (rank->stage_comm != rank->comm)
        comm_close(rank->stage_comm);
    comm_close(rank->comm);
}

static enum status work_as_rank(struct rank *rank)
{
    if (rank->generation > 1)
        rank->begun_ns = clock_ns();
    if (!rank->core_dumps)
        forbid_core_dumps();
    // For the test of rank_check.h: COLROW_SPOIL_WEIGHTS=RANK.
    const char *spoiled = getenv("COLROW_SPOIL_WEIGHTS");
    if (spoiled && atoi(spoiled) == rank->rank && rank->generation == 2)
        model_weights_spoil(rank->weights, model_weights_bytes(rank->weights) / 2);
    enum status status = join(rank);
    if (status == OK)
        status = serve(rank);
    if (status != OK && rank->comm)
        comm_abort(rank->comm, status_message());
    else if (status != OK)
        log_error("%s", status_message());
    stop_working(rank);
    return status;
}

int rank_main(const struct byte_sources *sources)
{
    // Ctrl-C reaches the whole terminal; it is for the program that owns the group, whose end we
    // notice.
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    struct rank rank = {.begun_ns = clock_ns()};
    enum status status = keeper_open(&rank.keeper);
    if (status == OK) {
        status = load_rank(&rank, sources);
        if (status != OK)
            keeper_abort(rank.keeper, status_message());
    } else {
        log_error("%s", status_message());
    }
    if (status == OK)
        confine_to(CONFINE_KEEPER, &rank);
    if (status == OK && keeper_serve(rank.keeper, &rank.generation)) {
        rank.keeper = NULL;
        status = work_as_rank(&rank);
    }
    rank_check_free(rank.check);
    model_weights_close(rank.weights);
    plan_free(rank.plan);
    keeper_close(rank.keeper);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
