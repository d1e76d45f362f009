// tp_plan rules: what is accepted, what is refused, and that the message names the rule and the
// edge.
#include "plan_shapes.h"

#define ATTENTION(q, k, v, o)                                                                      \
    "\"model.layers.*.self_attn.q_proj\": \"" q "\", \"layers.*.self_attn.k_proj\": \"" k          \
    "\", \"layers.*.self_attn.v_proj\": \"" v "\", \"layers.*.self_attn.o_proj\": \"" o "\""
#define MLP(gate, up, down)                                                                        \
    "\"layers.*.mlp.gate_proj\": \"" gate "\", \"layers.*.mlp.up_proj\": \"" up                    \
    "\", \"layers.*.mlp.down_proj\": \"" down "\""
#define DEFAULTS                                                                                   \
    ATTENTION("colwise", "colwise", "colwise", "rowwise") ", " MLP("colwise", "colwise", "rowwise")

static enum status compile_rules(const char *rules_text, bool replace, int n_ranks, bool bias,
                                 bool tied, struct plan **out)
{
    struct tp_plan_rules rules;
    struct model_config config = plan_config(&plan_shapes[0]);
    if (bias)
        plan_config_add_biases(&config);
    config.tie_word_embeddings = tied;
    char text[4096];
    snprintf(text, sizeof text, "{%s}", rules_text);
    assert_int_equal(tp_plan_parse("plan.json", text, strlen(text), MODEL_TYPES(&config), &rules),
                     OK);
    const struct plan_options options = {
        .n_ranks = n_ranks, .compute = COMPUTE_BF16, .rules = &rules, .rules_replace = replace};
    enum status status = plan_compile(&config, &options, out);
    tp_plan_close(&rules);
    return status;
}

static enum status compile(const char *rules, int n_ranks, bool bias, bool tied, struct plan **out)
{
    return compile_rules(rules, true, n_ranks, bias, tied, out);
}

static void check_refused(const char *rules, bool replace, enum status expected,
                          const char *const *words)
{
    struct plan *plan;
    enum status status = compile_rules(rules, replace, 2, false, false, &plan);
    const char *message = status_message();
    if (status != expected)
        print_error("{%s}: status %s: %s\n", rules, status_name(status), message);
    assert_int_equal(status, expected);
    assert_null(plan);
    for (; *words; words++)
        if (!strstr(message, *words)) {
            print_error("\"%s\" does not say \"%s\"\n", message, *words);
            assert_true(0);
        }
}

#define REFUSED(rules, status, ...)                                                                \
    check_refused(rules, true, status, (const char *const[]){__VA_ARGS__, NULL})
#define REFUSED_OVER(rules, status, ...)                                                           \
    check_refused(rules, false, status, (const char *const[]){__VA_ARGS__, NULL})

static void test_contradictions(void **state)
{
    (void)state;
    REFUSED(ATTENTION("replicate", "colwise", "replicate", "rowwise_split_input"), ERR_INPUT,
            "plan.json", "q_proj \"replicate\"", "k_proj \"colwise\"", "layers.*.self_attn.k_proj",
            "q,k,v -> attention");
    REFUSED(ATTENTION("colwise_gather_output", "replicate", "colwise", "rowwise_split_input"),
            ERR_INPUT, "v_proj");
    REFUSED("\"layers.*.self_attn.q_proj\": \"colwise\"", ERR_INPUT, "o_proj", "no rule names it");
    REFUSED(ATTENTION("replicate", "replicate", "replicate", "rowwise"), ERR_INPUT,
            "o_proj \"rowwise\"", "attention -> o_proj", "rowwise_split_input");
    REFUSED(ATTENTION("colwise_gather_output", "colwise_gather_output", "colwise_gather_output",
                      "rowwise"),
            ERR_INPUT, "rowwise_split_input");
    REFUSED(ATTENTION("colwise", "colwise", "colwise", "replicate"), ERR_INPUT,
            "q_proj \"colwise\"", "attention -> o_proj", "colwise_gather_output");
    REFUSED(ATTENTION("colwise", "colwise", "colwise", "rowwise_split_input"), ERR_INPUT,
            "attention -> o_proj");
    REFUSED(MLP("colwise", "colwise", "replicate"), ERR_INPUT, "gate_proj",
            "activation -> down_proj");
    REFUSED(MLP("colwise", "replicate", "rowwise"), ERR_INPUT, "gate_proj", "up_proj",
            "gate,up -> activation");
    REFUSED(DEFAULTS ", \"norm\": \"sequence_parallel\"", ERR_INPUT, "norm \"sequence_parallel\"",
            "input_layernorm", "residual");
    REFUSED("\"layers.*.mlp.down_proj\": \"rowwise\"", ERR_INPUT, "down_proj",
            "rowwise_split_input");
}

