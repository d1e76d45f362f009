#include "cmd/doctor_findings.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/confinement.h"
#include "base/progress.h"
#include "cmd/hub_http.h"
#include "comm/comm.h"
#include "device/cpu_limits.h"
#include "device/kernels.h"
#include "device/memory_limits.h"

struct finding *finding_add(struct findings *findings, const char *name, const char *format, ...)
{
    assert(findings->n < FINDINGS_MAX);
    struct finding *finding = &findings->items[findings->n++];
    va_list args;
    *finding = (struct finding){.mark = FINDING_FINE, .name = name};
    va_start(args, format);
    vsnprintf(finding->found, sizeof finding->found, format, args);
    va_end(args);
    return finding;
}

void finding_blame(struct finding *finding, enum finding_mark mark, const char *command,
                   const char *format, ...)
{
    va_list args;
    finding->mark = mark;
    snprintf(finding->command, sizeof finding->command, "%s", command ? command : "");
    va_start(args, format);
    vsnprintf(finding->reason, sizeof finding->reason, format, args);
    va_end(args);
}

enum status doctor_subject_read(const char *root, struct doctor_subject *out)
{
    out->root = root;
    host_survey_read(root, &out->host);
    out->quota = cpu_quota_read(root);
    TRY(*root ? memory_limits_read(root, NULL, &out->memory) : device_memory_read(&out->memory));
    return topology_read(&out->topology);
}

static const char *or_unknown(const char *text)
{
    return text[0] ? text : "not said";
}

// ---- what computes ----

static void look_at_cpu(const struct doctor_subject *s, struct findings *out)
{
    enum isa best = isa_of_machine(), used = best;
    const char *cap = getenv("COLROW_ISA");
    if (cap && isa_from_name(cap) < best)
        used = isa_from_name(cap);
    struct finding *f =
        finding_add(out, "CPU", "%s; kernels: %s", or_unknown(s->host.cpu), isa_name(used));
    if (used != best)
        finding_blame(f, FINDING_WARNING, "unset COLROW_ISA",
                      "COLROW_ISA keeps colrow from the %s kernels that this CPU runs; answers "
                      "are the same, later",
                      isa_name(best));
    else if (used == ISA_REFERENCE)
        finding_blame(f, FINDING_WARNING, NULL,
                      "there is no AVX2, so the portable kernels compute, several times slower");
}

static void look_at_cores(const struct doctor_subject *s, struct findings *out)
{
    const struct topology *t = &s->topology;
    bool limited = s->quota > 0 && s->quota < t->n_cores;
    char quota[64] = "";
    if (limited)
        snprintf(quota, sizeof quota, "; a quota pays for %.2f", s->quota);
    struct finding *f = finding_add(
        out, "cores", "%d, in %d last-level cache%s and %d memory node%s%s", t->n_cores,
        t->n_caches, t->n_caches == 1 ? "" : "s", t->n_numa, t->n_numa == 1 ? "" : "s", quota);
    if (limited)
        finding_blame(f, FINDING_WARNING,
                      "echo max >/sys/fs/cgroup/GROUP/cpu.max   (systemd: CPUQuota=; docker: "
                      "--cpus; Kubernetes: limits.cpu)",
                      "a cgroup's quota stops all threads once it is used up: ranks then wait for "
                      "each other; raise it, or leave as many cores as it pays for");
}

static void look_at_load(const struct doctor_subject *s, struct findings *out)
{
    if (s->host.load < 0)
        return;
    struct finding *f = finding_add(out, "load", "%.2f of %d cores, over the last minute",
                                    s->host.load, s->topology.n_cores);
    if (s->host.load >= 0.5 * s->topology.n_cores)
        finding_blame(f, FINDING_WARNING, "ps -eo pid,user,pcpu,comm --sort=-pcpu | head",
                      "others compute here: ranks meet several times a layer, and each waits for "
                      "the one whose core is taken");
}

