// `colrow chat`: a conversation in the terminal, or line by line from a pipe.
#include "cmd/commands.h"

#include <colrow/colrow.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/output.h"
#include "cmd/chat_input.h"
#include "cmd/chat_talk.h"
#include "cmd/cluster_flags.h"
#include "cmd/engine_flags.h"
#include "cmd/interrupt.h"
#include "hf/checkpoint.h"

struct chat {
    struct engine_flags engine_flags;
    struct cluster_flags cluster;
    struct cluster_plan plan;
    struct sampling_flags sampling;
    const char *system, *template_file;
    bool no_history;

    struct colrow_engine *engine;
    struct line_editor *editor;
    struct chat_talk talk;
    bool terminal; // somebody sits there
    struct bytes text;

    // the answer under way, or the last one
    struct bytes answer;
    enum colrow_finish finish;
    int prompt_tokens, completion_tokens;
    enum status status;
};

// ---- answers ----

static void show_answer(void *context, const struct colrow_output *out)
{
    struct chat *c = context;
    c->finish = out->finish;
    c->prompt_tokens = out->prompt_tokens;
    c->completion_tokens = out->completion_tokens;
    enum status status = bytes_append(&c->answer, out->text, out->text_length);
    if (status == OK && out->text_length) {
        fwrite(out->text, 1, out->text_length, output());
        status = output_flush();
    }
    if (out->finish == COLROW_FAILED)
        status = fail(engine_status(out->error_class), "%s", out->error);
    if (c->status == OK)
        c->status = status;
}

// Ctrl-C stops the answer alone: what there is of it stays.
static enum status await_answer(struct chat *c, uint64_t request)
{
    bool alive = true, stopped = false;
    while (alive && c->status == OK) {
        if (!stopped && line_editor_interrupted()) {
            stopped = true;
            (void)colrow_cancel(c->engine, request); // it may be over by now
        }
        TRY(engine_flags_step(c->engine, &alive));
    }
    return c->status;
}

static void say_how_it_ended(const struct chat *c)
{
    struct colrow_info info;
    colrow_get_info(c->engine, &info);
    if (c->finish != COLROW_LENGTH || c->engine_flags.quiet)
        return;
    if (c->prompt_tokens + c->completion_tokens >= info.max_model_len)
        fprintf(stderr, "── the context of %lld tokens is full; /clear begins anew\n",
                (long long)info.max_model_len);
    else
        fprintf(stderr, "── cut at %d tokens (--max-tokens)\n", c->completion_tokens);
}

static enum status put_question(struct chat *c)
{
    struct bytes prompt;
    uint64_t request = 0;
    enum status status = OK;
    bytes_init(&prompt);
    bytes_clear(&c->answer);
    c->status = OK;
    TRY_DONE(chat_talk_render(&c->talk, &prompt));
    const struct colrow_prompt text = {
        .struct_size = sizeof text,
        .text = prompt.data,
        .text_length = prompt.length,
        .no_special_tokens = 1, // the template wrote them
    };
    if (colrow_submit(c->engine, &text, &c->sampling.sampling, show_answer, c, &request) != 0)
        status = engine_failed();
    else
        status = await_answer(c, request);
done:
    bytes_fini(&prompt);
    return status;
}

// The talk ends with the user's message: answers it. A message that cannot be answered is
// forgotten.
static enum status answer_user(struct chat *c)
{
    (void)line_editor_interrupted(); // one that came too late for the answer before
    enum status status = put_question(c);
    bool said = c->answer.length > 0;
    if (said || c->terminal) {
        fputc('\n', output());
        if (c->terminal)
            fputc('\n', output());
    }
    if (status == OK)
        status = output_flush();
    if (status != OK || !said)
        chat_talk_go_back(&c->talk, true);
    else
        status = chat_talk_add(&c->talk, "assistant", c->answer.data);
    if (status == OK)
        say_how_it_ended(c);
    return status;
}

// ---- commands ----

static enum status clear(struct chat *c, const char *argument)
{
    (void)argument;
    chat_talk_clear(&c->talk);
    return OK;
}

static enum status retry(struct chat *c, const char *argument)
{
    (void)argument;
    if (chat_talk_go_back(&c->talk, false))
        return answer_user(c);
    fputs("there is nothing to answer again\n", stderr);
    return OK;
}

static enum status undo(struct chat *c, const char *argument)
{
    (void)argument;
    if (!chat_talk_go_back(&c->talk, true))
        fputs("there is nothing to forget\n", stderr);
    return OK;
}

static enum status set_system(struct chat *c, const char *argument)
{
    if (*argument)
        return chat_talk_set_system(&c->talk, strcmp(argument, "-") == 0 ? "" : argument);
    if (chat_talk_has_system(&c->talk))
        output_print("%s\n", c->talk.messages[0].content);
    else
        fputs("there is no system message; /system TEXT sets one\n", stderr);
    return output_flush();
}

