// How a model is cut: leaves (docs/numerics.md section 4), and what each rank holds.
#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "model/plan_build.h"

enum { LEAF_UNIT = 2 }; // columns: a product's k goes in pairs

void plan_group_leaves(int64_t groups, int64_t heads, int32_t head_dim, int leaves, int32_t *bounds)
{
    assert(groups > 0 && leaves > 0);
    int64_t per_group = heads / groups;
    if (groups >= leaves) {
        for (int64_t i = 0; i <= leaves; i++)
            bounds[i] = (int32_t)(per_group * (i * groups / leaves) * head_dim);
        return;
    }
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = (2 * g * leaves + groups) / (2 * groups);
        int64_t next = (2 * (g + 1) * leaves + groups) / (2 * groups);
        for (int64_t j = 0; j < next - first; j++)
            bounds[first + j] =
                (int32_t)((per_group * g + j * per_group / (next - first)) * head_dim);
    }
    bounds[leaves] = (int32_t)(heads * head_dim);
}

static void mlp_bounds(int32_t width, int leaves, int32_t *bounds)
{
    int64_t units = width / LEAF_UNIT;
    for (int64_t i = 0; i <= leaves; i++)
        bounds[i] = (int32_t)(LEAF_UNIT * (i * units / leaves));
}

static void lay_bounds(const struct cut *cut, int leaves, int32_t *bounds)
{
    const struct attention_config *a = &cut->sublayer->attention;
    if (cut->sublayer->kind == MIX_ATTENTION)
        plan_group_leaves(a->num_key_value_heads, a->num_attention_heads, attention_value_dim(a),
                          leaves, bounds);
    else if (mix_has_state(cut->sublayer->kind))
        plan_state_leaves(cut, leaves, bounds);
    else
        mlp_bounds(cut->width, leaves, bounds);
}

static void tree_of(const int32_t *bounds, int leaves, struct reduction_tree *out)
{
    *out = (struct reduction_tree){.n_leaves = leaves, .n_ranks = 1};
    out->first_leaf[1] = leaves;
    for (int i = 0; i < leaves; i++)
        if (bounds[i] < bounds[i + 1])
            out->present |= (uint64_t)1 << i;
}

// Where a sum may be cut: leaf numbers with distinct positions. Of leaves at one position (those
// before it are empty) the one with the most trailing zeros is taken: it splits the fewest
// subtrees.
struct cut_points {
    int n; // including the ends
    int leaf[LEAVES_MAX + 1];
};

static void find_cut_points(const int32_t *bounds, int leaves, int32_t multiple,
                            struct cut_points *out)
{
    out->n = 0;
    for (int i = 0; i <= leaves; i++) {
        if (bounds[i] % multiple)
            continue;
        int last = out->n - 1;
        bool again = last >= 0 && bounds[out->leaf[last]] == bounds[i];
        if (!again)
            out->leaf[out->n++] = i;
        else if (i == leaves ||
                 (out->leaf[last] && (i & -i) > (out->leaf[last] & -out->leaf[last])))
            out->leaf[last] = i;
    }
    assert(out->leaf[0] == 0 && out->leaf[out->n - 1] == leaves);
}

// What a way of cutting costs: squares of the shares (even is better), then summands sent.
struct cut_cost {
    uint64_t squares;
    int nodes;
};

static bool cheaper(struct cut_cost a, struct cut_cost b)
{
    return a.squares != b.squares ? a.squares < b.squares : a.nodes < b.nodes;
}

struct cutter {
    const int32_t *bounds;
    struct cut_points points;
    struct cut_cost segment[LEAVES_MAX + 1]
                           [LEAVES_MAX + 1]; // of the leaves from point i to point j
    struct cut_cost best[COMM_RANKS_MAX + 1]
                        [LEAVES_MAX + 1]; // of r ranks from the start to point j
    int from[COMM_RANKS_MAX + 1][LEAVES_MAX + 1];
};

static int64_t width_of(const struct cutter *c, int i, int j)
{
    return c->bounds[c->points.leaf[j]] - c->bounds[c->points.leaf[i]];
}

