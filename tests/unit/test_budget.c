// The memory budget: what counts, and advice that can be followed.
#include "testing.h"

#include "engine/budget.h"
#include "engine/kv_pool.h"
#include "plan_shapes.h"

static struct plan *plan;

static int new_plan(void **state)
{
    (void)state;
    struct model_config config = plan_config(&plan_shapes[0]);
    const struct plan_options options = {.n_ranks = 2, .compute = COMPUTE_BF16};
    return plan_compile(&config, &options, &plan) == OK ? 0 : -1;
}

static int free_plan(void **state)
{
    (void)state;
    plan_free(plan);
    return 0;
}

static struct budget_node nodes[2]; // of the last request_with()

static struct budget_request request_with(uint64_t available_bytes)
{
    nodes[0] = (struct budget_node){
        .n_ranks = 2,
        .device = {.total = available_bytes + available_bytes / 8, .available = available_bytes},
        .utilization = 0.7,
        .front_end_bytes = 5 << 20};
    return (struct budget_request){.plan = plan,
                                   .rows_max = 32,
                                   .logit_rows_max = 4,
                                   .n_threads = 1,
                                   .max_num_seqs = 4,
                                   .max_model_len = 1024,
                                   .shared_bytes = 3 << 20,
                                   .nodes = nodes,
                                   .n_nodes = 1};
}

static void processes_and_shared_memory_count(void **state)
{
    (void)state;
    struct budget with, without;
    struct budget_request request = request_with(1 << 30);
    assert_int_equal(budget_compute(&request, &with), OK);
    request.shared_bytes = 0;
    assert_int_equal(budget_compute(&request, &without), OK);
    assert_true(with.parts[0].fixed_bytes == without.parts[0].fixed_bytes + (3 << 20));
    assert_true(with.parts[0].fixed_bytes > 2 * RANK_PROCESS_BYTES);
    assert_int_equal(with.kv_pages, 4 * kv_pages_for(1024)); // all that can be used
    nodes[0].kv_cache_memory = 1 << 28;
    for (int caching = 0; caching <= 1; caching++) {
        request.prefix_caching = caching;
        assert_int_equal(budget_compute(&request, &with), OK);
        assert_int_equal(with.kv_pages, caching ? (1 << 28) / (int64_t)with.parts[0].kv_page_bytes
                                                : 4 * kv_pages_for(1024));
    }
}

// Pages of states hold no tokens.
static void states_hold_no_tokens(void **state)
{
    (void)state;
    struct budget with, without;
    struct budget_request request = request_with(1 << 30);
    request.prefix_caching = true;
    const struct kv_layout before = plan->kv;
    assert_int_equal(budget_compute(&request, &without), OK);
    assert_int_equal(budget_kv_tokens(&without),
                     without.kv_pages * KV_PAGE_TOKENS / without.kv_groups);
    plan->kv.state_pages = 5;
    plan->kv.state_interval = 4 * KV_PAGE_TOKENS;
    assert_int_equal(budget_compute(&request, &with), OK);
    plan->kv = before;
    assert_int_equal(with.kv_pages, without.kv_pages);
    assert_int_equal(with.sequence_state_pages, 5 * 2); // read, and written
    assert_int_equal(with.sequence_pages, without.sequence_pages + 10);
    assert_true(budget_kv_tokens(&with) <=
                with.kv_pages * without.sequence_pages / with.sequence_pages * KV_PAGE_TOKENS);
    // sequences of full length are those that fit
    assert_true(budget_kv_tokens(&with) / 1024 <= (int64_t)budget_full_requests(&with) + 1);
    assert_true(budget_kv_tokens(&with) / 1024 >= (int64_t)budget_full_requests(&with) - 1);
}

// The prefix cache is worth all of the share; what is promised never exceeds it.
static void the_prefix_cache_gets_the_whole_share(void **state)
{
    (void)state;
    struct budget budget;
    struct budget_request request = request_with(1 << 30);
    request.prefix_caching = true;
    assert_int_equal(budget_compute(&request, &budget), OK);
    assert_true(budget.kv_pages > 4 * kv_pages_for(1024));
    assert_true(budget.parts[0].fixed_bytes + budget.parts[0].kv_bytes <=
                budget.parts[0].allowed_bytes);
    assert_true(budget.parts[0].allowed_bytes - budget.parts[0].fixed_bytes -
                    budget.parts[0].kv_bytes <
                2 * budget.parts[0].kv_page_bytes);
}

static void host_pages_count(void **state)
{
    (void)state;
    struct budget with, without;
    struct budget_request request = request_with(1 << 30);
    assert_int_equal(budget_compute(&request, &without), OK);
    assert_int_equal(without.host_pages, 0);
    request.kv_offloading_size = 0.125; // GiB
    assert_int_equal(budget_compute(&request, &with), OK);
    assert_int_equal(with.host_pages, (1 << 27) / with.parts[0].kv_page_bytes);
    uint64_t more = with.parts[0].fixed_bytes - without.parts[0].fixed_bytes;
    assert_in_range(more, (uint64_t)with.host_pages * with.parts[0].kv_page_bytes,
                    (1 << 27) + (1 << 23));
    request.kv_offloading_size = 1; // more than may be taken: nothing is left for the first pool
    assert_int_equal(budget_compute(&request, &with), ERR_MEMORY);
    request.kv_offloading_size = 1e-9;
    assert_int_equal(budget_compute(&request, &with), ERR_USAGE);
    assert_non_null(strstr(status_message(), "--kv-offloading-size"));
}

// The number behind `words` in the last message; -1: they are not there.
static double number_after(const char *words)
{
    const char *at = strstr(status_message(), words);
    return at ? strtod(at + strlen(words), NULL) : -1;
}

