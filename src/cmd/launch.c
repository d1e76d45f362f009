// `colrow launch`: starts a parallel program on N ranks of this machine, or of several, as torchrun
// does.
#include "cmd/commands.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cmd/cluster_flags.h"
#include "cmd/launch_python.h"
#include "comm/group.h"
#include "comm/reduction_tree.h"
#include "device/device.h"

static const double grace_seconds = 5;

struct launch {
    const char *n_ranks_text;
    double timeout_seconds;
    bool module, no_python;
    struct cluster_flags cluster;
};

static bool stands_alone(const char *flag)
{
    static const char *const names[] = {"--standalone", "-m",     "--module", "--no-python",
                                        "--no_python",  "--help", "-h"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(flag, names[i]) == 0)
            return true;
    return strchr(flag, '=') != NULL;
}

// Where the program begins: after "--", or the first argument that is neither a flag nor its value.
static int program_begin(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (argv[i][0] != '-')
            return i;
        i += !stands_alone(argv[i]);
    }
    return argc;
}

static int launch_main(int argc, char **argv);
#define AT(field) offsetof(struct launch, field)
static const struct flag launch_flags[] = {
    {FLAG_TEXT, "--nproc-per-node", "-n", AT(n_ranks_text), 0, 0, "N",
     "ranks to start; auto: one for each CPU (default 1)"},
    {FLAG_ON, "--module", "-m", AT(module), 0, 0, NULL,
     "PROGRAM is a Python module, as in python3 -m"},
    {FLAG_ON, "--no-python", NULL, AT(no_python), 0, 0, NULL,
     "run a PROGRAM that ends in .py as it is, by its first line"},
    {FLAG_NUMBER, "--timeout", NULL, AT(timeout_seconds), 0.1, 1e9, "SECONDS",
     "a rank that keeps others waiting for so long ends the group (default 600)"},
    {FLAG_ON, "--standalone", NULL, AT(cluster.standalone), 0, 0, NULL,
     "this machine alone, whatever the environment says of others"},
};
const struct command command_launch = {
    .name = "launch",
    .brief = "start a parallel program of your own on N ranks, like torchrun",
    .summary =
        "Starts N processes of one program, best given after --, and waits for them. Each finds\n"
        "RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE in its environment, and what\n"
        "colrow_parallel_init() of <colrow/parallel.h> needs to reach the others over shared\n"
        "memory.\n\n"
        "A program that ends in .py is run by Python: that of PYTHON_EXEC, of the active virtual\n"
        "environment, or python3 of PATH. Like torchrun it then sets OMP_NUM_THREADS to 1 where\n"
        "there are several ranks and nobody has said another number.\n\n"
        "On several machines it is started on each of them, in any order and with its own\n"
        "--node-rank; the others connect to node 0. Ranks are counted from node 0 on, and nodes\n"
        "may have different numbers of them. Where srun, mpiexec, torchrun or a LeaderWorkerSet "
        "has\n"
        "started it, their environment says what these flags would.\n\n"
        "When a rank fails, is stopped or late, or a node is lost, all others are ended, and the\n"
        "exit status is that of the first that failed (128 + signal when it was killed), on all\n"
        "nodes. Ctrl-C and SIGTERM are passed on; after 5 seconds the group is killed. Nothing is\n"
        "left behind, even when launch itself is killed.",
    .examples =
        "  colrow launch --nproc-per-node 4 -- ./collectives\n"
        "  colrow launch --nproc-per-node 4 script.py --size 10\n"
        "  colrow launch -n 2 --timeout 30 -m package.worker --size 10\n"
        "  colrow launch --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 -n 4 -- ./collectives\n"
        "  srun -N 2 --ntasks-per-node 1 colrow launch -n 4 -- ./collectives",
    .sections = {FLAG_SECTION(launch_flags, 0), FLAG_SECTION(cluster_flag_rows, AT(cluster))},
    .run = launch_main,
};

