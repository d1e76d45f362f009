// The tree against a plain recursive evaluation over leaves, for random trees, ownership and absent
// leaves.
#include "testing.h"

#include "comm/reduction_tree.h"

static uint64_t seed = 1;
static uint32_t random_number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static void add_to(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}
static const struct kernels kernels = {.add_to = add_to};

// Section 4 of docs/numerics.md, word for word. Returns whether there is a value.
static bool evaluate(const struct reduction_tree *tree, const float *leaf, int first, int width,
                     float *out)
{
    if (width == 1) {
        *out = leaf[first];
        return (tree->present >> first & 1) != 0;
    }
    float left, right;
    bool has_left = evaluate(tree, leaf, first, width / 2, &left);
    bool has_right = evaluate(tree, leaf, first + width / 2, width / 2, &right);
    *out = has_left && has_right ? left + right : has_left ? left : right;
    return has_left || has_right;
}

static void random_tree(int n_ranks, struct reduction_tree *tree)
{
    memset(tree, 0, sizeof *tree);
    tree->n_ranks = n_ranks;
    tree->n_leaves = 1 << random_number() % 7;
    uint64_t all = tree->n_leaves == 64 ? ~(uint64_t)0 : ((uint64_t)1 << tree->n_leaves) - 1;
    uint64_t bits = (uint64_t)random_number() << 32 ^ random_number();
    switch (random_number() % 4) {
    case 0:
        tree->present = all;
        break;
    case 1:
        tree->present = bits & all;
        break;
    case 2:
        tree->present = bits & bits >> 7 & bits >> 13 & all;
        break;
    default:
        tree->present = (bits | bits >> 11) & all;
    }
    // n_ranks - 1 random cuts, sorted; parts may be empty
    int *cut = tree->first_leaf;
    for (int r = 1; r < n_ranks; r++) {
        int at = (int)(random_number() % (uint32_t)(tree->n_leaves + 1)), i = r;
        for (; i > 1 && cut[i - 1] > at; i--)
            cut[i] = cut[i - 1];
        cut[i] = at;
    }
    cut[n_ranks] = tree->n_leaves;
}

static void make_leaves(float *leaf, int n)
{
    for (int i = 0; i < n; i++)
        leaf[i] = ((float)random_number() / (float)(1u << 30) - 1.0f) *
                  (float)(1 << random_number() % 20);
}

// A rank's nodes by the leaf_plan's stack, as a product makes them.
static int nodes_by_merges(const struct reduction_tree *tree, int rank, const float *leaf,
                           float *nodes)
{
    int merges[LEAVES_MAX], depth = 0;
    int n = reduction_tree_merges(tree, rank, merges), next = 0;
    for (int i = tree->first_leaf[rank]; i < tree->first_leaf[rank + 1]; i++) {
        if (!(tree->present >> i & 1))
            continue;
        assert_true(next < n);
        nodes[depth++] = leaf[i];
        for (int m = 0; m < merges[next]; m++) {
            assert_true(depth >= 2);
            depth--;
            nodes[depth - 1] = nodes[depth - 1] + nodes[depth];
        }
        next++;
    }
    assert_int_equal(next, n);
    return depth;
}

static void check_tree(const struct reduction_tree *tree)
{
    float leaf[LEAVES_MAX], expected = 0;
    make_leaves(leaf, tree->n_leaves);
    if (!evaluate(tree, leaf, 0, tree->n_leaves, &expected))
        expected = 0;
    static float values[COMM_RANKS_MAX][2 * LEAVES_MAX];
    const float *nodes[COMM_RANKS_MAX];
    int most = 0;
    for (int r = 0; r < tree->n_ranks; r++) {
        int count = nodes_by_merges(tree, r, leaf, values[r]);
        assert_int_equal(count, reduction_tree_node_count(tree, r));
        most = count > most ? count : most;
        struct tree_node list[2 * LEAVES_MAX];
        assert_int_equal(
            reduction_tree_nodes(tree, tree->first_leaf[r], tree->first_leaf[r + 1], list), count);
        for (int i = 0; i < count; i++) {
            float value;
            assert_true(evaluate(tree, leaf, list[i].first, list[i].width, &value));
            assert_memory_equal(&value, &values[r][i], sizeof value);
        }
        nodes[r] = values[r];
    }
    assert_int_equal(reduction_tree_node_count_max(tree), most);
    float sum = -1;
    reduction_tree_finish(tree, nodes, 1, &sum, 1, &kernels);
    assert_memory_equal(&sum, &expected, sizeof sum);
}