static enum status show_statistics(struct chat *c, const char *argument)
{
    struct colrow_info info;
    struct colrow_statistics s;
    (void)argument;
    colrow_get_info(c->engine, &info);
    colrow_get_statistics(c->engine, &s);
    output_print("last answer: %d tokens after a prompt of %d, in a context of %lld\n",
                 c->completion_tokens, c->prompt_tokens, (long long)info.max_model_len);
    output_print("all answers: prefill %.0f tok/s, decode %.1f tok/s\n",
                 s.prefill_seconds > 0 ? (double)s.prefill_tokens / s.prefill_seconds : 0,
                 s.decode_seconds > 0 ? (double)s.decode_tokens / s.decode_seconds : 0);
    return output_flush();
}

static enum status leave_chat(struct chat *c, const char *argument)
{
    (void)c, (void)argument;
    return OK; // obey() looks at it
}

static enum status show_help(struct chat *c, const char *argument);

static const struct {
    const char *name, *argument, *help;
    enum status (*run)(struct chat *c, const char *argument);
} words[] = {
    {"/help", "", "this list", show_help},
    {"/clear", "", "begin a new conversation; the system message stays", clear},
    {"/retry", "", "answer the last message again", retry},
    {"/undo", "", "forget the last message and its answer", undo},
    {"/system", " [TEXT]", "show or set the system message; - takes it away", set_system},
    {"/stats", "", "tokens and their speed", show_statistics},
    {"/exit", "", "leave, as Ctrl-D does", leave_chat},
};
enum { N_WORDS = sizeof words / sizeof *words };

static enum status show_help(struct chat *c, const char *argument)
{
    (void)c, (void)argument;
    for (int i = 0; i < N_WORDS; i++)
        output_print("  %s%-*s %s\n", words[i].name, 16 - (int)strlen(words[i].name),
                     words[i].argument, words[i].help);
    output_print("A line that ends with \\ goes on in the next one; \"\"\" begins and ends a text "
                 "of many lines.\nCtrl-C stops an answer. // begins a message with /.\n");
    return output_flush();
}

static enum status obey(struct chat *c, const char *text, bool *over)
{
    size_t n = strcspn(text, " \n");
    const char *argument = text + n + strspn(text + n, " \n");
    if (strcmp(text, "/quit") == 0 || strcmp(text, "/bye") == 0)
        text = "/exit", n = 5;
    for (int i = 0; i < N_WORDS; i++) {
        if (strlen(words[i].name) != n || memcmp(words[i].name, text, n) != 0)
            continue;
        if (*argument && !*words[i].argument) {
            fprintf(stderr, "%s takes no words behind it\n", words[i].name);
            return OK;
        }
        *over = words[i].run == leave_chat;
        return words[i].run(c, argument);
    }
    fprintf(stderr, "there is no %.*s; /help lists what there is\n", (int)(n < 40 ? n : 40), text);
    return OK;
}

// ---- the conversation ----

static enum status take_message(struct chat *c, bool *over)
{
    const char *text = c->text.data;
    if (text[0] == '/' && text[1] != '/')
        return obey(c, text, over);
    TRY(chat_talk_add(&c->talk, "user", text + (text[0] == '/')));
    return answer_user(c);
}

// What is wrong with a message is said, and the next one may be better; whoever reads from a pipe
// wants to know of it.
static bool may_go_on(const struct chat *c, enum status status)
{
    if (!c->terminal || (status != ERR_REQUEST && status != ERR_TOO_LARGE && status != ERR_INPUT))
        return false;
    fprintf(stderr, "colrow: %s\n", status_message());
    return true;
}

static enum status talk(struct chat *c)
{
    for (bool over = false; !over;) {
        enum line_result result;
        enum status status = chat_input_read(c->editor, &c->text, &result);
        if (status == OK && result == LINE_END)
            break;
        if (status == OK && result == LINE_STOPPED) {
            TRY(interrupt_check());
            (void)line_editor_interrupted();
            output_print("\n");
            continue;
        }
        if (status == OK && c->text.length)
            status = take_message(c, &over);
        if (status != OK && !may_go_on(c, status))
            return status;
    }
    if (c->terminal)
        output_print("\n");
    return output_flush();
}

// Where lines are remembered: $XDG_STATE_HOME/colrow, or ~/.local/state/colrow. False: nowhere.
static bool history_path(char out[FILE_PATH_MAX])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && *state == '/' ? snprintf(out, FILE_PATH_MAX, "%s/colrow/chat_history", state)
            : home && *home == '/'
                ? snprintf(out, FILE_PATH_MAX, "%s/.local/state/colrow/chat_history", home)
                : FILE_PATH_MAX;
    if (n >= FILE_PATH_MAX)
        return false;
    for (char *slash = strchr(out + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(out, 0700); // most are there
        *slash = '/';
    }
    return true;
}

