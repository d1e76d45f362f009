// How fast weights are read that outlive the process that reads them: from huge pages of a process
// that was forked, from shared memory, and from memory of one's own for comparison.
// usage: bench_kept_memory [MIB]
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/device.h"

enum { ROUNDS = 9 };

// As a product of a row does: from front to end, and what is read matters.
static uint64_t read_all(const uint64_t *at, size_t n)
{
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (int lane = 0; lane < 8; lane++)
            sum[lane] ^= at[i + (size_t)lane];
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

static double gigabytes_per_second(const void *memory, size_t bytes)
{
    double begun = clock_seconds();
    volatile uint64_t sum = read_all(memory, bytes / sizeof(uint64_t));
    (void)sum;
    return (double)bytes * 1e-9 / (clock_seconds() - begun);
}

// In a child, which has never touched the memory: the first round finds its pages, too.
static double in_a_child(const void *memory, size_t bytes, double *first)
{
    int ends[2];
    double found[2] = {0, 0};
    if (pipe(ends))
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        found[0] = gigabytes_per_second(memory, bytes);
        found[1] = gigabytes_per_second(memory, bytes);
        _exit(write(ends[1], found, sizeof found) != (ssize_t)sizeof found);
    }
    close(ends[1]);
    if (read(ends[0], found, sizeof found) != (ssize_t)sizeof found)
        found[0] = found[1] = 0;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    *first = found[0];
    return found[1];
}

static void *shared_memory(size_t bytes, unsigned flags)
{
    int fd = memfd_create("weights", flags);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE); // where shmem_enabled allows it
    return memory;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

static void show_setting(const char *path)
{
    char text[128] = "unknown\n";
    FILE *file = fopen(path, "r");
    if (file && !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    printf("%s: %s", path, text);
}

int main(int argc, char **argv)
{
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) << 20;
    void *own, *shared = shared_memory(bytes, MFD_CLOEXEC);
    if (device_memory_new(bytes, "weights", &own) != OK || !shared) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        return EXIT_FAILURE;
    }
    memset(own, 1, bytes);
    memset(shared, 1, bytes);
    double figures[5][ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        figures[0][i] = gigabytes_per_second(own, bytes);
        figures[2][i] = in_a_child(own, bytes, &figures[1][i]);
        figures[4][i] = in_a_child(shared, bytes, &figures[3][i]);
    }
    show_setting("/sys/kernel/mm/transparent_hugepage/enabled");
    show_setting("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    double base = median(figures[0]);
    static const char *const names[] = {"huge pages of its own", "a keeper's, first time",
                                        "a keeper's, then", "a memfd's, first time",
                                        "a memfd's, then"};
    printf("%zu MiB, one thread, median of %d rounds\n", bytes >> 20, ROUNDS);
    for (int i = 0; i < 5; i++) {
        double now = i ? median(figures[i]) : base;
        printf("%-24s %6.2f GB/s  %.3f\n", names[i], now, now / base);
    }
    return EXIT_SUCCESS;
}
