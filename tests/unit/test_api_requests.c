// Bad requests, one after the other: each gets its status, the place of the fault, and one
// sentence. Good ones are read as meant.
#include "testing.h"

#include "api_demo.h"
#include "server/api_lookup.h"
#include "server/api_request.h"

static const char *const names[] = {"demo", "other-name"};
static struct api_model model;

enum form { WHERE, FIELD, NOTHING }; // param is "body.<field>", "<field>", or null

static void read_one(const char *path, const char *text, struct api_fault *fault,
                     struct api_request *request)
{
    struct bytes out;
    json_t *body;
    bytes_init(&out);
    int is_chat = strcmp(path, "chat") == 0;
    enum api_kind kind = is_chat                          ? API_CHAT
                         : strcmp(path, "messages") == 0  ? API_MESSAGES
                         : strcmp(path, "responses") == 0 ? API_RESPONSES
                                                          : API_COMPLETION;
    api_request_init(request, kind);
    if (api_body_parse(text, strlen(text), &body, fault)) {
        request->body = body;
        if (is_chat)
            chat_request_read(request, &model, NULL, fault);
        else if (strcmp(path, "completions") == 0)
            completion_request_read(request, &model, NULL, fault);
        else if (strcmp(path, "messages") == 0)
            messages_request_read(request, &model, NULL, fault);
        else if (strcmp(path, "responses") == 0)
            responses_request_read(request, &model, NULL, fault);
        else if (strcmp(path, "tokenize") == 0)
            tokenize_answer(&model, body, &out, fault);
        else
            detokenize_answer(&model, body, &out, fault);
    }
    bytes_fini(&out);
}

static int n_refused;

static void refused(const char *path, const char *text, int status, const char *type,
                    const char *param)
{
    struct api_request request;
    struct api_fault fault = {0};
    read_one(path, text, &fault, &request);
    const char *got = fault.has_param ? fault.param : "null";
    if (fault.status != status || strcmp(fault.type, type) != 0 || strcmp(got, param) != 0)
        print_error("%s %s:\n  got %d %s %s (%s), expected %d %s %s\n", path, text, fault.status,
                    fault.type ? fault.type : "-", got, fault.message, status, type, param);
    assert_int_equal(fault.status, status);
    assert_string_equal(fault.type, type);
    assert_string_equal(got, param);
    assert_true(strlen(fault.message) > 10);
    api_request_fini(&request);
    n_refused++;
}

