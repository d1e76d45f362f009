// The first byte says which endpoint, the rest is the body of a request: it is read, or refused
// with a whole sentence. What is read keeps its promises.
#include "fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "server/api_convert.h"
#include "server/api_lookup.h"

typedef bool reader(struct api_request *request, const struct api_model *model,
                    const char *given_id, struct api_fault *fault);
typedef bool looker(const struct api_model *model, const json_t *body, struct bytes *out,
                    struct api_fault *fault);

static const struct api_model *small_model(void)
{
    static struct api_model model;
    static const char *const names[] = {"demo"};
    static const struct colrow_info info = {
        .tensor_parallel_size = 1, .vocab_size = 1280, .max_model_len = 64, .dtype = "bfloat16"};
    if (!model.folder) {
        struct colrow_tokenizer *texts;
        int failed = colrow_tokenizer_open(MODEL_DIR, &texts);
        assert(failed == 0);
        (void)failed;
        enum status status = api_model_open(&model, MODEL_DIR, texts, &info, names, 1);
        assert(status == OK);
        (void)status;
    }
    return &model;
}

static void check_fault(const struct api_fault *fault)
{
    size_t at;
    assert(fault->status >= 400 && fault->status < 600 && fault->type && *fault->message);
    assert(utf8_check(fault->message, strlen(fault->message), &at));
    assert(utf8_check(fault->param, strlen(fault->param), &at));
}

static void check_request(const struct api_request *request, const struct api_model *model)
{
    const struct colrow_sampling *sampling = &request->sampling;
    assert(request->n_prompts >= 1 && sampling->n >= 1 && *request->id && *request->model);
    assert(sampling->temperature >= 0 && sampling->top_p > 0 && sampling->top_p <= 1);
    assert(request->top_logprobs >= 0 && request->top_logprobs <= model->max_logprobs);
    for (int i = 0; i < request->n_prompts; i++) {
        const struct api_prompt *prompt = &request->prompts[i];
        assert(prompt->n_ids >= 1 && prompt->max_tokens >= 1);
        assert(prompt->n_ids + prompt->max_tokens <= model->max_model_len + request->echo_alone);
        for (int k = 0; k < prompt->n_ids; k++)
            assert(prompt->ids[k] >= 0 && prompt->ids[k] < model->vocab_size);
    }
    for (const char *c = request->id; *c; c++)
        assert(*c > 0x20 && *c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static reader *const readers[] = {completion_request_read, chat_request_read,
                                      messages_request_read, responses_request_read};
    static const enum api_kind kinds[] = {API_COMPLETION, API_CHAT, API_MESSAGES, API_RESPONSES};
    static looker *const lookers[] = {tokenize_answer, detokenize_answer, count_tokens_answer};
    enum { N_READERS = 4, N_LOOKERS = 3 };
    const struct api_model *model = small_model();
    struct api_fault fault = {0};
    struct api_request request;
    struct bytes out;
    if (size == 0)
        return 0;
    unsigned which = data[0] % (N_READERS + N_LOOKERS);
    bytes_init(&out);
    api_request_init(&request, which < N_READERS ? kinds[which] : API_CHAT);
    bool good = api_body_parse((const char *)data + 1, size - 1, &request.body, &fault) &&
                (which < N_READERS ? readers[which](&request, model, NULL, &fault)
                                   : lookers[which - N_READERS](model, request.body, &out, &fault));
    assert(good == (fault.status == 0));
    if (!good)
        check_fault(&fault);
    else if (which < N_READERS)
        check_request(&request, model);
    api_request_fini(&request);
    bytes_fini(&out);
    return 0;
}