static void test_styles_without_an_edge(void **state)
{
    (void)state;
    REFUSED(ATTENTION("colwise_gather_output", "colwise_gather_output", "colwise_gather_output",
                      "colwise"),
            ERR_UNSUPPORTED, "o_proj", "colwise", "LlamaForCausalLM");
    REFUSED(MLP("colwise", "rowwise", "rowwise"), ERR_UNSUPPORTED, "layers.*.mlp.up_proj",
            "\"rowwise\"");
    REFUSED("\"lm_head\": \"sequence_parallel\"", ERR_UNSUPPORTED, "\"lm_head\"",
            "sequence_parallel", "norms");
    REFUSED("\"layers.*.mlp.gate_proj\": \"moe_tp_experts\"", ERR_UNSUPPORTED,
            "mixtures of experts");
    REFUSED("\"layers.*.mlp.gate_proj\": \"local_packed_rowwise\"", ERR_UNSUPPORTED,
            "local_packed_rowwise", "fused");
    REFUSED("\"layers.*.self_attn.q_proj\": \"mla_kv_a_proj\"", ERR_UNSUPPORTED, "latent");
    REFUSED("\"embed_tokens\": \"colwise\"", ERR_UNSUPPORTED, "embed_tokens", "embedding_rowwise");
    REFUSED("\"lm_head\": \"embedding_rowwise\"", ERR_UNSUPPORTED, "lm_head");
    REFUSED("\"layers.*.mlp.gate_proj\": \"all_reduce\"", ERR_UNSUPPORTED, "all_reduce");
    // Each style on each part either compiles or is refused by name; none is ignored.
    static const char *const parts[] = {"embed_tokens",
                                        "layers.*.input_layernorm",
                                        "layers.*.self_attn.o_proj",
                                        "layers.*.mlp.up_proj",
                                        "norm",
                                        "lm_head"};
    for (int style = TP_NONE + 1; style < TP_STYLES; style++)
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            char rules[200];
            struct plan *plan;
            snprintf(rules, sizeof rules, "\"%s\": \"%s\"", parts[i],
                     tp_style_name((enum tp_style)style));
            enum status status = compile(rules, 2, false, false, &plan);
            assert_true(status == OK ||
                        strstr(status_message(), tp_style_name((enum tp_style)style)));
            plan_free(plan);
        }
}

static void test_unused_rules(void **state)
{
    (void)state;
    REFUSED(DEFAULTS ", \"layers.*.self_attn.qkv_proj\": \"colwise\"", ERR_INPUT,
            "layers.*.self_attn.qkv_proj", "matches no parameter");
    REFUSED("\"layers.0.self_attn.q_proj\": \"colwise\"", ERR_INPUT, "layers.0.self_attn.q_proj");
    REFUSED("\"layers.*.self_attn.q_proj.bias\": \"colwise\"", ERR_INPUT,
            "q_proj.bias"); // there are no biases
    REFUSED("\"layers.*.mlp\": \"gather\"", ERR_INPUT, "layers.*.mlp");
    struct plan *plan;
    assert_int_equal(
        compile(DEFAULTS ", \"lm_head\": \"colwise_gather_output\"", 2, false, true, &plan), OK);
    plan_free(plan);
}