static void random_trees_give_the_bits_of_one_rank(void **state)
{
    (void)state;
    for (int n_ranks = 1; n_ranks <= 16; n_ranks++)
        for (int i = 0; i < 3000; i++) {
            struct reduction_tree tree;
            random_tree(n_ranks, &tree);
            check_tree(&tree);
        }
}

static void plain_trees(void **state)
{
    (void)state;
    for (int n_ranks = 1; n_ranks <= COMM_RANKS_MAX; n_ranks++) {
        struct reduction_tree tree;
        reduction_tree_plain(n_ranks, &tree);
        check_tree(&tree);
        for (int r = 0; r < n_ranks; r++)
            assert_int_equal(reduction_tree_node_count(&tree, r), 1);
    }
}

static void eight_leaves_on_three_ranks(void **state)
{
    (void)state;
    struct reduction_tree tree = {
        .n_leaves = 8, .n_ranks = 3, .present = 0xff, .first_leaf = {0, 3, 6, 8}};
    struct tree_node nodes[2 * LEAVES_MAX];
    assert_int_equal(reduction_tree_nodes(&tree, 0, 3, nodes), 2);
    assert_int_equal(nodes[0].first, 0);
    assert_int_equal(nodes[0].width, 2);
    assert_int_equal(nodes[1].first, 2);
    assert_int_equal(nodes[1].width, 1);
    int merges[LEAVES_MAX];
    assert_int_equal(reduction_tree_merges(&tree, 0, merges), 3);
    assert_int_equal(merges[0], 0);
    assert_int_equal(merges[1], 1);
    assert_int_equal(merges[2], 0);
}

static void trees_that_one_all_reduce_serves(void **state)
{
    (void)state;
    const struct reduction_tree tree = {
        .n_leaves = 8, .n_ranks = 2, .present = 0xff, .first_leaf = {0, 4, 8}};
    struct reduction_tree other = tree;
    other.present = 0x55; // each rank still has one node
    assert_true(reduction_tree_nodes_match(&tree, &other));
    other.present = 0xf0; // rank 0 has none
    assert_false(reduction_tree_nodes_match(&tree, &other));
    other = tree;
    other.first_leaf[1] = 3;
    assert_false(reduction_tree_nodes_match(&tree, &other));
    other = tree;
    other.n_leaves = 16;
    other.first_leaf[1] = 8;
    other.first_leaf[2] = 16;
    assert_false(reduction_tree_nodes_match(&tree, &other));
    other =
        (struct reduction_tree){.n_leaves = 8, .n_ranks = 1, .present = 0xff, .first_leaf = {0, 8}};
    assert_false(reduction_tree_nodes_match(&tree, &other));
}

// Long vectors cross the blocks; the sum may take the place of a node.
static void finish_may_overwrite_a_node(void **state)
{
    (void)state;
    enum { N = 2500, RANKS = 5 };
    struct reduction_tree tree = {
        .n_leaves = 16, .n_ranks = RANKS, .present = 0xf7ff, .first_leaf = {0, 3, 7, 8, 13, 16}};
    for (int in_place = -1; in_place < RANKS; in_place++) {
        static float values[RANKS][8 * N], leaf[N][16], expected[N], out[N];
        const float *nodes[RANKS];
        for (int i = 0; i < N; i++) {
            make_leaves(leaf[i], 16);
            assert_true(evaluate(&tree, leaf[i], 0, 16, &expected[i]));
            for (int r = 0; r < RANKS; r++) {
                float one[2 * LEAVES_MAX];
                int count = nodes_by_merges(&tree, r, leaf[i], one);
                for (int k = 0; k < count; k++)
                    values[r][k * N + i] = one[k];
                nodes[r] = values[r];
            }
        }
        float *sum = in_place < 0 ? out : values[in_place];
        reduction_tree_finish(&tree, nodes, N, sum, N, &kernels);
        assert_memory_equal(sum, expected, sizeof expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_give_the_bits_of_one_rank),
        cmocka_unit_test(plain_trees),
        cmocka_unit_test(eight_leaves_on_three_ranks),
        cmocka_unit_test(trees_that_one_all_reduce_serves),
        cmocka_unit_test(finish_may_overwrite_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
