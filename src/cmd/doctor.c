// `colrow doctor`: what this machine has, which limits bite, what to change.
#include "cmd/commands.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/output.h"
#include "base/program_build.h"
#include "base/text_table.h"
#include "cmd/doctor_findings.h"
#include "cmd/json_output.h"
#include "cmd/model_argument.h"

struct doctor {
    bool json;
    const char *root;
    const char *model; // as it was given; NULL: none
    struct doctor_subject subject;
    struct findings findings;
    int counts[FINDING_MARKS];
};

static const char *const mark_signs[FINDING_MARKS] = {"✓", "·", "!", "✗"};
static const char *const mark_names[FINDING_MARKS] = {"fine", "note", "warning", "fault"};

static void print_changes(const struct doctor *d)
{
    for (int mark = FINDING_FAULT; mark >= FINDING_WARNING; mark--)
        for (int i = 0; i < d->findings.n; i++) {
            const struct finding *f = &d->findings.items[i];
            if ((int)f->mark != mark)
                continue;
            output_print("\n%s %s: %s\n", mark_signs[mark], f->name, f->reason);
            if (f->command[0])
                output_print("      %s\n", f->command);
        }
}

static enum status print_findings(const struct doctor *d)
{
    struct table t;
    table_init(&t, 3);
    table_cell(&t, "%s", "");
    table_cell(&t, "what");
    table_cell(&t, " found");
    for (int i = 0; i < d->findings.n; i++) {
        const struct finding *f = &d->findings.items[i];
        table_cell(&t, "%s", mark_signs[f->mark]);
        table_cell(&t, "%s", f->name);
        table_cell(&t, " %s", f->found); // the space keeps numbers from being set right
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    TRY(status);
    print_changes(d);
    int faults = d->counts[FINDING_FAULT], warnings = d->counts[FINDING_WARNING];
    output_print("\n%d fault%s, %d warning%s%s\n", faults, faults == 1 ? "" : "s", warnings,
                 warnings == 1 ? "" : "s",
                 faults     ? ": serving fails here"
                 : warnings ? ": serving works, and could do better"
                            : ": nothing is in the way");
    return OK;
}

static enum status print_findings_json(const struct doctor *d)
{
    json_t *rows = json_array();
    for (int i = 0; i < d->findings.n; i++) {
        const struct finding *f = &d->findings.items[i];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", f->name, "mark",
                                              mark_names[f->mark], "found", json_foreign(f->found),
                                              "reason", json_foreign(f->reason), "command",
                                              json_foreign(f->command)));
    }
    return json_write(json_pack("{s:s, s:i, s:i, s:o}", "colrow", program_build(), "faults",
                                d->counts[FINDING_FAULT], "warnings", d->counts[FINDING_WARNING],
                                "findings", rows),
                      JSON_INDENT(2), NULL);
}

static enum status examine(struct doctor *d)
{
    const char *folder = d->model;
    if (folder)
        TRY(model_argument_find(&folder, MODEL_HEADERS));
    TRY(doctor_subject_read(d->root, &d->subject));
    doctor_look(&d->subject, &d->findings);
    if (folder)
        doctor_look_at_model(&d->subject, d->model, folder, &d->findings);
    for (int i = 0; i < d->findings.n; i++)
        d->counts[d->findings.items[i].mark]++;
    return d->json ? print_findings_json(d) : print_findings(d);
}

static int doctor_main(int argc, char **argv);
static const struct flag doctor_flags[] = {
    {FLAG_ON, "--json", NULL, offsetof(struct doctor, json), 0, 0, NULL, "for machines"},
    {FLAG_TEXT, "--root", NULL, offsetof(struct doctor, root), 0, 0, "DIR", NULL}, // for tests
};
const struct command command_doctor = {
    .name = "doctor",
    .brief = "say what this machine has, and which limits are in the way",
    .positional = "[MODEL]",
    .summary =
        "Looks at this machine and at the limits of this process, which a server started from "
        "here\ninherits, and says what is fine (✓), good to know (·), costs speed or memory (!) or "
        "keeps colrow\nfrom serving (✗), why, and the command that changes it. With MODEL also "
        "whether that fits, and with\nwhich flags; of one that is at the hub alone the "
        "configuration and the headers are fetched.\nNothing is changed or measured. Exit status "
        "1: something keeps it from serving.",
    .examples = "  colrow doctor\n  colrow doctor models/demo\n  colrow doctor --json",
    .sections = {FLAG_SECTION(doctor_flags, 0)},
    .run = doctor_main,
};

static int doctor_main(int argc, char **argv)
{
    struct doctor *d = calloc(1, sizeof *d);
    bool helped;
    int n_positional;
    enum status status = d ? OK : fail_memory(sizeof *d, "the findings");
    if (status == OK) {
        d->root = "";
        status = flags_parse(&command_doctor, d, argc, argv, &d->model, 1, &n_positional, &helped);
    }
    if (status == OK && !helped)
        status = examine(d);
    int result = status != OK ? flags_failed(status) : d->counts[FINDING_FAULT] > 0;
    free(d);
    return result;
}