static void values_of_another_type_are_refused(void **state)
{
    (void)state;
    static const char *const integers[] = {
        "max_tokens",     "n", "seed", "top_k", "priority", "min_tokens", "truncate_prompt_tokens",
        "stream_interval"};
    static const char *const numbers[] = {
        "temperature",       "top_p", "min_p", "presence_penalty", "frequency_penalty",
        "repetition_penalty"};
    static const char *const bools[] = {"stream",
                                        "ignore_eos",
                                        "echo",
                                        "skip_special_tokens",
                                        "include_stop_str_in_output",
                                        "add_special_tokens"};
    static const char *const wrong[] = {"\"abc\"", "[]", "{}", "\"\"", "[1]"};
    char text[256], param[64];
    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
        for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
            snprintf(text, sizeof text, "{\"prompt\": \"a\", \"%s\": %s}", integers[i], wrong[w]);
            snprintf(param, sizeof param, "body.%s", integers[i]);
            refused("completions", text, 400, "Bad Request", param);
        }
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            snprintf(text, sizeof text, "{\"prompt\": \"a\", \"%s\": %s}", numbers[i], wrong[w]);
            snprintf(param, sizeof param, "body.%s", numbers[i]);
            refused("completions", text, 400, "Bad Request", param);
        }
        for (size_t i = 0; i < sizeof bools / sizeof *bools; i++) {
            snprintf(text, sizeof text, "{\"prompt\": \"a\", \"%s\": %s}", bools[i], wrong[w]);
            snprintf(param, sizeof param, "body.%s", bools[i]);
            refused("completions", text, 400, "Bad Request", param);
        }
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        snprintf(text, sizeof text, "{\"prompt\": \"a\", \"%s\": 1.5}", integers[i]);
        snprintf(param, sizeof param, "body.%s", integers[i]);
        refused("completions", text, 400, "Bad Request", param);
    }
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *fields, *type, *param;
    } cases[] = {
        {"completions", "\"max_tokens\": 0", "BadRequestError", "max_tokens"},
        {"completions", "\"max_tokens\": -1", "BadRequestError", "max_tokens"},
        {"completions", "\"max_tokens\": 513", "BadRequestError", "max_tokens"},
        {"completions", "\"max_tokens\": 18446744073709551616", "BadRequestError", "max_tokens"},
        {"completions", "\"max_tokens\": NaN", "Bad Request", "body.max_tokens"},
        {"completions", "\"max_tokens\": 1e30", "Bad Request", "body.max_tokens"},
        {"chat", "\"max_completion_tokens\": 513", "BadRequestError", "max_completion_tokens"},
        {"completions", "\"n\": 0", "BadRequestError", "null"},
        {"completions", "\"n\": 16385", "BadRequestError", "null"},
        {"completions", "\"n\": 2, \"temperature\": 0", "BadRequestError", "null"},
        {"completions", "\"n\": null", "Bad Request", "body.n"},
        {"completions", "\"seed\": 9223372036854775808", "Bad Request", "body.seed"},
        {"completions", "\"seed\": -9223372036854775809", "Bad Request", "body.seed"},
        {"completions", "\"top_k\": -2", "BadRequestError", "null"},
        {"completions", "\"min_tokens\": -1", "BadRequestError", "null"},
        {"completions", "\"min_tokens\": 17", "BadRequestError", "null"},
        {"completions", "\"temperature\": -0.1", "BadRequestError", "temperature"},
        {"completions", "\"temperature\": 2.1", "BadRequestError", "temperature"},
        {"completions", "\"temperature\": NaN", "BadRequestError", "temperature"},
        {"completions", "\"temperature\": 1e400", "BadRequestError", "temperature"},
        {"completions", "\"top_p\": 0", "BadRequestError", "top_p"},
        {"completions", "\"top_p\": 1.01", "BadRequestError", "top_p"},
        {"completions", "\"min_p\": -0.01", "BadRequestError", "null"},
        {"completions", "\"presence_penalty\": 2.1", "BadRequestError", "null"},
        {"completions", "\"frequency_penalty\": -2.1", "BadRequestError", "null"},
        {"completions", "\"repetition_penalty\": 0", "BadRequestError", "null"},
        {"completions", "\"repetition_penalty\": Infinity", "BadRequestError", "null"},
        {"completions", "\"logprobs\": 21", "BadRequestError", "logprobs"},
        {"completions", "\"logprobs\": -1", "BadRequestError", "logprobs"},
        {"completions", "\"logprobs\": -2", "BadRequestError", "logprobs"},
        {"completions", "\"logprobs\": \"1\"", "BadRequestError", "logprobs"},
        {"completions", "\"logprobs\": 1.5", "Bad Request", "body.logprobs"},
        {"completions", "\"prompt_logprobs\": 21", "BadRequestError", "prompt_logprobs"},
        {"completions", "\"prompt_logprobs\": 1, \"stream\": true", "BadRequestError",
         "prompt_logprobs"},
        {"chat", "\"top_logprobs\": 2", "BadRequestError", "top_logprobs"},
        {"chat", "\"logprobs\": true, \"top_logprobs\": 21", "BadRequestError", "logprobs"},
        {"completions", "\"stop\": \"\"", "BadRequestError", "null"},
        {"completions", "\"stop\": [\"a\", \"b\", \"c\", \"d\", \"e\"]", "Bad Request",
         "body.stop"},
        {"completions", "\"stop\": 5", "Bad Request", "body.stop"},
        {"completions", "\"stop_token_ids\": [1280]", "BadRequestError", "stop_token_ids"},
        {"completions", "\"stop_token_ids\": 5", "Bad Request", "body.stop_token_ids"},
        {"completions", "\"logit_bias\": {\"1280\": 1}", "BadRequestError", "logit_bias"},
        {"completions", "\"logit_bias\": {\"abc\": 1}", "BadRequestError", "logit_bias"},
        {"completions", "\"logit_bias\": {\"5\": \"x\"}", "Bad Request", "body.logit_bias.5"},
        {"completions", "\"logit_bias\": []", "Bad Request", "body.logit_bias"},
        {"completions", "\"stream_options\": {\"include_usage\": true}", "BadRequestError",
         "stream_options"},
        {"completions", "\"stream\": true, \"stream_options\": true", "Bad Request",
         "body.stream_options"},
        {"completions", "\"truncate_prompt_tokens\": -2", "Bad Request",
         "body.truncate_prompt_tokens"},
        {"completions", "\"truncate_prompt_tokens\": 0", "BadRequestError", "null"},
        {"completions", "\"truncate_prompt_tokens\": 513", "BadRequestError",
         "truncate_prompt_tokens"},
        {"completions", "\"truncation_side\": \"middle\"", "Bad Request", "body.truncation_side"},
        {"completions", "\"user\": 5", "Bad Request", "body.user"},
        {"completions", "\"suffix\": \"x\"", "BadRequestError", "suffix"},
        {"completions", "\"cache_salt\": \"a/b\"", "BadRequestError", "cache_salt"},
        {"completions", "\"model\": 5", "Bad Request", "body.model"},
        {"completions", "\"response_format\": {\"type\": \"xml\"}", "Bad Request",
         "body.response_format.type"},
        {"chat", "\"response_format\": {\"type\": \"json_object\"}", "BadRequestError",
         "response_format"},
        {"chat", "\"tools\": []", "BadRequestError", "tools"},
        {"chat", "\"tool_choice\": \"auto\"", "BadRequestError", "tool_choice"},
        {"chat", "\"chat_template\": \"x\"", "BadRequestError", "null"},
        {"chat", "\"chat_template_kwargs\": []", "Bad Request", "body.chat_template_kwargs"},
        {"chat", "\"continue_final_message\": true", "BadRequestError", "null"},
        {"chat", "\"reasoning_effort\": \"bogus\"", "Bad Request", "body.reasoning_effort"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{%s, %s}",
                 strcmp(cases[i].path, "chat") == 0
                     ? "\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]"
                     : "\"prompt\": \"Tensor\"",
                 cases[i].fields);
        refused(cases[i].path, text, 400, cases[i].type, cases[i].param);
    }
    refused("completions", "{\"prompt\": \"a\", \"model\": \"nope\"}", 404, "NotFoundError",
            "model");
}

