// What `colrow doctor` finds: a row for each thing that it looks at, with what to change where that
// is in the way.
#ifndef COLROW_CMD_DOCTOR_FINDINGS_H
#define COLROW_CMD_DOCTOR_FINDINGS_H

#include "device/device.h"
#include "device/host_survey.h"
#include "device/topology.h"

// FINE: as it should be. NOTE: good to know, changes nothing. WARNING: costs speed, memory or
// safety. FAULT: serving fails.
enum finding_mark { FINDING_FINE, FINDING_NOTE, FINDING_WARNING, FINDING_FAULT, FINDING_MARKS };

struct finding {
    enum finding_mark mark;
    const char *name; // borrowed
    char found[240];
    char reason[STATUS_MESSAGE_MAX]; // why it matters; "" when it is fine
    char command[512];               // that changes it; "": none does
};
enum { FINDINGS_MAX = 32 };
struct findings {
    struct finding items[FINDINGS_MAX];
    int n;
};

// What is looked at. Limits of the process and its environment are read when they are asked for.
struct doctor_subject {
    const char *root; // in front of /proc and /sys: "" but in tests
    struct host_survey host;
    struct device_memory memory;
    struct topology topology;
    double quota; // cpu_quota_read()
};

enum status doctor_subject_read(const char *root, struct doctor_subject *out) STATUS_MUST_USE;
// A row for each thing, in the order in which they are shown.
void doctor_look(const struct doctor_subject *subject, struct findings *out);

// doctor_process.c: the limits of this process, the same way.
void doctor_look_at_process(const struct doctor_subject *subject, struct findings *out);
// doctor_model.c: whether the model in `folder`, which was named `name`, fits, and with which
// flags; or that it cannot be served at all.
void doctor_look_at_model(const struct doctor_subject *subject, const char *name,
                          const char *folder, struct findings *out);

// For those who look: the next row, fine so far; and what is wrong with it.
struct finding *finding_add(struct findings *findings, const char *name, const char *format, ...)
    STATUS_PRINTF(3, 4);
// `command` is a constant, or copied; "" or NULL: none.
void finding_blame(struct finding *finding, enum finding_mark mark, const char *command,
                   const char *format, ...) STATUS_PRINTF(4, 5);

#endif
