// The plan over all sizes of many shapes: shares cover everything once, and are unions of leaves
// that do not depend on the number of ranks.
#include "plan_shapes.h"

#include "model/plan_build.h"

static const int leaf_counts[] = {8, 1, 2, 4, 16, 64};
enum { N_LEAF_COUNTS = sizeof leaf_counts / sizeof leaf_counts[0] };

static const struct cut *attention_of(const struct plan *plan)
{
    return plan_cut_of_kind(plan, MIX_ATTENTION);
}

static const struct cut *mlp_of(const struct plan *plan)
{
    return plan_cut_of_kind(plan, MIX_MLP);
}

static int width(struct range range)
{
    return range.end - range.begin;
}

static struct plan *compile(const struct model_config *config, int n_ranks, int leaves)
{
    const struct plan_options options = {
        .n_ranks = n_ranks, .reduction_leaves = leaves, .compute = COMPUTE_BF16};
    struct plan *plan;
    if (plan_compile(config, &options, &plan) != OK) {
        print_error("%d ranks: %s\n", n_ranks, status_message());
        assert_true(0);
    }
    return plan;
}

// docs/numerics.md section 4, written down a second time.
static int expected_attention_bound(const struct plan_shape *s, int leaves, int leaf)
{
    int q = s->heads / s->kv_heads, groups = s->kv_heads;
    if (groups >= leaves)
        return q * s->head_dim * (leaf * groups / leaves);
    for (int g = 0; g < groups; g++) {
        int first = (2 * g * leaves + groups) / (2 * groups),
            next = (2 * (g + 1) * leaves + groups) / (2 * groups);
        if (leaf >= first && leaf < next)
            return (q * g + (leaf - first) * q / (next - first)) * s->head_dim;
    }
    return s->heads * s->head_dim;
}

static int distinct(const int32_t *bounds, int leaves)
{
    int n = 0;
    for (int i = 0; i < leaves; i++)
        n += bounds[i] < bounds[i + 1];
    return n;
}

static void check_leaves(const struct plan *plan, const struct plan_shape *s)
{
    int leaves = plan->reduction_leaves, units = s->intermediate / 2;
    for (int i = 0; i <= leaves; i++) {
        assert_int_equal(attention_of(plan)->leaf_bounds[i],
                         expected_attention_bound(s, leaves, i));
        assert_int_equal(mlp_of(plan)->leaf_bounds[i], 2 * (int)((long long)i * units / leaves));
    }
    for (int i = 0; i < leaves; i++) {
        assert_int_equal(attention_of(plan)->tree.present >> i & 1,
                         attention_of(plan)->leaf_bounds[i] <
                             attention_of(plan)->leaf_bounds[i + 1]);
        assert_int_equal(mlp_of(plan)->tree.present >> i & 1,
                         mlp_of(plan)->leaf_bounds[i] < mlp_of(plan)->leaf_bounds[i + 1]);
    }
}

// Consecutive, from 0 to all, none empty.
static void check_cover(const struct plan *plan, const struct share *shares, size_t offset, int all)
{
    int next = 0;
    for (int r = 0; r < plan->n_ranks; r++) {
        struct range range;
        memcpy(&range, (const char *)&shares[r] + offset, sizeof range);
        assert_int_equal(range.begin, next);
        assert_true(range.end > range.begin);
        next = range.end;
    }
    assert_int_equal(next, all);
}
#define DIM_OFFSET(dim) (offsetof(struct share, dims) + (dim) * sizeof(struct range))

