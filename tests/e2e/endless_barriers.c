// A parallel program that does nothing but wait for its peers, for tests that end it.
#include <colrow/parallel.h>

#include <stdio.h>

int main(void)
{
    int result = colrow_parallel_init(0, 1);
    if (result == 0) {
        printf("barriers\n");
        fflush(stdout);
    }
    while (result == 0)
        result = colrow_barrier();
    fprintf(stderr, "rank %d: %s\n", colrow_rank(), colrow_parallel_error());
    return 1;
}