static void look_at_clock(const struct doctor_subject *s, struct findings *out)
{
    const char *now = s->host.clock_source;
    struct finding *f = finding_add(out, "clock", "%s", or_unknown(now));
    if (strcmp(now, "hpet") != 0 && strcmp(now, "acpi_pm") != 0 &&
        strcmp(now, "refined-jiffies") != 0)
        return;
    bool better = strstr(s->host.clock_sources, "tsc") != NULL;
    finding_blame(f, FINDING_WARNING,
                  better ? "echo tsc >"
                           "/sys/devices/system/clocksource/clocksource0/current_clocksource"
                         : NULL,
                  "each look at this clock is a system call of a microsecond or more, and waits, "
                  "deadlines and metrics look often");
}

// The pstate drivers' powersave goes by the load; that of the others is the lowest clock there is.
static void look_at_governor(const struct doctor_subject *s, struct findings *out)
{
    const char *governor = s->host.governor, *driver = s->host.governor_driver;
    if (!governor[0])
        return; // a virtual machine: its host decides
    struct finding *f = finding_add(out, "governor", "%s (%s)", governor, or_unknown(driver));
    bool by_load = strstr(driver, "pstate") != NULL;
    if (strcmp(governor, "conservative") == 0 || (strcmp(governor, "powersave") == 0 && !by_load))
        finding_blame(f, FINDING_WARNING, "cpupower frequency-set -g performance",
                      "cores stay at a low clock, or leave it slowly");
}

// ---- memory ----

static void look_at_memory(const struct doctor_subject *s, struct findings *out)
{
    enum { LEAST_BYTES = 64 << 20 };
    static const char *const commands[] = {
        "ps -eo pid,user,rss,comm --sort=-rss | head",
        "echo max >/sys/fs/cgroup/GROUP/memory.max   (systemd: MemoryMax=; docker: --memory; "
        "Kubernetes: limits.memory)"};
    const struct device_memory *m = &s->memory;
    bool limited = m->total < s->host.memory_bytes;
    struct finding *f =
        finding_add(out, "memory", "%s free of %s%s%s", show_bytes((double)m->available),
                    show_bytes((double)m->total), limited ? "; the machine has " : "",
                    limited ? show_bytes((double)s->host.memory_bytes) : "");
    if (m->available < LEAST_BYTES)
        finding_blame(f, FINDING_FAULT, commands[limited],
                      "less than %s are free: the demo model, of 2.9 million parameters, takes as "
                      "much",
                      show_bytes((double)LEAST_BYTES));
    else if (limited)
        finding_blame(f, FINDING_WARNING, commands[limited],
                      "a cgroup, a cpuset or a memory policy (numactl) leaves this process less "
                      "than the machine has");
}

static void look_at_promises(const struct doctor_subject *s, struct findings *out)
{
    if (!s->host.strict_overcommit) {
        finding_add(out, "overcommit", "what is reserved need not be free yet");
        return;
    }
    bool short_of = s->memory.promisable < s->memory.available;
    struct finding *f = finding_add(out, "overcommit", "strict: %s may still be reserved",
                                    show_bytes((double)s->memory.promisable));
    if (short_of)
        finding_blame(f, FINDING_WARNING, "sysctl -w vm.overcommit_memory=0",
                      "vm.overcommit_memory is 2, so what programs reserve counts as used, and "
                      "models get less than is free");
}

static void look_at_huge_pages(const struct doctor_subject *s, struct findings *out)
{
    const char *mode = s->host.huge_pages;
    struct finding *f =
        finding_add(out, "huge pages", "%s", mode[0] ? mode : "none in this kernel");
    if (!mode[0] || strcmp(mode, "never") == 0)
        finding_blame(f, FINDING_WARNING,
                      mode[0] ? "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled" : NULL,
                      "weights and KV pages lie on pages of 4 KiB: loading touches 512 times as "
                      "many, and reading them misses the TLB");
}

