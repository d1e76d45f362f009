// The fields that completions and chats share: vLLM's SamplingParams and what surrounds them.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/api_request.h"

bool api_model_check(const json_t *body, const struct api_model *model, struct api_fault *fault,
                     const char **name)
{
    const char *wanted = NULL;
    struct api_fields fields = {body, "body", fault};
    *name = model->names[0];
    if (!field_string(&fields, "model", NULL_IS_ABSENT, &wanted, NULL) || !*wanted)
        return fault->status == 0;
    for (int i = 0; i < model->n_names; i++)
        if (strcmp(wanted, model->names[i]) == 0)
            return true;
    if (model->alias && strcmp(wanted, model->alias) == 0) {
        *name = model->alias;
        return true;
    }
    // what looks like a path of somebody's machine is not repeated
    return fault_with(fault, 404, "NotFoundError", "model",
                      "the model `%.200s` does not exist; this server has `%s` (GET /v1/models)",
                      strchr(wanted, '/') ? "<path>" : wanted, model->names[0]);
}

// A number of log-probabilities. vLLM looks at these before their form, so that most mistakes name
// the field alone.
static bool read_logprobs(struct api_fields *fields, const char *key, int64_t *out)
{
    struct api_fault *fault = fields->fault;
    char path[API_PARAM_MAX];
    const json_t *value = json_object_get(fields->object, key);
    if (!value || json_is_null(value) || fault->status)
        return false;
    if (!json_is_number(value) && !json_is_boolean(value))
        return fault_of_field(fault, key, "%s is %s; expected an integer", key, json_show(value));
    if (json_is_real(value) && json_number(value) < -1)
        return fault_of_field(fault, key, "%s is %s; expected 0 to 20, or -1 for all tokens", key,
                              json_show(value));
    snprintf(path, sizeof path, "%s.%s", fields->path, key);
    if (!value_any_int(fault, path, value, out))
        return false;
    if (*out < -1)
        return fault_of_field(fault, key, "%s is %lld; expected 0 to 20, or -1 for all tokens", key,
                              (long long)*out);
    return true;
}

static bool check_logprobs(struct api_fault *fault, const char *param, int64_t wanted,
                           const struct api_model *model)
{
    if (wanted < 0)
        wanted = model->vocab_size;
    if (wanted <= model->max_logprobs)
        return true;
    return fault_of_field(fault, param,
                          "%s asks for %lld log-probabilities of each token; this server gives %d "
                          "at most (--max-logprobs)",
                          param, (long long)wanted, model->max_logprobs);
}

static bool read_all_logprobs(struct api_fields *fields, struct api_request *request,
                              const struct api_model *model)
{
    struct api_fault *fault = fields->fault;
    int64_t n = -1;
    if (request->kind == API_COMPLETION) {
        if (read_logprobs(fields, "logprobs", &n)) {
            request->want_logprobs = true;
            check_logprobs(fault, "logprobs", n, model);
        }
    } else {
        bool given = read_logprobs(fields, "top_logprobs", &n);
        field_bool(fields, "logprobs", NULL_IS_ABSENT, &request->want_logprobs);
        if (given && n != 0 && !request->want_logprobs)
            fault_of_field(fault, "top_logprobs",
                           "top_logprobs is %lld, but logprobs is not true; set logprobs to true",
                           (long long)n);
        if (given)
            check_logprobs(fault, "logprobs", n, model);
    }
    if (fault->status)
        return false;
    request->top_logprobs = request->want_logprobs && n > 0 ? (int)n : 0;
    if (!read_logprobs(fields, "prompt_logprobs", &n))
        return fault->status == 0;
    if (!model->prompt_logprobs)
        return fault_of_field(fault, "prompt_logprobs",
                              "prompt_logprobs need a server without --no-prompt-logprobs");
    if (n != 0 && request->stream)
        return fault_of_field(fault, "prompt_logprobs",
                              "prompt_logprobs come with whole answers only; set stream to false");
    if (!check_logprobs(fault, "prompt_logprobs", n, model))
        return false;
    request->prompt_logprobs = request->stream ? -1 : (int)n;
    return true;
}