static void check_shares(const struct plan *plan, const struct plan_shape *s)
{
    int q = s->heads / s->kv_heads;
    const struct cut *attention = attention_of(plan), *mlp = mlp_of(plan);
    const struct share *a = attention->shares, *m = mlp->shares;
    check_cover(plan, a, offsetof(struct share, heads), s->heads);
    check_cover(plan, a, offsetof(struct share, leaves), plan->reduction_leaves);
    check_cover(plan, a, DIM_OFFSET(DIM_ATTENDED), s->heads * s->head_dim);
    check_cover(plan, a, DIM_OFFSET(DIM_QUERY), s->heads * s->head_dim);
    check_cover(plan, m, DIM_OFFSET(DIM_ACTIVATED), s->intermediate);
    check_cover(plan, m, DIM_OFFSET(DIM_MLP), s->intermediate);
    check_cover(plan, m, offsetof(struct share, leaves), plan->reduction_leaves);
    check_cover(plan, plan->shares, DIM_OFFSET(DIM_VOCAB), s->vocab);
    check_cover(plan, plan->shares, DIM_OFFSET(DIM_EMBED_ROWS), s->vocab);
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct range columns = a[r].dims[DIM_ATTENDED];
        assert_int_equal(columns.begin, attention->leaf_bounds[a[r].leaves.begin]);
        assert_int_equal(columns.end, attention->leaf_bounds[a[r].leaves.end]);
        assert_int_equal(a[r].heads.begin * s->head_dim, columns.begin);
        assert_int_equal(m[r].dims[DIM_ACTIVATED].begin, mlp->leaf_bounds[m[r].leaves.begin]);
        assert_int_equal(a[r].kv_heads.begin, a[r].heads.begin / q);
        assert_int_equal(a[r].kv_heads.end, (a[r].heads.end + q - 1) / q);
        assert_int_equal(attention->tree.first_leaf[r], a[r].leaves.begin);
        assert_int_equal(mlp->tree.first_leaf[r], m[r].leaves.begin);
        assert_true(reduction_tree_node_count(&attention->tree, r) >= 1);
        assert_true(reduction_tree_node_count(&mlp->tree, r) >= 1);
    }
    assert_int_equal(attention_of(plan)->tree.n_ranks, plan->n_ranks);
    assert_int_equal(attention_of(plan)->tree.first_leaf[plan->n_ranks], plan->reduction_leaves);
    // A KV group is split only where there are not enough of them.
    int kv = 0;
    for (int r = 0; r < plan->n_ranks; r++)
        kv += width(attention_of(plan)->shares[r].kv_heads);
    if (plan->n_ranks <= s->kv_heads)
        assert_int_equal(kv, s->kv_heads);
}

// The largest share cannot be smaller: all ways to cut, one after the other.
static int best_largest(const int32_t *points, int n_points, int n_ranks)
{
    if (n_ranks == 1)
        return points[n_points - 1] - points[0];
    int best = INT32_MAX;
    for (int i = 1; i <= n_points - n_ranks; i++) {
        int first = points[i] - points[0],
            rest = best_largest(points + i, n_points - i, n_ranks - 1);
        int here = first > rest ? first : rest;
        best = here < best ? here : best;
    }
    return best;
}

static int find_points(const int32_t *bounds, int leaves, int multiple, int32_t *points)
{
    int n = 0;
    for (int i = 0; i <= leaves; i++)
        if (bounds[i] % multiple == 0 && (n == 0 || points[n - 1] < bounds[i]))
            points[n++] = bounds[i];
    return n;
}

static void check_balance(const struct plan *plan, const struct plan_shape *s)
{
    int32_t points[LEAVES_MAX + 1];
    int heads = 0, columns = 0, n, group = s->heads / s->kv_heads * s->head_dim;
    for (int r = 0; r < plan->n_ranks; r++) {
        heads = width(attention_of(plan)->shares[r].dims[DIM_ATTENDED]) > heads
                    ? width(attention_of(plan)->shares[r].dims[DIM_ATTENDED])
                    : heads;
        columns = width(mlp_of(plan)->shares[r].dims[DIM_ACTIVATED]) > columns
                      ? width(mlp_of(plan)->shares[r].dims[DIM_ACTIVATED])
                      : columns;
    }
    n = find_points(mlp_of(plan)->leaf_bounds, plan->reduction_leaves, 1, points);
    assert_int_equal(columns, best_largest(points, n, plan->n_ranks));
    n = find_points(attention_of(plan)->leaf_bounds, plan->reduction_leaves, group, points);
    if (plan->n_ranks >= n)
        n = find_points(attention_of(plan)->leaf_bounds, plan->reduction_leaves, 1, points);
    assert_int_equal(heads, best_largest(points, n, plan->n_ranks));
}