static void look_at_swap(const struct doctor_subject *s, struct findings *out)
{
    const struct host_survey *h = &s->host;
    if (h->swap_bytes == 0) {
        finding_add(out, "swap", "none");
        return;
    }
    struct finding *f =
        finding_add(out, "swap", "%s used of %s", show_bytes((double)h->swap_used_bytes),
                    show_bytes((double)h->swap_bytes));
    if (h->swap_used_bytes > h->memory_bytes / 100)
        finding_blame(f, FINDING_WARNING, "swapoff -a && swapon -a",
                      "memory has been short; every step reads all weights, and those that are "
                      "swapped out are as good as none");
}

// ---- the system ----

static void look_at_confinement(const struct doctor_subject *s, struct findings *out)
{
    const struct host_survey *h = &s->host;
    bool held = confinement_is_built() && h->seccomp;
    struct finding *f = finding_add(out, "confinement", "%s%s%s", held ? "seccomp filters" : "none",
                                    h->filtered ? ", within those of a container" : "",
                                    h->landlock ? "; landlock is there, and not needed" : "");
    if (!confinement_is_built())
        finding_blame(f, FINDING_WARNING, "apt-get install libseccomp-dev   (and build again)",
                      "this colrow was built without libseccomp: processes that read requests and "
                      "models may do all that their user may");
    else if (!held)
        finding_blame(f, FINDING_WARNING, NULL,
                      "the kernel has no seccomp: processes that read requests and models may do "
                      "all that their user may");
}

static void look_at_surroundings(const struct doctor_subject *s, struct findings *out)
{
    const struct host_survey *h = &s->host;
    finding_add(out, "kernel", "%s", or_unknown(h->kernel))->mark = FINDING_NOTE;
    finding_add(out, "container", "%s", h->container[0] ? h->container : "none found")->mark =
        FINDING_NOTE;
    finding_add(out, "systemd", "%s",
                h->systemd ? "runs this system: colrow.service can serve"
                           : "does not run this system: `colrow serve` by itself, or another "
                             "supervisor")
        ->mark = FINDING_NOTE;
}

static void look_at_machines(const struct doctor_subject *s, struct findings *out)
{
    (void)s;
    if (comm_reaches_machines() == OK)
        finding_add(out, "UCX", "there: ranks may be on several machines");
    else
        finding_blame(finding_add(out, "UCX", "missing: ranks are on this machine only"),
                      FINDING_NOTE, "apt-get install libucx0", "%s", status_message());
    status_clear();
}

static void look_at_hub(const struct doctor_subject *s, struct findings *out)
{
    (void)s;
    if (hub_http.exists)
        finding_add(out, "libcurl", "there: `colrow pull` fetches models");
    else
        finding_blame(finding_add(out, "libcurl", "missing: `colrow pull` fetches nothing"),
                      FINDING_NOTE, "apt-get install libcurl4-openssl-dev   (and build again)",
                      "models come by other ways: `hf download` fills the same cache");
}

static void look_at_accelerators(const struct doctor_subject *s, struct findings *out)
{
    const struct host_survey *h = &s->host;
    if (!h->gpu[0]) {
        finding_add(out, "GPU", "none")->mark = FINDING_NOTE;
        return;
    }
    finding_add(out, "GPU", "%s%s%s; colrow computes on the CPU", h->gpu,
                h->gpu_driver[0] ? ", driver " : ", no driver loaded", h->gpu_driver)
        ->mark = FINDING_NOTE;
}

void doctor_look(const struct doctor_subject *subject, struct findings *out)
{
    static void (*const looks[])(const struct doctor_subject *, struct findings *) = {
        look_at_cpu,      look_at_cores,          look_at_load,         look_at_clock,
        look_at_governor, look_at_memory,         look_at_promises,     look_at_huge_pages,
        look_at_swap,     doctor_look_at_process, look_at_confinement,  look_at_machines,
        look_at_hub,      look_at_accelerators,   look_at_surroundings,
    };
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        looks[i](subject, out);
}