// The least possible largest share: greedy from the left for each candidate would do; the table is
// small, so plainly.
static int64_t least_largest(const struct cutter *c, int n_ranks)
{
    int64_t most[LEAVES_MAX + 1] = {0}; // of the ranks so far, up to point j
    int n = c->points.n;
    for (int j = 0; j < n; j++)
        most[j] = j ? width_of(c, 0, j) : INT64_MAX;
    for (int r = 2; r <= n_ranks; r++)
        for (int j = n - 1; j >= 0; j--) {
            int64_t best = INT64_MAX;
            for (int i = 1; i < j; i++) {
                int64_t last = width_of(c, i, j), here = most[i] > last ? most[i] : last;
                best = here < best ? here : best;
            }
            most[j] = best;
        }
    return most[n - 1];
}

static void find_costs(struct cutter *c, const struct reduction_tree *tree, int64_t most)
{
    struct tree_node nodes[2 * LEAVES_MAX];
    for (int i = 0; i < c->points.n; i++)
        for (int j = i + 1; j < c->points.n; j++) {
            uint64_t width = (uint64_t)width_of(c, i, j);
            bool allowed = (int64_t)width <= most;
            c->segment[i][j].squares = allowed ? width * width : UINT64_MAX;
            c->segment[i][j].nodes =
                allowed ? reduction_tree_nodes(tree, c->points.leaf[i], c->points.leaf[j], nodes)
                        : 0;
        }
}

// Cuts into n_ranks shares of at least one present leaf: smallest largest share, then evenness,
// then fewest summands.
static void cut_leaves(struct cutter *c, struct reduction_tree *tree, int n_ranks)
{
    const struct cut_cost none = {UINT64_MAX, 0};
    int n = c->points.n;
    assert(n_ranks < n);
    find_costs(c, tree, least_largest(c, n_ranks));
    for (int j = 0; j < n; j++)
        c->best[0][j] = j ? none : (struct cut_cost){0, 0};
    for (int r = 1; r <= n_ranks; r++)
        for (int j = 0; j < n; j++) {
            c->best[r][j] = none;
            for (int i = 0; i < j; i++) {
                struct cut_cost before = c->best[r - 1][i], last = c->segment[i][j];
                if (before.squares == UINT64_MAX || last.squares == UINT64_MAX)
                    continue;
                struct cut_cost sum = {before.squares + last.squares, before.nodes + last.nodes};
                if (cheaper(sum, c->best[r][j])) {
                    c->best[r][j] = sum;
                    c->from[r][j] = i;
                }
            }
        }
    assert(c->best[n_ranks][n - 1].squares != UINT64_MAX);
    tree->n_ranks = n_ranks;
    for (int r = n_ranks, j = n - 1; r >= 0; j = r ? c->from[r][j] : j, r--)
        tree->first_leaf[r] = c->points.leaf[j];
}

static int present_leaves(const struct reduction_tree *tree)
{
    return __builtin_popcountll(tree->present);
}

static enum status too_few_leaves(const struct plan *plan, const char *what,
                                  const struct reduction_tree *tree)
{
    return fail(ERR_INPUT,
                "%s is summed in %d leaves (--reduction-leaves %d), of which each rank needs one "
                "of its own",
                what, present_leaves(tree), plan->reduction_leaves);
}

static enum status check_attention_size(const struct plan *plan, const struct cut *cut, int n_ranks)
{
    int32_t heads = cut->sublayer->attention.num_attention_heads;
    if (n_ranks > heads)
        return fail(ERR_INPUT,
                    "attention has %d query heads, of which each rank needs one of its own", heads);
    if (n_ranks > present_leaves(&cut->tree))
        return too_few_leaves(plan, "attention (o_proj)", &cut->tree);
    return OK;
}

static enum status check_state_size(const struct plan *plan, const struct cut *cut, int n_ranks)
{
    TRY(plan_check_state_size(cut, n_ranks));
    if (n_ranks > present_leaves(&cut->tree))
        return too_few_leaves(plan,
                              cut->sublayer->kind == MIX_MAMBA   ? "Mamba (out_proj)"
                              : cut->sublayer->kind == MIX_DELTA ? "the delta rule (out_proj)"
                                                                 : "the convolution (out_proj)",
                              &cut->tree);
    return OK;
}

