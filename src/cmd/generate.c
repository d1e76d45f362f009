// `colrow generate`: answers prompts on the terminal, over the public API alone.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "base/utf8.h"
#include "cmd/cluster_flags.h"
#include "cmd/engine_flags.h"
#include "cmd/expert_load.h"
#include "cmd/json_output.h"
#include "hf/checkpoint.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum { PROMPTS_BYTES_MAX = 64 << 20, PROMPTS_MAX = 65536 };

struct generate;

// One answer: prompt `prompt`, sample `index` of it.
struct answer {
    struct generate *owner;
    int prompt, index;
    struct bytes text;
    json_t *ids, *logprobs;
    enum colrow_finish finish;
    char *stop_reason;
    int prompt_tokens, completion_tokens;
    bool printed;
};

struct generate {
    struct engine_flags engine;
    struct cluster_flags cluster;
    struct cluster_plan plan;
    struct sampling_flags sampling;
    struct flag_texts given;
    const char *prompts_file, *system, *template_file;
    struct chat_template *template; // of template_file; NULL: the model's
    bool chat, json;
    struct bytes file;    // the prompts' text
    const char **prompts; // [n_prompts]; point into argv or `file`
    size_t prompts_capacity;
    int n_prompts;
    struct answer *answers; // [n_prompts * n]
    int n_answers, next_to_print;
    bool streaming; // one answer, straight to standard output
    enum status status;
};

static enum status add_prompt(struct generate *g, const char *text)
{
    if (g->n_prompts == PROMPTS_MAX)
        return fail(ERR_USAGE, "more than %d prompts are given", PROMPTS_MAX);
    TRY(memory_grow(&g->prompts, &g->prompts_capacity, (size_t)g->n_prompts + 1, sizeof *g->prompts,
                    "prompts"));
    g->prompts[g->n_prompts++] = text;
    return OK;
}

static enum status prompts_check(const struct generate *g, const char *name)
{
    const char *text = g->file.data ? g->file.data : "";
    size_t at;
    if (memchr(text, '\0', g->file.length))
        return fail(ERR_INPUT, "%s: holds a NUL byte; expected text", name);
    if (!utf8_check(text, g->file.length, &at))
        return fail(ERR_INPUT, "%s: is not valid UTF-8: byte 0x%02X at offset %zu", name,
                    (unsigned char)text[at], at);
    return OK;
}

// One prompt a line; empty lines do not count.
static enum status read_prompt_lines(struct generate *g)
{
    TRY(file_read_given(g->prompts_file, PROMPTS_BYTES_MAX, &g->file));
    TRY(prompts_check(g, g->prompts_file));
    char *rest = NULL;
    for (char *line = strtok_r(g->file.data, "\r\n", &rest); line;
         line = strtok_r(NULL, "\r\n", &rest))
        TRY(add_prompt(g, line));
    if (g->n_prompts == 0)
        return fail(ERR_INPUT, "%s: holds no prompt; expected one a line", g->prompts_file);
    return OK;
}

static enum status collect_prompts(struct generate *g)
{
    for (int i = 0; i < g->given.n; i++)
        TRY(add_prompt(g, g->given.items[i]));
    if (g->prompts_file)
        TRY(read_prompt_lines(g));
    if (g->n_prompts)
        return OK;
    if (isatty(STDIN_FILENO))
        return fail(ERR_USAGE,
                    "no prompt: give one with -p \"...\", --prompts FILE or on standard input");
    TRY(file_read_stdin(PROMPTS_BYTES_MAX, &g->file));
    if (g->file.length == 0)
        return fail(ERR_INPUT, "standard input: the prompt is empty");
    TRY(prompts_check(g, "standard input"));
    if (g->file.data[g->file.length - 1] == '\n')
        g->file.data[--g->file.length] = '\0';
    return add_prompt(g, g->file.data);
}

