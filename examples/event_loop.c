// event_loop.c: one loop that waits for lines and for an engine at the same time. Each line on
// standard input is a question; it may come while others are being answered, or the model loads.
//
//   cc event_loop.c -o event_loop $(pkg-config --cflags --libs colrow)
//   ./event_loop models/demo
#include <colrow/colrow.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_text(void *context, const struct colrow_output *output)
{
    (void)context;
    if (output->text_length)
        printf("[%d] %.*s\n", (int)output->request, (int)output->text_length, output->text);
    if (output->finish != COLROW_RUNNING)
        printf("[%d] -- %s\n", (int)output->request,
               output->error ? output->error : colrow_finish_name(output->finish));
    fflush(stdout);
}

// A busy program would encode on another thread: see colrow_get_tokenizer().
static void ask(struct colrow_engine *engine, const char *line)
{
    struct colrow_message message = {"user", line};
    struct colrow_prompt prompt = {.no_special_tokens = 1}; // the template writes them
    struct colrow_sampling sampling;
    char *text = NULL;
    colrow_sampling_init(engine, &sampling);
    sampling.max_tokens = 40;
    int failed = colrow_apply_chat_template(engine, &message, 1, 1, &text);
    prompt.text = text;
    if (failed || colrow_submit(engine, &prompt, &sampling, print_text, NULL, NULL) != 0)
        fprintf(stderr, "%s: %s\n", colrow_error_class_name(colrow_error_class()), colrow_error());
    free(text);
}

int main(int argc, char **argv)
{
    struct colrow_options options;
    struct colrow_engine *engine;
    colrow_options_init(&options);
    options.model = argc > 1 ? argv[1] : NULL;
    options.tensor_parallel_size = 2;
    if (colrow_open_begin(&options, &engine) != 0)
        return fprintf(stderr, "%s\n", colrow_error()), 1;
    struct pollfd events[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = colrow_fd(engine), .events = POLLIN}};
    char line[4096];
    int alive = 0, restarts_left = 3; // alive: requests
    while (alive > 0 || events[0].fd >= 0) {
        poll(events, 2, -1);
        if (events[0].revents) {
            ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
            if (n <= 0)
                events[0].fd = -1; // the end of input: finish what runs
            line[n > 0 ? n : 0] = '\0';
            char *rest = NULL;
            for (char *one = strtok_r(line, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest))
                ask(engine, one);
        }
        alive = colrow_advance(engine);
        if (alive >= 0)
            continue;
        fprintf(stderr, "%s\n", colrow_error()); // the ranks are lost, and all requests with them
        if (restarts_left-- == 0 || colrow_restart(engine) != 0)
            break;
    }
    colrow_close(engine);
    return alive < 0;
}
