// `colrow serve`: an OpenAI-compatible server, with vLLM's flags.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/confinement.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "cmd/cluster_flags.h"
#include "cmd/engine_flags.h"
#include "cmd/http_flags.h"
#include "cmd/interrupt.h"
#include "engine/cluster.h"
#include "engine/far_worker.h"
#include "engine/nodes_options.h"
#include "hf/hub_name.h"
#include "server/serve.h"
#include "server/worker_health.h"

struct serve {
    struct engine_flags engine;
    struct cluster_flags cluster;
    struct serve_options options;
    struct colrow_engine *opened;
    struct service_manager manager;
    struct http_flags http;
    const char *model, *log_format;
    struct flag_texts names;
    struct hub_name repository; // where the model is named by it
    int block_size;
    bool no_prompt_logprobs, no_log, ignored, headless, degrade;
    struct cluster_plan plan;
    struct colrow_cluster *joined; // NULL: there is one node
    struct worker_health *health;  // answers on a node that waits, or works for another one
    _Atomic int state;             // of that: enum far_worker_state
};

// ---- the command ----

static const struct flag serve_flags[] = {
    {.kind = FLAG_HEADING, .help = "server"},
    {FLAG_TEXT, "--model", NULL, offsetof(struct serve, model), 0, 0, "DIR",
     "the model's folder, instead of MODEL"},
    {FLAG_TEXTS, "--served-model-name", NULL, offsetof(struct serve, names), 0, 0, "NAME",
     "the model's name in requests and answers; may be repeated (default: the folder, and its "
     "last part)"},
    {FLAG_TEXT, "--chat-template", NULL, offsetof(struct serve, options.chat_template), 0, 0,
     "FILE", "a Jinja template in place of the model's"},
    {FLAG_INT, "--max-num-queued-requests", "--max-num-queued-reqs",
     offsetof(struct serve, options.max_num_queued_requests), 0, 1 << 30, "N",
     "without a first token yet; beyond: status 429; 0: any number (default 4096)"},
    {FLAG_INT64, "--max-num-queued-tokens", NULL,
     offsetof(struct serve, options.max_num_queued_tokens), 0, 1e15, "N",
     "of their prompts; beyond: status 429; 0: any number (default 0)"},
    {FLAG_NUMBER, "--shutdown-timeout", NULL, offsetof(struct serve, options.shutdown_seconds), 0,
     86400, "SECONDS", "after SIGTERM, running requests may go on for so long (default 30)"},
    {FLAG_INT, "--max-logprobs", NULL, offsetof(struct serve, options.max_logprobs), 0, 20, "N",
     "log-probabilities for each token at most (default 20)"},
    {FLAG_ON, "--no-prompt-logprobs", NULL, offsetof(struct serve, no_prompt_logprobs), 0, 0, NULL,
     "reserve no memory for prompt_logprobs (and echo with logprobs), and refuse them"},
    {FLAG_ON, "--enable-tokenizer-info-endpoint", NULL,
     offsetof(struct serve, options.tokenizer_info), 0, 0, NULL, "GET /tokenizer_info"},
    {FLAG_ON, "--enable-prompt-tokens-details", NULL,
     offsetof(struct serve, options.prompt_tokens_details), 0, 0, NULL,
     "usage says how many tokens of the prompt were cached"},
    {FLAG_ON, "--enable-server-load-tracking", NULL, offsetof(struct serve, ignored), 0, 0, NULL,
     "as always: GET /load counts requests"},
    {FLAG_ON, "--enforce-eager", NULL, offsetof(struct serve, ignored), 0, 0, NULL,
     "as always: there are no graphs to capture"},
    {FLAG_ON, "--headless", NULL, offsetof(struct serve, headless), 0, 0, NULL,
     "of several machines: this one only works; nodes other than 0 do so anyway"},
    {FLAG_NUMBER, "--rejoin-timeout", NULL, offsetof(struct serve, engine.options.rejoin_timeout),
     0, 1e9, "SECONDS",
     "of several machines: a lost one may take so long to come back; 0: any time (default "
     "--join-timeout, with --degrade 60)"},
    {FLAG_ON, "--degrade", NULL, offsetof(struct serve, degrade), 0, 0, NULL,
     "of several machines: when a lost one does not come back, go on with those that are left, "
     "with fewer stages or ranks; the answers are the same"},
    {FLAG_INT, "--block-size", NULL, offsetof(struct serve, block_size), 1, 1024, "N",
     "taken for vLLM's sake: KV pages of colrow hold 64 tokens"},
    {FLAG_ON, "--disable-log-requests", "--no-enable-log-requests", offsetof(struct serve, no_log),
     0, 0, NULL, "no line for each request"},
    {FLAG_TEXT, "--log-format", NULL, offsetof(struct serve, log_format), 0, 0, "FORMAT",
     "of the line for each request: text or json (default text)"},
};

