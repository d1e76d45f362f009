// The same bits on any number of ranks, which are real processes: every size, every kind of plan,
// any chunks and threads.
#include "model_runner.h"
#include "ranks.h"
#include "tiny_model.h"

#include "base/memory.h"

enum { TOKENS = 90, VOCAB_MAX_HERE = 160, STATES_MAX = 3, HIDDEN_MAX = 64 };

// What the ranks and the test share.
struct board {
    float step_logits[TOKENS * VOCAB_MAX_HERE];
    struct step_best best[COMM_RANKS_MAX * TOKENS];
    float logits[TOKENS * VOCAB_MAX_HERE]; // of all steps, put together by rank 0
    int32_t greedy[TOKENS];
    uint64_t file_bytes[COMM_RANKS_MAX];
    float step_residual[STATES_MAX * TOKENS * HIDDEN_MAX];
    float residual[STATES_MAX * TOKENS * HIDDEN_MAX]; // put together likewise
};

#define ATTENTION(qkv, o)                                                                          \
    "\"layers.*.self_attn.q_proj\": \"" qkv "\", \"layers.*.self_attn.k_proj\": \"" qkv            \
    "\", \"layers.*.self_attn.v_proj\": \"" qkv "\", \"layers.*.self_attn.o_proj\": \"" o "\""
#define MLP(gate_up, down)                                                                         \
    "\"layers.*.mlp.gate_proj\": \"" gate_up "\", \"layers.*.mlp.up_proj\": \"" gate_up            \
    "\", \"layers.*.mlp.down_proj\": \"" down "\""

#define NORMS                                                                                      \
    "\"layers.*.input_layernorm\": \"sequence_parallel\", \"layers.*.post_attention_layernorm\": " \
    "\"sequence_parallel\", \"norm\": \"sequence_parallel\""

static const char *const plans[] = {
    NULL, // the default
    "{}",
    "{" ATTENTION("colwise", "rowwise") "}",
    "{" MLP("colwise", "rowwise") ", \"lm_head\": \"colwise\"}",
    "{" ATTENTION("colwise_gather_output", "rowwise_split_input") ", " MLP(
        "colwise_gather_output", "rowwise_split_input") "}",
    "{" ATTENTION("colwise_gather_output", "replicate") ", " MLP("colwise_rep", "replicate") "}",
    "{" ATTENTION("replicate", "rowwise_split_input") ", " MLP("replicate", "rowwise_rep") "}",
    "{\"embed_tokens\": \"embedding_rowwise\", \"lm_head\": \"replicate\"}",
    "{\"embed_tokens\": \"embedding_colwise\", \"lm_head\": \"colwise_gather_output\"}",
    "{\"embed_tokens\": \"replicate\", \"lm_head\": \"colwise_gather_output\"}",
    "{" ATTENTION("colwise", "rowwise") ", " MLP(
        "colwise", "rowwise") ", " NORMS ", \"lm_head\": \"colwise\"}",
    "{" ATTENTION("colwise_rep", "replicate") ", " MLP("replicate", "rowwise_rep") ", " NORMS "}",
    // from here on laid over the default
    "{\"layers.*.self_attn.k_proj\": \"replicate\"}",
    "{\"layers.*.self_attn.k_proj\": \"replicate\", \"layers.*.self_attn.v_proj\": \"replicate\"}",
    "{\"model.layers.*.self_attn.q_proj.weight\": \"colwise_gather_output\"}",
    "{\"layers.*.self_attn.q_proj\": \"replicate\"}",
    "{\"layers.*.self_attn.q_proj\": \"colwise_rep\", \"layers.*.self_attn.k_proj\": "
    "\"replicate\", "
    "\"lm_head\": \"colwise\"}",
    "{" ATTENTION("replicate", "replicate") "}",
    "{" MLP("replicate", "replicate") ", \"lm_head\": \"replicate\"}",
    "{\"layers.*.mlp.gate_proj\": \"replicate\", \"layers.*.mlp.up_proj\": \"replicate\"}",
    "{\"layers.*.self_attn.v_proj\": \"colwise_gather_output\", \"embed_tokens\": \"replicate\"}",
    "{" NORMS "}",
};
enum { N_PLANS = sizeof plans / sizeof plans[0], FIRST_OVER = 12 };

static const struct tiny_spec specs[] = {
    {8, 4, 8, 48, 96, 100, 2, false, false, 0, ELEMENT_BF16, false},
    {12, 3, 8, 64, 70, 131, 2, true, true, 0, ELEMENT_BF16, false},
    {6, 2, 16, 35, 56, 33, 2, false, false, 40, ELEMENT_F16, false},
    {8, 1, 16, 33, 47, 160, 1, true, true, 0, ELEMENT_NONE, true},
};
enum { N_SPECS = sizeof specs / sizeof specs[0] };