static enum status check_mlp_size(const struct plan *plan, const struct cut *cut, int n_ranks)
{
    if (n_ranks > present_leaves(&cut->tree))
        return too_few_leaves(plan,
                              cut->sublayer->kind == MIX_EXPERTS ? "each expert (down_proj)"
                                                                 : "the MLP (down_proj)",
                              &cut->tree);
    return OK;
}

// Where the sum may be cut for so many ranks.
static void find_points(const struct plan *plan, const struct cut *cut, struct cut_points *out)
{
    int leaves = plan->reduction_leaves;
    if (cut->sublayer->kind == MIX_ATTENTION) {
        const struct attention_config *a = &cut->sublayer->attention;
        int32_t group = a->num_attention_heads / a->num_key_value_heads * attention_value_dim(a);
        // Whole KV groups as long as there is one for each rank: a group that is split keeps its K
        // and V twice.
        find_cut_points(cut->leaf_bounds, leaves, group, out);
        if (plan->n_ranks < out->n)
            return;
    }
    if (mix_has_state(cut->sublayer->kind)) {
        find_cut_points(cut->leaf_bounds, leaves, plan_state_multiple(cut), out);
        if (plan->n_ranks < out->n)
            return;
    }
    find_cut_points(cut->leaf_bounds, leaves, 1, out);
}

// Part `rank` of [0, total) in multiples of `unit` (the last part takes what is left over).
static struct range balanced(int64_t total, int64_t unit, int n_ranks, int rank)
{
    int64_t units = (total + unit - 1) / unit;
    int64_t begin = units * rank / n_ranks * unit, end = units * (rank + 1) / n_ranks * unit;
    return (struct range){(int32_t)begin, (int32_t)(end < total ? end : total)};
}

static struct range all_of(int64_t total)
{
    return (struct range){0, (int32_t)total};
}

static struct range leaf_range(const struct reduction_tree *tree, int rank)
{
    if (tree->n_ranks == 1)
        return all_of(tree->n_leaves);
    return (struct range){tree->first_leaf[rank], tree->first_leaf[rank + 1]};
}

static struct range leaf_range_of(const struct reduction_tree *tree, int rank)
{
    return (struct range){tree->first_leaf[rank], tree->first_leaf[rank + 1]};
}

static struct range leaf_columns(const int32_t *bounds, struct range leaves)
{
    return (struct range){bounds[leaves.begin], bounds[leaves.end]};
}

// Rows of a gathered projection: heads while there are enough, so that requests stay large.
static struct range gathered_rows(int heads, int head_dim, int n_ranks, int rank)
{
    return balanced((int64_t)heads * head_dim, n_ranks <= heads ? head_dim : LEAF_UNIT, n_ranks,
                    rank);
}

// Rows of k_proj or v_proj: of the heads that are cached here, unless the style says otherwise;
// `width`: of a head.
static struct range key_rows(const struct plan *plan, const struct cut *cut, enum tp_style style,
                             int32_t width, int rank)
{
    const struct attention_config *a = &cut->sublayer->attention;
    const struct range heads = cut->shares[rank].kv_heads;
    if (style == TP_COLWISE_GATHER_OUTPUT)
        return gathered_rows(a->num_key_value_heads, width, plan->n_ranks, rank);
    if (style == TP_REPLICATE)
        return all_of((int64_t)a->num_key_value_heads * width);
    return (struct range){heads.begin * width, heads.end * width};
}

// Each rank makes and caches the whole latent, and has its heads of what reads it.
static void share_latent(const struct attention_config *a, struct share *s)
{
    const int32_t rows = a->latent.nope_dim + a->latent.value_dim;
    s->kv_heads = all_of(1);
    s->dims[DIM_LATENT_UP] = (struct range){s->heads.begin * rows, s->heads.end * rows};
    s->dims[DIM_KEY] = s->dims[DIM_VALUE] = s->dims[DIM_OWN_KEY_HEADS] = (struct range){0, 0};
}