static void test_biases(void **state)
{
    (void)state;
    struct plan *plan;
    assert_int_equal(compile(DEFAULTS, 2, true, false, &plan), OK);
    const struct plan_parameter *q =
        plan_parameter_named(plan, "model.layers.1.self_attn.q_proj.bias");
    const struct plan_parameter *o =
        plan_parameter_named(plan, "model.layers.0.self_attn.o_proj.bias");
    assert_int_equal(q->placement.kind, PLACE_SHARD);
    assert_int_equal(q->placement.dim, 0);
    assert_int_equal(q->rank_rows[0].end, 6 * 16);
    assert_int_equal(o->placement.kind, PLACE_REPLICATE);
    assert_int_equal(o->rank_rows[1].begin, 0);
    assert_int_equal(o->rank_rows[1].end, 64);
    plan_free(plan);
    // A rule for the weight alone: the bias follows it.
    assert_int_equal(
        compile("\"layers.*.mlp.gate_proj.weight\": \"colwise\", \"layers.*.mlp.up_proj.weight\": "
                "\"colwise\", \"layers.*.mlp.down_proj.weight\": \"rowwise\"",
                2, true, false, &plan),
        OK);
    assert_int_equal(
        plan_parameter_named(plan, "model.layers.0.mlp.gate_proj.bias")->placement.kind,
        PLACE_SHARD);
    plan_free(plan);
    assert_int_equal(compile("\"layers.*.mlp.gate_proj.bias\": \"colwise\"", 2, true, false, &plan),
                     ERR_INPUT);
    assert_non_null(strstr(status_message(), "layers.*.mlp.gate_proj.bias"));
}

static void check_flags(const char *rules, bool tied, bool attention, bool mlp, bool lm_head,
                        bool embed)
{
    struct plan *plan;
    if (compile(rules, 2, false, tied, &plan) != OK) {
        print_error("{%s}: %s\n", rules, status_message());
        assert_true(0);
    }
    assert_int_equal(plan_cut_of_kind(plan, MIX_ATTENTION)->sharded, attention);
    assert_int_equal(plan_cut_of_kind(plan, MIX_MLP)->sharded, mlp);
    assert_int_equal(plan->lm_head_sharded, lm_head);
    assert_int_equal(plan->embed_sharded, embed);
    plan_free(plan);
}

static void test_accepted(void **state)
{
    (void)state;
    check_flags("", false, false, false, false, false); // an empty plan: all on each rank
    check_flags(DEFAULTS, false, true, true, false, false);
    check_flags(DEFAULTS ", \"lm_head\": \"colwise_rep\"", false, true, true, true, false);
    check_flags(DEFAULTS ", \"lm_head\": \"colwise\"", true, true, true, true,
                true); // one tensor lies one way
    check_flags("\"lm_head\": \"colwise\", \"embed_tokens\": \"replicate\"", true, false, false,
                true, false);
    check_flags("\"embed_tokens\": \"embedding_colwise\"", true, false, false, false, true);
    check_flags("\"embed_tokens\": \"embedding_rowwise\"", false, false, false, false, true);
    check_flags(ATTENTION("colwise_rep", "colwise_rep", "colwise_rep", "rowwise_rep"), false, false,
                false, false, false);
    check_flags(ATTENTION("replicate", "replicate", "replicate", "rowwise_split_input"), false,
                false, false, false, false);
    // Keys and values may be whole on every rank, whatever becomes of the queries.
    check_flags(ATTENTION("colwise", "replicate", "replicate", "rowwise"), false, true, false,
                false, false);
    check_flags(ATTENTION("colwise", "colwise", "colwise_gather_output", "rowwise"), false, true,
                false, false, false);
    check_flags(ATTENTION("colwise_gather_output", "replicate", "colwise_gather_output",
                          "rowwise_split_input"),
                false, false, false, false, false);
    check_flags(MLP("colwise_gather_output", "colwise_gather_output", "replicate"), false, false,
                false, false, false);
    check_flags(MLP("local_colwise", "local_colwise", "local_rowwise"), false, false, true, false,
                false);
    check_flags("\"norm\": \"replicated_with_grad_allreduce\"", false, false, false, false, false);
}

