#include "testing.h"

#include <jansson.h>

#include "base/memory.h"
#include "hf/tp_plan_rules.h"

static const char *const llama[] = {"llama", NULL};

static struct tp_plan_rules parse_for(const char *text, const char *const *model_types)
{
    struct tp_plan_rules rules;
    enum status status = tp_plan_parse("plan.json", text, strlen(text), model_types, &rules);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    return rules;
}

static struct tp_plan_rules parse(const char *text)
{
    return parse_for(text, llama);
}

static void every_style_has_its_names(void **state)
{
    (void)state;
    for (int i = TP_NONE + 1; i < TP_STYLES; i++) {
        const char *name = tp_style_name((enum tp_style)i);
        assert_string_not_equal(name, "none");
        assert_int_equal(tp_style_from_name(name), i);
    }
    static const struct {
        const char *old, *new;
    } aliases[] = {{"colwise_rep", "colwise_gather_output"},
                   {"rowwise_rep", "rowwise_split_input"},
                   {"local_colwise", "colwise"},
                   {"local_rowwise", "rowwise"},
                   {"local_packed_rowwise", "packed_rowwise"},
                   {"local", "local_params"}};
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        assert_string_equal(tp_style_name(tp_style_from_name(aliases[i].old)), aliases[i].new);
    assert_int_equal(tp_style_from_name("none"), TP_NONE);
    assert_int_equal(tp_style_from_name(""), TP_NONE);
}

static void rules_keep_their_order(void **state)
{
    (void)state;
    struct tp_plan_rules rules = parse("{\"b\": \"rowwise_rep\", \"a\": \"colwise\"}");
    assert_int_equal(rules.n_rules, 2);
    assert_string_equal(rules.source, "plan.json");
    assert_string_equal(rules.rules[0].pattern, "b");
    assert_string_equal(rules.rules[0].style_name, "rowwise_rep");
    assert_int_equal(rules.rules[0].style, TP_ROWWISE_SPLIT_INPUT);
    tp_plan_close(&rules);
    rules = parse("{}");
    assert_int_equal(rules.n_rules, 0);
    assert_int_equal(tp_plan_match(&rules, "a"), -1);
    tp_plan_close(&rules);
}