// What a rank is told, as text.
struct order {
    char folder[64];
    int compute, kv_cache, plan, threads, chunk, leaves, tiles, fail_after;
};

static void check(enum status status)
{
    if (status != OK)
        FAIL_TEST("%s", status_message());
}

static int rank_main(struct comm *comm, const char *argument)
{
    struct order o;
    RANK_CHECK(sscanf(argument, "%63s %d %d %d %d %d %d %d %d", o.folder, &o.compute, &o.kv_cache,
                      &o.plan, &o.threads, &o.chunk, &o.leaves, &o.tiles, &o.fail_after) == 9);
    size_t board_bytes;
    struct board *board = comm_board(comm, &board_bytes);
    RANK_CHECK(board && board_bytes >= sizeof *board);
    struct tp_plan_rules rules;
    static const char *const model_types[] = {"llama", NULL};
    if (plans[o.plan])
        RANK_CHECK(
            tp_plan_parse("plan", plans[o.plan], strlen(plans[o.plan]), model_types, &rules) == OK);
    const struct runner_options options = {.folder = o.folder,
                                           .compute = (enum compute_type)o.compute,
                                           .kv_cache = (enum kv_cache)o.kv_cache,
                                           .n_threads = o.threads,
                                           .rows_max = TOKENS,
                                           .reduction_leaves = o.leaves,
                                           .order = o.tiles ? ORDER_TILES : ORDER_PAIRS,
                                           .rules = plans[o.plan] ? &rules : NULL,
                                           .rules_over = o.plan >= FIRST_OVER};
    const struct step_results results = {.logits = board->step_logits,
                                         .best = board->best,
                                         .logit_rows_max = TOKENS,
                                         .capture = comm_rank(comm) ? NULL : board->step_residual,
                                         .capture_rows_max = TOKENS};
    struct runner r;
    RANK_CHECK(runner_open(&options, comm, &results, &r) == OK);
    struct model_memory memory;
    struct plan_memory planned;
    model_memory(r.model, &memory);
    RANK_CHECK(plan_memory(r.plan, r.checkpoint, comm_rank(comm), TOKENS, TOKENS, o.threads,
                           &planned) == OK);
    RANK_CHECK(planned.weight_bytes == memory.weight_bytes &&
               planned.scratch_bytes == memory.scratch_bytes);
    RANK_CHECK(planned.file_bytes == memory.file_bytes_read);
    board->file_bytes[comm_rank(comm)] = memory.file_bytes_read;
    int32_t tokens[TOKENS];
    tiny_tokens(tokens, TOKENS, r.config.vocab_size);
    comm_fail_after(comm, o.fail_after);
    size_t vocab = (size_t)r.config.vocab_size;
    for (int begin = 0, n; begin < TOKENS; begin += n) {
        n = TOKENS - begin < o.chunk ? TOKENS - begin : o.chunk;
        enum status status = runner_step(&r, tokens + begin, n, begin, true);
        if (status == OK)
            status = comm_barrier(comm); // all have written their columns
        if (status == OK && comm_rank(comm) == 0) {
            memcpy(board->logits + (size_t)begin * vocab, board->step_logits,
                   (size_t)n * vocab * sizeof(float));
            size_t hidden = (size_t)r.config.hidden_size;
            for (size_t layer = 0; layer <= (size_t)r.config.num_hidden_layers; layer++)
                memcpy(board->residual + (layer * TOKENS + (size_t)begin) * hidden,
                       board->step_residual + layer * TOKENS * hidden,
                       (size_t)n * hidden * sizeof(float));
            for (int i = 0; i < n; i++)
                board->greedy[begin + i] = runner_best(&r, i);
        }
        if (status == OK)
            status = comm_barrier(comm);
        if (status != OK) { // as the engine's ranks do: say it and leave
            runner_close(&r);
            return o.fail_after || status == ERR_GROUP ? 7 : 99;
        }
    }
    runner_close(&r);
    if (plans[o.plan])
        tp_plan_close(&rules);
    return 0;
}

static const struct ranks_case cases[] = {{"model", rank_main}, {0}};

