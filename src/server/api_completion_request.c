// POST /v1/completions: what a request says.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/api_request.h"

static bool is_an_int(const json_t *value)
{
    struct api_fault unused = {0};
    int64_t number;
    return value_any_int(&unused, "", value, &number);
}

// The integers of a list; a negative one is refused where pydantic does.
static bool read_ids(const json_t *list, const char *path, struct arena *arena, int64_t **ids,
                     struct api_fault *fault)
{
    size_t n = json_array_size(list);
    if (!fault_of_status(fault, arena_take(arena, n, sizeof **ids, ids)))
        return false;
    for (size_t i = 0; i < n; i++) {
        char at[API_PARAM_MAX];
        snprintf(at, sizeof at, "%s.%zu", path, i);
        if (!value_any_int(fault, at, json_array_get(list, i), &(*ids)[i]))
            return false;
        if ((*ids)[i] < 0)
            return fault_in_body(fault, at, "%s is %lld; expected a token id", at,
                                 (long long)(*ids)[i]);
    }
    return true;
}

static bool prompt_of_list(struct api_request *request, struct api_prompt *prompt,
                           const json_t *list, const char *path, const struct api_model *model,
                           struct api_fault *fault)
{
    int64_t *ids;
    return read_ids(list, path, &request->arena, &ids, fault) &&
           prompt_of_ids(request, prompt, ids, json_array_size(list), model, fault);
}

static bool prompt_of_string(struct api_request *request, struct api_prompt *prompt,
                             const json_t *text, const struct api_model *model,
                             struct api_fault *fault)
{
    return prompt_of_text(request, prompt, json_string_value(text), json_string_length(text),
                          request->add_special_tokens, model, fault);
}

enum prompt_form { ONE_PROMPT, STRINGS, LISTS };

// A list is one prompt of token ids, unless all of it are strings or all of it are lists.
static bool form_of_list(const json_t *list, enum prompt_form *form, struct api_fault *fault)
{
    size_t n = json_array_size(list), n_strings = 0, n_lists = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        n_strings += json_is_string(item);
        n_lists += json_is_array(item);
    }
    *form = n_strings == n ? STRINGS : n_lists == n ? LISTS : ONE_PROMPT;
    for (size_t i = 0; *form == LISTS && i < n; i++)
        for (size_t j = 0; j < json_array_size(json_array_get(list, i)); j++)
            if (!is_an_int(json_array_get(json_array_get(list, i), j)))
                return fault_in_body(fault, "body.prompt.0",
                                     "prompt[%zu][%zu] is %s; expected a token id", i, j,
                                     json_show(json_array_get(json_array_get(list, i), j)));
    return true;
}

static bool read_prompt(struct api_request *request, const json_t *prompt,
                        const struct api_model *model, struct api_fault *fault)
{
    enum prompt_form form = ONE_PROMPT;
    if (!json_is_string(prompt) && !json_is_array(prompt))
        return fault_in_body(fault, "body.prompt",
                             "prompt is %s; expected a string, token ids, or a list of these",
                             json_show(prompt));
    if (json_is_array(prompt) && json_array_size(prompt) == 0)
        return fault_of_field(fault, NULL, "prompt is an empty list");
    if (json_is_array(prompt) && !form_of_list(prompt, &form, fault))
        return false;
    size_t n = form == ONE_PROMPT ? 1 : json_array_size(prompt);
    if (n > API_PROMPTS_MAX)
        return fault_of_field(fault, "prompt", "prompt has %zu prompts; expected %d at most", n,
                              API_PROMPTS_MAX);
    if (!fault_of_status(
            fault, arena_take(&request->arena, n, sizeof *request->prompts, &request->prompts)))
        return false;
    memset(request->prompts, 0, n * sizeof *request->prompts);
    request->n_prompts = (int)n;
    if (json_is_string(prompt))
        return prompt_of_string(request, &request->prompts[0], prompt, model, fault);
    if (form == ONE_PROMPT)
        return prompt_of_list(request, &request->prompts[0], prompt, "body.prompt", model, fault);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(prompt, i);
        char path[64];
        snprintf(path, sizeof path, "body.prompt.%zu", i);
        if (!(form == STRINGS
                  ? prompt_of_string(request, &request->prompts[i], item, model, fault)
                  : prompt_of_list(request, &request->prompts[i], item, path, model, fault)))
            return false;
    }
    return true;
}

static bool read_max_tokens(struct api_fields *fields, struct api_request *request,
                            const struct api_model *model)
{
    struct api_fault *fault = fields->fault;
    request->max_tokens = 16; // the OpenAI API's
    request->has_max_tokens = true;
    field_any_int(fields, "max_tokens", NULL_IS_ABSENT, &request->max_tokens);
    if (fault->status)
        return false;
    if (request->max_tokens > model->max_model_len)
        return fault_of_field(fault, "max_tokens",
                              "max_tokens is %lld; expected at most the context's %lld",
                              (long long)request->max_tokens, (long long)model->max_model_len);
    request->echo_alone = request->echo && request->max_tokens == 0;
    if (request->max_tokens < 1 && !request->echo_alone)
        return fault_of_field(fault, "max_tokens", "max_tokens is %lld; expected at least 1",
                              (long long)request->max_tokens);
    return true;
}

static bool read_prompt_first(const json_t *body, struct api_fault *fault)
{
    const json_t *prompt = json_object_get(body, "prompt");
    bool missing = !prompt || json_is_null(prompt) ||
                   (json_is_string(prompt) && json_string_length(prompt) == 0);
    return !missing || fault_of_field(fault, "prompt", "prompt is missing or empty");
}

bool completion_request_read(struct api_request *request, const struct api_model *model,
                             const char *given_id, struct api_fault *fault)
{
    struct api_fields fields = {request->body, "body", fault};
    const char *id = given_id, *suffix;
    if (!read_prompt_first(request->body, fault))
        return false;
    if (!id)
        field_string(&fields, "request_id", NULL_IS_ABSENT, &id, NULL);
    api_request_name(request, "cmpl-", id);
    if (field_string(&fields, "suffix", NULL_IS_ABSENT, &suffix, NULL))
        return fault_of_field(fault, "suffix", "suffix is not supported by this model");
    if (!sampling_read(&fields, request, model) ||
        !api_model_check(request->body, model, fault, &request->model) ||
        !read_max_tokens(&fields, request, model) || !sampling_check(request, model, fault))
        return false;
    // with log-probabilities, an echo has those of the prompt, too
    if (request->echo && request->want_logprobs && request->prompt_logprobs < 0)
        request->prompt_logprobs = request->top_logprobs;
    request->sampling.prompt_logits = request->prompt_logprobs >= 0;
    return read_prompt(request, json_object_get(request->body, "prompt"), model, fault);
}
