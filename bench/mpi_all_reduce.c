// MPI_Allreduce of f32 sums, timed as `colrow bench comm` times ours: in place, one buffer in huge
// pages, warm, the slowest rank's time. The sums are checked. bench/mpi_all_reduce.sh builds and
// runs it; bench/wire_all_reduce.sh does between two nodes. `mpi_all_reduce N`: an N-th of the
// calls, for more ranks than cores, which take 10 ms and more each.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef BYTES_LEAST
#define BYTES_LEAST 0
#define BYTES_LAST (16 << 20)
#endif

enum { TRIES = 7, BYTES_MOST = 16 << 20, HUGE_PAGE = 2 << 20 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void all_reduce(float *data, int n)
{
    MPI_Allreduce(MPI_IN_PLACE, data, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

// Every rank brings rank + i; small whole numbers, so that sums are exact in any order.
static int sums_are_right(float *data, int n, int rank, int size)
{
    int wrong = 0;
    for (int i = 0; i < n; i++)
        data[i] = (float)(rank + i % 1000);
    all_reduce(data, n);
    for (int i = 0; i < n; i++)
        wrong += data[i] != (float)(size * (size - 1) / 2 + size * (i % 1000));
    memset(data, 0,
           (size_t)n * sizeof *data); // sums of zeros do not overflow after thousands of rounds
    return wrong == 0;
}

static double time_one(float *data, int n, int repeats)
{
    double seconds, slowest;
    MPI_Barrier(MPI_COMM_WORLD);
    double begun = MPI_Wtime();
    for (int i = 0; i < repeats; i++)
        all_reduce(data, n);
    seconds = (MPI_Wtime() - begun) / repeats;
    MPI_Allreduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest;
}

int main(int argc, char **argv)
{
    static const int sizes[] = {64,    256,    1024,    4096,    16384,
                                65536, 262144, 1 << 20, 4 << 20, 16 << 20};
    int rank, size, right = 1, share = argc > 1 ? atoi(argv[1]) : 1;
    MPI_Init(&argc, &argv);
    if (share < 1)
        share = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    float *data = aligned_alloc(HUGE_PAGE, BYTES_MOST);
    if (data)
        madvise(data, BYTES_MOST, MADV_HUGEPAGE);
    for (int s = 0; data && s < (int)(sizeof sizes / sizeof sizes[0]); s++) {
        double times[TRIES];
        if (sizes[s] < BYTES_LEAST || sizes[s] > BYTES_LAST)
            continue;
        int n = sizes[s] / 4, repeats = sizes[s] <= 65536 ? 300 : sizes[s] <= 1 << 20 ? 40 : 5;
        repeats = repeats > share ? repeats / share : 1;
        right = sums_are_right(data, n, rank, size) && right;
        for (int t = -1; t < TRIES; t++) { // the first series warms up
            double seconds = time_one(data, n, repeats);
            if (t >= 0)
                times[t] = seconds;
        }
        qsort(times, TRIES, sizeof times[0], ascending);
        if (rank == 0)
            printf("%d %.3f\n", sizes[s], times[TRIES / 2] * 1e6);
    }
    if (!right)
        fprintf(stderr, "rank %d: a sum is wrong\n", rank);
    right = data && right;
    free(data);
    MPI_Finalize();
    return right ? 0 : 1;
}
