// `colrow launch` as a user meets it: environment, exit statuses, signals, and that nothing
// outlives it.
#include "ranks.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

// Runs a shell command, "colrow" being the program; returns its exit status.
static int shell(const char *command, char *out, size_t bytes)
{
    char whole[2048];
    snprintf(whole, sizeof whole, "colrow() { %s \"$@\"; }; (%s) 2>&1", COLROW_BINARY, command);
    FILE *stream = popen(whole, "r");
    assert_non_null(stream);
    out[fread(out, 1, bytes - 1, stream)] = '\0';
    int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *command, int status, const char *text)
{
    char out[8192];
    int found = shell(command, out, sizeof out);
    if (found != status || !strstr(out, text))
        fprintf(stderr, "%s\nstatus %d, expected %d; expected \"%s\" in:\n%s\n", command, found,
                status, text, out);
    assert_int_equal(found, status);
    assert_non_null(strstr(out, text));
}

static void ranks_find_their_environment(void **state)
{
    (void)state;
    const char *print = "sh -c 'echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE' | sort";
    char command[256];
    static const char *const ways[] = {"--nproc-per-node 2 --", "--nproc_per_node=2", "-n 2",
                                       "--standalone --nnodes=1 --nproc-per-node 2"};
    for (int i = 0; i < 4; i++) {
        snprintf(command, sizeof command, "colrow launch %s %s", ways[i], print);
        expect(command, 0, "0 0 2 2\n1 1 2 2\n");
    }
    expect("echo input | colrow launch -- cat", 0, "input\n");
    expect("colrow launch -n auto -- true", 0, "");
    expect("colrow launch -- echo --nproc-per-node 7", 0, "--nproc-per-node 7\n");
}

static void the_first_failure_is_the_exit_status(void **state)
{
    (void)state;
    expect("colrow launch -n 3 -- sh -c 'if [ $RANK = 1 ]; then exit 9; fi; exec sleep 20'", 9,
           "rank 1 (pid ");
    expect("colrow launch -n 3 -- sh -c 'if [ $RANK = 2 ]; then kill -9 $$; fi; exec sleep 20'",
           137, "was killed by signal 9 (Killed); the group was ended");
    expect("colrow launch -n 2 -- sh -c 'if [ $RANK = 1 ]; then kill -STOP $$; fi; exec sleep 20'",
           1, "was stopped by signal 19");
}

static void wrong_use_is_explained(void **state)
{
    (void)state;
    expect("colrow launch --help", 0, "colrow launch --nproc-per-node 4 -- ./collectives");
    expect("colrow launch", 2, "no program given");
    expect("colrow launch -n 4", 2, "no program given");
    expect("colrow launch -n 65 -- true", 2, "expected a number from 1 to 64, or auto");
    expect("colrow launch -n 0 -- true", 2, "expected a number from 1 to 64, or auto");
    expect("colrow launch --nnodes 2 -- true", 2, "nothing says where node 0 is");
    expect("colrow launch --nnodes 2 --master-addr a -- true", 2, "nothing says which one this is");
    expect("colrow launch --nnodes 2 --master-addr a --node-rank 2 -- true", 2,
           "flag --node-rank is 2; of 2 nodes the last is 1");
    expect("colrow launch --nnodes 1:4 -- true", 1, "whose size changes while it runs");
    expect("colrow launch --nnodes 65 -- true", 2, "expected a number from 1 to 64");
    expect("colrow launch --nnodes 2 --standalone -- true", 2, "--standalone means one node");
    expect("colrow launch --nnodes 2 --rdzv-endpoint [::1 -- true", 2, "expected HOST:PORT");
    expect("colrow launch --nnodes 2 --rdzv-endpoint a:0 -- true", 2, "expected a port");
    expect("colrow launch --nnodes 2 --rdzv-endpoint a --master-addr b -- true", 2, "one of them");
    expect("colrow launch --rdzv-backend etcd -- true", 1, "expected static or c10d");
    expect("colrow launch --nnodes 2 --node-rank 0 --master-addr a --cluster-key-file /dev/null -- "
           "true",
           1, "a cluster key has 16 bytes or more, this one 0");
    expect("colrow launch -- no-such-program", 2,
           "cannot find the program no-such-program in PATH");
    expect("colrow launch -- ./no-such-program", 2, "cannot run ./no-such-program: No such file");
    expect("colrow launch --nproc 3 -- true", 2, "unknown flag --nproc");
}

