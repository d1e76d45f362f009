#include "model/expert_exchange.h"

#include <assert.h>
#include <string.h>

#include "model/forward.h"

// ---- how much ----

static size_t leaves_of_member(const struct cut *cut, int member)
{
    int merges[LEAVES_MAX];
    return (size_t)reduction_tree_merges(&cut->leaf_tree, member, merges);
}

size_t expert_sums_of(const struct cut *cut, int rank)
{
    return (size_t)reduction_tree_node_count(&cut->expert_tree, expert_group(cut, rank)) *
           leaves_of_member(cut, expert_member(cut, rank));
}

size_t expert_sums_received(const struct plan *plan, const struct cut *cut)
{
    size_t all = 0;
    for (int rank = 0; rank < plan->n_ranks && cut->leaf_tree.n_ranks > 1; rank++)
        all += expert_sums_of(cut, rank);
    return all;
}

static size_t panels_of_sum(const struct plan *plan)
{
    return ((size_t)plan->config.hidden_size + PANEL_WIDTH - 1) / PANEL_WIDTH;
}

int expert_pass_panels(const struct plan *plan, const struct cut *cut, int n_rows)
{
    size_t most = expert_sums_received(plan, cut), all = panels_of_sum(plan);
    for (int rank = 0; rank < plan->n_ranks; rank++)
        most = expert_sums_of(cut, rank) > most ? expert_sums_of(cut, rank) : most;
    size_t n = EXPERT_EXCHANGE_BYTES / (most * (size_t)n_rows * PANEL_WIDTH * sizeof(float));
    n = n < EXPERT_PASS_PANELS ? n : EXPERT_PASS_PANELS;
    n = n > all ? all : n;
    return n ? (int)n : 1;
}

// Passes of few rows are wider, of many rows taller.
static size_t room_for(const struct plan *plan, size_t sums, int rows_max)
{
    const size_t panel = sums * (size_t)rows_max * PANEL_WIDTH, whole = panel * panels_of_sum(plan),
                 bound = EXPERT_EXCHANGE_BYTES / sizeof(float);
    return whole < bound ? whole : panel > bound ? panel : bound;
}

size_t expert_nodes_room(const struct plan *plan, const struct cut *cut, int rank, int rows_max)
{
    return room_for(plan, expert_sums_of(cut, rank), rows_max);
}

size_t expert_received_room(const struct plan *plan, const struct cut *cut, int rows_max)
{
    const size_t sums = expert_sums_received(plan, cut);
    return sums ? room_for(plan, sums, rows_max) : 0;
}

// ---- the exchange of a pass ----

// Where what ranks have sent lies: [nodes][leaves][rows, width] of each.
struct arrived {
    const struct expert_pass *pass;
    const float *of_rank[COMM_RANKS_MAX];
    size_t matrix; // floats of [rows, width]
};

static size_t matrix_of(const struct worker *w, const struct expert_pass *pass)
{
    return (size_t)w->run->step->n_rows * (size_t)pass->width;
}

static void send_experts(const struct worker *w, int layer, const struct expert_pass *pass)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    const struct cut *cut = pass->cut;
    const size_t matrix = matrix_of(w, pass);
    size_t bytes[COMM_RANKS_MAX];
    comm_mark(m->comm, run->step->number, layer, "experts");
    if (cut->leaf_tree.n_ranks == 1) { // what comes back is of each leaf the sum
        run->status = comm_all_reduce(m->comm, &cut->expert_tree, m->scratch.expert_nodes,
                                      m->scratch.expert_nodes, leaves_of_member(cut, 0) * matrix);
        return;
    }
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        bytes[rank] = expert_sums_of(cut, rank) * matrix * sizeof(float);
    run->status = comm_all_gather(m->comm, m->scratch.expert_nodes, bytes[m->rank], bytes,
                                  m->scratch.expert_received);
}

static void find_arrived(const struct worker *w, const struct expert_pass *pass,
                         struct arrived *out)
{
    const struct model *m = w->run->model;
    const float *next = m->scratch.expert_received;
    *out = (struct arrived){.pass = pass, .matrix = matrix_of(w, pass)};
    for (int rank = 0; rank < m->plan->n_ranks && next; rank++) {
        out->of_rank[rank] = next;
        next += expert_sums_of(pass->cut, rank) * out->matrix;
    }
}

// A row of the leaf with that number among those of a group's member: over all experts.
static void sum_leaf(const struct worker *w, const struct arrived *from, int member, size_t leaf,
                     int row, float *out)
{
    const struct model *m = w->run->model;
    const struct cut *cut = from->pass->cut;
    const int inside = cut->leaf_tree.n_ranks;
    const size_t width = (size_t)from->pass->width, at = leaf * from->matrix + (size_t)row * width;
    const float *nodes[COMM_RANKS_MAX];
    if (inside == 1) {
        memcpy(out, m->scratch.expert_nodes + at, width * sizeof *out);
    } else {
        for (int group = 0; group < cut->expert_tree.n_ranks; group++)
            nodes[group] = from->of_rank[group * inside + member] + at;
        reduction_tree_finish(&cut->expert_tree, nodes,
                              leaves_of_member(cut, member) * from->matrix, out, width, m->kernels);
    }
    for (size_t i = 0; i < width; i++)
        out[i] = out[i] + 0.0f;
}

// The leaves of a row meet.
static void finish_expert_row(const struct worker *w, const struct arrived *from, int row,
                              float *stack, float *out)
{
    const struct kernels *kernels = w->run->model->kernels;
    const struct cut *cut = from->pass->cut;
    const size_t width = (size_t)from->pass->width;
    int merges[LEAVES_MAX], number = 0, depth = 0;
    (void)reduction_tree_merges(&cut->tree, 0, merges);
    for (int member = 0; member < cut->leaf_tree.n_ranks; member++)
        for (size_t leaf = 0; leaf < leaves_of_member(cut, member); leaf++, number++) {
            sum_leaf(w, from, member, leaf, row, stack + (size_t)depth++ * width);
            for (int i = 0; i < merges[number]; i++, depth--)
                kernels->add(stack + (size_t)(depth - 2) * width,
                             stack + (size_t)(depth - 1) * width, width);
        }
    assert(depth == 1);
    kernels->copy(out, stack, width);
}

void exchange_experts(const struct worker *w, int layer, const struct expert_pass *pass,
                      float *sums)
{
    const struct model *m = w->run->model;
    float *stack =
        (float *)(void *)(m->scratch.pair_sums + (size_t)w->thread * m->scratch.pair_sum_bytes);
    struct arrived from;
    team_barrier(m->team);
    if (w->thread == 0)
        send_experts(w, layer, pass);
    team_barrier(m->team);
    LEAVE_IF_FAILED(w);
    find_arrived(w, pass, &from);
    const struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++)
        finish_expert_row(w, &from, row, stack,
                          sums + (size_t)row * pass->sums_width + (size_t)pass->column);
    team_barrier(m->team);
}
