// What launchers of clusters say in the environment, as it was recorded from them (Slurm's of two
// nodes: in the form that its manual gives), and what follows from it.
#include "testing.h"

#include "comm/cluster_environment.h"

// Lines "NAME=value".
static const char *read_recorded(void *context, const char *name)
{
    static char value[512];
    size_t length = strlen(name);
    for (const char *line = context; line && *line;) {
        const char *end = strchr(line, '\n');
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            size_t n = (end ? (size_t)(end - line) : strlen(line)) - length - 1;
            assert_true(n < sizeof value);
            memcpy(value, line + length + 1, n);
            value[n] = '\0';
            return value;
        }
        line = end ? end + 1 : NULL;
    }
    return NULL;
}

static const char srun[] = "SLURM_GTIDS=2\nSLURM_JOB_NODELIST=gpu[001-004]\nSLURM_JOB_NUM_NODES=4\n"
                           "SLURM_LAUNCH_NODE_IPADDR=10.0.0.9\nSLURM_LOCALID=0\nSLURM_NNODES=3\n"
                           "SLURM_NODEID=2\nSLURM_NPROCS=3\nSLURM_NTASKS=3\nSLURM_PROCID=2\n"
                           "SLURM_STEPID=0\nSLURM_STEP_ID=0\nSLURM_STEP_NODELIST=gpu[002-004]\n"
                           "SLURM_STEP_NUM_NODES=3\nSLURM_STEP_NUM_TASKS=3\n"
                           "SLURM_STEP_TASKS_PER_NODE=1(x3)\nSLURM_TASKS_PER_NODE=1(x3)\n";
static const char srun_uneven[] =
    "SLURM_LOCALID=1\nSLURM_NODEID=2\nSLURM_PROCID=5\nSLURM_STEP_NODELIST=a7,b[1,3]\n"
    "SLURM_STEP_NUM_NODES=3\nSLURM_STEP_NUM_TASKS=7\nSLURM_STEP_TASKS_PER_NODE=2(x2),3\n";
// The shell of an allocation, which is a step of one task; and a batch script, which is none.
static const char salloc_shell[] =
    "SLURM_JOB_NUM_NODES=2\nSLURM_LOCALID=0\nSLURM_NNODES=2\nSLURM_NODEID=0\nSLURM_PROCID=0\n"
    "SLURM_STEPID=4294967290\nSLURM_STEP_NODELIST=GPU71E4\nSLURM_STEP_NUM_NODES=1\n"
    "SLURM_STEP_NUM_TASKS=1\nSLURM_STEP_TASKS_PER_NODE=1\n";
static const char sbatch[] = "SLURM_JOB_NUM_NODES=2\nSLURM_LOCALID=0\nSLURM_NNODES=2\n"
                             "SLURM_NODEID=0\nSLURM_NTASKS=2\nSLURM_PROCID=0\n";
// mpiexec.hydra -hosts A,B -n 2 -ppn 1, its second process
static const char hydra[] = "MPIR_CVAR_CH3_INTERFACE_HOSTNAME=localhost\nMPI_LOCALNRANKS=1\n"
                            "MPI_LOCALRANKID=0\nPMI_FD=6\nPMI_RANK=1\nPMI_SIZE=2\n";
static const char hydra_two[] = "MPI_LOCALNRANKS=2\nMPI_LOCALRANKID=1\nPMI_FD=8\nPMI_RANK=3\n"
                                "PMI_SIZE=4\nMASTER_ADDR=node-a\nMASTER_PORT=4000\n";
static const char hydra_dealt[] = // -ppn 1 -n 4 on two hosts: 0 and 2 on the first
    "MPI_LOCALNRANKS=2\nMPI_LOCALRANKID=0\nPMI_RANK=1\nPMI_SIZE=4\n";
static const char open_mpi[] =
    "OMPI_APP_CTX_NUM_PROCS=2\nOMPI_COMM_WORLD_LOCAL_RANK=1\nOMPI_COMM_WORLD_LOCAL_SIZE=2\n"
    "OMPI_COMM_WORLD_NODE_RANK=1\nOMPI_COMM_WORLD_RANK=1\nOMPI_COMM_WORLD_SIZE=2\n"
    "OMPI_FIRST_RANKS=0\nOMPI_MCA_orte_num_nodes=1\nOMPI_UNIVERSE_SIZE=2\nPMIX_RANK=1\n"
    "PMIX_VERSION=4.2.2rc2\n";
static const char torchrun[] =
    "GROUP_RANK=1\nGROUP_WORLD_SIZE=2\nLOCAL_RANK=0\nLOCAL_WORLD_SIZE=1\nMASTER_ADDR=127.0.0.1\n"
    "MASTER_PORT=29555\nRANK=1\nROLE_NAME=default\nROLE_RANK=1\nROLE_WORLD_SIZE=2\n"
    "TORCHELASTIC_RUN_ID=none\nWORLD_SIZE=2\n";
static const char worker_set[] = "LWS_GROUP_SIZE=4\nLWS_WORKER_INDEX=3\n"
                                 "LWS_LEADER_ADDRESS=vllm-0.vllm.default\n";
static const char kubeflow[] = "PET_MASTER_ADDR=job-master-0\nPET_MASTER_PORT=23456\nPET_NNODES=2\n"
                               "PET_NODE_RANK=1\nPET_NPROC_PER_NODE=8\nRANK=1\nWORLD_SIZE=2\n";