// Of org/name@revision clients need not know the revision.
static enum status name_served(struct serve *s)
{
    s->options.name = s->options.model;
    if (!hub_name_is(s->options.model) || file_exists(s->options.model))
        return OK;
    TRY(hub_name_read(s->options.model, &s->repository));
    s->options.name = s->repository.id;
    return OK;
}

static enum status check_serve_flags(struct serve *s, const char *positional)
{
    if (positional && s->model && strcmp(positional, s->model) != 0)
        return fail(ERR_USAGE, "two models are given, %s and --model %s; which one?", positional,
                    s->model);
    s->options.model = positional ? positional : s->model;
    if (!s->options.model)
        return fail(ERR_USAGE, "no model: colrow serve MODEL, e.g. colrow serve models/demo");
    if (s->log_format && strcmp(s->log_format, "text") != 0 && strcmp(s->log_format, "json") != 0)
        return fail(ERR_USAGE, "flag --log-format is \"%s\"; expected text or json", s->log_format);
    TRY(name_served(s));
    s->options.log_json = s->log_format && strcmp(s->log_format, "json") == 0;
    s->engine.options.log_json = s->options.log_json;
    s->options.log_requests = !s->no_log;
    s->options.prompt_logprobs = !s->no_prompt_logprobs;
    for (int i = 0; i < s->names.n; i++)
        if (!*s->names.items[i])
            return fail(ERR_USAGE, "flag --served-model-name is empty; expected a name");
    s->options.served_names = s->names.items;
    s->options.n_served_names = s->names.n;
    s->options.memory_utilization = s->engine.options.gpu_memory_utilization;
    s->engine.options.prompt_logits = !s->no_prompt_logprobs;
    TRY(http_flags_finish(&s->http));
    s->options.http = s->http.options;
    return OK;
}

static enum status look_for_signal(void *context)
{
    (void)context;
    return interrupt_check();
}

static void note_waiting(void *context, const char *text)
{
    struct serve *s = context;
    worker_health_waiting(s->health, text);
}

// Who probes this node is to hear for whom it waits. On a socket that was passed clients wait.
static enum status answer_while_waiting(struct serve *s, struct nodes_terms *terms)
{
    bool heads = s->plan.node == 0;
    s->state = WORKER_WAITS;
    if (heads && s->manager.listen_fd >= 0)
        return OK;
    TRY(worker_health_start(&s->options.http, &s->state, heads, &s->health));
    *terms = (struct nodes_terms){.waiting = note_waiting, .context = s};
    return OK;
}

static void stop_answering(void *context)
{
    struct serve *s = context;
    if (s->joined)
        s->joined->terms.waiting = NULL;
    worker_health_stop(s->health);
    s->health = NULL;
}

// Finds the other nodes, where there are some. Every node gives the same command.
static enum status join_nodes(struct serve *s)
{
    TRY(cluster_flags_settle(&s->cluster, &s->engine, &s->plan));
    s->engine.options.degrade = s->degrade;
    if (s->plan.n_nodes == 1 && !s->headless)
        return OK;
    if (s->plan.n_nodes == 1)
        return fail(ERR_USAGE, "--headless is for the nodes of a group other than node 0; give "
                               "--nnodes, --node-rank and --master-addr");
    if (s->headless && s->plan.node == 0)
        return fail(ERR_USAGE, "--headless is for nodes other than node 0, which serves");
    TRY(engine_flags_settle(&s->engine, s->options.model));
    struct nodes_terms terms = {0};
    TRY(answer_while_waiting(s, &terms));
    TRY(nodes_options_join(&s->engine.options, &s->plan, &terms, &s->joined));
    s->engine.nodes = s->joined;
    return OK;
}