static bool read_stop(struct api_fields *fields, struct api_request *request)
{
    struct api_fault *fault = fields->fault;
    struct colrow_sampling *sampling = &request->sampling;
    const json_t *value = json_object_get(fields->object, "stop");
    if (!value || json_is_null(value) || fault->status)
        return true;
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    const char **stops;
    size_t *lengths;
    size_t most = request->kind == API_MESSAGES ? API_STOP_SEQUENCES_MAX : API_STOPS_MAX;
    if (n > most)
        return fault_in_body(fault, "body.stop", "stop has %zu strings; expected %zu at most", n,
                             most);
    if (!fault_of_status(fault, arena_take(&request->arena, n, sizeof *stops, &stops)) ||
        !fault_of_status(fault, arena_take(&request->arena, n, sizeof *lengths, &lengths)))
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(item))
            return fault_in_body(fault, "body.stop",
                                 "stop is %s; expected a string or a list of strings",
                                 json_show(item));
        stops[i] = json_string_value(item);
        lengths[i] = json_string_length(item);
        if (lengths[i] == 0)
            return fault_of_field(fault, NULL, "stop holds an empty string, which ends every text");
    }
    sampling->stop = stops;
    sampling->stop_lengths = lengths;
    sampling->n_stop = (int)n;
    return true;
}

static bool in_vocabulary(int64_t id, const struct api_model *model)
{
    return id >= 0 && id < model->vocab_size;
}

static bool read_stop_ids(struct api_fields *fields, struct api_request *request,
                          const struct api_model *model)
{
    struct api_fault *fault = fields->fault;
    const json_t *list;
    int32_t *ids;
    if (!field_list(fields, "stop_token_ids", NULL_IS_ABSENT, &list))
        return fault->status == 0;
    size_t n = json_array_size(list);
    if (n > API_STOP_IDS_MAX)
        return fault_of_field(fault, "stop_token_ids",
                              "stop_token_ids has %zu ids; expected %d at most", n,
                              API_STOP_IDS_MAX);
    if (!fault_of_status(fault, arena_take(&request->arena, n, sizeof *ids, &ids)))
        return false;
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        char path[API_PARAM_MAX];
        snprintf(path, sizeof path, "body.stop_token_ids.%zu", i);
        if (!value_any_int(fault, path, json_array_get(list, i), &id))
            return false;
        if (!in_vocabulary(id, model))
            return fault_of_field(fault, "stop_token_ids",
                                  "stop_token_ids holds %lld; expected token ids from 0 to %d",
                                  (long long)id, (int)model->vocab_size - 1);
        ids[i] = (int32_t)id;
    }
    request->sampling.stop_token_ids = ids;
    request->sampling.n_stop_token_ids = (int)n;
    return true;
}

static bool id_of_key(const char *key, int64_t *out)
{
    char *end;
    const char *text = key + strspn(key, " \t\r\n");
    if (!*text)
        return false;
    *out = strtoll(text, &end, 10);
    return end != text && end[strspn(end, " \t\r\n")] == 0;
}

static bool read_bias(struct api_fields *fields, struct api_request *request,
                      const struct api_model *model)
{
    struct api_fault *fault = fields->fault;
    const json_t *object;
    struct colrow_token_bias *bias;
    if (!field_object(fields, "logit_bias", NULL_IS_ABSENT, &object))
        return fault->status == 0;
    size_t n = 0, size = json_object_size(object);
    if (!fault_of_status(fault, arena_take(&request->arena, size, sizeof *bias, &bias)))
        return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        double number;
        int64_t id;
        char path[API_PARAM_MAX];
        snprintf(path, sizeof path, "body.logit_bias.%.100s", key);
        if (!value_number(fault, path, value, &number))
            return false;
        if (!id_of_key(key, &id) || !in_vocabulary(id, model))
            return fault_of_field(fault, "logit_bias",
                                  "logit_bias has the key \"%.100s\"; expected token ids from 0 to "
                                  "%d",
                                  key, (int)model->vocab_size - 1);
        if (isnan(number))
            return fault_of_field(fault, "logit_bias", "logit_bias of token %lld is not a number",
                                  (long long)id);
        bias[n++] = (struct colrow_token_bias){
            .id = (int32_t)id,
            .bias = (float)fmin(100, fmax(-100, number)),
        };
    }
    request->sampling.logit_bias = bias;
    request->sampling.n_logit_bias = (int)n;
    return true;
}