static void prompts_and_messages_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text, *type, *param;
    } cases[] = {
        {"completions", "{}", "BadRequestError", "prompt"},
        {"completions", "{\"prompt\": \"\"}", "BadRequestError", "prompt"},
        {"completions", "{\"prompt\": []}", "BadRequestError", "null"},
        {"completions", "{\"prompt\": [[]]}", "BadRequestError", "null"},
        {"completions", "{\"prompt\": 5}", "Bad Request", "body.prompt"},
        {"completions", "{\"prompt\": [-1]}", "Bad Request", "body.prompt.0"},
        {"completions", "{\"prompt\": [1280]}", "BadRequestError", "null"},
        {"completions", "{\"prompt\": [9223372036854775808]}", "BadRequestError", "null"},
        {"completions", "{\"prompt\": [1, \"a\"]}", "Bad Request", "body.prompt.1"},
        {"completions", "{\"prompt\": [null]}", "Bad Request", "body.prompt.0"},
        {"completions", "{\"prompt\": [[[1]]]}", "Bad Request", "body.prompt.0"},
        {"chat", "{}", "Bad Request", "body.messages"},
        {"chat", "{\"messages\": null}", "BadRequestError", "null"},
        {"chat", "{\"messages\": []}", "BadRequestError", "null"},
        {"chat", "{\"messages\": \"a\"}", "Bad Request", "body.messages"},
        {"chat", "{\"messages\": [5]}", "Bad Request",
         "body.messages.0.ChatCompletionDeveloperMessageParam"},
        {"chat", "{\"messages\": [{\"content\": \"a\"}]}", "Bad Request",
         "body.messages.0.ChatCompletionDeveloperMessageParam.role"},
        {"chat", "{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "Bad Request",
         "body.messages.0.ChatCompletionDeveloperMessageParam.content"},
        {"chat", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"x\"}]}]}",
         "BadRequestError", "null"},
        {"chat", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}",
         "BadRequestError", "null"},
        {"messages", "{\"messages\": []}", "Bad Request", "body.max_tokens"},
        {"messages", "{\"max_tokens\": 1, \"messages\": []}", "Bad Request", "body.messages"},
        {"messages", "{\"max_tokens\": 1, \"messages\": [{\"role\": \"x\"}]}", "Bad Request",
         "body.messages"},
        {"messages",
         "{\"max_tokens\": 1, \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": "
         "\"image\"}]}]}",
         "BadRequestError", "messages.0.content"},
        {"messages",
         "{\"max_tokens\": 1, \"tools\": [{}], \"messages\": [{\"role\": \"user\", "
         "\"content\": \"a\"}]}",
         "BadRequestError", "tools"},
        {"responses", "{}", "Bad Request", "body.input"},
        {"responses", "{\"input\": []}", "Bad Request", "body.input"},
        {"responses", "{\"input\": [{\"type\": \"function_call\"}]}", "BadRequestError", "input"},
        {"responses", "{\"input\": \"a\", \"text\": {\"format\": {\"type\": \"json_schema\"}}}",
         "BadRequestError", "text"},
        {"tokenize", "{}", "Bad Request", "body.prompt"},
        {"tokenize", "{\"prompt\": [1]}", "Bad Request", "body.prompt"},
        {"detokenize", "{}", "Bad Request", "body.tokens"},
        {"detokenize", "{\"tokens\": [\"a\"]}", "Bad Request", "body.tokens.0"},
        {"detokenize", "{\"tokens\": [4294967296]}", "BadRequestError", "null"},
        {"completions", "", "Bad Request", "body"},
        {"completions", "[]", "Bad Request", "body"},
        {"completions", "{", "Bad Request", "body.1"},
        {"completions", "{\"prompt\": \"a\tb\"}", "Bad Request", "body.13"},
        {"completions", "{\"prompt\": \"\\x\"}", "Bad Request", "body.12"},
        {"completions", "{\"prompt\": 01}", "Bad Request", "body.12"},
        {"completions", "{\"\xC3\xA9\": 1,}", "Bad Request", "body.8"},
        {"completions", "{\"\xC3\xA9\xC3\": 1}", "Bad Request", "body.3"},
        {"completions", "\xAB\xAB", "Bad Request", "body.0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].path, cases[i].text, 400, cases[i].type, cases[i].param);
    struct bytes deep;
    bytes_init(&deep);
    for (int i = 0; i < 70; i++)
        assert_int_equal(bytes_text(&deep, "["), OK);
    struct api_fault fault = {0};
    json_t *body;
    assert_false(api_body_parse(deep.data, deep.length, &body, &fault));
    assert_int_equal(fault.status, 400);
    bytes_fini(&deep);
    print_message("%d bad requests\n", n_refused);
    assert_true(n_refused >= 150);
}