// Runs an order on n ranks; returns the exit status. `out` gets what they left.
static int run(const struct order *o, int n_ranks, struct board *out)
{
    char argument[160];
    snprintf(argument, sizeof argument, "%s %d %d %d %d %d %d %d %d", o->folder, o->compute,
             o->kv_cache, o->plan, o->threads, o->chunk, o->leaves, o->tiles, o->fail_after);
    const char *arguments[] = {"ranks", "--rank", "model", argument, NULL};
    const struct group_options options = {.program = "/proc/self/exe",
                                          .arguments = arguments,
                                          .n_ranks = n_ranks,
                                          .board_bytes = sizeof *out,
                                          .deadline_seconds = 60};
    struct group *group;
    int exit_status = -1;
    check(group_spawn(&options, &group));
    enum status status = group_wait(group, &exit_status);
    if (status != OK && !o->fail_after)
        print_error("%d ranks, plan %d: %s\n", n_ranks, o->plan, status_message());
    memcpy(out, group_board(group), sizeof *out);
    group_close(group, 0);
    return exit_status;
}

// One rank in this process, all tokens at once: what everybody has to find.
struct expected {
    float *logits, *residual;
};

static struct expected expect(const struct tiny_model *m, const struct order *o)
{
    struct comm *self;
    struct runner r;
    int32_t tokens[TOKENS];
    const struct runner_options options = {.folder = m->folder,
                                           .compute = (enum compute_type)o->compute,
                                           .kv_cache = (enum kv_cache)o->kv_cache,
                                           .rows_max = TOKENS,
                                           .reduction_leaves = o->leaves,
                                           .order = o->tiles ? ORDER_TILES : ORDER_PAIRS};
    struct expected e = {calloc((size_t)TOKENS * (size_t)m->spec.vocab, sizeof(float)),
                         calloc(STATES_MAX * TOKENS * HIDDEN_MAX, sizeof(float))};
    check(comm_open_self(&self));
    check(runner_open(&options, self, NULL, &r));
    tiny_tokens(tokens, TOKENS, m->spec.vocab);
    check(runner_logits(&r, tokens, TOKENS, TOKENS, e.logits, e.residual));
    runner_close(&r);
    comm_close(self);
    return e;
}

static void forget(struct expected *e)
{
    free(e->logits);
    free(e->residual);
}

static struct board found; // half a megabyte

static void compare(const struct tiny_model *m, const struct order *o, int n_ranks,
                    const struct expected *e)
{
    size_t vocab = (size_t)m->spec.vocab, states = (size_t)m->spec.layers + 1,
           hidden = (size_t)m->spec.hidden;
    if (run(o, n_ranks, &found) != 0 ||
        memcmp(found.logits, e->logits, TOKENS * vocab * sizeof(float)) ||
        memcmp(found.residual, e->residual, states * TOKENS * hidden * sizeof(float)))
        FAIL_TEST("heads %d/%d: %d ranks, compute %d, plan %d, %d threads, chunks of %d differ",
                  m->spec.heads, m->spec.kv_heads, n_ranks, o->compute, o->plan, o->threads,
                  o->chunk);
    for (int t = 0; t < TOKENS; t++) {
        const float *row = e->logits + (size_t)t * vocab;
        for (int i = 0; i < m->spec.vocab; i++)
            assert_true(row[found.greedy[t]] > row[i] ||
                        (row[found.greedy[t]] == row[i] && found.greedy[t] <= i));
    }
}

static struct order order_for(const struct tiny_model *m)
{
    struct order o = {.threads = 1, .chunk = 37};
    snprintf(o.folder, sizeof o.folder, "%s", m->folder);
    return o;
}

static void test_every_size(void **state)
{
    (void)state;
    int n_runs = 0;
    for (int i = 0; i < N_SPECS; i++) {
        struct tiny_model m;
        tiny_make(&m, &specs[i], (uint64_t)i + 20);
        // Three types, bfloat16 in the order of tiles, the same and float16 with a cache of f32;
        // bytes in the cache.
        static const struct {
            int compute, tiles, kv_cache;
        } modes[] = {
            {COMPUTE_BF16, 0, KV_CACHE_AUTO}, {COMPUTE_F16, 0, KV_CACHE_AUTO},
            {COMPUTE_F32, 0, KV_CACHE_AUTO},  {COMPUTE_BF16, 1, KV_CACHE_AUTO},
            {COMPUTE_BF16, 1, KV_CACHE_F32},  {COMPUTE_F16, 0, KV_CACHE_F32},
            {COMPUTE_BF16, 0, KV_CACHE_INT8}, {COMPUTE_BF16, 1, KV_CACHE_E4M3},
            {COMPUTE_F32, 0, KV_CACHE_INT8},
        };
        for (size_t mode = 0; mode < sizeof modes / sizeof *modes; mode++) {
            struct order o = order_for(&m);
            o.compute = modes[mode].compute;
            o.tiles = modes[mode].tiles;
            o.kv_cache = modes[mode].kv_cache;
            struct expected expected = expect(&m, &o);
            int most = specs[i].heads < 8 ? specs[i].heads : 8;
            for (int n = 1; n <= most; n++, n_runs++) {
                o.chunk = n % 3 == 0 ? 7 : n % 3 == 1 ? TOKENS : 64;
                o.threads = n == 2 ? 3 : 1;
                compare(&m, &o, n, &expected);
            }
            forget(&expected);
        }
        tiny_remove(&m);
    }
    printf("%d groups\n", n_runs);
}