// Whatever is free, the budget works or says what would: never a length of nothing, never a part
// above 1, and who follows the advice gets an engine.
static void advice_can_be_followed(void **state)
{
    (void)state;
    struct budget budget;
    int refused = 0, worked = 0;
    for (uint64_t available = 0; available < 200 << 20; available += 100003) {
        struct budget_request request = request_with(available);
        if (budget_compute(&request, &budget) == OK) {
            assert_true(budget.parts[0].fixed_bytes + budget.parts[0].kv_bytes <=
                        budget.parts[0].allowed_bytes);
            worked++;
            continue;
        }
        refused++;
        assert_non_null(strstr(status_message(), "missing"));
        double length = number_after("--max-model-len to "),
               part = number_after("--gpu-memory-utilization to ");
        if (length >= 0) {
            assert_true(length >= KV_PAGE_TOKENS);
            request.max_model_len = (int64_t)length;
            assert_int_equal(budget_compute(&request, &budget), OK);
        }
        if (part >= 0) {
            assert_true(part > 0.7 && part <= 1);
            request = request_with(available);
            nodes[0].utilization = part;
            assert_int_equal(budget_compute(&request, &budget), OK);
        }
    }
    assert_true(refused > 100 && worked > 100);
}

// The share is of all memory, but never more than what is free now.
static void the_share_is_of_all_memory(void **state)
{
    (void)state;
    struct budget budget;
    struct budget_request request = request_with(1 << 30);
    nodes[0].device.total = (uint64_t)4 << 30;
    nodes[0].utilization = 0.125;
    assert_int_equal(budget_compute(&request, &budget), OK);
    assert_true(budget.parts[0].allowed_bytes == 1 << 29);
    nodes[0].utilization = 0.92;
    assert_int_equal(budget_compute(&request, &budget), OK);
    assert_true(budget.parts[0].allowed_bytes <= (1 << 30) + nodes[0].front_end_bytes);
    assert_true(budget.parts[0].allowed_bytes > (1 << 30) / 100 * 90);
}

static void a_length_that_fits_is_taken(void **state)
{
    (void)state;
    struct budget budget;
    int fitted = 0;
    for (uint64_t available = 0; available < 200 << 20; available += 100003) {
        struct budget_request request = request_with(available);
        request.fit_model_len = true;
        if (budget_compute(&request, &budget) != OK)
            continue;
        assert_true(budget.max_model_len > 0 && budget.max_model_len <= request.max_model_len);
        assert_true(budget.parts[0].fixed_bytes + budget.parts[0].kv_bytes <=
                    budget.parts[0].allowed_bytes);
        assert_true(budget_full_requests(&budget) >= 1);
        fitted += budget.max_model_len < request.max_model_len;
        request.fit_model_len = false;
        request.max_model_len = budget.max_model_len;
        assert_int_equal(budget_compute(&request, &budget), OK);
    }
    assert_true(fitted > 1);
}

static void a_pool_of_given_size_is_checked(void **state)
{
    (void)state;
    struct budget budget;
    struct budget_request request = request_with(1 << 30);
    nodes[0].kv_cache_memory = 1000;
    assert_int_equal(budget_compute(&request, &budget), ERR_MEMORY);
    assert_true(number_after("--max-model-len to ") < 0); // nothing fits
    nodes[0].kv_cache_memory = (int64_t)number_after("--kv-cache-memory to ");
    assert_int_equal(budget_compute(&request, &budget), OK);
}

// Each machine's own memory and flags count for its ranks; pages are as many as the least room has.
static void the_node_with_the_least_room_counts(void **state)
{
    (void)state;
    struct budget one, two;
    struct budget_request request = request_with(1 << 30);
    request.prefix_caching = true;
    assert_int_equal(budget_compute(&request, &one), OK);
    nodes[0].n_ranks = 1;
    nodes[1] = nodes[0];
    nodes[1].first_rank = 1;
    snprintf(nodes[1].name, sizeof nodes[1].name, "node 1 (10.0.0.2)");
    request.n_nodes = 2;
    assert_int_equal(budget_compute(&request, &two), OK);
    assert_true(two.kv_pages > one.kv_pages); // of twice the memory
    int64_t pages = two.kv_pages;
    nodes[1].device.available /= 4;
    assert_int_equal(budget_compute(&request, &two), OK);
    assert_true(two.kv_pages < pages / 2);
    for (int i = 0; i < 2; i++)
        assert_true(two.parts[i].fixed_bytes + two.parts[i].kv_bytes <= two.parts[i].allowed_bytes);
    nodes[1].kv_cache_memory = 4096; // of this node alone, and less than a sequence needs
    assert_int_equal(budget_compute(&request, &two), ERR_MEMORY);
    assert_non_null(strstr(status_message(), "node 1 (10.0.0.2): --kv-cache-memory 4096"));
    nodes[1].kv_cache_memory = 0;
    nodes[1].device.available = 1 << 20;
    assert_int_equal(budget_compute(&request, &two), ERR_MEMORY);
    assert_non_null(strstr(status_message(), "node 1 (10.0.0.2): weights, scratch and processes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_hold_no_tokens),
        cmocka_unit_test(processes_and_shared_memory_count),
        cmocka_unit_test(the_prefix_cache_gets_the_whole_share),
        cmocka_unit_test(host_pages_count),
        cmocka_unit_test(advice_can_be_followed),
        cmocka_unit_test(the_share_is_of_all_memory),
        cmocka_unit_test(a_length_that_fits_is_taken),
        cmocka_unit_test(a_pool_of_given_size_is_checked),
        cmocka_unit_test(the_node_with_the_least_room_counts),
    };
    return cmocka_run_group_tests(tests, new_plan, free_plan);
}
