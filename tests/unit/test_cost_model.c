// The cost model, held to sums made by hand, and to what must grow when something else does.
#include "plan_shapes.h"

#include <math.h>

#include "model/cost_model.h"
#include "model/step_schedule.h"

#define US 1e-6

// 1 GB/s and 1 TFLOP/s: an operation that reads its weights for one token takes a nanosecond a
// byte.
static struct machine slow_reader(void)
{
    return (struct machine){
        .name = "hand",
        .memory_bytes = {.value = 1e9},
        .read_bytes_per_second = {.value = 1e9},
        .bfloat16_flops_per_second = {.value = 1e12},
        .in_node = {.latency_seconds = {.value = 1 * US}, .bytes_per_second = {.value = 1e9}},
        .between_nodes = {.latency_seconds = {.value = 10 * US},
                          .bytes_per_second = {.value = 1e8}},
        .exchange_seconds = {.value = 2 * US},
        .step_seconds = {.value = 50 * US},
    };
}

static const struct node_layout one_node = {1, {0, 64}};

static struct plan *compile_costs(int tp, int pp, int n_layers)
{
    struct model_config config = plan_config(&plan_shapes[3]); // 8 heads of 16, 2 KV heads, 256
    config.num_hidden_layers = n_layers;
    for (int layer = 0; layer < n_layers; layer++)
        config.kv_layer[layer] = (int16_t)layer;
    const struct plan_options options = {.n_ranks = tp, .n_stages = pp};
    struct plan *plan;
    assert_int_equal(plan_compile(&config, &options, &plan), OK);
    return plan;
}

static void expect(double found, double expected)
{
    if (fabs(found - expected) > 1e-9 * fabs(expected)) {
        print_error("%.12g, expected %.12g\n", found, expected);
        assert_true(false);
    }
}

static const struct operation_cost *find_operation(const struct operation_cost *ops, int n,
                                                   const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    print_error("no operation %s\n", name);
    assert_true(false);
    return NULL;
}

static void by_hand(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(2, 1, 2);
    const struct cost_model model = {plan, &machine, &one_node};
    const struct micro_batch batch = {
        .n_sequences = 1, .tokens_each = 1, .context = 10, .n_logits = 1, .n_under_way = 1};
    struct operation_cost ops[OPERATIONS_MAX];
    struct stage_cost stage;
    int n = cost_operations(&model, &batch, 1, 0, ops);
    // 4 heads of 16 on each rank, of 64 columns, two bytes each
    expect(find_operation(ops, n, "q_proj")->seconds, 64 * 64 * 2 * 1e-9);
    expect(find_operation(ops, n, "q_proj")->flop_seconds, 2 * 64 * 64 * 1e-12);
    expect(find_operation(ops, n, "k_proj")->seconds, 16 * 64 * 2 * 1e-9);
    expect(find_operation(ops, n, "down_proj")->seconds, 64 * 128 * 2 * 1e-9);
    // keys and values of 10 tokens, one KV head
    expect(find_operation(ops, n, "attention")->seconds, 2 * 16 * 10 * 2 * 1e-9);
    expect(find_operation(ops, n, "attention")->flops, 2 * 2 * 4 * 16 * 10);
    // 64 sums of four bytes from the other rank
    expect(find_operation(ops, n, "all-reduce")->seconds, 2 * US + 1 * US + 256e-9);
    assert_int_equal(n, 4 + 1 + 3 + 2);
    double layer = (64 * 64 + 2 * 16 * 64 + 64 * 64 + 3 * 128 * 64) * 2e-9 + 640e-9,
           sums = 2 * 3.256 * US;
    cost_stage(&model, &batch, 0, &stage);
    expect(stage.work, 2 * layer + 256 * 64 * 2e-9);    // and lm_head, half of 512 rows
    expect(stage.exchange, 2 * sums + 3 * US + 128e-9); // and half of the embedding's row
    expect(stage.seconds, stage.work + stage.exchange);
    expect(stage.waiting + 1, 1); // even shares
    expect(stage.hand_over + 1, 1);
    expect(cost_turnaround(&model), 50 * US);
    plan_free(plan);
}

static void arithmetic_bounds_many_rows(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(1, 1, 2);
    const struct cost_model model = {plan, &machine, &one_node};
    const struct micro_batch batch = {
        .n_sequences = 1, .tokens_each = 4000, .context = 2000.5, .n_logits = 1, .n_under_way = 1};
    struct operation_cost ops[OPERATIONS_MAX];
    int n = cost_operations(&model, &batch, 0, 0, ops);
    const struct operation_cost *up = find_operation(ops, n, "up_proj");
    expect(up->seconds, 2 * 256.0 * 64 * 4000 * 1e-12);
    assert_true(up->seconds > up->read_seconds);
    // each token sees half of the others; keys and values are read once
    const struct operation_cost *attention = find_operation(ops, n, "attention");
    expect(attention->flops, 4 * 8 * 16 * 2000.5 * 4000);
    expect(attention->bytes, 2 * 2 * 16 * 4000 * 2);
    plan_free(plan);
}

