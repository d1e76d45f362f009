// What shells complete, as scripts that stand alone: the words come out of the tables when the
// script is made, so that a shell asks nothing of the program.
#include <string.h>

#include "cmd/commands.h"
#include "cmd/manual.h"

typedef void command_visit(FILE *file, const struct command *command);

// Every command that people type, and every kind of one.
static void each_command(FILE *file, command_visit *visit)
{
    for (const struct command *const *command = commands; *command; command++) {
        if (!(*command)->brief)
            continue;
        visit(file, *command);
        for (const struct command *const *kind = (*command)->kinds; kind && *kind; kind++)
            visit(file, *kind);
    }
}

static bool is_kind(const struct command *command)
{
    return strchr(command->name, ' ') != NULL;
}

static void write_command_words(FILE *file)
{
    for (const struct command *const *command = commands; *command; command++)
        if ((*command)->brief)
            fprintf(file, "%s ", (*command)->name);
    fputs("help", file);
}

// --- bash
// ------------------------------------------------------------------------------------------

static void bash_case(FILE *file, const struct command *command)
{
    struct flag_cursor cursor = {.command = command};
    fprintf(file, "    '%s') kinds='", command->name);
    for (const struct command *const *kind = command->kinds; kind && *kind; kind++)
        fprintf(file, "%s%s", kind == command->kinds ? "" : " ", command_word(*kind));
    fputs("' words='", file);
    for (const struct flag *flag; (flag = flags_next(&cursor));) {
        if (flag->kind == FLAG_HEADING || !flag->help)
            continue;
        struct flag_names names;
        flag_names_of(flag, &names);
        for (int i = 0; i < names.n; i++)
            fprintf(file, "%s ", names.items[i]);
    }
    fputs("--help' ;;\n", file);
}

void completion_write_bash(FILE *file)
{
    fputs("# bash completion for colrow; made by `colrow help --bash` from the tables of flags.\n"
          "_colrow()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]-} kinds='' words='' "
          "at=1\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        mapfile -t COMPREPLY < <(compgen -W '",
          file);
    write_command_words(file);
    fputs(" --help --version' -- \"$current\")\n        return\n    fi\n"
          "    # What stands behind -- belongs to the program that is launched.\n"
          "    for ((at = 2; at < COMP_CWORD; at++)); do\n"
          "        [ \"${COMP_WORDS[at]}\" = -- ] && return\n    done\n"
          "    case $command in\n",
          file);
    for (const struct command *const *command = commands; *command; command++)
        if ((*command)->kinds)
            fprintf(file,
                    "    %s) [ \"$COMP_CWORD\" -gt 2 ] && command=\"%s ${COMP_WORDS[2]}\" ;;\n",
                    (*command)->name, (*command)->name);
    fputs("    help) words='--man --markdown --bash --zsh --fish' kinds='", file);
    write_command_words(file);
    fputs("' ;;\n    esac\n    case $command in\n", file);
    each_command(file, bash_case);
    fputs("    esac\n"
          "    case $current in\n"
          "    -*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
          "    *)  [ -n \"$kinds\" ] && mapfile -t COMPREPLY < <(compgen -W \"$kinds\" -- "
          "\"$current\") ;;\n"
          "    esac\n}\n"
          "complete -o bashdefault -o default -F _colrow colrow\n",
          file);
}

// --- zsh
// -------------------------------------------------------------------------------------------

// Inside '[...]' of an _arguments specification, in single quotes.
static void zsh_text(FILE *file, const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c == '\'')
            fputs("'\\''", file);
        else if (strchr("[]:\\", *c))
            fprintf(file, "\\%c", *c);
        else
            fputc(*c, file);
}

static void zsh_flag(FILE *file, const struct flag *flag)
{
    struct flag_names names;
    flag_names_of(flag, &names);
    for (int i = 0; i < names.n; i++) {
        fprintf(file, "            '%s%s[", flag->kind == FLAG_TEXTS ? "*" : "", names.items[i]);
        zsh_text(file, flag->help);
        fputc(']', file);
        if (flag->value) {
            fputc(':', file);
            zsh_text(file, flag->value);
            fputs(strcmp(flag->value, "FILE") == 0 || strcmp(flag->value, "PATH") == 0 ? ":_files"
                                                                                       : ":",
                  file);
        }
        fputs("' \\\n", file);
    }
}