static void share_attention(const struct plan *plan, const struct cut *cut, int rank)
{
    const struct attention_config *a = &cut->sublayer->attention;
    struct share *s = &cut->shares[rank];
    const int32_t value_dim = attention_value_dim(a);
    int32_t head_dim = a->head_dim, per_group = a->num_attention_heads / a->num_key_value_heads;
    struct range *columns = &s->dims[DIM_ATTENDED];
    *columns = leaf_columns(cut->leaf_bounds, s->leaves);
    s->heads = all_of(a->num_attention_heads);
    s->kv_heads = all_of(a->num_key_value_heads);
    if (cut->sharded) {
        s->heads = (struct range){columns->begin / value_dim, columns->end / value_dim};
        s->kv_heads =
            (struct range){s->heads.begin / per_group, (s->heads.end - 1) / per_group + 1};
    }
    s->dims[DIM_QUERY] = (struct range){s->heads.begin * head_dim, s->heads.end * head_dim};
    if (cut->query == TP_REPLICATE)
        s->dims[DIM_QUERY] = all_of((int64_t)a->num_attention_heads * head_dim);
    if (cut->query == TP_COLWISE_GATHER_OUTPUT)
        s->dims[DIM_QUERY] = gathered_rows(a->num_attention_heads, head_dim, plan->n_ranks, rank);
    s->dims[DIM_KEY] = key_rows(plan, cut, cut->key, head_dim, rank);
    s->dims[DIM_VALUE] = key_rows(plan, cut, cut->value, value_dim, rank);
    s->dims[DIM_HEADS] = (struct range){columns->begin / value_dim, columns->end / value_dim};
    // the rank with a group's first query head
    s->dims[DIM_OWN_KEY_HEADS] = (struct range){(s->heads.begin + per_group - 1) / per_group,
                                                (s->heads.end + per_group - 1) / per_group};
    s->dims[DIM_OUTPUT_GATE] = *columns;
    bool each_head = a->qk_norm_width != QK_NORM_HEAD;
    s->dims[DIM_QUERY_NORM] = each_head ? (struct range){s->dims[DIM_HEADS].begin * head_dim,
                                                         s->dims[DIM_HEADS].end * head_dim}
                                        : all_of(head_dim);
    s->dims[DIM_KEY_NORM] =
        each_head ? (struct range){s->kv_heads.begin * head_dim, s->kv_heads.end * head_dim}
                  : all_of(head_dim);
    if (a->latent.kv_rank)
        share_latent(a, s);
}

static void share_mlp(const struct plan *plan, const struct cut *cut, int rank)
{
    struct share *s = &cut->shares[rank];
    struct range columns = leaf_columns(cut->leaf_bounds, s->leaves);
    s->dims[DIM_ACTIVATED] = columns;
    s->dims[DIM_LEAVES] = cut->sharded ? s->leaves : all_of(cut->tree.n_leaves);
    s->dims[DIM_MLP] = cut->sharded ? columns : all_of(cut->width);
    if (cut->gate_up == TP_COLWISE_GATHER_OUTPUT)
        s->dims[DIM_MLP] = balanced(cut->width, LEAF_UNIT, plan->n_ranks, rank);
}

static enum status check_gathered(const struct cut *cut, int n_ranks)
{
    const struct attention_config *a = &cut->sublayer->attention;
    if (mix_has_state(cut->sublayer->kind)) // which gathers nothing
        return OK;
    if (cut->sublayer->kind != MIX_ATTENTION) {
        if (cut->gate_up == TP_COLWISE_GATHER_OUTPUT && n_ranks > cut->width / LEAF_UNIT)
            return fail(ERR_INPUT,
                        "gate_proj has %d pairs of rows, of which each rank needs one of its own",
                        cut->width / LEAF_UNIT);
        return OK;
    }
    bool gathers = cut->key == TP_COLWISE_GATHER_OUTPUT || cut->value == TP_COLWISE_GATHER_OUTPUT ||
                   cut->query == TP_COLWISE_GATHER_OUTPUT;
    const int32_t value_dim = attention_value_dim(a),
                  narrow = a->head_dim < value_dim ? a->head_dim : value_dim;
    if (gathers && n_ranks > a->num_key_value_heads * narrow / LEAF_UNIT)
        return fail(ERR_INPUT, "%s has %d pairs of rows, of which each rank needs one of its own",
                    narrow < a->head_dim ? "v_proj" : "k_proj",
                    a->num_key_value_heads * narrow / LEAF_UNIT);
    return OK;
}