static enum edge_action action_of(const struct plan *plan, const char *name)
{
    for (int i = 0; i < plan->n_edges; i++)
        if (strcmp(plan->edges[i].name, name) == 0)
            return plan->edges[i].action;
    print_error("no edge %s\n", name);
    assert_true(0);
    return EDGE_NOTHING;
}

static void test_sequence_parallel(void **state)
{
    (void)state;
    struct plan *plan;
    enum status status =
        compile(DEFAULTS ", \"layers.*.input_layernorm\": \"sequence_parallel\", "
                         "\"layers.*.post_attention_layernorm\": \"sequence_parallel\", "
                         "\"norm\": \"sequence_parallel\"",
                2, false, false, &plan);
    assert_int_equal(status, OK);
    assert_true(plan->residual_sharded);
    assert_int_equal(action_of(plan, "input_layernorm -> q,k,v"), EDGE_ALL_GATHER);
    assert_int_equal(action_of(plan, "o_proj -> residual"), EDGE_REDUCE_SCATTER);
    assert_int_equal(action_of(plan, "post_attention_layernorm -> gate,up"), EDGE_ALL_GATHER);
    assert_int_equal(action_of(plan, "down_proj -> residual"), EDGE_REDUCE_SCATTER);
    assert_int_equal(action_of(plan, "norm -> lm_head"), EDGE_ALL_GATHER);
    plan_free(plan);
}

static const struct plan_parameter *layer_parameter(const struct plan *plan, const char *rest)
{
    char name[160];
    snprintf(name, sizeof name, "model.layers.1.%s.weight", rest);
    return plan_parameter_named(plan, name);
}

// What no rule names keeps its own: the styles of all seven matrices of a layer, and lm_head's.
static void check_over(const char *rules, const char *styles)
{
    static const char *const names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    struct plan *plan;
    char found[256] = "";
    if (compile_rules(rules, false, 2, false, false, &plan) != OK) {
        print_error("{%s}: %s\n", rules, status_message());
        assert_true(0);
    }
    for (int i = 0; i < 7; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s ",
                 tp_style_name(layer_parameter(plan, names[i])->style));
    snprintf(found + strlen(found), sizeof found - strlen(found), "%s",
             tp_style_name(plan_parameter_named(plan, "lm_head.weight")->style));
    assert_string_equal(found, styles);
    assert_string_equal(plan->rules_source, "plan.json");
    plan_free(plan);
}

#define QKV "layers.*.self_attn."
#define DEFAULT_MLP " colwise colwise rowwise "
#define DEFAULT_HEAD "colwise_gather_output"

static void test_laid_over(void **state)
{
    (void)state;
    check_over("", "colwise colwise colwise rowwise" DEFAULT_MLP DEFAULT_HEAD);
    check_over("\"" QKV "k_proj\": \"replicate\"",
               "colwise replicate colwise rowwise" DEFAULT_MLP DEFAULT_HEAD);
    check_over("\"model." QKV "q_proj.weight\": \"colwise_rep\"",
               "colwise_gather_output colwise colwise rowwise" DEFAULT_MLP DEFAULT_HEAD);
    check_over("\"" QKV "q_proj\": \"replicate\", \"lm_head\": \"replicate\"",
               "replicate colwise colwise rowwise" DEFAULT_MLP "replicate");
    check_over(ATTENTION("replicate", "replicate", "replicate", "replicate"),
               "replicate replicate replicate replicate" DEFAULT_MLP DEFAULT_HEAD);
    check_over("\"layers.*.mlp.gate_proj\": \"replicate\", \"layers.*.mlp.up_proj\": \"replicate\"",
               "colwise colwise colwise rowwise replicate replicate rowwise " DEFAULT_HEAD);
    check_over("\"layers.*.mlp.down_proj\": \"local_rowwise\", \"lm_head\": \"colwise\"",
               "colwise colwise colwise rowwise" DEFAULT_MLP "colwise");
    check_over("\"norm\": \"replicate\", \"layers.*.input_layernorm.weight\": "
               "\"replicated_with_grad_allreduce\"",
               "colwise colwise colwise rowwise" DEFAULT_MLP DEFAULT_HEAD);
    // A module's business alone: nothing is said of what lies in it.
    check_over("\"layers.*.self_attn\": \"local_params\"",
               "colwise colwise colwise rowwise" DEFAULT_MLP DEFAULT_HEAD);
}