static void names_match_as_in_transformers(void **state)
{
    (void)state;
    struct tp_plan_rules rules = parse("{\"model.layers.*.self_attn.q_proj\": \"colwise\","   // 0
                                       " \"layers.*.mlp.up_proj\": \"colwise\","              // 1
                                       " \"model.layers.*.mlp.up_proj.bias\": \"replicate\"," // 2
                                       " \"lm_head\": \"colwise_rep\","                       // 3
                                       " \"layers.*.experts.*.w1\": \"rowwise\","             // 4
                                       " \"a.*.2.b\": \"gather\","                            // 5
                                       " \"layers.*.down.weight\": \"rowwise\","              // 6
                                       " \"model.layers.*.down\": \"colwise\"}");             // 7
    static const struct {
        const char *name;
        int rule;
    } cases[] = {
        {"model.layers.0.self_attn.q_proj.weight", 0},
        {"model.layers.31.self_attn.q_proj.bias", 0},
        {"model.layers.31.self_attn.q_proj", 0},
        {"layers.31.self_attn.q_proj.weight", 0}, // both may lack what stands before the layers
        {"model.language_model.layers.31.self_attn.q_proj.weight", 0},
        {"language_model.model.layers.7.mlp.up_proj.weight", 1},
        {"model.layers.7.mlp.up_proj.weight", 1},
        {"model.layers.7.mlp.up_proj.bias", 2}, // the parameter goes before its module
        {"model.layers.7.mlp.up_proj.weight.x", -1},
        {"lm_head.weight", 3},
        {"model.lm_head.weight", 3},
        {"lm_head2.weight", -1},
        {"model.layers.1.experts.63.w1.weight", 4},
        {"model.layers.1.experts.63.w3.weight", -1},
        {"model.layers.x.experts.63.w1.weight", -1},
        {"model.layers.*.self_attn.q_proj.weight", 0},
        {"a.1.2.b", 5}, // the dot between two numbers belongs to the first
        {"model.layers.3.down.weight",
         6}, // without the prefix, still the parameter before its module
        {"model.layers.3.down.bias", 7},
        {"", -1},
        {".", -1},
        {"model.", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int found = tp_plan_match(&rules, cases[i].name);
        if (found != cases[i].rule)
            print_error("%s: rule %d\n", cases[i].name, found);
        assert_int_equal(found, cases[i].rule);
    }
    tp_plan_close(&rules);
}

static void modules_are_named_at_any_depth(void **state)
{
    (void)state;
    const char *name = "model.layers.3.self_attn.q_proj.weight";
    assert_true(tp_plan_names_module("layers.*.self_attn", name));
    assert_true(tp_plan_names_module("model.layers.*", name));
    assert_true(tp_plan_names_module("model.layers.*.self_attn.q_proj", name));
    assert_false(tp_plan_names_module("layers.*.self", name));
    assert_false(tp_plan_names_module("layers.*.mlp", name));
    assert_false(tp_plan_names_module("", name));
    assert_false(tp_plan_names_module("model.", name));
}

// As Transformers ships them: for a family in two parts, and for all families in one file.
static void plans_of_families_are_found(void **state)
{
    (void)state;
    static const char family[] =
        "{\"base_model_tp_plan\": {\"layers.*.mlp.up_proj\": \"colwise\"}, \"base_model_pp_plan\": "
        "{\"norm\": [[\"hidden_states\"], [\"hidden_states\"]]}, \"base_model_ep_plan\": null, "
        "\"causal_lm_tp_plan\": {\"lm_head\": \"colwise_rep\"}}";
    struct tp_plan_rules rules = parse(family);
    assert_int_equal(rules.n_rules, 3); // and the embedding, which Transformers adds by itself
    assert_true(rules.is_familys);
    assert_int_equal(tp_plan_match(&rules, "model.layers.0.mlp.up_proj.weight"), 0);
    assert_int_equal(tp_plan_match(&rules, "lm_head.weight"), 1);
    assert_int_equal(rules.rules[2].style, TP_EMBEDDING_ROWWISE);
    assert_string_equal(rules.rules[2].pattern, "embed_tokens");
    tp_plan_close(&rules);

    char all[1024];
    snprintf(all, sizeof all,
             "{\"transformers\": \"5.24.0\", \"plans\": {\"llama\": %s, \"gemma3_text\": "
             "{\"base_model_tp_plan\": null, \"causal_lm_tp_plan\": null}}}",
             family);
    rules = parse(all);
    assert_int_equal(rules.n_rules, 3);
    tp_plan_close(&rules);
    rules = parse_for(all, (const char *const[]){"gemma3", "llama", NULL});
    assert_int_equal(rules.n_rules, 0);
    assert_true(rules.is_familys);
    tp_plan_close(&rules);
    rules = parse_for(all, (const char *const[]){"smollm", "llama", NULL});
    assert_int_equal(rules.n_rules, 3);
    tp_plan_close(&rules);

    static const char *const bloom[] = {"bloom", NULL};
    assert_int_equal(tp_plan_parse("all.json", all, strlen(all), bloom, &rules), ERR_INPUT);
    assert_non_null(strstr(status_message(), "all.json: has 2 families' plans, but none for"));
    assert_non_null(strstr(status_message(), "\"bloom\""));
    static const char *const wrong[] = {
        "{\"plans\": {\"llama\": 3}}", "{\"base_model_tp_plan\": [1]}",
        "{\"base_model_tp_plan\": {\"norm\": 1}}", "{\"plans\": 1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(tp_plan_parse("x", wrong[i], strlen(wrong[i]), llama, &rules), ERR_INPUT);
        tp_plan_close(&rules);
    }
}

// Multimodal models have their text part's layers below other names, which say the same.
static void prefixes_of_wrappers_match(void **state)
{
    (void)state;
    struct tp_plan_rules rules =
        parse("{\"model.language_model.layers.*.self_attn.q_proj\": \"colwise\","
              " \"language_model.model.layers.*.mlp.up_proj\": \"colwise\","
              " \"language_model.layers.*.mlp.down_proj\": \"rowwise\","
              " \"model.visual.layers.*.o_proj\": \"rowwise\"}");
    assert_int_equal(tp_plan_match(&rules, "model.layers.3.self_attn.q_proj.weight"), 0);
    assert_int_equal(tp_plan_match(&rules, "model.layers.3.mlp.up_proj.weight"), 1);
    assert_int_equal(tp_plan_match(&rules, "model.layers.3.mlp.down_proj.weight"), 2);
    assert_int_equal(tp_plan_match(&rules, "model.layers.3.o_proj.weight"), -1);
    tp_plan_close(&rules);
}

static void long_names_match_nothing(void **state)
{
    (void)state;
    static char name[4096];
    struct tp_plan_rules rules = parse("{\"a\": \"colwise\"}");
    memset(name, 'a', sizeof name - 1);
    assert_int_equal(tp_plan_match(&rules, name), -1);
    tp_plan_close(&rules);
}

static void too_many_rules_are_refused(void **state)
{
    (void)state;
    struct bytes text;
    struct tp_plan_rules rules;
    bytes_init(&text);
    for (int i = 0; i <= TP_PLAN_RULES_MAX; i++)
        assert_int_equal(bytes_format(&text, "%c\"a%d\":\"colwise\"", i ? ',' : '{', i), OK);
    assert_int_equal(bytes_text(&text, "}"), OK);
    assert_int_equal(tp_plan_parse("plan.json", text.data, text.length, llama, &rules), ERR_INPUT);
    assert_non_null(strstr(status_message(), "4097 rules; expected at most 4096"));
    assert_int_equal(tp_plan_parse("plan.json", text.data, TP_PLAN_BYTES_MAX + 1, llama, &rules),
                     ERR_INPUT);
    bytes_fini(&text);
}

// Every plan of every configuration of Transformers parses.
static void plans_of_transformers_parse(void **state)
{
    (void)state;
    if (!have_shared()) {
        print_message("skipped: shared/ is not there\n");
        return;
    }
    static const char *const kinds[] = {"base_model_tp_plan", "base_model_ep_plan",
                                        "causal_lm_tp_plan"};
    json_t *root = json_load_file(SHARED_DIR "/data/tp_plans/transformers-5.24.json", 0, NULL),
           *plans;
    assert_non_null(root);
    const char *family;
    int n = 0, n_rules = 0;
    json_object_foreach(json_object_get(root, "plans"), family,
                        plans) for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    {
        const json_t *plan = json_object_get(plans, kinds[i]);
        if (!json_is_object(plan))
            continue;
        char *text = json_dumps(plan, 0);
        struct tp_plan_rules rules = parse(text);
        n++;
        n_rules += rules.n_rules;
        tp_plan_close(&rules);
        free(text);
    }
    print_message("%d plans, %d rules\n", n, n_rules);
    assert_true(n > 100);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_style_has_its_names),
        cmocka_unit_test(rules_keep_their_order),
        cmocka_unit_test(names_match_as_in_transformers),
        cmocka_unit_test(modules_are_named_at_any_depth),
        cmocka_unit_test(plans_of_families_are_found),
        cmocka_unit_test(prefixes_of_wrappers_match),
        cmocka_unit_test(long_names_match_nothing),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(plans_of_transformers_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
