// What the kernel says of this machine beside memory, cores and quotas (memory_limits.h,
// topology.h, cpu_limits.h): for `colrow doctor`. Nothing that computes depends on it.
#ifndef COLROW_DEVICE_HOST_SURVEY_H
#define COLROW_DEVICE_HOST_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

enum { SURVEY_WORD = 64, SURVEY_TEXT = 160 };

// A word or text is "" where the kernel does not say.
struct host_survey {
    char cpu[SURVEY_TEXT];             // its name
    char kernel[SURVEY_WORD];          // "6.1.0-18-amd64"
    char huge_pages[SURVEY_WORD];      // transparent ones: always, madvise or never
    char clock_source[SURVEY_WORD];    // tsc, kvm-clock, hpet, ...
    char clock_sources[SURVEY_TEXT];   // that there are, with spaces between
    char governor[SURVEY_WORD];        // of cpu0's clock: performance, powersave, ...
    char governor_driver[SURVEY_WORD]; // intel_pstate, acpi-cpufreq, ...
    char container[SURVEY_WORD];       // docker, podman, kubernetes, systemd-nspawn, ...
    char gpu[SURVEY_TEXT];             // "NVIDIA, AMD": who made the accelerators on the PCI bus
    char gpu_driver[SURVEY_TEXT];      // NVIDIA's: its version
    uint64_t memory_bytes;             // MemTotal: of the machine, whatever limits say
    uint64_t swap_bytes, swap_used_bytes;
    uint64_t shm_bytes;  // of /dev/shm; 0: there is none
    uint64_t tasks_left; // processes and threads that the cgroups leave; UINT64_MAX: any number
    double load;         // processes that ran or waited to, over the last minute; -1: not known
    bool strict_overcommit;
    bool seccomp;    // the kernel has filters
    bool filtered;   // this process is under one already: a container's
    bool landlock;   // the kernel has it and it is on
    bool infiniband; // a device of the kind is there
    bool systemd;    // runs this machine (or container)
};

// `root` stands in front of /proc, /sys, /dev and /run: "" for the machine, a folder in tests. What
// cannot be read is as if it were not there.
void host_survey_read(const char *root, struct host_survey *out);

#endif
