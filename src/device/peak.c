#include "device/peak.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "device/device.h"
#include "device/peak_loops.h"

// Larger than any cache that a core does not share with half the machine.
enum { READ_BYTES = 1 << 30, READ_PASSES = 3 };

double peak_product_flops(const struct peak *peak)
{
    return peak->bf16_flops > peak->fma_flops ? peak->bf16_flops : peak->fma_flops;
}

double peak_tiles_flops(const struct peak *peak)
{
    return peak->amx_flops > peak->fma_flops ? peak->amx_flops : peak->fma_flops;
}

// The loops of the best instruction set; NULL where there is none.
static void choose_loops(struct peak_loops *loops)
{
    *loops = (struct peak_loops){.read = peak_read_plain, .fma = peak_fma_plain};
#ifdef __x86_64__
    enum isa isa = isa_of_machine();
    if (isa >= ISA_AVX2) {
        loops->read = peak_read_avx2;
        loops->fma = peak_fma_avx2;
    }
    if (isa >= ISA_AVX512) {
        loops->read = peak_read_avx512;
        loops->fma = peak_fma_avx512;
        loops->fma_fed = peak_fma_fed_avx512;
    }
    if (isa >= ISA_AVX512BF16) {
        loops->bf16 = peak_bf16_avx512bf16;
        loops->int8 = peak_int8_avx512bf16;
    }
    if (isa >= ISA_AMX)
        loops->amx = peak_bf16_amx;
#endif
}

struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    peak_compute_loop compute;
    peak_read_loop read;
    const char *part;
    char *copy; // with neither loop, the part is copied there
    size_t part_bytes;
    long rounds;
    double begun, ended, work; // work: flops or bytes done
    bool started;
};

// Flops or bytes done.
static double work(const struct worker *w)
{
    if (w->compute)
        return w->compute(w->rounds);
    if (w->read) {
        w->read(w->part, w->part_bytes);
        return (double)w->part_bytes;
    }
    memcpy(w->copy, w->part, w->part_bytes);
    return (double)w->part_bytes;
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    number_mode_set();
    pthread_barrier_wait(w->start);
    w->begun = clock_seconds();
    w->work = work(w);
    w->ended = clock_seconds();
    return NULL;
}

// Starts all workers at once; work per second of the whole span.
static double run_workers(struct worker *workers, int n)
{
    pthread_barrier_t start;
    if (pthread_barrier_init(&start, NULL, (unsigned)n) != 0)
        return 0;
    int started = 0;
    for (int i = 0; i < n; i++) {
        workers[i].start = &start;
        workers[i].started = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0;
        started += workers[i].started;
    }
    if (started < n) // cannot happen short of a thread limit; the others would wait for ever
        return 0;
    double begun = 1e300, ended = 0, work = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        begun = workers[i].begun < begun ? workers[i].begun : begun;
        ended = workers[i].ended > ended ? workers[i].ended : ended;
        work += workers[i].work;
    }
    pthread_barrier_destroy(&start);
    return work / (ended - begun + 1e-12);
}

struct peak_reader {
    int n_cores;
    char *buffer;
    struct peak_loops loops;
    struct worker *workers;
};

enum status peak_reader_new(int n_cores, struct peak_reader **out)
{
    struct peak_reader *reader;
    TRY(memory_new(1, sizeof *reader, "a bandwidth measurement", &reader));
    reader->n_cores = n_cores;
    choose_loops(&reader->loops);
    enum status status =
        memory_new((size_t)n_cores, sizeof *reader->workers, "threads", &reader->workers);
    void *buffer = NULL;
    if (status == OK)
        status = device_memory_new(READ_BYTES, "a bandwidth measurement", &buffer);
    reader->buffer = buffer;
    if (status != OK) {
        peak_reader_free(reader);
        return status;
    }
    for (size_t i = 0; i < READ_BYTES; i += 4096) // every page must be real
        reader->buffer[i] = 1;
    *out = reader;
    return OK;
}

double peak_reader_run(struct peak_reader *reader)
{
    size_t part = READ_BYTES / (size_t)reader->n_cores / 4096 * 4096;
    for (int i = 0; i < reader->n_cores; i++)
        reader->workers[i] = (struct worker){.read = reader->loops.read,
                                             .part = reader->buffer + (size_t)i * part,
                                             .part_bytes = part};
    return run_workers(reader->workers, reader->n_cores);
}

// The first half of the buffer to `to`.
static double run_copy(struct peak_reader *reader, char *to)
{
    size_t part = READ_BYTES / 2 / (size_t)reader->n_cores / 4096 * 4096;
    for (int i = 0; i < reader->n_cores; i++)
        reader->workers[i] = (struct worker){.part = reader->buffer + (size_t)i * part,
                                             .copy = to + (size_t)i * part,
                                             .part_bytes = part};
    return run_workers(reader->workers, reader->n_cores);
}

void peak_reader_free(struct peak_reader *reader)
{
    if (!reader)
        return;
    device_memory_free(reader->buffer, READ_BYTES);
    free(reader->workers);
    free(reader);
}

static double measure_compute(struct worker *workers, int n, peak_compute_loop compute,
                              double seconds)
{
    double best = 0;
    long rounds = 1000;
    if (!compute)
        return 0;
    for (double spent = 0; spent < seconds;) {
        for (int i = 0; i < n; i++)
            workers[i] = (struct worker){.compute = compute, .rounds = rounds};
        double begun = clock_seconds(), rate = run_workers(workers, n),
               took = clock_seconds() - begun;
        best = rate > best ? rate : best;
        spent += took;
        if (took < seconds / 8)
            rounds *= 4;
    }
    return best;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static enum status measure_memory(struct peak_reader *reader, struct peak *out)
{
    *out = (struct peak){0};
    for (int i = 0; i < READ_PASSES; i++) {
        void *fresh;
        TRY(device_memory_new(READ_BYTES / 2, "a measurement of memcpy()", &fresh));
        out->fill_bytes = larger(out->fill_bytes, run_copy(reader, fresh));
        out->copy_bytes = larger(out->copy_bytes, run_copy(reader, fresh));
        out->read_bytes = larger(out->read_bytes, peak_reader_run(reader));
        device_memory_free(fresh, READ_BYTES / 2);
    }
    return OK;
}

enum status peak_measure_memory(int n_cores, struct peak *out)
{
    struct peak_reader *reader;
    TRY(peak_reader_new(n_cores, &reader));
    enum status status = measure_memory(reader, out);
    peak_reader_free(reader);
    return status;
}

enum status peak_measure(int n_cores, double seconds, struct peak *out)
{
    struct peak_reader *reader;
    TRY(peak_reader_new(n_cores, &reader));
    enum status status = measure_memory(reader, out);
    out->fma_flops = measure_compute(reader->workers, n_cores, reader->loops.fma, seconds);
    out->fed_flops = measure_compute(reader->workers, n_cores, reader->loops.fma_fed, seconds);
    out->bf16_flops = measure_compute(reader->workers, n_cores, reader->loops.bf16, seconds);
    out->int8_ops = measure_compute(reader->workers, n_cores, reader->loops.int8, seconds);
    out->amx_flops = measure_compute(reader->workers, n_cores, reader->loops.amx, seconds);
    peak_reader_free(reader);
    return status;
}