static enum status number_of_ranks(const char *text, int *out)
{
    if (strcmp(text, "auto") == 0 || strcmp(text, "cpu") == 0) {
        int n = device_cpu_count();
        *out = n < COMM_RANKS_MAX ? n : COMM_RANKS_MAX;
        return OK;
    }
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (end == text || *end || errno || n < 1 || n > COMM_RANKS_MAX)
        return fail(ERR_USAGE,
                    "flag --nproc-per-node is \"%s\"; expected a number from 1 to %d, or auto",
                    text, COMM_RANKS_MAX);
    *out = (int)n;
    return OK;
}

static volatile sig_atomic_t signal_seen;

static void on_signal(int signal)
{
    signal_seen = signal;
}

// The first is passed on. A second one, for the impatient, ends launch itself, and with it the
// ranks.
static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

static enum status check_signal(void *context)
{
    (void)context;
    int signal = signal_seen;
    return signal ? fail(ERR_CANCELLED, "ended by signal %d (%s)", signal, strsignal(signal)) : OK;
}

static int say_signal(void)
{
    int signal = signal_seen;
    fprintf(stderr, "colrow: ended by signal %d (%s)\n", signal, strsignal(signal));
    return 128 + signal;
}

// The other nodes hear it, too; where one of them was first, its word counts.
static int end_for_failure(struct group *group, struct node_agent *agent)
{
    int exit_status = 1;
    (void)!group_wait(group, &exit_status); // over: tells the status
    if (agent)
        (void)!node_agent_judge(agent, exit_status, &exit_status);
    flags_failed(ERR_GROUP);
    return exit_status;
}

static int end_for_signal(struct group *group, struct node_agent *agent)
{
    int exit_status = 128 + signal_seen;
    if (agent) { // before our ranks are asked to leave: the others need not wait for that
        (void)!check_signal(NULL);
        (void)!node_agent_judge(agent, exit_status, &exit_status);
    }
    group_end(group, signal_seen, grace_seconds);
    return say_signal();
}

static int watch_program(struct group *group, struct node_agent *agent)
{
    int n_running = 1, exit_status = 0;
    while (n_running > 0 && !signal_seen) {
        if (agent)
            node_agent_check(agent, group);
        if (group_poll(group, 50, &n_running) != OK)
            return end_for_failure(group, agent);
    }
    if (signal_seen)
        return end_for_signal(group, agent);
    if (!agent)
        return 0;
    enum status status = node_agent_leave(agent, check_signal, NULL, &exit_status);
    if (status == ERR_CANCELLED)
        return end_for_signal(group, agent);
    if (status != OK)
        flags_failed(status);
    return exit_status;
}

// A rank's first step: what colrow_parallel_init() does later and better, for programs that never
// call it. The request outlives exec().
static int become_rank(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != atoi(argv[2])) // launch died before the line above
        return 1;
    signal(SIGPIPE, SIG_DFL); // ours are not the program's
    signal(SIGXFSZ, SIG_DFL);
    execvp(argv[3], argv + 3);
    fprintf(stderr, "colrow: error: cannot run %s: %s\n", argv[3], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

// `python`: the words in front of the program's, which may be none.
static enum status start_program(const struct launch *launch, int n_ranks,
                                 const char *const *python, char **program,
                                 const struct cluster_world *world, const char *const *environment,
                                 struct group **out)
{
    enum { ARGUMENTS_MAX = 4096, OWN_MAX = 4 + LAUNCH_WORDS_MAX };
    static const char *arguments[ARGUMENTS_MAX + OWN_MAX + 1];
    static char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    int n = 0;
    arguments[n++] = "colrow";
    arguments[n++] = "launch";
    arguments[n++] = "--become-rank";
    arguments[n++] = pid;
    while (*python)
        arguments[n++] = *python++;
    for (; *program; program++) {
        if (n == ARGUMENTS_MAX + OWN_MAX)
            return fail(ERR_USAGE, "the program has more than %d arguments", ARGUMENTS_MAX);
        arguments[n++] = *program;
    }
    arguments[n] = NULL;
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .environment = environment,
                                          .n_ranks = n_ranks,
                                          .world_size = world->size,
                                          .first_rank = world->nodes[world->node].first_rank,
                                          .n_nodes = world->n_nodes,
                                          .node = world->node,
                                          .keep_stdin = true,
                                          .hasty = world->n_nodes > 1, // other nodes wait for word
                                          .deadline_seconds = launch->timeout_seconds};
    return group_spawn(&options, out);
}