static void uneven_ranks_wait(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(3, 1, 1);
    const struct cost_model model = {plan, &machine, &one_node};
    const struct micro_batch batch = {
        .n_sequences = 1, .tokens_each = 1, .context = 1, .n_logits = 1, .n_under_way = 1};
    struct stage_cost stage;
    cost_stage(&model, &batch, 0, &stage);
    double mean = 0, most = 0;
    for (int r = 0; r < 3; r++) {
        mean += stage.rank_work[r] / 3;
        most = fmax(most, stage.rank_work[r]);
    }
    assert_true(stage.waiting > 0 && stage.work >= most);
    expect(stage.waiting, stage.work - mean);
    plan_free(plan);
}

static void exchanges(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(4, 1, 1);
    const struct node_layout two = {2, {0, 2, 4}}, four = {4, {0, 1, 2, 3, 4}};
    struct cost_model model = {plan, &machine, &one_node};
    // small: everybody's at once; large: 2 * 3/4 of it twice the latency later
    expect(cost_all_reduce(&model, 0, 100), 2 * US + 1 * US + 300e-9);
    expect(cost_all_reduce(&model, 0, 1e6), 2 * US + 2 * US + 1.5e-3);
    // from lead to lead, between two rounds of memory; the slower of both counts
    model.nodes = &two;
    expect(cost_all_reduce(&model, 0, 1e6), 2 * US + 10 * US + 2 * US + 1e-2);
    model.nodes = &four;
    expect(cost_all_reduce(&model, 0, 1e6), 2 * US + 20 * US + 1.5e-2);
    expect(cost_all_reduce(&model, 0, 100), 2 * US + 10 * US + 3e-6);
    plan_free(plan);
    plan = compile_costs(1, 1, 1);
    model.plan = plan;
    expect(1 + cost_all_reduce(&model, 0, 1e6), 1);
    plan_free(plan);
}

static void stages_hand_over(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(2, 2, 4);
    const struct node_layout two = {2, {0, 2, 4}};
    struct cost_model model = {plan, &machine, &one_node};
    const struct micro_batch batch = {
        .n_sequences = 3, .tokens_each = 1, .context = 1, .n_logits = 3, .n_under_way = 2};
    struct stage_cost stage;
    cost_stage(&model, &batch, 0, &stage);
    expect(stage.hand_over, 2 * US + 1 * US + 3 * 64 * 4e-9);
    model.nodes = &two;
    cost_stage(&model, &batch, 0, &stage);
    expect(stage.hand_over, 2 * US + 10 * US + 3 * 64 * 4e-8);
    expect(cost_turnaround(&model), 60 * US); // the last stage's results cross the wire
    // a port that the node's ranks share
    machine.between_nodes.node_bytes_per_second.value = 1e8;
    cost_stage(&model, &batch, 0, &stage);
    expect(stage.hand_over, 2 * US + 10 * US + 3 * 64 * 8e-8);
    plan_free(plan);
}

// Ranks of a node share its memory while they are at work together.
static void nodes_share(void **state)
{
    (void)state;
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(1, 2, 2);
    const struct node_layout both = {1, {0, 2}};
    const struct cost_model model = {plan, &machine, &both};
    struct micro_batch batch = {
        .n_sequences = 1, .tokens_each = 1, .context = 1, .n_logits = 1, .n_under_way = 1};
    struct stage_cost alone, shared;
    machine.node_read_bytes_per_second.value = 1e9;
    cost_stage(&model, &batch, 0, &alone);
    batch.n_under_way = 2;
    cost_stage(&model, &batch, 0, &shared);
    expect(shared.work, 2 * alone.work);
    plan_free(plan);
}

