#include "comm/reduction_tree.h"

#include <assert.h>
#include <string.h>

static bool any_present(const struct reduction_tree *tree, int first, int width)
{
    assert(first >= 0 && width > 0 && first + width <= 64);
    uint64_t mask = width == 64 ? ~(uint64_t)0 : (((uint64_t)1 << width) - 1) << first;
    return (tree->present & mask) != 0;
}

static void assert_shape(const struct reduction_tree *tree)
{
    assert(tree->n_leaves >= 1 && tree->n_leaves <= LEAVES_MAX);
    assert((tree->n_leaves & (tree->n_leaves - 1)) == 0);
    assert(tree->n_ranks >= 1 && tree->n_ranks <= COMM_RANKS_MAX);
    assert(tree->first_leaf[0] == 0 && tree->first_leaf[tree->n_ranks] == tree->n_leaves);
}

void reduction_tree_plain(int n_ranks, struct reduction_tree *out)
{
    assert(n_ranks >= 1 && n_ranks <= COMM_RANKS_MAX);
    memset(out, 0, sizeof *out);
    out->n_ranks = n_ranks;
    out->n_leaves = 1;
    while (out->n_leaves < n_ranks)
        out->n_leaves *= 2;
    out->present = n_ranks == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n_ranks) - 1;
    for (int r = 0; r < n_ranks; r++)
        out->first_leaf[r] = r;
    // The leaves past the last rank are absent; that they are the last rank's changes nothing.
    out->first_leaf[n_ranks] = out->n_leaves;
}

int reduction_tree_nodes(const struct reduction_tree *tree, int begin, int end,
                         struct tree_node *nodes)
{
    assert_shape(tree);
    assert(begin >= 0 && end <= tree->n_leaves);
    int count = 0;
    for (int first = begin; first < end;) {
        int width = 1; // grows while it stays aligned and inside: the maximal subtree at `first`
        while (first % (width * 2) == 0 && first + width * 2 <= end)
            width *= 2;
        if (any_present(tree, first, width))
            nodes[count++] = (struct tree_node){first, width};
        first += width;
    }
    return count;
}

int reduction_tree_node_count(const struct reduction_tree *tree, int rank)
{
    assert(rank >= 0 && rank < tree->n_ranks);
    struct tree_node nodes[2 * LEAVES_MAX];
    return reduction_tree_nodes(tree, tree->first_leaf[rank], tree->first_leaf[rank + 1], nodes);
}

int reduction_tree_node_count_max(const struct reduction_tree *tree)
{
    int most = 0;
    for (int r = 0; r < tree->n_ranks; r++) {
        int count = reduction_tree_node_count(tree, r);
        most = count > most ? count : most;
    }
    return most;
}

bool reduction_tree_nodes_match(const struct reduction_tree *a, const struct reduction_tree *b)
{
    struct tree_node of_a[2 * LEAVES_MAX], of_b[2 * LEAVES_MAX];
    if (a->n_leaves != b->n_leaves || a->n_ranks != b->n_ranks)
        return false;
    for (int r = 0; r < a->n_ranks; r++) {
        int n = reduction_tree_nodes(a, a->first_leaf[r], a->first_leaf[r + 1], of_a);
        if (n != reduction_tree_nodes(b, b->first_leaf[r], b->first_leaf[r + 1], of_b) ||
            memcmp(of_a, of_b, (size_t)n * sizeof *of_a) != 0)
            return false;
    }
    return true;
}

// Appends the present leaves below a node; says whether there is one.
static bool merges_below(const struct reduction_tree *tree, int first, int width, int *merges,
                         int *count)
{
    if (!any_present(tree, first, width))
        return false;
    if (width == 1) {
        merges[(*count)++] = 0;
        return true;
    }
    bool left = merges_below(tree, first, width / 2, merges, count);
    bool right = merges_below(tree, first + width / 2, width / 2, merges, count);
    if (left && right) // complete once the right side's last leaf is
        merges[*count - 1]++;
    return true;
}

int reduction_tree_merges(const struct reduction_tree *tree, int rank, int *merges)
{
    assert(rank >= 0 && rank < tree->n_ranks);
    struct tree_node nodes[2 * LEAVES_MAX];
    int n_nodes =
        reduction_tree_nodes(tree, tree->first_leaf[rank], tree->first_leaf[rank + 1], nodes);
    int count = 0;
    for (int i = 0; i < n_nodes; i++)
        (void)merges_below(tree, nodes[i].first, nodes[i].width, merges, &count);
    return count;
}

// Finishing is a small stack program, written once a call and run over blocks that stay in the
// first cache.
enum { FINISH_BLOCK = 1024, FINISH_DEPTH_MAX = 8, FINISH_STEPS_MAX = 2 * LEAVES_MAX };