// Matrices that are cut are cut into disjoint parts; the rest is whole everywhere; K and V overlap
// where groups split.
static void check_parameters(const struct plan *plan)
{
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        bool kv = strstr(p->name, "k_proj") || strstr(p->name, "v_proj");
        int64_t cells = 0;
        for (int r = 0; r < plan->n_ranks; r++) {
            assert_true(p->rank_rows[r].begin >= 0 && p->rank_rows[r].end <= p->rows);
            assert_true(p->rank_columns[r].begin >= 0 && p->rank_columns[r].end <= p->columns);
            cells += (int64_t)width(p->rank_rows[r]) * width(p->rank_columns[r]);
        }
        if (p->placement.kind == PLACE_REPLICATE)
            assert_int_equal(cells, p->rows * p->columns * plan->n_ranks);
        else if (kv)
            assert_true(cells >= p->rows * p->columns);
        else
            assert_int_equal(cells, p->rows * p->columns);
    }
}

static void test_all_sizes(void **state)
{
    (void)state;
    int n_plans = 0;
    for (int i = 0; i < N_PLAN_SHAPES; i++)
        for (int l = 0; l < N_LEAF_COUNTS; l++) {
            const struct plan_shape *s = &plan_shapes[i];
            struct model_config config = plan_config(s);
            const struct plan_options options = {.n_ranks = 1, .reduction_leaves = leaf_counts[l]};
            int sizes[COMM_RANKS_MAX];
            struct plan *one = compile(&config, 1, leaf_counts[l]);
            int most = distinct(attention_of(one)->leaf_bounds, leaf_counts[l]);
            int mlp = distinct(mlp_of(one)->leaf_bounds, leaf_counts[l]);
            most = mlp < most ? mlp : most;
            most = s->vocab < most ? s->vocab : most;
            plan_free(one);
            int n = plan_valid_sizes(&config, &options, sizes, COMM_RANKS_MAX);
            assert_int_equal(n, most); // every size up to the most
            for (int k = 0; k < n; k++) {
                assert_int_equal(sizes[k], k + 1);
                struct plan *plan = compile(&config, sizes[k], leaf_counts[l]);
                check_leaves(plan, s);
                check_shares(plan, s);
                check_parameters(plan);
                if (leaf_counts[l] <= 16)
                    check_balance(plan, s);
                plan_free(plan);
                n_plans++;
            }
        }
    printf("%d plans\n", n_plans);
}

static void check_heads(int heads, int kv_heads, int n_ranks, const int *expected,
                        const int *expected_kv)
{
    const struct plan_shape shape = {heads, kv_heads, 16, 256, 512};
    struct model_config config = plan_config(&shape);
    struct plan *plan = compile(&config, n_ranks, 0);
    for (int r = 0; r < n_ranks; r++) {
        assert_int_equal(width(attention_of(plan)->shares[r].heads), expected[r]);
        assert_int_equal(width(attention_of(plan)->shares[r].kv_heads), expected_kv[r]);
    }
    plan_free(plan);
}

// Some by hand.
static void test_known_splits(void **state)
{
    (void)state;
    check_heads(12, 4, 2, (int[]){6, 6}, (int[]){2, 2});
    check_heads(12, 4, 4, (int[]){3, 3, 3, 3}, (int[]){1, 1, 1, 1});
    check_heads(12, 4, 8, (int[]){1, 2, 1, 2, 1, 2, 1, 2}, (int[]){1, 1, 1, 1, 1, 1, 1, 1});
    check_heads(8, 2, 8, (int[]){1, 1, 1, 1, 1, 1, 1, 1}, (int[]){1, 1, 1, 1, 1, 1, 1, 1});
    check_heads(8, 2, 4, (int[]){2, 2, 2, 2}, (int[]){1, 1, 1, 1});
    // Leaves of 14/2 heads are 1, 2, 2, 2 in each group: four ranks get 3, 4, 3, 4.
    check_heads(14, 2, 4, (int[]){3, 4, 3, 4}, (int[]){1, 1, 1, 1});
    check_heads(32, 8, 3, (int[]){8, 12, 12}, (int[]){2, 3, 3});
    check_heads(4, 4, 4, (int[]){1, 1, 1, 1}, (int[]){1, 1, 1, 1});
}