static void zsh_case(FILE *file, const struct command *command)
{
    struct flag_cursor cursor = {.command = command};
    fprintf(file, "    '%s')\n", command->name);
    if (command->kinds) {
        fputs("        local -a kinds=(\n", file);
        for (const struct command *const *kind = command->kinds; *kind; kind++) {
            fprintf(file, "            '%s:", command_word(*kind));
            zsh_text(file, (*kind)->brief ? (*kind)->brief : "");
            fputs("'\n", file);
        }
        fputs("        )\n        _describe kind kinds ;;\n", file);
        return;
    }
    fputs("        _arguments \\\n", file);
    for (const struct flag *flag; (flag = flags_next(&cursor));)
        if (flag->kind != FLAG_HEADING && flag->help)
            zsh_flag(file, flag);
    fputs("            '(-h --help)'{-h,--help}'[this text]' \\\n            '*:file:_files' ;;\n",
          file);
}

void completion_write_zsh(FILE *file)
{
    fputs("#compdef colrow\n# Made by `colrow help --zsh` from the tables of flags.\n"
          "_colrow() {\n    local -a names=(\n",
          file);
    for (const struct command *const *command = commands; *command; command++)
        if ((*command)->brief) {
            fprintf(file, "        '%s:", (*command)->name);
            zsh_text(file, (*command)->brief);
            fputs("'\n", file);
        }
    fputs(
        "    )\n"
        "    if (( CURRENT == 2 )); then\n        _describe command names\n        return\n    fi\n"
        "    shift words\n    (( CURRENT-- ))\n"
        "    local name=$words[1]\n",
        file);
    for (const struct command *const *command = commands; *command; command++)
        if ((*command)->kinds)
            fprintf(file,
                    "    if [[ $name == %s ]] && (( CURRENT > 2 )); then\n"
                    "        shift words\n        (( CURRENT-- ))\n        name=\"%s $words[1]\"\n "
                    "   fi\n",
                    (*command)->name, (*command)->name);
    fputs("    case $name in\n", file);
    each_command(file, zsh_case);
    fputs("    esac\n}\n_colrow \"$@\"\n", file);
}

// --- fish
// ------------------------------------------------------------------------------------------

static void fish_text(FILE *file, const char *text)
{
    fputc('\'', file);
    for (const char *c = text; *c; c++) {
        if (*c == '\'' || *c == '\\')
            fputc('\\', file);
        fputc(*c, file);
    }
    fputc('\'', file);
}

static void fish_flag(FILE *file, const struct command *command, const struct flag *flag)
{
    struct flag_names names;
    flag_names_of(flag, &names);
    fprintf(file, "complete -c colrow -n '__colrow_is %s'", command->name);
    for (int i = 0; i < names.n; i++) {
        const char *name = names.items[i];
        if (name[1] == '-')
            fprintf(file, " -l %s", name + 2);
        else
            fprintf(file, " -%c %s", name[2] ? 'o' : 's', name + 1);
    }
    fputs(flag->value ? " -r -d " : " -d ", file);
    fish_text(file, flag->help);
    fputc('\n', file);
}

static void fish_command(FILE *file, const struct command *command)
{
    struct flag_cursor cursor = {.command = command};
    if (is_kind(command))
        fprintf(file, "complete -c colrow -n '__colrow_is %.*s' -f -a %s -d ",
                (int)(command_word(command) - 1 - command->name), command->name,
                command_word(command));
    else
        fprintf(file, "complete -c colrow -n __fish_use_subcommand -f -a %s -d ", command->name);
    fish_text(file, command->brief ? command->brief : "");
    fputc('\n', file);
    for (const struct flag *flag; (flag = flags_next(&cursor));)
        if (flag->kind != FLAG_HEADING && flag->help)
            fish_flag(file, command, flag);
}

void completion_write_fish(FILE *file)
{
    fputs("# fish completion for colrow; made by `colrow help --fish` from the tables of flags.\n"
          "function __colrow_is\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -gt (count $argv); or return 1\n"
          "    for i in (seq (count $argv))\n"
          "        test $words[(math $i + 1)] = $argv[$i]; or return 1\n"
          "    end\n"
          "end\n",
          file);
    each_command(file, fish_command);
}
