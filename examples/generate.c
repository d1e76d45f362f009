// generate.c: stream an answer from a HuggingFace folder over two ranks, with the installed
// library.
//
//   cc generate.c -o generate $(pkg-config --cflags --libs colrow)
//   ./generate models/demo "What is tensor parallelism?"
#include <colrow/colrow.h>
#include <stdio.h>
#include <stdlib.h>

static void print_text(void *context, const struct colrow_output *output)
{
    (void)context;
    fputs(output->text, stdout);
    fflush(stdout);
    if (output->finish != COLROW_RUNNING)
        printf("\n[%s after %d tokens]\n",
               output->error ? output->error : colrow_finish_name(output->finish),
               output->completion_tokens);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: %s MODEL QUESTION\n", argv[0]), 2;
    struct colrow_options options;
    colrow_options_init(&options);
    options.model = argv[1];
    options.tensor_parallel_size = 2;
    struct colrow_engine *engine;
    if (colrow_open(&options, &engine) != 0)
        return fprintf(stderr, "%s\n", colrow_error()), 1;

    struct colrow_sampling sampling;
    colrow_sampling_init(engine, &sampling);
    sampling.max_tokens = 200;
    struct colrow_message message = {"user", argv[2]};
    struct colrow_prompt prompt = {.no_special_tokens = 1}; // the template writes them
    char *text = NULL;
    int failed = colrow_apply_chat_template(engine, &message, 1, 1, &text);
    prompt.text = text;
    failed = failed || colrow_submit(engine, &prompt, &sampling, print_text, NULL, NULL);
    for (int alive = !failed; alive > 0 && !failed; failed = alive < 0)
        alive = colrow_step(engine);
    if (failed)
        fprintf(stderr, "%s\n", colrow_error());
    free(text);
    colrow_close(engine);
    return failed;
}