// An even split sends one summand a sum; others a few more.
static void test_bytes_sent(void **state)
{
    (void)state;
    const struct plan_shape shape = {32, 8, 64, 8192, 128256};
    struct model_config config = plan_config(&shape);
    struct plan *plan = compile(&config, 1, 0);
    assert_int_equal(plan_bytes_sent_per_token(plan, 0), 0);
    plan_free(plan);
    plan = compile(&config, 2, 0);
    uint64_t row = (uint64_t)config.hidden_size * 4;
    uint64_t expected =
        row / 2 + 2 * 2 * row + 128256 / 2 * 4; // embedding, sums of two layers, logits
    for (int r = 0; r < 2; r++)
        assert_int_equal(plan_bytes_sent_per_token(plan, r), expected);
    plan_free(plan);
    plan = compile(&config, 8, 0);
    for (int r = 0; r < 8; r++)
        assert_int_equal(reduction_tree_node_count(&mlp_of(plan)->tree, r), 1);
    plan_free(plan);
}

static const struct plan_edge *edge_named(const struct plan *plan, const char *name)
{
    for (int i = 0; i < plan->n_edges; i++)
        if (strcmp(plan->edges[i].name, name) == 0)
            return &plan->edges[i];
    print_error("no edge %s\n", name);
    assert_true(0);
    return NULL;
}

static void test_default_edges(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[0]);
    struct plan *plan = compile(&config, 2, 0);
    static const struct {
        const char *name;
        enum edge_action action;
    } expected[] = {
        {"embed_tokens -> residual", EDGE_ALL_GATHER},
        {"input_layernorm -> q,k,v", EDGE_NOTHING},
        {"q,k,v -> attention", EDGE_NOTHING},
        {"attention -> o_proj", EDGE_NOTHING},
        {"o_proj -> residual", EDGE_ALL_REDUCE},
        {"post_attention_layernorm -> gate,up", EDGE_NOTHING},
        {"gate,up -> activation", EDGE_NOTHING},
        {"activation -> down_proj", EDGE_NOTHING},
        {"down_proj -> residual", EDGE_ALL_REDUCE},
        {"norm -> lm_head", EDGE_NOTHING},
        {"lm_head -> logits", EDGE_ALL_GATHER},
    };
    int n = sizeof expected / sizeof expected[0];
    assert_int_equal(plan->n_edges, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(edge_named(plan, expected[i].name)->action, expected[i].action);
    assert_int_equal(edge_named(plan, "o_proj -> residual")->bytes_per_token, 64 * 4);
    plan_free(plan);
}

// A tied table is one tensor, held once; untied ones are two.
static void test_tied(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[4]);
    struct plan_memory tied, untied;
    for (int pass = 0; pass < 2; pass++) {
        config.tie_word_embeddings = pass == 0;
        struct plan *plan = compile(&config, 2, 0);
        assert_int_equal(plan->lm_head_is_embed, pass == 0);
        assert_int_equal(plan_parameter_named(plan, "lm_head.weight")->stored,
                         pass == 0 ? ELEMENT_NONE : ELEMENT_BF16);
        assert_int_equal(plan_memory(plan, NULL, 0, 16, 4, 1, pass ? &untied : &tied), OK);
        plan_free(plan);
    }
    assert_int_equal(untied.weight_bytes - tied.weight_bytes, 128256 / 2 * 64 * 2);
    assert_int_equal(untied.file_bytes - tied.file_bytes, 128256 / 2 * 64 * 2);
}