static enum status print_answer(const struct generate *g, const struct answer *a)
{
    bool tty = isatty(STDOUT_FILENO);
    const char *bold = tty ? "\033[1m" : "", *plain = tty ? "\033[0m" : "";
    if (g->n_answers > 1) {
        output_print("%s[%d%s", bold, a->prompt + 1, g->sampling.sampling.n > 1 ? "" : "]");
        if (g->sampling.sampling.n > 1)
            output_print(".%d]", a->index + 1);
        output_print(" %s%s\n", g->prompts[a->prompt], plain);
    }
    fwrite(a->text.data ? a->text.data : "", 1, a->text.length, output());
    fputs(g->n_answers > 1 ? "\n\n" : "\n", output());
    return output_flush();
}

static enum status keep_logprobs(struct answer *a, const struct colrow_output *out)
{
    for (int i = 0; i < out->n_ids && out->n_logprobs > 0; i++) {
        json_t *list = json_array();
        for (int k = 0; k < out->n_logprobs; k++) {
            const struct colrow_logprob *p = &out->logprobs[i * out->n_logprobs + k];
            json_array_append_new(list, json_pack("{s:i, s:f, s:i}", "id", (int)p->id, "logprob",
                                                  (double)p->logprob, "rank", p->rank));
        }
        if (json_array_append_new(a->logprobs, list) != 0)
            return fail_memory(0, "log-probabilities");
    }
    return OK;
}

static enum status take_answer(struct answer *a, const struct colrow_output *out)
{
    struct generate *g = a->owner;
    for (int i = 0; i < out->n_ids; i++)
        json_array_append_new(a->ids, json_integer(out->ids[i]));
    TRY(keep_logprobs(a, out));
    TRY(bytes_append(&a->text, out->text, out->text_length));
    a->prompt_tokens = out->prompt_tokens;
    a->completion_tokens = out->completion_tokens;
    a->finish = out->finish;
    if (out->stop_reason && !a->stop_reason)
        TRY(memory_text(out->stop_reason, &a->stop_reason));
    if (out->finish == COLROW_FAILED)
        return fail(engine_status(out->error_class), "%s", out->error);
    if (g->streaming) {
        fwrite(out->text, 1, out->text_length, output());
        TRY(output_flush()); // a reader that left must not be answered to the end
    }
    // Several answers appear whole, in the order of the prompts.
    while (!g->json && !g->streaming && g->next_to_print < g->n_answers &&
           g->answers[g->next_to_print].finish != COLROW_RUNNING)
        TRY(print_answer(g, &g->answers[g->next_to_print++]));
    return OK;
}

static void on_answer(void *context, const struct colrow_output *out)
{
    struct answer *first = context; // of this prompt's n
    struct generate *g = first->owner;
    enum status status = take_answer(first + out->index, out);
    if (status != OK && g->status == OK)
        g->status = status;
}

// The prompt as a chat of one message, in `*text`, which is the caller's to free.
static enum status write_chat(const struct generate *g, const struct colrow_engine *engine,
                              const char *prompt, char **text)
{
    struct colrow_message messages[2] = {{"system", g->system}, {"user", prompt}};
    int first = g->system ? 0 : 1, n = 2 - first;
    if (!g->template)
        return colrow_apply_chat_template(engine, messages + first, n, 1, text) == 0
                   ? OK
                   : engine_failed();
    struct chat_message copies[2] = {{"system", g->system}, {"user", prompt}};
    struct bytes bytes;
    bytes_init(&bytes);
    enum status status = chat_template_render(g->template, copies + first, n, true, &bytes);
    if (status == OK)
        status = bytes_append(&bytes, "", 0); // never NULL
    *text = bytes.data;
    return status;
}

static enum status submit_prompt(struct generate *g, struct colrow_engine *engine, int i)
{
    char *text = NULL;
    struct colrow_prompt prompt = {.text = g->prompts[i]};
    if (g->chat) {
        enum status status = write_chat(g, engine, g->prompts[i], &text);
        if (status != OK) {
            free(text);
            return status;
        }
        prompt.text = text;
        prompt.no_special_tokens = 1; // the template wrote them
    }
    struct answer *first = &g->answers[(size_t)i * (size_t)g->sampling.sampling.n];
    int failed = colrow_submit(engine, &prompt, &g->sampling.sampling, on_answer, first, NULL);
    free(text);
    if (failed)
        return g->n_prompts > 1 ? fail(engine_failed(), "prompt %d: %s", i + 1, colrow_error())
                                : engine_failed();
    return OK;
}

