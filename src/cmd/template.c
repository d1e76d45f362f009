// `colrow template`: renders a chat template with the variables on standard input.
#include "cmd/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "base/file.h"
#include "base/output.h"
#include "text/chat_template.h"

enum { VARIABLES_BYTES_MAX = 64 << 20 };

struct template_flags {
    const char *now, *variables;
};

// "2026-11-21T10:09:00" to the seconds that strftime_now() shows.
static enum status parse_now(const char *text, int64_t *out)
{
    struct tm when = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &when);
    if (!end || *end != '\0')
        return fail(ERR_USAGE, "--now is \"%s\"; expected a time such as 2026-11-21T10:09:00",
                    text);
    *out = timegm(&when);
    return OK;
}

static enum status read_variables(const struct template_flags *flags, struct bytes *out)
{
    return flags->variables ? file_read_given(flags->variables, VARIABLES_BYTES_MAX, out)
                            : file_read_stdin(VARIABLES_BYTES_MAX, out);
}

static enum status run_template(const struct template_flags *flags, const char *path)
{
    struct chat_template *chat = NULL;
    struct bytes variables, text;
    int64_t now = INT64_MIN;
    bytes_init(&variables);
    bytes_init(&text);
    enum status status = OK;
    if (flags->now)
        TRY_DONE(parse_now(flags->now, &now));
    TRY_DONE(chat_template_open_file(path, NULL, &chat));
    chat_template_set_time(chat, now);
    TRY_DONE(read_variables(flags, &variables));
    TRY_DONE(chat_template_evaluate(chat, flags->variables ? flags->variables : "standard input",
                                    variables.data ? variables.data : "", variables.length, &text));
    fwrite(text.data ? text.data : "", 1, text.length, output());
done:
    bytes_fini(&text);
    bytes_fini(&variables);
    chat_template_close(chat);
    return status;
}

static int template_main(int argc, char **argv);
#define AT(field) offsetof(struct template_flags, field)
static const struct flag template_table[] = {
    {FLAG_TEXT, "--variables", NULL, AT(variables), 0, 0, "FILE",
     "read the variables from this file instead of standard input"},
    {FLAG_TEXT, "--now", NULL, AT(now), 0, 0, "TIME",
     "what strftime_now() tells, such as 2026-11-21T10:09:00 (default: the clock)"},
};
const struct command command_template = {
    .name = "template",
    .brief = "render a chat template with variables given as JSON",
    .positional = "FILE",
    .summary = "Renders the template FILE as Transformers does, with the variables of a JSON\n"
               "object on standard input. An error is one line that names the template's line.",
    .examples = "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' |\n"
                "      colrow template my.jinja",
    .sections = {FLAG_SECTION(template_table, 0)},
    .run = template_main,
};

static int template_main(int argc, char **argv)
{
    struct template_flags flags = {0};
    bool helped;
    int n_positional;
    const char *path = NULL;
    enum status status =
        flags_parse(&command_template, &flags, argc, argv, &path, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = path ? run_template(&flags, path)
                      : fail(ERR_USAGE, "no template: colrow template FILE.jinja");
    return status == OK ? 0 : flags_failed(status);
}
