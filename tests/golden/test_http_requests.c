// The requests of ../shared/goldens/http, read without a server: whatever vLLM 0.32 refuses is
// refused here with the same status, type, param and code, and whatever it takes is taken. What
// differs on purpose is in the table, and in docs/compatibility.md.
#include "testing.h"

#include <jansson.h>

#include "api_demo.h"
#include "base/json.h"
#include "server/api_lookup.h"
#include "server/api_request.h"

static const char *const names[] = {"demo"};
static struct api_model model;

// Beginnings of names of cases in which colrow decides otherwise.
static const char *const otherwise[] = {
    // not supported yet: refused, where vLLM goes on
    "completions.beam-search",
    "chat.beam-search",
    "completions.structured-",
    "chat.structured-",
    "completions.response_format-json_object",
    "chat.response_format-json_",
    "completions.bad_words",
    "completions.allowed_token_ids",
    "completions.logprob_token_ids",
    // half of a surrogate pair is read as U+FFFD; a byte that is no UTF-8 cannot stand in this test
    "http.body-lone-surrogate",
    "http.body-invalid-utf8",
    // one key for what is wrong with a grammar: none is read
    "chat.response_format-",
};

static int is_otherwise(const char *name)
{
    for (size_t i = 0; i < sizeof otherwise / sizeof *otherwise; i++)
        if (strncmp(name, otherwise[i], strlen(otherwise[i])) == 0)
            return 1;
    return 0;
}

static void answer(const char *path, json_t *body, const char *id, struct api_fault *fault)
{
    struct bytes out;
    bytes_init(&out);
    if (strcmp(path, "/tokenize") == 0 || strcmp(path, "/detokenize") == 0) {
        (path[1] == 't' ? tokenize_answer : detokenize_answer)(&model, body, &out, fault);
        json_decref(body);
    } else {
        int is_chat = strcmp(path, "/v1/chat/completions") == 0;
        struct api_request request;
        api_request_init(&request, is_chat ? API_CHAT : API_COMPLETION);
        request.body = body;
        (is_chat ? chat_request_read : completion_request_read)(&request, &model, id, fault);
        api_request_fini(&request);
    }
    bytes_fini(&out);
}

static int is_ours(const char *path)
{
    return strcmp(path, "/v1/completions") == 0 || strcmp(path, "/v1/chat/completions") == 0 ||
           strcmp(path, "/tokenize") == 0 || strcmp(path, "/detokenize") == 0;
}

static int same_text(const json_t *value, const char *text)
{
    const char *other = json_string_value(value);
    return text ? other && strcmp(text, other) == 0 : !other;
}

static int check_case(const json_t *one)
{
    const char *name = json_string_value(json_object_get(one, "name"));
    const json_t *want = json_object_get(one, "answer");
    json_t *body = json_object_get(one, "body");
    const char *text = json_string_value(json_object_get(one, "body_text"));
    struct api_fault fault = {0};
    char *dumped = body ? json_dumps(body, JSON_ENCODE_ANY) : NULL;
    json_t *parsed;
    if (!dumped && !text)
        return 0;
    // what json_dumps() cannot write came as a text
    const char *bytes = dumped ? dumped : text;
    if (api_body_parse(bytes, strlen(bytes), &parsed, &fault))
        answer(json_string_value(json_object_get(one, "path")), parsed, NULL, &fault);
    free(dumped);
    int status = fault.status ? fault.status : 200;
    const json_t *error = json_object_get(json_object_get(want, "body"), "error");
    int same = status == (int)json_integer_value(json_object_get(want, "status"));
    if (same && status != 200 && json_is_object(error))
        same = same_text(json_object_get(error, "type"), fault.type) &&
               same_text(json_object_get(error, "param"), fault.has_param ? fault.param : NULL);
    if (same || is_otherwise(name))
        return 0;
    print_message("%s: got %d %s %s (%s)\n  expected %s\n", name, status,
                  fault.type ? fault.type : "", fault.has_param ? fault.param : "null",
                  fault.message, error ? json_dumps(error, 0) : "200");
    return 1;
}

static void requests_are_judged_as_vllm_does(void **state)
{
    (void)state;
    json_t *cases;
    int n = 0, n_bad = 0;
    size_t i;
    json_t *one;
    if (!have_shared())
        skip();
    assert_int_equal(json_file(SHARED_DIR "/goldens/http/vllm-0.32.json", 64 << 20, &cases), OK);
    json_array_foreach(cases, i, one)
    {
        const char *server = json_string_value(json_object_get(one, "server"));
        const char *method = json_string_value(json_object_get(one, "method"));
        const char *name = json_string_value(json_object_get(one, "name"));
        if (strcmp(server, "default") != 0 || strcmp(method, "POST") != 0 ||
            strncmp(name, "http.content-type", 17) == 0 ||
            !is_ours(json_string_value(json_object_get(one, "path"))))
            continue;
        n++;
        n_bad += check_case(one);
    }
    print_message("%d requests, %d judged otherwise\n", n, n_bad);
    json_decref(cases);
    assert_true(n > 700);
    assert_int_equal(n_bad, 0);
}

int main(void)
{
    if (!api_demo_open(&model, names, 1))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_judged_as_vllm_does),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_model_close(&model);
    return failed;
}
