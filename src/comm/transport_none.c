// In place of what goes over a wire, where colrow was built without UCX's headers.
#include "comm/transport.h"

static enum status say_what_is_missing(void)
{
    return fail(ERR_UNSUPPORTED, "this colrow was built without UCX, which carries messages "
                                 "between machines; install libucx-dev and build it again");
}

static enum status refuse_to_open(struct comm *comm)
{
    (void)comm;
    return say_what_is_missing();
}

const struct transport transport_ucx = {
    .name = "ucx", .open = refuse_to_open, .probe = say_what_is_missing};
const struct transport transport_nested = {.name = "nested", .open = refuse_to_open};