static void good_requests_are_read_as_meant(void **state)
{
    (void)state;
    struct api_request request;
    struct api_fault fault = {0};
    read_one("completions",
             "{\"prompt\": [\"7\", 8], \"max_tokens\": \"3\", \"temperature\": true, \"seed\": -1, "
             "\"top_k\": 2147483648, \"stream\": \"yes\", \"logit_bias\": {\" 5 \": 1000}, "
             "\"stop\": [\"a\", \"b\"], \"model\": \"other-name\", \"unknown\": 1, "
             "\"request_id\": \"a\\r\\nb\"}",
             &fault, &request);
    assert_int_equal(fault.status, 0);
    assert_int_equal(request.n_prompts, 1);
    assert_int_equal(request.prompts[0].n_ids, 2);
    assert_int_equal(request.prompts[0].ids[0], 7);
    assert_int_equal(request.prompts[0].max_tokens, 3);
    assert_true(request.sampling.temperature == 1);
    assert_true(request.sampling.has_seed && request.sampling.seed == UINT64_MAX);
    assert_int_equal(request.sampling.top_k, INT32_MAX);
    assert_true(request.stream);
    assert_true(request.sampling.n_logit_bias == 1 && request.sampling.logit_bias[0].bias == 100);
    assert_int_equal(request.sampling.n_stop, 2);
    assert_string_equal(request.model, "demo"); // the first of its names
    assert_string_equal(request.id, "cmpl-ab"); // what could break a header is gone
    api_request_fini(&request);

    read_one("chat",
             "{\"messages\": [{\"role\": \"developer\", \"content\": [{\"type\": \"text\", "
             "\"text\": \"a\"}, \"b\"]}, {\"role\": \"user\"}], \"return_prompt_text\": true}",
             &fault, &request);
    assert_int_equal(fault.status, 0);
    assert_string_equal(request.prompts[0].text,
                        "<|begin_of_text|><|system|>\na\nb<|end|>\n<|user|>\n<|end|>\n"
                        "<|assistant|>\n");
    assert_int_equal(request.prompts[0].max_tokens, 512 - request.prompts[0].n_ids);
    api_request_fini(&request);
}

int main(void)
{
    if (!api_demo_open(&model, names, 2))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_another_type_are_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(prompts_and_messages_are_refused),
        cmocka_unit_test(good_requests_are_read_as_meant),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_model_close(&model);
    return failed;
}