// First experts of the leaves of their tree, and which leaves there are.
static void lay_experts(int64_t n_experts, int32_t bounds[EXPERT_LEAVES + 1],
                        struct reduction_tree *tree)
{
    for (int64_t i = 0; i <= EXPERT_LEAVES; i++)
        bounds[i] = expert_leaf_begin(n_experts, i);
    tree_of(bounds, EXPERT_LEAVES, tree);
}

// Of so many ranks, those that have whole experts by themselves or together.
static int expert_groups(const struct plan *plan, int n_ranks)
{
    return plan->expert_parallel_size ? plan->expert_parallel_size : n_ranks;
}

static enum status check_expert_count(const struct plan *plan, const struct cut *cut, int n_ranks)
{
    const int groups = expert_groups(plan, n_ranks);
    int32_t bounds[EXPERT_LEAVES + 1];
    struct reduction_tree tree;
    lay_experts(cut->sublayer->experts.num_experts, bounds, &tree);
    if (n_ranks % groups)
        return fail(
            ERR_INPUT,
            "--expert-parallel-size %d: %d ranks are not a multiple of it; each group needs "
            "as many as any other",
            groups, n_ranks);
    if (groups > present_leaves(&tree))
        return fail(ERR_INPUT,
                    "with --enable-expert-parallel %d experts are summed in %d leaves, of which "
                    "each %s needs one of its own",
                    cut->sublayer->experts.num_experts, present_leaves(&tree),
                    plan->expert_parallel_size ? "group of ranks" : "rank");
    return check_mlp_size(plan, cut, n_ranks / groups);
}

static enum status check_cut(const struct plan *plan, const struct cut *cut, int n_ranks)
{
    if (style_is_rowwise(cut->out))
        TRY(cut->sublayer->kind == MIX_ATTENTION ? check_attention_size(plan, cut, n_ranks)
            : mix_has_state(cut->sublayer->kind) ? check_state_size(plan, cut, n_ranks)
                                                 : check_mlp_size(plan, cut, n_ranks));
    if (cut->by_experts)
        TRY(check_expert_count(plan, cut, n_ranks));
    return check_gathered(cut, n_ranks);
}

// What each rank has all of.
static void share_whole(const struct plan *plan, const struct cut *cut, struct share *s)
{
    static const enum dim whole[] = {
        DIM_ONE,         DIM_HIDDEN,      DIM_STREAMS,     DIM_STREAM_PAIRS, DIM_LAUREL,
        DIM_EXPERTS,     DIM_OWN_EXPERTS, DIM_QUERY_RANK,  DIM_LATENT,       DIM_LATENT_AND_KEY,
        DIM_INDEX_QUERY, DIM_INDEX_KEY,   DIM_INDEX_HEADS, DIM_EXPERT_INPUT};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        s->dims[whole[i]] = all_of(dim_size(&plan->config, cut->sublayer, whole[i]));
}

