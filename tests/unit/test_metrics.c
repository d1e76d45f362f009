#include "testing.h"

#include <math.h>

#include "server/json_writer.h"
#include "server/metrics.h"

static void numbers_come_out_as_prometheus_reads_them(void **state)
{
    (void)state;
    struct metrics metrics;
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(metrics_init(&metrics, "a \"model\"", 512), OK);
    metric_observe(&metrics, METRIC_TIME_TO_FIRST_TOKEN_SECONDS, 0.005);
    metric_observe(&metrics, METRIC_TIME_TO_FIRST_TOKEN_SECONDS, 0.0051);
    metric_observe(&metrics, METRIC_TIME_TO_FIRST_TOKEN_SECONDS, 1e9);
    metric_add(&metrics, METRIC_REQUEST_SUCCESS_TOTAL, 4, 3);
    assert_int_equal(metrics_write(&metrics, &out), OK);
    static const char *const lines[] = {
        "# TYPE vllm:time_to_first_token_seconds histogram\n",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.005\",model_name=\"a "
        "\\\"model\\\"\"} 1.0\n",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.01\",model_name=\"a "
        "\\\"model\\\"\"} 2.0\n",
        "le=\"2560.0\",model_name=\"a \\\"model\\\"\"} 2.0\n",
        "vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"a \\\"model\\\"\"} 3.0\n",
        "finished_reason=\"stop\"} 3.0\n",
        "vllm:admission_rejections_total{model_name=\"a "
        "\\\"model\\\"\",reason=\"max_num_queued_reqs\"} 0.0\n",
        "vllm:request_prompt_tokens_bucket{engine=\"0\",le=\"500.0\"",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (!strstr(out.data, lines[i]))
            print_error("not there: %s", lines[i]);
        assert_non_null(strstr(out.data, lines[i]));
    }
    assert_null(strstr(out.data, "request_prompt_tokens_bucket{engine=\"0\",le=\"1000.0\""));
    metrics_fini(&metrics);
    bytes_fini(&out);
}

static void json_is_escaped_and_has_its_commas(void **state)
{
    (void)state;
    struct json_writer writer;
    struct bytes out;
    bytes_init(&out);
    json_writer_begin(&writer, &out);
    json_open_object(&writer, NULL);
    json_put_string(&writer, "a", "x\"\\\n\0\x1f\xC3\xA9", 8);
    json_open_list(&writer, "b");
    json_put_int(&writer, NULL, -1);
    json_put_float(&writer, NULL, -0.5f);
    json_put_float(&writer, NULL, -INFINITY);
    json_put_float(&writer, NULL, 3);
    json_open_object(&writer, NULL);
    json_close_object(&writer);
    json_close_list(&writer);
    json_put_key(&writer, "k\t", 2);
    json_put_null(&writer, NULL);
    json_put_bool(&writer, "c", true);
    json_close_object(&writer);
    assert_int_equal(writer.status, OK);
    assert_string_equal(out.data, "{\"a\":\"x\\\"\\\\\\n\\u0000\\u001f\xC3\xA9\",\"b\":[-1,-0.5,"
                                  "-9999.0,3.0,{}],\"k\\t\":null,\"c\":true}");
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_out_as_prometheus_reads_them),
        cmocka_unit_test(json_is_escaped_and_has_its_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
