// Prompts: tokenized, cut as asked for, and refused where they leave no room.
#include <stdlib.h>
#include <string.h>

#include "server/api_request.h"

static bool keep_prompt_text(struct api_request *request, struct api_prompt *prompt,
                             const char *text, size_t length, struct api_fault *fault)
{
    if (!request->echo && !request->return_prompt_text)
        return true;
    if (!fault_of_status(fault, memory_new(length + 1, 1, "a prompt's text", &prompt->text)))
        return false;
    memcpy(prompt->text, text, length);
    prompt->text_length = length;
    return true;
}

static bool too_long(const struct api_model *model, struct api_fault *fault, int n)
{
    return fault_of_field(fault, "input_tokens",
                          "the prompt has %d tokens, but the context holds %lld, of which one is "
                          "for the answer; shorten the prompt",
                          n, (long long)model->max_model_len);
}

static bool cut_prompt(struct api_request *request, struct api_prompt *prompt,
                       const struct api_model *model, struct api_fault *fault)
{
    int64_t most = request->truncate_prompt_tokens;
    if (most == INT64_MIN)
        return true;
    if (most > model->max_model_len)
        return fault_of_field(fault, "truncate_prompt_tokens",
                              "truncate_prompt_tokens is %lld; expected at most the context's %lld",
                              (long long)most, (long long)model->max_model_len);
    if (most < 0) // what the context leaves beside the answer
        most = model->max_model_len - (request->has_max_tokens ? request->max_tokens : 1);
    if (most < 0)
        most = 0;
    if (prompt->n_ids <= most)
        return true;
    if (!request->truncate_right)
        memmove(prompt->ids, prompt->ids + prompt->n_ids - most,
                (size_t)most * sizeof *prompt->ids);
    prompt->n_ids = (int)most;
    return true;
}

// Cuts it as asked for, and refuses what leaves no room.
static bool prompt_fit(struct api_request *request, struct api_prompt *prompt,
                       const struct api_model *model, struct api_fault *fault)
{
    if (!cut_prompt(request, prompt, model, fault))
        return false;
    if (prompt->n_ids == 0)
        return fault_of_field(fault, NULL, "the prompt has no tokens");
    if (prompt->n_ids > model->max_model_len)
        return too_long(model, fault, prompt->n_ids);
    int64_t room = model->max_model_len - prompt->n_ids, most = room;
    if (request->echo_alone)
        most = 1; // the engine always draws one; it is not shown
    else if (request->has_max_tokens && request->max_tokens < room)
        most = request->max_tokens;
    if (most < 1)
        return fault_of_field(fault, "max_tokens",
                              request->has_max_tokens && request->max_tokens < 1
                                  ? "max_tokens is %lld; expected at least 1"
                                  : "the prompt fills the context of %lld tokens: there is no room "
                                    "for an answer",
                              (long long)(request->has_max_tokens && request->max_tokens < 1
                                              ? request->max_tokens
                                              : model->max_model_len));
    if (request->min_tokens > most)
        return fault_of_field(fault, NULL,
                              "min_tokens is %lld; expected at most max_tokens, which is %lld here",
                              (long long)request->min_tokens, (long long)most);
    prompt->max_tokens = (int)most;
    return true;
}

bool prompt_of_text(struct api_request *request, struct api_prompt *prompt, const char *text,
                    size_t length, bool add_special_tokens, const struct api_model *model,
                    struct api_fault *fault)
{
    size_t n_characters = 0;
    for (size_t i = 0; i < length; i++)
        n_characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    // cheaper than to tokenize megabytes for nothing
    size_t most = (size_t)model->max_model_len * (size_t)model->token_chars_max;
    if (n_characters > most && request->truncate_prompt_tokens == INT64_MIN)
        return fault_of_field(fault, "input_text",
                              "the prompt has %zu characters; the context holds %lld tokens, which "
                              "is %zu characters at most",
                              n_characters, (long long)model->max_model_len, most);
    struct token_list tokens;
    if (!fault_of_status(fault, api_encode(model, text, length, add_special_tokens, &tokens)))
        return false;
    prompt->ids = tokens.ids;
    prompt->n_ids = tokens.n;
    return keep_prompt_text(request, prompt, text, length, fault) &&
           prompt_fit(request, prompt, model, fault);
}

bool prompt_of_ids(struct api_request *request, struct api_prompt *prompt, const int64_t *ids,
                   size_t n, const struct api_model *model, struct api_fault *fault)
{
    if (n == 0)
        return fault_of_field(fault, NULL, "the prompt has no tokens");
    if (!fault_of_status(fault, memory_new(n, sizeof *prompt->ids, "token ids", &prompt->ids)))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= model->vocab_size)
            return fault_of_field(fault, NULL,
                                  "the prompt holds the token id %lld; expected 0 to %d",
                                  (long long)ids[i], (int)model->vocab_size - 1);
        prompt->ids[i] = (int32_t)ids[i];
    }
    prompt->n_ids = (int)n;
    if (request->echo) {
        struct bytes text;
        bytes_init(&text);
        bool good =
            fault_of_status(fault, api_decode(model, prompt->ids, prompt->n_ids, false, &text)) &&
            keep_prompt_text(request, prompt, text.length ? text.data : "", text.length, fault);
        bytes_fini(&text);
        if (!good)
            return false;
    }
    return prompt_fit(request, prompt, model, fault);
}