// Consecutive experts for each group, as evenly as their leaves go; then leaves of these for each
// of its ranks.
static void share_experts(struct plan *plan, struct cut *cut, struct cutter *cutter)
{
    const int groups = expert_groups(plan, plan->n_ranks), inside = plan->n_ranks / groups;
    int32_t bounds[EXPERT_LEAVES + 1];
    lay_experts(cut->sublayer->experts.num_experts, bounds, &cut->expert_tree);
    cutter->bounds = bounds;
    find_cut_points(bounds, EXPERT_LEAVES, 1, &cutter->points);
    cut_leaves(cutter, &cut->expert_tree, groups);
    cut->leaf_tree = cut->tree;
    cutter->bounds = cut->leaf_bounds;
    find_cut_points(cut->leaf_bounds, plan->reduction_leaves, 1, &cutter->points);
    cut_leaves(cutter, &cut->leaf_tree, inside);
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        struct share *s = &cut->shares[rank];
        s->dims[DIM_OWN_EXPERTS] =
            leaf_columns(bounds, leaf_range_of(&cut->expert_tree, rank / inside));
        s->leaves = leaf_range_of(&cut->leaf_tree, rank % inside);
        s->dims[DIM_LEAVES] = s->leaves;
        s->dims[DIM_MLP] = s->dims[DIM_ACTIVATED] = leaf_columns(cut->leaf_bounds, s->leaves);
    }
}

static enum status share_cut(struct plan *plan, struct cut *cut, struct cutter *cutter)
{
    if (style_is_rowwise(cut->out)) {
        cutter->bounds = cut->leaf_bounds;
        find_points(plan, cut, &cutter->points);
        cut_leaves(cutter, &cut->tree, plan->n_ranks);
    }
    TRY(arena_take(&plan->arena, (size_t)plan->n_ranks, sizeof *cut->shares, &cut->shares));
    memset(cut->shares, 0, (size_t)plan->n_ranks * sizeof *cut->shares);
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        struct share *s = &cut->shares[rank];
        s->leaves = leaf_range(&cut->tree, rank);
        share_whole(plan, cut, s);
        if (cut->sublayer->kind == MIX_ATTENTION)
            share_attention(plan, cut, rank);
        else if (mix_has_state(cut->sublayer->kind))
            plan_share_state(cut, rank);
        else
            share_mlp(plan, cut, rank);
    }
    if (cut->by_experts)
        share_experts(plan, cut, cutter);
    return OK;
}

// A rank's tokens of `vocab`. Panels are padded to 16 rows; with few rows a rank, balance matters
// more.
static struct range tokens_of_rank(int64_t vocab, int n_ranks, int rank)
{
    int64_t unit = vocab >= (int64_t)n_ranks * 4 * PANEL_WIDTH_UNIT ? PANEL_WIDTH_UNIT : 1;
    return balanced(vocab, unit, n_ranks, rank);
}

static void share_vocabulary(const struct plan *plan, int rank, struct share *s)
{
    int n = plan->n_ranks;
    int64_t vocab = plan->config.vocab_size, hidden = plan->config.hidden_size,
            table = plan->config.layer_inputs.vocab_size;
    struct range rows = tokens_of_rank(vocab, n, rank);
    s->dims[DIM_ONE] = all_of(1);
    s->dims[DIM_HIDDEN] = all_of(hidden);
    s->dims[DIM_INPUTS_ROWS] = plan->table_sharded ? tokens_of_rank(table, n, rank) : all_of(table);
    s->dims[DIM_INPUTS] =
        all_of((int64_t)plan->config.num_hidden_layers * plan->config.layer_inputs.size);
    s->dims[DIM_LAYER_INPUTS] = all_of(plan->config.layer_inputs.size);
    s->dims[DIM_OTHER_STREAMS] = all_of(dim_size(&plan->config, NULL, DIM_OTHER_STREAMS));
    s->dims[DIM_VOCAB] = plan->lm_head_sharded ? rows : all_of(vocab);
    s->dims[DIM_EMBED_ROWS] = plan->embed == TP_EMBEDDING_ROWWISE ? rows : all_of(vocab);
    s->dims[DIM_EMBED_COLUMNS] =
        plan->embed == TP_EMBEDDING_COLWISE ? balanced(hidden, LEAF_UNIT, n, rank) : all_of(hidden);
}