static void read_numbers(struct api_fields *fields, struct api_request *request)
{
    struct colrow_sampling *sampling = &request->sampling;
    int64_t seed;
    field_number(fields, "temperature", NULL_IS_ABSENT, &sampling->temperature);
    field_number(fields, "top_p", NULL_IS_ABSENT, &sampling->top_p);
    field_number(fields, "min_p", NULL_IS_ABSENT, &sampling->min_p);
    field_number(fields, "repetition_penalty", NULL_IS_ABSENT, &sampling->repetition_penalty);
    field_number(fields, "presence_penalty", NULL_IS_ABSENT, &sampling->presence_penalty);
    field_number(fields, "frequency_penalty", NULL_IS_ABSENT, &sampling->frequency_penalty);
    field_any_int(fields, "top_k", NULL_IS_ABSENT, &request->top_k);
    field_any_int(fields, "n", request->kind == API_COMPLETION ? NULL_REFUSED : NULL_IS_ABSENT,
                  &request->n);
    field_any_int(fields, "min_tokens", NULL_REFUSED, &request->min_tokens);
    if (field_int(fields, "seed", NULL_IS_ABSENT, INT64_MIN, INT64_MAX, &seed)) {
        sampling->seed = (uint64_t)seed;
        sampling->has_seed = 1;
    }
    field_int(fields, "priority", NULL_REFUSED, INT64_MIN, INT64_MAX, &request->priority);
    field_int(fields, "stream_interval", NULL_IS_ABSENT, 1, INT64_MAX, &request->stream_interval);
    field_int(fields, "truncate_prompt_tokens", NULL_IS_ABSENT, -1, INT64_MAX,
              &request->truncate_prompt_tokens);
    double unused;
    field_number(fields, "length_penalty", NULL_REFUSED, &unused);
}

static void read_switches(struct api_fields *fields, struct api_request *request)
{
    static const char *const sides[] = {"left", "right", NULL};
    struct colrow_sampling *sampling = &request->sampling;
    const char *side = "left", *text;
    bool ignore_eos = false, include_stop = false, skip = true, unused;
    field_bool(fields, "ignore_eos", NULL_REFUSED, &ignore_eos);
    field_bool(fields, "include_stop_str_in_output", NULL_REFUSED, &include_stop);
    field_bool(fields, "skip_special_tokens", NULL_REFUSED, &skip);
    field_bool(fields, "spaces_between_special_tokens", NULL_REFUSED, &unused);
    field_bool(fields, "add_special_tokens", NULL_REFUSED, &request->add_special_tokens);
    field_bool(fields, "echo", NULL_IS_ABSENT, &request->echo);
    field_bool(fields, "return_token_ids", NULL_IS_ABSENT, &request->return_token_ids);
    field_bool(fields, "return_prompt_text", NULL_IS_ABSENT, &request->return_prompt_text);
    field_bool(fields, "return_tokens_as_token_ids", NULL_IS_ABSENT, &request->tokens_as_token_ids);
    field_word(fields, "truncation_side", NULL_IS_ABSENT, sides, &side);
    field_string(fields, "user", NULL_IS_ABSENT, &text, NULL);
    sampling->ignore_eos = ignore_eos;
    sampling->include_stop_str_in_output = include_stop;
    sampling->skip_special_tokens = skip;
    request->truncate_right = strcmp(side, "right") == 0;
}

static bool is_given(const struct api_fields *fields, const char *key)
{
    const json_t *value = json_object_get(fields->object, key);
    return value && !json_is_null(value) && !json_is_false(value);
}