static void test_every_plan(void **state)
{
    (void)state;
    static const int some_specs[] = {0, 1, 3}; // the last one has one KV head
    for (size_t i = 0; i < sizeof some_specs / sizeof some_specs[0]; i++) {
        struct tiny_model m;
        int s = some_specs[i];
        tiny_make(&m, &specs[s], (uint64_t)s + 30);
        for (int plan = 0; plan < N_PLANS; plan++) {
            struct order o = order_for(&m);
            o.compute = plan % 3;
            o.plan = plan;
            o.threads = 1 + plan % 2;
            struct expected expected = expect(&m, &o);
            for (int n = 1; n <= 5; n += 2)
                compare(&m, &o, n, &expected);
            forget(&expected);
        }
        tiny_remove(&m);
    }
}

// Sums come in pieces that begin and end anywhere in a row, with two-shot those of two rows in
// turns; a row is normed after its last one. With more threads than rows thread 0 does it as well,
// with fewer all threads do it later.
static void test_rows_in_pieces(void **state)
{
    (void)state;
    static const struct {
        int threads, chunk;
    } ways[] = {{1, TOKENS}, {4, 3}, {4, 41}};
    setenv("COLROW_ALL_REDUCE", "two-shot", 1);
    for (int s = 0; s < 3; s++) {
        struct tiny_model m;
        tiny_make(&m, &specs[s], (uint64_t)s + 35);
        struct order o = order_for(&m);
        struct expected expected = expect(&m, &o);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            o.threads = ways[i].threads;
            o.chunk = ways[i].chunk;
            compare(&m, &o, 2, &expected);
            compare(&m, &o, 3, &expected);
        }
        forget(&expected);
        tiny_remove(&m);
    }
    unsetenv("COLROW_ALL_REDUCE");
}

// More leaves are another sum, and room for more ranks: twelve of them, one query head each.
static void test_more_leaves(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[1], 40);
    struct order o = order_for(&m);
    o.leaves = 16;
    struct expected expected = expect(&m, &o);
    compare(&m, &o, 3, &expected);
    compare(&m, &o, 12, &expected);
    forget(&expected);
    tiny_remove(&m);
}

// Ranks whose shares are disjoint read each matrix once, and vectors once each.
static void test_bytes_read(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[0], 50);
    struct order o = order_for(&m);
    uint64_t matrices = 0, vectors = 0;
    for (int i = 0; i < m.n_tensors; i++)
        *(m.tensors[i].columns > 1 ? &matrices : &vectors) +=
            (uint64_t)(m.tensors[i].rows * m.tensors[i].columns) * 2;
    for (int n = 2; n <= 4; n++) {
        uint64_t read = 0;
        assert_int_equal(run(&o, n, &found), 0);
        for (int r = 0; r < n; r++)
            read += found.file_bytes[r];
        assert_int_equal(read, matrices + vectors * (uint64_t)n);
    }
    tiny_remove(&m);
}

// Every collective of a step fails once: all ranks leave, none hangs.
static void test_failing_collectives(void **state)
{
    (void)state;
    static const int some_plans[] = {0, 4, 8, 10};
    struct tiny_model m;
    tiny_make(&m, &specs[0], 60);
    struct order o = order_for(&m);
    o.chunk = TOKENS;
    o.threads = 2;
    for (size_t i = 0; i < sizeof some_plans / sizeof some_plans[0]; i++) {
        o.plan = some_plans[i];
        for (o.fail_after = 1; run(&o, 2, &found) != 0; o.fail_after++)
            assert_true(o.fail_after < 100);
        // Two sums or gathers a layer and two barriers of the test at least; then there was nothing
        // left to fail.
        assert_true(o.fail_after > 2 + (i < 2) * 2 * specs[0].layers);
    }
    tiny_remove(&m);
}

int main(int argc, char **argv)
{
    if (ranks_is_rank(argc, argv))
        return ranks_run(argc, argv, cases);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),     cmocka_unit_test(test_every_plan),
        cmocka_unit_test(test_rows_in_pieces), cmocka_unit_test(test_more_leaves),
        cmocka_unit_test(test_bytes_read),     cmocka_unit_test(test_failing_collectives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