// On a node other than 0.
static enum status work_for_node_0(struct serve *s)
{
    s->engine.options.launcher = confinement_is_built() && !s->engine.no_confinement;
    return cluster_work(s->joined, &s->engine.options, &s->state, look_for_signal, NULL);
}

static void show_serve_loading(void *context, const struct colrow_gauges *gauges)
{
    struct serve *s = context;
    engine_flags_loading(&s->engine, gauges);
}

static void show_serve_loaded(void *context)
{
    struct serve *s = context;
    const char *why;
    engine_flags_loaded(&s->engine, s->opened);
    if (s->engine.options.launcher) // which starts ranks, so that these have slices like others
        thread_take_short_slices();
    // Sockets listen, files are read: what is left to do needs neither programs nor new processes.
    enum confinement kind = s->joined ? CONFINE_HEAD_NODE : CONFINE_FRONT_END;
    if (!s->engine.no_confinement && !confine(kind, &why))
        log_info("this server is not confined: %s", why);
}

static void note_signal(void *context, int number)
{
    (void)context;
    interrupt_note(number);
}

static enum status serve_model(struct serve *s)
{
    struct colrow_engine *engine = NULL;
    struct colrow_info info;
    s->options.manager = &s->manager;
    s->options.http.listen_fd = s->manager.listen_fd;
    // we shall start no ranks ourselves
    s->engine.options.launcher = confinement_is_built() && !s->engine.no_confinement;
    TRY(engine_flags_model(&s->engine, &s->options.model));
    TRY(engine_flags_begin(&s->engine, s->options.model, &engine));
    s->opened = engine;
    s->options.listens = stop_answering;
    s->options.loading = show_serve_loading;
    s->options.loaded = show_serve_loaded;
    s->options.interrupted = note_signal;
    s->options.loading_context = s;
    enum status status = interrupt_check();
    interrupts_release(); // from here on they are events of the server's loop
    colrow_get_info(engine, &info);
    if (status == OK && s->block_size && s->block_size != info.kv_page_tokens)
        log_info("--block-size %d changes nothing: KV pages of colrow hold %lld tokens",
                 s->block_size, (long long)info.kv_page_tokens);
    if (status == OK)
        status = serve_run(&s->options, engine);
    progress_end(&s->engine.bar);
    colrow_close(engine);
    return status;
}

static void serve_fini(struct serve *s)
{
    service_manager_close(&s->manager);
    free(s->names.items);
    http_flags_fini(&s->http);
}

static int serve_main(int argc, char **argv);

const struct command command_serve = {
    .name = "serve",
    .brief = "serve the OpenAI API over HTTP",
    .positional = "MODEL",
    .summary = "Serves the HuggingFace model in the folder MODEL over HTTP, as vLLM does: chat and "
               "text completions,\n"
               "streams, log-probabilities, tokens, metrics. SIGTERM and Ctrl-C let running "
               "requests finish.",
    .examples = "  colrow serve models/demo -tp 2 --port 8000\n"
                "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: "
                "application/json' \\\n"
                "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is tensor "
                "parallelism?\"}]}'",
    .sections = {FLAG_SECTION(serve_flags, 0),
                 {http_flag_rows, HTTP_FLAGS, offsetof(struct serve, http)},
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct serve, engine)},
                 {cluster_flag_rows, CLUSTER_FLAGS, offsetof(struct serve, cluster)}},
    .run = serve_main,
};

static int serve_main(int argc, char **argv)
{
    struct serve s = {.manager = {.notify_fd = -1, .listen_fd = -1}};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init(&s.engine);
    cluster_flags_init(&s.cluster);
    serve_options_init(&s.options);
    http_flags_init(&s.http);
    enum status status =
        flags_parse(&command_serve, &s, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = check_serve_flags(&s, model);
    if (status == OK && !helped) // before ranks inherit what it is told
        status = service_manager_open(&s.manager);
    if (status == OK && !helped)
        status = join_nodes(&s);
    if (status == OK && !helped)
        status = s.joined && s.plan.node > 0 ? work_for_node_0(&s) : serve_model(&s);
    stop_answering(&s);
    cluster_leave(s.joined);
    serve_fini(&s);
    return status == OK ? 0 : flags_failed(status);
}