// What the closed form says of the rhythm is what happens.
static void schedule_has_the_period(void **state)
{
    (void)state;
    enum { BATCHES = 60 };
    for (int n_stages = 1; n_stages <= 5; n_stages++)
        for (int n = 1; n <= 6; n++) {
            struct stage_cost stages[5] = {{0}};
            struct stage_pass passes[BATCHES * 5];
            for (int s = 0; s < n_stages; s++) {
                stages[s].seconds = 1 + (s * 7 + n * 3) % 5;
                stages[s].hand_over = s + 1 < n_stages ? 0.25 * s : 0;
            }
            schedule_passes(stages, n_stages, 0.5, n, BATCHES, passes);
            int last = n_stages - 1;
            double rhythm = (passes[(BATCHES - 1) * n_stages + last].end -
                             passes[(BATCHES - 1 - 2 * n) * n_stages + last].end) /
                            (2 * n);
            expect(rhythm, cost_period(stages, n_stages, 0.5, n));
            for (int b = 0; b < BATCHES; b++)
                for (int s = 0; s < n_stages; s++) {
                    const struct stage_pass *p = &passes[b * n_stages + s];
                    assert_true(p->end >= p->begin && p->handed_over >= p->end);
                    assert_true(s == 0 || p->begin >= (p - 1)->handed_over);
                    assert_true(b == 0 || p->begin >= (p - n_stages)->handed_over);
                }
        }
}

static double tokens_per_second(struct machine *machine, int tp, int pp,
                                const struct cost_work *work, double *first_token)
{
    struct plan *plan = compile_costs(tp, pp, 8);
    const struct cost_model model = {plan, machine, &one_node};
    struct cost_prediction p;
    assert_int_equal(cost_predict(&model, work, &p), OK);
    double found = p.decode_tokens_per_second;
    expect(p.stream_tokens_per_second * p.decode_period, 1);
    assert_true(p.first_token_seconds > 0 && p.prefill_tokens_per_second > 0);
    if (first_token)
        *first_token = p.first_token_seconds;
    cost_prediction_fini(&p);
    plan_free(plan);
    return found;
}

static void grows_with_what_it_should(void **state)
{
    (void)state;
    struct cost_work work = {
        .concurrency = 4, .input_len = 100, .output_len = 20, .batched_tokens = 64};
    struct machine machine = slow_reader();
    double first, later, before = tokens_per_second(&machine, 2, 2, &work, &first);
    machine.read_bytes_per_second.value *= 2;
    double found = tokens_per_second(&machine, 2, 2, &work, NULL);
    assert_true(found > before && found < 2 * before);
    machine = slow_reader();
    machine.in_node.latency_seconds.value *= 10;
    assert_true(tokens_per_second(&machine, 2, 2, &work, &later) < before && later > first);
    machine = slow_reader();
    machine.sublayer_seconds.value = 5 * US;
    assert_true(tokens_per_second(&machine, 2, 2, &work, NULL) < before);
    machine = slow_reader();
    work.input_len = 1000;
    assert_true(tokens_per_second(&machine, 2, 2, &work, &later) < before && later > first);
    work.input_len = 100;
    for (int n = 1; n < 64; n *= 2) {
        work.concurrency = n;
        before = tokens_per_second(&machine, 2, 2, &work, NULL);
        work.concurrency = 2 * n;
        assert_true(tokens_per_second(&machine, 2, 2, &work, NULL) > before);
    }
    work.concurrency = 1; // one stream has no use for stages
    assert_true(tokens_per_second(&machine, 2, 1, &work, NULL) >=
                tokens_per_second(&machine, 2, 4, &work, NULL));
}

static void refuses_what_is_not_described(void **state)
{
    (void)state;
    const struct cost_work work = {
        .concurrency = 1, .input_len = 1, .output_len = 1, .batched_tokens = 1};
    const struct node_layout two = {2, {0, 1, 2}};
    struct machine machine = slow_reader();
    struct plan *plan = compile_costs(2, 1, 1);
    struct cost_model model = {plan, &machine, &two};
    struct cost_prediction p;
    machine.between_nodes.bytes_per_second.value = 0;
    assert_int_equal(cost_predict(&model, &work, &p), ERR_INPUT);
    assert_non_null(strstr(status_message(), "no \"link_between_nodes\""));
    model.nodes = &one_node;
    machine.in_node.bytes_per_second.value = 0;
    assert_int_equal(cost_predict(&model, &work, &p), ERR_INPUT);
    assert_non_null(strstr(status_message(), "no \"link_in_node\""));
    plan->compute = COMPUTE_F32;
    assert_int_equal(cost_predict(&model, &work, &p), ERR_INPUT);
    assert_non_null(strstr(status_message(), "float32_flops_per_second"));
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(arithmetic_bounds_many_rows),
        cmocka_unit_test(uneven_ranks_wait),
        cmocka_unit_test(exchanges),
        cmocka_unit_test(stages_hand_over),
        cmocka_unit_test(nodes_share),
        cmocka_unit_test(schedule_has_the_period),
        cmocka_unit_test(grows_with_what_it_should),
        cmocka_unit_test(refuses_what_is_not_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