static void recorded_environments(void **state)
{
    (void)state;
    static const struct {
        const char *text, *by;
        int rank, size, local_rank, local_size, node, n_nodes;
        const char *host;
        int port;
    } cases[] = {
        {srun, "srun", 2, 3, 0, 1, 2, 3, "gpu002", 0},
        {srun_uneven, "srun", 5, 7, 1, 3, 2, 3, "a7", 0},
        {salloc_shell, "srun", 0, 1, 0, 1, 0, 1, "GPU71E4", 0},
        {sbatch, NULL, -1, -1, -1, -1, -1, -1, "", 0},
        {hydra, "mpiexec", 1, 2, 0, 1, 1, 2, "", 0},
        {hydra_two, "mpiexec", 3, 4, 1, 2, 1, 2, "node-a", 4000},
        {hydra_dealt, "mpiexec", 1, 4, 0, 2, -1, -1, "", 0},
        {open_mpi, "Open MPI's mpiexec", 1, 2, 1, 2, 0, 1, "", 0},
        {torchrun, "torchrun", 1, 2, 0, 1, 1, 2, "127.0.0.1", 29555},
        {worker_set, "LeaderWorkerSet", -1, -1, -1, -1, 3, 4, "vllm-0.vllm.default", 0},
        {kubeflow, "PET_NNODES", -1, -1, -1, -1, 1, 2, "job-master-0", 23456},
        {"", NULL, -1, -1, -1, -1, -1, -1, "", 0},
        {"LWS_GROUP_SIZE=2\n", "LeaderWorkerSet", -1, -1, -1, -1, -1, 2, "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster_place place;
        char text[2048];
        snprintf(text, sizeof text, "%s", cases[i].text);
        assert_int_equal(cluster_environment_read(read_recorded, text, &place), OK);
        if (cases[i].by)
            assert_string_equal(place.by, cases[i].by);
        else
            assert_null(place.by);
        assert_int_equal(place.rank, cases[i].rank);
        assert_int_equal(place.size, cases[i].size);
        assert_int_equal(place.local_rank, cases[i].local_rank);
        assert_int_equal(place.local_size, cases[i].local_size);
        assert_int_equal(place.node, cases[i].node);
        assert_int_equal(place.n_nodes, cases[i].n_nodes);
        assert_string_equal(place.master_host, cases[i].host);
        assert_int_equal(place.master_port, cases[i].port);
    }
}

static void values_that_none_can_mean(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"LWS_GROUP_SIZE=2\nLWS_WORKER_INDEX=two\n", "LWS_WORKER_INDEX is \"two\""},
        {"LWS_GROUP_SIZE=0\n",
         "LWS_GROUP_SIZE is \"0\" in the environment; expected a number from 1"},
        {"LWS_GROUP_SIZE=2\nLWS_WORKER_INDEX=2\n", "LeaderWorkerSet says that this is node 2 of 2"},
        {"PMI_SIZE=2\nPMI_RANK=2\n", "mpiexec says that this is task 2 of 2 (PMI_RANK, PMI_SIZE)"},
        {"PMI_SIZE=2\nPMI_RANK=99999999999999999999\n", "PMI_RANK is"},
        {"PET_NNODES=1:4\n", "PET_NNODES is \"1:4\""},
        {"PMI_SIZE=2\nPMI_RANK=1\nMASTER_PORT=70000\n", "port 70000 is none"},
        {"SLURM_STEP_NUM_TASKS=2\nSLURM_PROCID=0\nSLURM_STEP_NODELIST=[x\n", "expected a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster_place place;
        char text[512];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        assert_int_equal(cluster_environment_read(read_recorded, text, &place), ERR_INPUT);
        if (!strstr(status_message(), cases[i][1]))
            fprintf(stderr, "%s\n", status_message());
        assert_non_null(strstr(status_message(), cases[i][1]));
    }
}

// Anything may stand in a list of nodes: it is a name, or it is refused.
static void lists_of_nodes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a", "a"},
        {"a,b", "a"},
        {"a[1-3]", "a1"},
        {"a[01,3]b,c", "a01b"},
        {"a[1-2]-ib", "a1-ib"},
        {"a[7]", "a7"},
        {"rack[1-2]n[3-4]", "rack1n"},
        {"a[", NULL},
        {"a[]", NULL},
        {"[1-2]", "1"},
        {",a", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cluster_place place;
        char text[512];
        snprintf(text, sizeof text,
                 "SLURM_STEP_NUM_TASKS=1\nSLURM_PROCID=0\nSLURM_STEP_NODELIST=%s\n", cases[i][0]);
        enum status status = cluster_environment_read(read_recorded, text, &place);
        assert_int_equal(status, cases[i][1] ? OK : ERR_INPUT);
        if (cases[i][1])
            assert_string_equal(place.master_host, cases[i][1]);
    }
}

// A rank belongs to the innermost launcher that numbers processes.
static void ranks_of_launchers(void **state)
{
    struct cluster_place place;
    char text[2048];
    (void)state;
    snprintf(text, sizeof text, "%s%s", srun, hydra_two);
    assert_int_equal(cluster_environment_read_rank(read_recorded, text, &place), OK);
    assert_string_equal(place.by, "mpiexec");
    assert_int_equal(place.rank, 3);
    assert_int_equal(place.size, 4);
    snprintf(text, sizeof text, "%s%s", open_mpi, torchrun);
    assert_int_equal(cluster_environment_read_rank(read_recorded, text, &place), OK);
    assert_string_equal(place.by, "torchrun");
    assert_int_equal(place.rank, 1);
    snprintf(text, sizeof text, "%s", worker_set); // nodes, of which none is a rank
    assert_int_equal(cluster_environment_read_rank(read_recorded, text, &place), OK);
    assert_null(place.by);
    assert_int_equal(place.size, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_environments),
        cmocka_unit_test(values_that_none_can_mean),
        cmocka_unit_test(lists_of_nodes),
        cmocka_unit_test(ranks_of_launchers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