static bool read_stream(struct api_fields *fields, struct api_request *request)
{
    const json_t *options = json_object_get(fields->object, "stream_options");
    bool empty = json_is_object(options) && json_object_size(options) == 0;
    field_bool(fields, "stream", NULL_IS_ABSENT, &request->stream);
    if (is_given(fields, "stream_options") && !empty && !request->stream)
        fault_of_field(fields->fault, "stream_options",
                       "stream_options is given, but stream is not true");
    if (!field_object(fields, "stream_options", NULL_IS_ABSENT, &options))
        return fields->fault->status == 0;
    struct api_fields inner = {options, "body.stream_options", fields->fault};
    field_bool(&inner, "include_usage", NULL_IS_ABSENT, &request->include_usage);
    field_bool(&inner, "continuous_usage_stats", NULL_IS_ABSENT, &request->continuous_usage);
    request->continuous_usage = request->continuous_usage && request->include_usage;
    return fields->fault->status == 0;
}

// {"type": "text"} is what happens anyway; a grammar has no sampler yet.
static bool read_format(struct api_fields *fields)
{
    static const char *const types[] = {"text", "json_object", "json_schema", "structural_tag",
                                        NULL};
    struct api_fault *fault = fields->fault;
    const json_t *format, *schema = NULL;
    const char *type = NULL, *name;
    if (!field_object(fields, "response_format", NULL_IS_ABSENT, &format))
        return fault->status == 0;
    struct api_fields inner = {format, "body.response_format", fault};
    if (!field_word(&inner, "type", NULL_REFUSED, types, &type) && !fault->status)
        fault_in_body(fault, "body.response_format.type", "response_format has no type");
    if (fault->status || strcmp(type, "text") == 0)
        return fault->status == 0;
    if (strcmp(type, "json_schema") == 0 &&
        field_object(&inner, "json_schema", NULL_IS_ABSENT, &schema)) {
        struct api_fields of_schema = {schema, "body.response_format.json_schema", fault};
        if (!field_string(&of_schema, "name", NULL_REFUSED, &name, NULL))
            fault_in_body(fault, "body.response_format.json_schema.name",
                          "response_format.json_schema has no name");
    }
    return fault_of_field(fault, "response_format",
                          "response_format of type %s is not supported by this version of colrow; "
                          "only text is",
                          type);
}

// Known to vLLM, unknown to colrow: refused, because an answer that disregards them is wrong.
static bool refuse_unsupported(struct api_fields *fields, struct api_request *request,
                               const struct api_model *model)
{
    static const char *const names[] = {"structured_outputs", "logprob_token_ids"};
    struct api_fault *fault = fields->fault;
    const json_t *list;
    if (is_given(fields, "use_beam_search") && !fault->status)
        return fault_of_field(fault, request->stream ? NULL : "use_beam_search",
                              "beam search is not supported by this version of colrow");
    if (field_list(fields, "allowed_token_ids", NULL_IS_ABSENT, &list)) {
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *item = json_array_get(list, i);
            if (json_is_integer(item) && !in_vocabulary(json_integer_value(item), model))
                return fault_of_field(fault, "allowed_token_ids",
                                      "allowed_token_ids holds %s; expected ids from 0 to %d",
                                      json_show(item), (int)model->vocab_size - 1);
        }
        return fault_of_field(fault, "allowed_token_ids",
                              json_array_size(list) == 0
                                  ? "allowed_token_ids is empty: no token may follow"
                                  : "allowed_token_ids are not supported by this version of "
                                    "colrow; logit_bias can forbid tokens");
    }
    if (field_list(fields, "bad_words", NULL_IS_ABSENT, &list) && json_array_size(list) > 0) {
        for (size_t i = 0; i < json_array_size(list); i++)
            if (json_string_length(json_array_get(list, i)) == 0)
                return fault_of_field(fault, NULL, "bad_words holds an empty string");
        return fault_of_field(fault, "bad_words",
                              "bad_words are not supported by this version of colrow; logit_bias "
                              "can forbid tokens");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_given(fields, names[i]) && !fault->status)
            return fault_of_field(fault, names[i], "%s is not supported by this version of colrow",
                                  names[i]);
    return fault->status == 0;
}