// Whole queries of heads that are attended elsewhere: a rank takes its own, and keeps its own keys.
static void test_own_heads_of_whole_queries(void **state)
{
    (void)state;
    struct plan *plan;
    static const char *const styles[] = {"replicate", "colwise_gather_output"};
    for (int i = 0; i < 2; i++) {
        char rules[100];
        snprintf(rules, sizeof rules, "\"" QKV "q_proj\": \"%s\"", styles[i]);
        assert_int_equal(compile_rules(rules, false, 2, false, false, &plan), OK);
        const struct cut *cut = plan_cut_of_kind(plan, MIX_ATTENTION);
        assert_true(cut->sharded);
        assert_int_equal(cut->shares[1].heads.begin, 6);
        assert_int_equal(cut->shares[1].kv_heads.begin, 2);
        assert_int_equal(cut->shares[0].dims[DIM_QUERY].end, i ? 6 * 16 : 12 * 16);
        assert_int_equal(cut->shares[0].dims[DIM_KEY].end, 2 * 16);
        assert_int_equal(cut->shares[1].dims[DIM_ATTENDED].begin, 6 * 16);
        assert_int_equal(action_of(plan, "q,k,v -> attention"), i ? EDGE_ALL_GATHER : EDGE_SLICE);
        plan_free(plan);
    }
}

static void test_laid_over_refused(void **state)
{
    (void)state;
    REFUSED_OVER("\"" QKV "o_proj\": \"replicate\"", ERR_INPUT, "o_proj \"replicate\"",
                 "q_proj \"colwise\" (no rule names it)", "colwise_gather_output");
    REFUSED_OVER("\"layers.*.mlp.gate_proj\": \"replicate\"", ERR_INPUT, "gate_proj", "up_proj",
                 "cut alike");
    REFUSED_OVER("\"norm\": \"sequence_parallel\"", ERR_INPUT, "norm", "residual stream");
    REFUSED_OVER("\"lm_head\": \"rowwise_split_input\"", ERR_UNSUPPORTED, "lm_head",
                 "rowwise_split_input", "another order than one rank");
    REFUSED_OVER("\"lm_head\": \"rowwise\"", ERR_UNSUPPORTED, "lm_head", "another order",
                 "as little of it");
    REFUSED_OVER("\"layers.*.self_attn.q_norm\": \"replicate\"", ERR_INPUT, "q_norm",
                 "matches no parameter");
    REFUSED_OVER(ATTENTION("replicate", "colwise", "colwise", "rowwise_split_input"), ERR_INPUT,
                 "q_proj \"replicate\"", "k_proj \"colwise\"");
    REFUSED_OVER(ATTENTION("replicate", "replicate", "replicate", "rowwise"), ERR_INPUT,
                 "rowwise_split_input");
}

// What Transformers ships for a family may name what this model has not; a plan of one's own not.
static void test_idle_rules(void **state)
{
    (void)state;
    struct plan *plan;
    const char *rules = "\"layers.*.experts.up_proj\": \"packed_colwise\", "
                        "\"layers.*.mlp.up_proj\": \"colwise\", \"layers.*.self_attn.q_norm\": "
                        "\"replicated_with_grad_allreduce\"";
    char familys[512];
    snprintf(familys, sizeof familys, "\"base_model_tp_plan\": {%s}, \"causal_lm_tp_plan\": null",
             rules);
    REFUSED_OVER(rules, ERR_INPUT, "layers.*.experts.up_proj", "matches no parameter");
    assert_int_equal(compile_rules(familys, false, 2, false, false, &plan), OK);
    assert_int_equal(plan->n_idle_rules, 2);
    assert_string_equal(plan->idle_rules[0], "layers.*.experts.up_proj");
    assert_string_equal(plan->idle_rules[1], "layers.*.self_attn.q_norm");
    assert_string_equal(layer_parameter(plan, "mlp.up_proj")->rule, "layers.*.mlp.up_proj");
    assert_null(layer_parameter(plan, "mlp.gate_proj")->rule);
    plan_free(plan);
}