static json_t *rank_json(const struct colrow_engine *engine, int ranks)
{
    json_t *list = json_array();
    for (int r = 0; r < ranks; r++) {
        struct colrow_rank_statistics s;
        if (colrow_get_rank_statistics(engine, r, &s) != 0)
            continue;
        json_t *rank =
            json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I}", "rank", r,
                      "pid", s.pid, "weight_bytes", (json_int_t)s.weight_bytes, "kv_bytes",
                      (json_int_t)s.kv_bytes, "scratch_bytes", (json_int_t)s.scratch_bytes,
                      "resident_peak_bytes", (json_int_t)s.resident_peak_bytes, "file_bytes_read",
                      (json_int_t)s.file_bytes_read, "load_seconds", s.load_seconds, "step_seconds",
                      s.step_seconds, "all_reduce_seconds", s.all_reduce_seconds, "wait_seconds",
                      s.wait_seconds, "bytes_sent", (json_int_t)s.bytes_sent);
        json_t *experts = expert_load_json(engine, r);
        if (experts)
            json_object_set_new(rank, "experts", experts);
        json_array_append_new(list, rank);
    }
    return list;
}

static enum status print_answers_json(const struct generate *g, const struct colrow_engine *engine)
{
    struct colrow_info info;
    struct colrow_statistics s;
    colrow_get_info(engine, &info);
    colrow_get_statistics(engine, &s);
    json_t *outputs = json_array();
    for (int i = 0; i < g->n_answers; i++) {
        const struct answer *a = &g->answers[i];
        json_t *item =
            json_pack("{s:i, s:i, s:o, s:o, s:O, s:s, s:o, s:i, s:i}", "prompt_index", a->prompt,
                      "index", a->index, "prompt", json_foreign(g->prompts[a->prompt]), "text",
                      json_foreign_n(a->text.data ? a->text.data : "", a->text.length), "token_ids",
                      a->ids, "finish_reason", colrow_finish_name(a->finish), "stop_reason",
                      a->stop_reason ? json_foreign(a->stop_reason) : json_null(), "prompt_tokens",
                      a->prompt_tokens, "completion_tokens", a->completion_tokens);
        if (item && json_array_size(a->logprobs))
            json_object_set(item, "logprobs", a->logprobs);
        json_array_append_new(outputs, item);
    }
    json_t *root = json_pack(
        "{s:o, s:i, s:i, s:s, s:s, s:s, s:o, s:{s:I, s:I, s:f, s:f, s:I, s:I, s:f, s:I, s:I, s:I, "
        "s:I}, s:o}",
        "model", json_foreign(g->engine.options.model), "tensor_parallel_size",
        info.tensor_parallel_size, "pipeline_parallel_size", info.pipeline_parallel_size, "dtype",
        info.dtype, "isa", info.isa, "product_order", info.product_order, "outputs", outputs,
        "statistics", "prompt_tokens", (json_int_t)s.prompt_tokens, "generated_tokens",
        (json_int_t)s.generated_tokens, "prefill_seconds", s.prefill_seconds, "decode_seconds",
        s.decode_seconds, "prefill_tokens", (json_int_t)s.prefill_tokens, "decode_tokens",
        (json_int_t)s.decode_tokens, "load_seconds", s.load_seconds, "steps", (json_int_t)s.steps,
        "preemptions", (json_int_t)s.preemptions, "draft_tokens", (json_int_t)s.draft_tokens,
        "accepted_draft_tokens", (json_int_t)s.accepted_draft_tokens, "ranks",
        rank_json(engine, info.n_ranks));
    return json_write(root, JSON_FIGURES, NULL);
}

