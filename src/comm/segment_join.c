#include "comm/segment_join.h"

#include "comm/environment_number.h"
#include "comm/reduction_tree.h"

enum status segment_join(int fd, struct segment *out, int *local_rank)
{
    int world_size, rank, local_size;
    TRY(environment_number("WORLD_SIZE", 1, COMM_RANKS_MAX, &world_size));
    TRY(environment_number("RANK", 0, world_size - 1, &rank));
    TRY(environment_number("LOCAL_WORLD_SIZE", 1, world_size, &local_size));
    TRY(environment_number("LOCAL_RANK", 0, local_size - 1, local_rank));
    TRY(segment_map(fd, local_size, world_size, out));
    if (out->first_rank + *local_rank == rank)
        return OK;
    int first = out->first_rank;
    segment_unmap(out);
    return fail(ERR_INPUT,
                "RANK is %d and LOCAL_RANK is %d; expected RANK to be %d, as the first rank of "
                "this node is %d; leave these variables as `colrow launch` has set them",
                rank, *local_rank, first + *local_rank, first);
}