// `agent` NULL: on this machine alone.
static int run_launched(const struct launch *launch, int n_ranks, const char *const *python,
                        char **program, const struct cluster_plan *plan,
                        const struct cluster_world *world, struct node_agent *agent)
{
    struct group *group;
    const char *const *environment = cluster_flags_environment(plan, world, agent);
    enum status status =
        start_program(launch, n_ranks, python, program, world, environment, &group);
    if (status != OK) {
        int exit_status = 1;
        if (agent)
            status = node_agent_judge(agent, exit_status, &exit_status);
        return flags_failed(status);
    }
    if (agent)
        node_agent_attach(agent, group, 1);
    int exit_status = watch_program(group, agent);
    if (agent)
        node_agent_detach(agent);
    group_close(group, 0);
    return exit_status;
}

// `python` gets the words that go in front of the program's.
static enum status check_launch_program(const struct launch *launch, const char *name, int n_ranks,
                                        const char **python)
{
    if (launch->module && launch->no_python)
        return fail(ERR_USAGE, "--module wants Python, and --no-python none; give one of them");
    if (!launch_wants_python(name, launch->module, launch->no_python))
        return launch_find_program(name);
    TRY(launch_python_words(name, launch->module, python));
    if (n_ranks > 1)
        setenv("OMP_NUM_THREADS", "1", 0); // numpy's threads, times ranks, are more than CPUs
    return OK;
}

static enum status check_launch_flags(const struct launch *launch, int argc, char **argv, int begin,
                                      int *n_ranks, const char **python, struct cluster_plan *plan)
{
    TRY(number_of_ranks(launch->n_ranks_text, n_ranks));
    if (begin >= argc)
        return fail(ERR_USAGE,
                    "no program given; usage: colrow launch [flags] -- PROGRAM [ARGUMENTS]");
    TRY(check_launch_program(launch, argv[begin], *n_ranks, python));
    return cluster_flags_resolve(&launch->cluster, plan);
}

static int launch_main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--become-rank") == 0)
        return become_rank(argc, argv);
    static struct cluster_plan plan; // holds a key
    static struct cluster_world world;
    struct launch launch = {.n_ranks_text = "1", .timeout_seconds = 600};
    cluster_flags_init(&launch.cluster);
    const char *python[LAUNCH_WORDS_MAX + 1] = {NULL};
    bool helped = false;
    int n_positional, n_ranks = 0, begin = program_begin(argc, argv);
    int n_own = begin < argc && strcmp(argv[begin - 1], "--") == 0 ? begin - 1 : begin;
    enum status status =
        flags_parse(&command_launch, &launch, n_own, argv, NULL, 0, &n_positional, &helped);
    if (helped)
        return 0;
    if (status == OK)
        status = check_launch_flags(&launch, argc, argv, begin, &n_ranks, python, &plan);
    if (status != OK)
        return flags_failed(status);
    catch_signals();
    struct node_agent *agent = NULL;
    if (plan.n_nodes > 1)
        status = cluster_flags_join(&launch.cluster, &plan, n_ranks, "", check_signal, NULL, &agent,
                                    &world);
    if (status == ERR_CANCELLED)
        return say_signal();
    if (status != OK)
        return flags_failed(status);
    int exit_status = run_launched(&launch, n_ranks, python, argv + begin, &plan, &world, agent);
    node_agent_stop(agent);
    return exit_status;
}