static void test_kv_bytes(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[4]); // 8 KV heads of 64, two layers
    struct plan *plan = compile(&config, 4, 0);
    struct plan_memory memory;
    assert_int_equal(plan_memory(plan, NULL, 3, 16, 4, 1, &memory), OK);
    assert_int_equal(memory.kv_bytes_per_token, 2 * 2 * 64 * 2 * 2);
    assert_int_equal(memory.kv_page_bytes, memory.kv_bytes_per_token * 64);
    plan_free(plan);
    const struct plan_options options = {.n_ranks = 4, .kv_cache = KV_CACHE_F32};
    assert_int_equal(plan_compile(&config, &options, &plan), OK);
    struct plan_memory twice;
    assert_int_equal(plan_memory(plan, NULL, 3, 16, 4, 1, &twice), OK);
    assert_int_equal(twice.kv_page_bytes, 2 * memory.kv_page_bytes);
    assert_int_equal(twice.weight_bytes, memory.weight_bytes);
    plan_free(plan);
    const struct plan_options bytes = {.n_ranks = 4, .kv_cache = KV_CACHE_E4M3};
    assert_int_equal(plan_compile(&config, &bytes, &plan), OK);
    struct plan_memory half;
    assert_int_equal(plan_memory(plan, NULL, 3, 16, 4, 1, &half), OK);
    assert_int_equal(2 * half.kv_page_bytes, memory.kv_page_bytes);
    plan_free(plan);
    const struct plan_options scaled = {.n_ranks = 4, .kv_cache = KV_CACHE_INT8};
    assert_int_equal(plan_compile(&config, &scaled, &plan), OK);
    assert_int_equal(plan_memory(plan, NULL, 3, 16, 4, 1, &half), OK);
    // beside each key and each value, of 64, its scale
    assert_int_equal(half.kv_bytes_per_token, 2 * 2 * (64 + 2) * 2);
    plan_free(plan);
}

// All ranks' parts of a 16-bit model without split groups add up to the file: vectors once a rank.
static void test_file_bytes(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[4]);
    for (int n = 1; n <= 8; n++) {
        struct plan *plan = compile(&config, n, 0);
        uint64_t read = 0, expected = 0;
        for (int i = 0; i < plan->n_parameters; i++) {
            const struct plan_parameter *p = &plan->parameters[i];
            uint64_t times = p->placement.kind == PLACE_REPLICATE ? (uint64_t)n : 1;
            expected += (uint64_t)(p->rows * p->columns) * 2 * times;
        }
        for (int r = 0; r < n; r++) {
            struct plan_memory memory;
            assert_int_equal(plan_memory(plan, NULL, r, 16, 4, 1, &memory), OK);
            read += memory.file_bytes;
        }
        assert_int_equal(read, expected);
        plan_free(plan);
    }
}

// Gemma 4's table of inputs beside the stream: each token's row is with one rank.
static void test_table_of_inputs(void **state)
{
    (void)state;
    const char *text =
        "{\"model_type\": \"gemma4_text\", \"hidden_size\": 64, \"intermediate_size\": 96, "
        "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
        "\"head_dim\": 8, \"global_head_dim\": 16, \"vocab_size\": 100, "
        "\"vocab_size_per_layer_input\": 100, \"hidden_size_per_layer_input\": 6}";
    struct model_config config;
    assert_int_equal(model_config_parse("config.json", text, strlen(text), &config), OK);
    uint64_t whole = 0;
    for (int n = 1; n <= 4; n++) {
        struct plan *plan = compile(&config, n, 0);
        const struct plan_parameter *table =
            plan_find_parameter(plan, 0, -1, SLOT_INPUTS_TABLE, false, NULL);
        uint64_t bytes = 0;
        assert_int_equal(table->style, TP_EMBEDDING_ROWWISE);
        check_cover(plan, plan->shares, offsetof(struct share, dims[DIM_INPUTS_ROWS]), 100);
        for (int r = 0; r < n; r++) {
            assert_int_equal(table->rank_columns[r].begin, 0);
            assert_int_equal(table->rank_columns[r].end, 18);
            bytes += (uint64_t)width(table->rank_rows[r]) * 18 * 2;
        }
        whole = whole ? whole : bytes;
        assert_int_equal(bytes, whole);
        int in_layers, all = plan_collectives(plan, &in_layers);
        assert_int_equal(all - in_layers, n > 1 ? 2 : 0); // the embedding's rows and the table's
        plan_free(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sizes),     cmocka_unit_test(test_known_splits),
        cmocka_unit_test(test_bytes_sent),    cmocka_unit_test(test_tied),
        cmocka_unit_test(test_default_edges), cmocka_unit_test(test_kv_bytes),
        cmocka_unit_test(test_file_bytes),    cmocka_unit_test(test_table_of_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
