// MPI_Allreduce of f32 sums, timed as `colrow bench comm` times ours. bench/mpi_all_reduce.sh builds and runs it.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 7, BYTES_MOST = 16 << 20 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static const int sizes[] = {64, 256, 1024, 4096, 16384, 65536, 262144, 1 << 20, 4 << 20, 16 << 20};
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    float *data = calloc(BYTES_MOST, 1);
    for (int s = 0; data && s < (int)(sizeof sizes / sizeof sizes[0]); s++) {
        double times[TRIES];
        int repeats = sizes[s] <= 65536 ? 300 : sizes[s] <= 1 << 20 ? 40 : 5;
        for (int t = -1; t < TRIES; t++) { // the first series warms up
            MPI_Barrier(MPI_COMM_WORLD);
            double begun = MPI_Wtime();
            for (int i = 0; i < repeats; i++)
                MPI_Allreduce(MPI_IN_PLACE, data, sizes[s] / 4, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            if (t >= 0)
                times[t] = (MPI_Wtime() - begun) / repeats;
        }
        qsort(times, TRIES, sizeof times[0], ascending);
        if (rank == 0)
            printf("%d %.3f\n", sizes[s], times[TRIES / 2] * 1e6);
    }
    free(data);
    MPI_Finalize();
    return data ? 0 : 1;
}
