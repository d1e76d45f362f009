// nodes.c: generate.c on several machines: the same program on each, which holds a part of the
// ranks; node 0 asks, and prints. Which node this is stands in the environment, where srun,
// mpiexec, torchrun or a LeaderWorkerSet has put it, or is said:
//
//   cc nodes.c -o nodes $(pkg-config --cflags --libs colrow)
//   node-a$ ./nodes models/demo "Tensor parallelism" 2 0 node-a
//   node-b$ ./nodes models/demo "Tensor parallelism" 2 1 node-a
#include <colrow/colrow.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static int is_stopped(void *context) // while nodes are missing, and while this one works for node 0
{
    (void)context;
    return stopped;
}

static void print_text(void *context, const struct colrow_output *output)
{
    (void)context;
    fputs(output->text, stdout);
    fflush(stdout);
    if (output->finish != COLROW_RUNNING)
        printf("\n");
    if (output->error)
        fprintf(stderr, "%s\n", output->error);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 6)
        return fprintf(stderr, "usage: %s MODEL PROMPT [NNODES NODE_RANK MASTER_ADDR]\n", argv[0]),
               2;
    struct colrow_options options;
    colrow_options_init(&options);
    options.model = argv[1];
    options.tensor_parallel_size = 4; // over all nodes
    options.nnodes = 0;               // as the environment says
    if (argc == 6) {
        options.nnodes = atoi(argv[3]);
        options.node_rank = atoi(argv[4]);
        options.master_addr = argv[5];
    }
    options.interrupted = is_stopped;
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    struct colrow_engine *engine;
    if (colrow_open(&options, &engine) != 0)
        return fprintf(stderr, "%s\n", colrow_error()), 1;
    if (!engine)
        return 0; // this node has worked for node 0, which is done

    struct colrow_sampling sampling;
    colrow_sampling_init(engine, &sampling);
    sampling.max_tokens = 40;
    const struct colrow_prompt prompt = {.text = argv[2]};
    int failed = colrow_submit(engine, &prompt, &sampling, print_text, NULL, NULL);
    for (int alive = !failed; alive > 0 && !failed && !stopped; failed = alive < 0)
        alive = colrow_step(engine);
    if (failed)
        fprintf(stderr, "%s\n", colrow_error());
    colrow_close(engine); // the other nodes return from colrow_open()
    return failed;
}
