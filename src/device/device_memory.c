#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "device/cpu_limits.h"
#include "device/device.h"
#include "device/memory_limits.h"

enum { HUGE_PAGE = 2 << 20, LINE = 64 };

// Small blocks come from the heap; larger ones are mappings of their own. Both are zeroed.
static enum status small_memory_new(size_t bytes, const char *what, void **out)
{
    size_t rounded = round_up(bytes ? bytes : 1, LINE);
    *out = aligned_alloc(LINE, rounded);
    if (!*out)
        return fail_memory(bytes, what);
    memset(*out, 0, rounded);
    return OK;
}

enum status device_memory_new(size_t bytes, const char *what, void **out)
{
    *out = NULL;
    if (bytes < HUGE_PAGE)
        return small_memory_new(bytes, what, out);
    size_t span;
    if (!checked_add(bytes, 2 * (size_t)HUGE_PAGE, &span))
        return fail_memory(bytes, what);
    size_t length = round_up(bytes, HUGE_PAGE);
    char *mapping =
        mmap(NULL, length + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return fail_memory(bytes, what);
    size_t front =
        (size_t)(-(uintptr_t)mapping & (HUGE_PAGE - 1)); // up to the first huge page's boundary
    if (front)
        munmap(mapping, front);
    if (front < HUGE_PAGE)
        munmap(mapping + front + length, HUGE_PAGE - front);
    madvise(mapping + front, length,
            MADV_HUGEPAGE); // refused where there are none: small pages do as well
    *out = mapping + front;
    return OK;
}

void device_memory_seal(void *memory, size_t bytes)
{
    if (memory && bytes >= HUGE_PAGE)
        (void)mprotect(memory, round_up(bytes, HUGE_PAGE), PROT_READ);
}

void device_memory_unseal(void *memory, size_t bytes)
{
    if (memory && bytes >= HUGE_PAGE)
        (void)mprotect(memory, round_up(bytes, HUGE_PAGE), PROT_READ | PROT_WRITE);
}

void device_memory_free(void *memory, size_t bytes)
{
    if (memory && bytes >= HUGE_PAGE)
        munmap(memory, round_up(bytes, HUGE_PAGE));
    else
        free(memory);
}

enum status device_memory_read(struct device_memory *out)
{
    struct memory_nodes nodes;
    return memory_limits_read("", memory_policy_read(&nodes) ? &nodes : NULL, out);
}

// pid 0: this process.
static uint64_t status_kilobytes(int pid, const char *key)
{
    char path[48] = "/proc/self/status";
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    char line[256];
    unsigned long long kilobytes = 0;
    size_t length = strlen(key);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0) {
            kilobytes = strtoull(line + length, NULL, 10);
            break;
        }
    fclose(file);
    return kilobytes * 1024;
}

uint64_t device_resident_bytes(void)
{
    return status_kilobytes(0, "VmRSS:");
}

uint64_t device_resident_peak_bytes(int pid)
{
    return status_kilobytes(pid, "VmHWM:");
}

static int affinity_count(void)
{
    // The kernel refuses a set smaller than its own, so a machine with many CPUs needs another try.
    for (size_t n = CPU_SETSIZE; n <= 1 << 20; n *= 2) {
        size_t bytes = CPU_ALLOC_SIZE(n);
        cpu_set_t *set = CPU_ALLOC(n);
        if (!set)
            break;
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

int device_cpu_count(void)
{
    int count = affinity_count();
    double quota = cpu_quota_read("");
    return quota > 0 && quota < count ? (int)ceil(quota) : count;
}