static bool read_cache_salt(struct api_fields *fields, struct api_request *request)
{
    const char *salt;
    size_t length;
    if (!field_string(fields, "cache_salt", NULL_IS_ABSENT, &salt, &length))
        return fields->fault->status == 0;
    if (length > 0 && length <= 128 && strlen(salt) == length && !strpbrk(salt, "@/\\")) {
        request->cache_salt = salt;
        return true;
    }
    return fault_of_field(fields->fault, "cache_salt",
                          "cache_salt has %zu bytes; expected 1 to 128, without @, /, \\ and NUL",
                          length);
}

bool sampling_read(struct api_fields *fields, struct api_request *request,
                   const struct api_model *model)
{
    request->sampling = model->defaults;
    request->top_k = model->defaults.top_k;
    read_stream(fields, request);
    if (!fields->fault->status)
        read_all_logprobs(fields, request, model);
    read_numbers(fields, request);
    read_switches(fields, request);
    if (fields->fault->status)
        return false;
    return read_stop(fields, request) && read_stop_ids(fields, request, model) &&
           read_bias(fields, request, model) && read_format(fields) &&
           refuse_unsupported(fields, request, model) && read_cache_salt(fields, request);
}

static bool check_ranges(const struct colrow_sampling *s, struct api_fault *fault)
{
    if (!isfinite(s->temperature) || s->temperature < 0 || s->temperature > 2)
        return fault_of_field(fault, "temperature", "temperature is %g; expected 0 to 2",
                              s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return fault_of_field(fault, "top_p", "top_p is %g; expected more than 0 and at most 1",
                              s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return fault_of_field(fault, NULL, "min_p is %g; expected 0 to 1", s->min_p);
    if (!(s->presence_penalty >= -2 && s->presence_penalty <= 2))
        return fault_of_field(fault, NULL, "presence_penalty is %g; expected -2 to 2",
                              s->presence_penalty);
    if (!(s->frequency_penalty >= -2 && s->frequency_penalty <= 2))
        return fault_of_field(fault, NULL, "frequency_penalty is %g; expected -2 to 2",
                              s->frequency_penalty);
    if (!isfinite(s->repetition_penalty) || s->repetition_penalty <= 0)
        return fault_of_field(fault, NULL, "repetition_penalty is %g; expected more than 0",
                              s->repetition_penalty);
    return true;
}

bool sampling_check(struct api_request *request, const struct api_model *model,
                    struct api_fault *fault)
{
    struct colrow_sampling *sampling = &request->sampling;
    (void)model;
    if (!check_ranges(sampling, fault))
        return false;
    if (request->top_k < -1)
        return fault_of_field(fault, NULL, "top_k is %lld; expected at least 1, or 0 for all",
                              (long long)request->top_k);
    if (request->n < 1 || request->n > API_SEQUENCES_MAX)
        return fault_of_field(fault, NULL, "n is %lld; expected 1 to %d", (long long)request->n,
                              API_SEQUENCES_MAX);
    if (request->n > 1 && sampling->temperature == 0)
        return fault_of_field(fault, NULL,
                              "n is %lld, but temperature is 0: all answers would be the same",
                              (long long)request->n);
    if (request->min_tokens < 0)
        return fault_of_field(fault, NULL, "min_tokens is %lld; expected at least 0",
                              (long long)request->min_tokens);
    sampling->top_k = request->top_k > INT32_MAX ? INT32_MAX : (int)request->top_k;
    if (sampling->top_k < 0)
        sampling->top_k = 0;
    sampling->n = (int)request->n;
    sampling->logprobs = request->want_logprobs ? request->top_logprobs : -1;
    sampling->prompt_logits = request->prompt_logprobs >= 0;
    return true;
}