// The closing line, on stderr so that standard output is the answer alone.
static void print_summary(const struct colrow_engine *engine)
{
    struct colrow_info info;
    struct colrow_statistics s;
    colrow_get_info(engine, &info);
    colrow_get_statistics(engine, &s);
    double reduce = 0, wait = 0, steps = 0, most = 0;
    for (int r = 0; r < info.n_ranks; r++) {
        struct colrow_rank_statistics rank;
        if (colrow_get_rank_statistics(engine, r, &rank) != 0)
            continue;
        reduce += rank.all_reduce_seconds;
        wait += rank.wait_seconds;
        steps += rank.step_seconds;
        double bytes = (double)(rank.weight_bytes + rank.kv_bytes + rank.scratch_bytes);
        most = bytes > most ? bytes : most;
    }
    double all = steps > 0 ? 100 / steps : 0;
    fprintf(stderr,
            "── %llu prompt + %llu new tokens · prefill %.0f tok/s · decode %.1f tok/s · "
            "all-reduce %.1f %%, of it "
            "waiting %.1f %% · %d rank%s, %s each · loaded in %.2f s\n",
            (unsigned long long)s.prompt_tokens, (unsigned long long)s.generated_tokens,
            s.prefill_seconds > 0 ? (double)s.prefill_tokens / s.prefill_seconds : 0,
            s.decode_seconds > 0 ? (double)s.decode_tokens / s.decode_seconds : 0, reduce * all,
            reduce > 0 ? 100 * wait / reduce : 0, info.n_ranks, info.n_ranks == 1 ? "" : "s",
            show_bytes(most), s.load_seconds);
    if (s.draft_tokens > 0)
        fprintf(stderr,
                "── %llu of %llu drafted tokens were right (%.0f %%) · %.2f tokens a step\n",
                (unsigned long long)s.accepted_draft_tokens, (unsigned long long)s.draft_tokens,
                100 * (double)s.accepted_draft_tokens / (double)s.draft_tokens,
                (double)s.generated_tokens / (double)s.steps);
    expert_load_print(engine);
}

static enum status prepare_answers(struct generate *g)
{
    int n = g->sampling.sampling.n;
    g->n_answers = g->n_prompts * n;
    TRY(memory_new((size_t)g->n_answers, sizeof *g->answers, "answers", &g->answers));
    for (int i = 0; i < g->n_answers; i++) {
        struct answer *a = &g->answers[i];
        *a = (struct answer){.owner = g,
                             .prompt = i / n,
                             .index = i % n,
                             .ids = json_array(),
                             .logprobs = json_array()};
        bytes_init(&a->text);
        if (!a->ids || !a->logprobs)
            return fail_memory(0, "answers");
    }
    g->streaming = g->n_answers == 1 && !g->json;
    return OK;
}

static enum status generate_all(struct generate *g, struct colrow_engine *engine)
{
    TRY(sampling_flags_finish(&g->sampling, engine));
    TRY(prepare_answers(g));
    for (int i = 0; i < g->n_prompts; i++)
        TRY(submit_prompt(g, engine, i));
    bool alive = true;
    while (alive && g->status == OK)
        TRY(engine_flags_step(engine, &alive));
    return g->status;
}

static void generate_fini(struct generate *g)
{
    for (int i = 0; i < g->n_answers && g->answers; i++) {
        bytes_fini(&g->answers[i].text);
        json_decref(g->answers[i].ids);
        json_decref(g->answers[i].logprobs);
        free(g->answers[i].stop_reason);
    }
    free(g->answers);
    free(g->prompts);
    free(g->given.items);
    chat_template_close(g->template);
    bytes_fini(&g->file);
    sampling_flags_fini(&g->sampling);
}

// Before weights are read for nothing: prompts here are texts.
static enum status tokenizer_file_check(const char *model)
{
    char path[FILE_PATH_MAX];
    TRY(file_join(model, "tokenizer.json", path));
    return tokenizer_there(model)
               ? OK
               : fail(ERR_INPUT, "%s: is missing; expected it for prompts of text", path);
}

static enum status check_folder(const struct engine_flags *engine, const char **model)
{
    TRY(engine_flags_model(engine, model));
    return checkpoint_folder_check(*model);
}

// On a node other than 0: prompts, and all that is said of them, are node 0's.
static int work_for_prompts(struct generate *g, const char *model)
{
    struct colrow_engine *engine;
    enum status status = check_folder(&g->engine, &model);
    if (status == OK)
        status = engine_flags_open(&g->engine, model, &engine);
    return status == OK ? 0 : flags_failed(status);
}