// A cluster's launcher says what the flags do not.
static void nodes_from_the_environment(void **state)
{
    (void)state;
    expect("LWS_GROUP_SIZE=1 LWS_WORKER_INDEX=0 LWS_LEADER_ADDRESS=a colrow launch -- true", 0, "");
    expect("LWS_GROUP_SIZE=2 LWS_WORKER_INDEX=1 LWS_LEADER_ADDRESS=localhost colrow launch "
           "--master-port 1 --join-timeout 0.3 -- true",
           1, "still waiting for node 0 at localhost, port 1: Connection refused");
    expect("LWS_GROUP_SIZE=2 LWS_WORKER_INDEX=1 LWS_LEADER_ADDRESS=a colrow launch --standalone "
           "-- true",
           0, "");
    expect(
        "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 SLURM_LOCALID=1 SLURM_STEP_TASKS_PER_NODE='2(x2)' "
        "SLURM_NODEID=0 SLURM_STEP_NUM_NODES=2 SLURM_STEP_NODELIST='a[1-2]' colrow launch -- true",
        2, "srun has started this program 2 times on this node");
    expect("LWS_GROUP_SIZE=2 LWS_WORKER_INDEX=x colrow launch -- true", 1,
           "LWS_WORKER_INDEX is \"x\" in the environment");
    expect("PMI_SIZE=2 PMI_RANK=1 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=1 colrow launch -- true", 2,
           "2 nodes, but nothing says where node 0 is");
}

// Three nodes of one machine, of which one is not told which it is.
static void nodes_of_one_machine(void **state)
{
    (void)state;
    char command[1024], out[8192];
    for (int i = 0; i < 2; i++) {
        int port = 20000 + (int)getpid() % 20000 + i;
        const char *way = i == 0 ? "--node-rank $n --master-addr localhost --master-port"
                                 : "--rdzv-endpoint localhost";
        snprintf(command, sizeof command,
                 "for n in 2 1 0; do colrow launch --nnodes 3 %s%s%d -n $((n + 1)) --rdzv-id a -- "
                 "sh -c 'echo rank $RANK.$LOCAL_RANK of $WORLD_SIZE.' & done; wait",
                 way, i == 0 ? " " : ":", port);
        assert_int_equal(shell(command, out, sizeof out), 0);
        for (int r = 0; r < 6; r++) {
            char line[32];
            snprintf(line, sizeof line, "rank %d.", r);
            if (!strstr(out, line))
                fprintf(stderr, "%s\n", out);
            assert_non_null(strstr(out, line));
        }
        assert_non_null(strstr(out, " of 6."));
    }
}

// Starts launch with two ranks that run `script`; waits until both have said "ready".
static pid_t start(const char *script)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ready[1], 1);
        execl(COLROW_BINARY, "colrow", "launch", "-n", "2", "--", "sh", "-c", script, NULL);
        _exit(127);
    }
    close(ready[1]);
    char text[16];
    for (size_t n = 0; n < 12;) {
        ssize_t part = read(ready[0], text + n, 12 - n);
        assert_true(part > 0);
        n += (size_t)part;
    }
    close(ready[0]);
    return pid;
}

// What is left of the family is ours (PR_SET_CHILD_SUBREAPER): nobody, within a second.
static int assert_gone(pid_t pid)
{
    double begun = clock_seconds();
    int found = -1;
    for (int status; clock_seconds() - begun < 5;) {
        pid_t one = waitpid(-1, &status, WNOHANG);
        if (one == pid)
            found = status;
        if (one < 0)
            break;
        if (one == 0)
            sleep_ms(2);
    }
    assert_true(clock_seconds() - begun < patience(1));
    return found;
}

static void signals_are_passed_on(void **state)
{
    (void)state;
    // the script leaves in its own way, which takes a moment
    const char *script =
        "trap 'sleep 0.1; exit 0' TERM INT; echo ready; while :; do sleep 0.01; done";
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        pid_t pid = start(script);
        kill(pid, signals[i]);
        int status = assert_gone(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 128 + signals[i]);
    }
}

// Programs that know nothing of colrow die with launch all the same.
static void nothing_outlives_launch(void **state)
{
    (void)state;
    pid_t pid = start("echo ready; exec sleep 30");
    kill(pid, SIGKILL);
    assert_gone(pid);
}

int main(void)
{
    if (access(COLROW_BINARY, X_OK) != 0)
        return TEST_SKIPPED;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_find_their_environment),
        cmocka_unit_test(the_first_failure_is_the_exit_status),
        cmocka_unit_test(wrong_use_is_explained),
        cmocka_unit_test(nodes_from_the_environment),
        cmocka_unit_test(nodes_of_one_machine),
        cmocka_unit_test(signals_are_passed_on),
        cmocka_unit_test(nothing_outlives_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