struct finish_program {
    int n_steps;
    const float *step[FINISH_STEPS_MAX]; // a node to push, or NULL: add the two newest
};

struct finish_builder {
    const struct reduction_tree *tree;
    const float *const *nodes;
    size_t stride;
    int n_taken[COMM_RANKS_MAX]; // nodes of each rank met so far: they come in leaf order
    int owner[LEAVES_MAX];
    struct finish_program program;
};

static bool build(struct finish_builder *b, int first, int width)
{
    if (!any_present(b->tree, first, width))
        return false;
    struct finish_program *program = &b->program;
    int rank = b->owner[first];
    if (first + width <= b->tree->first_leaf[rank + 1]) {
        int node = b->n_taken[rank]++;
        program->step[program->n_steps++] = b->nodes[rank] + (size_t)node * b->stride;
        return true;
    }
    bool left = build(b, first, width / 2);
    bool right = build(b, first + width / 2, width / 2);
    if (left && right)
        program->step[program->n_steps++] = NULL;
    return true;
}

// `out` is written by the last step alone, so that it may be one of the nodes.
static void run_program(const struct finish_program *program, size_t offset, float *out, size_t n,
                        const struct kernels *kernels)
{
    float room[FINISH_DEPTH_MAX][FINISH_BLOCK];
    const float *stack[FINISH_DEPTH_MAX];
    int depth = 0;
    for (int i = 0; i < program->n_steps; i++) {
        if (program->step[i]) {
            assert(depth < FINISH_DEPTH_MAX);
            stack[depth++] = program->step[i] + offset;
            continue;
        }
        assert(depth >= 2);
        depth--;
        // The sum's place in `room` is that of its left summand: nobody else's.
        float *sum = i == program->n_steps - 1 ? out + offset : room[depth - 1];
        kernels->add_to(sum, stack[depth - 1], stack[depth], n);
        stack[depth - 1] = sum;
    }
    assert(depth == 1);
    if (stack[0] != out + offset)
        memmove(out + offset, stack[0], n * sizeof *out);
}

static void builder_init(struct finish_builder *b, const struct reduction_tree *tree,
                         const float *const *nodes, size_t stride)
{
    *b = (struct finish_builder){.tree = tree, .nodes = nodes, .stride = stride};
    for (int r = 0; r < tree->n_ranks; r++)
        for (int leaf = tree->first_leaf[r]; leaf < tree->first_leaf[r + 1]; leaf++)
            b->owner[leaf] = r;
}

static void run_blocks(const struct finish_builder *b, float *out, size_t n,
                       const struct kernels *kernels)
{
    for (size_t offset = 0; offset < n; offset += FINISH_BLOCK) {
        size_t count = n - offset < FINISH_BLOCK ? n - offset : FINISH_BLOCK;
        run_program(&b->program, offset, out, count, kernels);
    }
}

void reduction_tree_finish(const struct reduction_tree *tree, const float *const *nodes,
                           size_t stride, float *out, size_t n, const struct kernels *kernels)
{
    struct finish_builder b;
    assert_shape(tree);
    if (tree->present == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    builder_init(&b, tree, nodes, stride);
    (void)build(&b, 0, tree->n_leaves);
    run_blocks(&b, out, n, kernels);
}

void reduction_tree_combine(const struct reduction_tree *tree, int first_rank, int n_ranks,
                            const float *const *nodes, size_t stride, float *out, size_t out_stride,
                            size_t n, const struct kernels *kernels)
{
    struct finish_builder b;
    struct tree_node node[2 * LEAVES_MAX];
    const float *all[COMM_RANKS_MAX] = {NULL};
    assert_shape(tree);
    assert(first_rank >= 0 && n_ranks >= 1 && first_rank + n_ranks <= tree->n_ranks);
    int count = reduction_tree_nodes(tree, tree->first_leaf[first_rank],
                                     tree->first_leaf[first_rank + n_ranks], node);
    for (int i = 0; i < n_ranks; i++)
        all[first_rank + i] = nodes[i];
    builder_init(&b, tree, all, stride);
    for (int i = 0; i < count; i++) {
        b.program.n_steps = 0;
        (void)build(&b, node[i].first, node[i].width);
        run_blocks(&b, out + (size_t)i * out_stride, n, kernels);
    }
}

void reduction_tree_merge_ranks(const struct reduction_tree *tree, const int *first_rank, int n,
                                struct reduction_tree *out)
{
    assert(n >= 1 && n <= tree->n_ranks && first_rank[0] == 0 && first_rank[n] == tree->n_ranks);
    memset(out, 0, sizeof *out);
    out->n_leaves = tree->n_leaves;
    out->n_ranks = n;
    out->present = tree->present;
    for (int i = 0; i <= n; i++)
        out->first_leaf[i] = tree->first_leaf[first_rank[i]];
}