static enum status sampling_for_chat(struct chat *c)
{
    struct colrow_info info;
    bool given = c->sampling.sampling.max_tokens >= 0;
    TRY(sampling_flags_finish(&c->sampling, c->engine));
    colrow_get_info(c->engine, &info);
    if (!given && !info.max_new_tokens && !info.max_length)
        c->sampling.sampling.max_tokens = 0; // an answer ends where the model ends it
    return OK;
}

static enum status chat_with(struct chat *c, const char *model)
{
    char path[FILE_PATH_MAX];
    if (c->sampling.sampling.n > 1)
        return fail(ERR_USAGE, "flag --samples is %d; a chat has one answer for each message",
                    c->sampling.sampling.n);
    TRY(cluster_flags_settle(&c->cluster, &c->engine_flags, &c->plan));
    TRY(engine_flags_model(&c->engine_flags, &model));
    TRY(checkpoint_folder_check(model));
    if (c->plan.node > 0) // node 0 talks
        return engine_flags_open(&c->engine_flags, model, &c->engine);
    TRY(chat_talk_init(&c->talk, c->template_file, model));
    if (c->system)
        TRY(chat_talk_set_system(&c->talk, c->system));
    TRY(engine_flags_open(&c->engine_flags, model, &c->engine));
    TRY(sampling_for_chat(c));
    c->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    bool remembered = c->terminal && !c->no_history && history_path(path);
    TRY(line_editor_open(c->terminal, remembered ? path : NULL, &c->editor));
    if (c->terminal)
        line_editor_catch();
    if (c->terminal && !c->engine_flags.quiet)
        fputs("\n/help lists what can be typed; Ctrl-C stops an answer, Ctrl-D leaves.\n", stderr);
    return talk(c);
}

static int chat_main(int argc, char **argv);
#define AT(field) offsetof(struct chat, field)
static const struct flag chat_flags[] = {
    {.kind = FLAG_HEADING, .help = "chat"},
    {FLAG_TEXT, "--system", NULL, AT(system), 0, 0, "TEXT", "a system message"},
    {FLAG_TEXT, "--chat-template", NULL, AT(template_file), 0, 0, "FILE",
     "a Jinja template in place of the model's"},
    {FLAG_INT, "--max-tokens", "-n", AT(sampling.sampling.max_tokens), 0, 1e9, "N",
     "of an answer at most (default: generation_config.json's, else up to the model's end)"},
    {FLAG_ON, "--no-history", NULL, AT(no_history), 0, 0, NULL,
     "remember no lines for the next time (in $XDG_STATE_HOME/colrow/chat_history)"},
};
const struct command command_chat = {
    .name = "chat",
    .brief = "talk with a model in the terminal",
    .positional = "MODEL",
    .summary = "Talks with the HuggingFace model in the folder MODEL: each line is a message, the "
               "conversation grows.\n"
               "Ctrl-C stops an answer, Ctrl-D leaves, /help lists commands. From a pipe, each "
               "line is answered in turn.",
    .examples =
        "  colrow chat models/demo\n"
        "  colrow chat Llama-3.2-1B-Instruct -tp 2 --temperature 0.7 --system \"Be brief.\"\n"
        "  printf 'What is a rank?\\nAnd a group?\\n' | colrow chat models/demo -q",
    .sections = {FLAG_SECTION(chat_flags, 0),
                 {sampling_flag_rows, SAMPLING_FLAGS, offsetof(struct chat, sampling)},
                 {engine_flag_rows, ENGINE_FLAGS, offsetof(struct chat, engine_flags)},
                 {cluster_flag_rows, CLUSTER_FLAGS, offsetof(struct chat, cluster)}},
    .run = chat_main,
};

static int chat_main(int argc, char **argv)
{
    struct chat c = {0};
    bool helped;
    int n_positional;
    const char *model = NULL;
    engine_flags_init(&c.engine_flags);
    cluster_flags_init(&c.cluster);
    sampling_flags_init(&c.sampling);
    bytes_init(&c.text);
    bytes_init(&c.answer);
    enum status status =
        flags_parse(&command_chat, &c, argc, argv, &model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = model
                     ? chat_with(&c, model)
                     : fail(ERR_USAGE, "no model: colrow chat MODEL, e.g. colrow chat models/demo");
    int result = status == OK ? 0 : flags_failed(status);
    line_editor_close(c.editor);
    colrow_close(c.engine);
    chat_talk_fini(&c.talk);
    sampling_flags_fini(&c.sampling);
    bytes_fini(&c.text);
    bytes_fini(&c.answer);
    return result;
}