static int generate_model(struct generate *g, const char *model)
{
    struct colrow_engine *engine = NULL;
    enum status status = check_folder(&g->engine, &model);
    if (status == OK)
        status = tokenizer_file_check(model);
    if (status == OK)
        status = collect_prompts(g);
    if (status == OK && (g->template_file || g->system) && !g->chat)
        status = fail(ERR_USAGE, "%s is for chats; expected --chat with it",
                      g->template_file ? "--chat-template" : "--system");
    if (status == OK && g->sampling.sampling.logprobs >= 0 && !g->json)
        status = fail(ERR_USAGE, "--logprobs are shown as JSON; expected --json with it");
    if (status == OK && g->template_file)
        status = chat_template_open_file(g->template_file, model, &g->template);
    g->engine.one_request = g->n_prompts == 1;
    if (status == OK)
        status = engine_flags_open(&g->engine, model, &engine);
    if (status == OK && !g->engine.quiet && !g->json)
        fputc('\n', stderr); // between the budget and the answer
    if (status == OK)
        status = generate_all(g, engine);
    bool begun = status == OK || (g->streaming && g->answers[0].text.length > 0);
    if (engine && g->streaming && begun && status != ERR_IO) { // also half an answer's line ends
        fputc('\n', output());
        enum status flushed = output_flush(); // what goes to stderr must come after
        status = status == OK ? flushed : status;
    }
    if (status == OK && g->json)
        status = print_answers_json(g, engine);
    if (status == OK && !g->engine.quiet && !g->json)
        print_summary(engine);
    int result = status == OK ? 0 : flags_failed(status);
    colrow_close(engine);
    return result;
}

static int generate_main(int argc, char **argv);
#define AT(field) offsetof(struct generate, field)
static const struct flag generate_flags[] = {
    {.kind = FLAG_HEADING, .help = "prompts"},
    {FLAG_TEXTS, "--prompt", "-p", AT(given), 0, 0, "TEXT", "a prompt; may be repeated"},
    {FLAG_TEXT, "--prompts", NULL, AT(prompts_file), 0, 0, "FILE", "one prompt a line"},
    {FLAG_ON, "--chat", NULL, AT(chat), 0, 0, NULL,
     "wrap each prompt with the model's chat template"},
    {FLAG_TEXT, "--chat-template", NULL, AT(template_file), 0, 0, "FILE",
     "with this template instead (with --chat)"},
    {FLAG_TEXT, "--system", NULL, AT(system), 0, 0, "TEXT", "a system message (with --chat)"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "one JSON document instead of text"},
};
const struct command command_generate = {
    .name = "generate",
    .brief = "answer prompts on the terminal",
    .positional = "MODEL",
    .summary = "Answers prompts with the HuggingFace model in the folder MODEL, split over N "
               "ranks. Without -p and\n"
               "--prompts the prompt is read from standard input.",
    .examples = "  colrow generate models/demo -tp 2 --chat -p \"What is tensor parallelism?\"\n"
                "  colrow generate Llama-3.2-1B -tp 4 -p \"Once upon a time\" --temperature 0.8 "
                "--sampling-seed 7",
    .sections = {FLAG_SECTION(generate_flags, 0),
                 {sampling_flag_rows, SAMPLING_FLAGS, offsetof(struct generate, sampling)},
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct generate, engine)},
                 {cluster_flag_rows, CLUSTER_FLAGS, offsetof(struct generate, cluster)}},
    .run = generate_main,
};

static int generate_main(int argc, char **argv)
{
    struct generate g = {0};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init(&g.engine);
    cluster_flags_init(&g.cluster);
    sampling_flags_init(&g.sampling);
    enum status status =
        flags_parse(&command_generate, &g, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped && !model)
        status =
            fail(ERR_USAGE,
                 "no model: colrow generate MODEL -p \"...\", e.g. colrow generate models/demo");
    if (status == OK && !helped)
        status = cluster_flags_settle(&g.cluster, &g.engine, &g.plan);
    int result = status != OK      ? flags_failed(status)
                 : helped          ? 0
                 : g.plan.node > 0 ? work_for_prompts(&g, model)
                                   : generate_model(&g, model);
    generate_fini(&g);
    return result;
}
