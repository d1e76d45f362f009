#include "cmd/commands.h"

#include <string.h>

// One a line:
// clang-format off
const struct command *const commands[] = {
    &command_generate,
    &command_chat,
    &command_serve,
    &command_plan,
    &command_verify,
    &command_logits,
    &command_tokenize,
    &command_template,
    &command_inspect,
    &command_synth,
    &command_quantize,
    &command_pull,
    &command_list,
    &command_rm,
    &command_doctor,
    &command_bench,
    &command_launch,
    &command_rank,
    &command_launcher,
    NULL,
};
// clang-format on

const char *command_word(const struct command *command)
{
    const char *space = strrchr(command->name, ' ');
    return space ? space + 1 : command->name;
}

static const struct command *command_named(const struct command *const *list, const char *word)
{
    for (; *list; list++) {
        if (strcmp(command_word(*list), word) == 0)
            return *list;
    }
    return NULL;
}

const struct command *command_find(int n_words, char *const *words, int *used)
{
    const struct command *found = NULL;
    *used = 0;
    for (const struct command *const *list = commands; list && *used < n_words;) {
        const struct command *next = command_named(list, words[*used]);
        if (!next)
            break;
        found = next;
        list = next->kinds;
        ++*used;
    }
    return found;
}

const struct command *command_near(const struct command *const *list, const char *word)
{
    const struct command *best = NULL;
    int least = (int)strlen(word) / 3 + 1;
    for (list = list ? list : commands; *list; list++) {
        int d = (*list)->brief ? flags_distance(word, command_word(*list)) : least;
        if (d < least) {
            least = d;
            best = *list;
        }
    }
    return best;
}