static enum status check_vocabulary(const struct plan *plan, int n_ranks)
{
    const struct model_config *c = &plan->config;
    if ((plan->lm_head_sharded || plan->embed == TP_EMBEDDING_ROWWISE) && n_ranks > c->vocab_size)
        return fail(ERR_INPUT,
                    "the vocabulary has %d rows, of which each rank needs one of its own",
                    c->vocab_size);
    if (plan->table_sharded && c->layer_inputs.size && n_ranks > c->layer_inputs.vocab_size)
        return fail(ERR_INPUT,
                    "the table of layers' inputs has %d rows, of which each rank needs one of its "
                    "own",
                    c->layer_inputs.vocab_size);
    int pairs = (c->hidden_size + 1) / LEAF_UNIT; // of an odd size the last one is half a pair
    if (plan->embed == TP_EMBEDDING_COLWISE && n_ranks > pairs)
        return fail(
            ERR_INPUT,
            "the embedding has %d pairs of columns, of which each rank needs one of its own",
            pairs);
    return OK;
}

enum status plan_lay_leaves(struct plan *plan, int leaves)
{
    assert(leaves >= 1 && leaves <= LEAVES_MAX);
    plan->reduction_leaves = leaves;
    for (int i = 0; i < plan->n_cuts; i++) {
        struct cut *cut = &plan->cuts[i];
        TRY(arena_take(&plan->arena, (size_t)leaves + 1, sizeof *cut->leaf_bounds,
                       &cut->leaf_bounds));
        lay_bounds(cut, leaves, cut->leaf_bounds);
        tree_of(cut->leaf_bounds, leaves, &cut->tree);
    }
    return OK;
}

enum status plan_check_size(const struct plan *plan, int n_ranks)
{
    if (n_ranks > COMM_RANKS_MAX / plan->n_stages)
        return fail(ERR_INPUT, "a group has at most %d ranks", COMM_RANKS_MAX);
    TRY(plan_check_context(plan, n_ranks));
    for (int i = 0; i < plan->n_cuts; i++)
        TRY(check_cut(plan, &plan->cuts[i], n_ranks));
    return check_vocabulary(plan, n_ranks);
}

// Of two sublayers that run side by side neither waits for the other's sum. Where each rank has the
// same nodes of both, one all-reduce carries the two. Not where rows are cut by tokens: what goes
// to a rank would be in two places; nor where experts' sum is no row of the stream yet.
static bool joins_beside(const struct plan *plan, int kind, int i)
{
    const struct layer_config *layer = &plan->config.layer_kinds[kind];
    if (i + 1 >= layer->n_sublayers || plan->n_ranks == 1 || plan->residual_sharded)
        return false;
    const struct sublayer_config *first = &layer->sublayers[i], *second = first + 1;
    const struct reduction_tree *tree = &plan->cuts[plan->cut_of[kind][i]].tree,
                                *beside = &plan->cuts[plan->cut_of[kind][i + 1]].tree;
    if (first->kind == MIX_EXPERTS && first->experts.latent_size)
        return false;
    return second->parallel && !second->adds_to_normed && !first->has_scalar &&
           first->after.kind == NORM_NONE && second->after.kind == NORM_NONE && tree->n_ranks > 1 &&
           reduction_tree_nodes_match(tree, beside);
}

enum status plan_cut(struct plan *plan, int n_ranks)
{
    struct cutter *cutter;
    assert(n_ranks >= 1 && n_ranks <= COMM_RANKS_MAX);
    plan->n_ranks = n_ranks;
    TRY(arena_take(&plan->arena, (size_t)n_ranks, sizeof *plan->shares, &plan->shares));
    TRY(arena_take(&plan->arena, 1, sizeof *cutter, &cutter));
    for (int i = 0; i < plan->n_cuts; i++)
        TRY(share_cut(plan, &plan->cuts[i], cutter));
    for (int kind = 0; kind < plan->config.n_layer_kinds; kind++)
        for (int i = 0; i < SUBLAYERS_MAX; i++)
            plan->joins_next[kind][i] = joins_beside(plan, kind, i);
    memset(plan->shares, 0, (size_t)n_ranks * sizeof *plan->shares);
    for (int rank = 0; rank < n_ranks; rank++)
        share_vocabulary(plan, rank, &plan->shares[rank]);
    return OK;
}
