#include "cmd/prediction.h"

#include <stddef.h>
#include <string.h>

#include "engine/cluster.h"

#define AT(field) offsetof(struct machine_flags, field)
const struct flag machine_flag_rows[MACHINE_FLAGS] = {
    {FLAG_TEXT, "--machine", NULL, AT(machine), 0, 0, "FILE",
     "predict times on the machine that the JSON file describes (examples/machines), or on this "
     "one, measured now: auto"},
    {FLAG_TEXT, "--comm-figures", NULL, AT(links), 0, 0, "FILE",
     "with --machine: links as `colrow bench comm --nnodes N --json` has measured them"},
    {FLAG_INT, "--nodes", "--nnodes", AT(nodes), 1, COMM_RANKS_MAX, "N",
     "machines that the ranks are dealt to, in order and evenly (default 1, or as many as "
     "--gpus-per-node needs)"},
    {FLAG_INT, "--gpus-per-node", "--nproc-per-node --ranks-per-node", AT(ranks_per_node), 1,
     COMM_RANKS_MAX, "N", "ranks that a node has room for (default: as many as there are)"},
};

enum status machine_flags_read(const struct machine_flags *flags, int n_ranks, int threads,
                               struct machine *out)
{
    if (strcmp(flags->machine, "auto") == 0)
        TRY(machine_measure(n_ranks, threads, out));
    else
        TRY(machine_read(flags->machine, out));
    return flags->links ? machine_read_links(flags->links, out) : OK;
}

enum status machine_flags_lay_out(const struct machine_flags *flags, int tp, int pp,
                                  struct node_layout *out)
{
    int world = tp * pp, room = flags->ranks_per_node;
    *out = (struct node_layout){.n_nodes = flags->nodes};
    if (!out->n_nodes)
        out->n_nodes = room ? (world + room - 1) / room : 1;
    if (out->n_nodes > COMM_RANKS_MAX)
        return fail(ERR_USAGE, "%d ranks at --gpus-per-node %d need %d nodes; expected at most %d",
                    world, room, out->n_nodes, COMM_RANKS_MAX);
    if (out->n_nodes > world)
        return fail(
            ERR_USAGE,
            "--nodes is %d, but -tp %d times -pp %d are %d rank%s; expected a rank for each "
            "node at least",
            out->n_nodes, tp, pp, world, world == 1 ? "" : "s");
    for (int node = 0; node < out->n_nodes; node++)
        out->first_rank[node + 1] =
            out->first_rank[node] + cluster_share(world, out->n_nodes, node);
    if (room && out->first_rank[1] > room)
        return fail(ERR_USAGE,
                    "-tp %d times -pp %d are %d ranks, but --nodes %d of --gpus-per-node %d have "
                    "room for %d; expected at least --nodes %d",
                    tp, pp, world, out->n_nodes, room, out->n_nodes * room,
                    (world + room - 1) / room);
    return OK;
}