// Sizes: the message lists those that do and says why this one does not.
static void test_sizes_refused(void **state)
{
    (void)state;
    static const struct {
        struct plan_shape shape;
        int n_ranks, leaves;
        const char *words[5];
    } cases[] = {
        {{12, 4, 16, 224, 512}, 13, 0, {"13 ranks", "12 query heads", "1, 2, 3, 4, 5, 6, 7, 8"}},
        {{12, 4, 16, 224, 512}, 9, 0, {"9 ranks", "8 leaves", "--reduction-leaves 16"}},
        {{4, 4, 16, 172, 512}, 5, 0, {"4 query heads", "valid sizes: 1, 2, 3, 4"}},
        {{32, 8, 64, 10, 512}, 6, 0, {"MLP", "5", "1, 2, 3, 4, 5"}},
        {{32, 8, 64, 256, 3}, 4, 0, {"vocabulary has 3 rows", "1, 2, 3"}},
        {{128, 8, 128, 512, 512}, 65, 64, {"at most 64 ranks"}},
        {{12, 4, 16, 224, 512}, 0, 0, {"--tensor-parallel-size is 0"}},
        {{12, 4, 16, 224, 512}, -3, 0, {"-3"}},
        {{12, 4, 16, 224, 512}, 1, 3, {"--reduction-leaves is 3", "power of two"}},
        {{12, 4, 16, 224, 512}, 1, 128, {"128"}},
        {{12, 4, 15, 224, 512}, 1, 0, {"head_dim", "15"}},
        {{12, 4, 16, 0, 512}, 1, 0, {"intermediate_size", "is 0"}},
        {{12, 5, 16, 224, 512}, 1, 0, {"num_attention_heads", "num_key_value_heads"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config config = plan_config(&cases[i].shape);
        const struct plan_options options = {.n_ranks = cases[i].n_ranks,
                                             .reduction_leaves = cases[i].leaves};
        struct plan *plan;
        assert_int_not_equal(plan_compile(&config, &options, &plan), OK);
        assert_null(plan);
        for (int w = 0; cases[i].words[w]; w++)
            if (!strstr(status_message(), cases[i].words[w])) {
                print_error("\"%s\" does not say \"%s\"\n", status_message(), cases[i].words[w]);
                assert_true(0);
            }
    }
}

// Every reservation fails once; nothing leaks (the sanitizers look) and the message says it.
static void test_out_of_memory(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[4]);
    config.num_hidden_layers = 100;
    const struct plan_options options = {.n_ranks = 3};
    for (long n = 1;; n++) {
        struct plan *plan;
        memory_fail_after(n);
        enum status status = plan_compile(&config, &options, &plan);
        memory_fail_after(0);
        if (status == OK) {
            assert_true(n > 3);
            plan_free(plan);
            break;
        }
        assert_null(plan);
        assert_int_equal(status, ERR_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contradictions), cmocka_unit_test(test_styles_without_an_edge),
        cmocka_unit_test(test_unused_rules),   cmocka_unit_test(test_biases),
        cmocka_unit_test(test_accepted),       cmocka_unit_test(test_sizes_refused),
        cmocka_unit_test(test_out_of_memory),  cmocka_unit_test(test_sequence_parallel),
        cmocka_unit_test(test_laid_over),      cmocka_unit_test(test_own_heads_of_whole_queries),
        cmocka_unit_test(test_idle_rules),     cmocka_unit_test(test_laid_over_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
