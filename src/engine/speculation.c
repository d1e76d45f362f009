#include "engine/speculation.h"

#include <string.h>

#include "base/json.h"

// ---- the option ----

enum { LOOKUP_DEFAULT = 5, LOOKUP_MAX = 1024 }; // vLLM's default

static const char where[] = "speculative_config";

static enum status read_count(const json_t *object, const char *key, int64_t least, int64_t most,
                              int32_t *out)
{
    int64_t value = *out;
    bool found;
    TRY(json_get_int(object, where, key, least, most, &value, &found));
    *out = (int32_t)value;
    return OK;
}

static enum status check_method(const json_t *object)
{
    const char *method = NULL, *model = NULL;
    bool found;
    TRY(json_get_text(object, where, "method", &method, &found));
    TRY(json_get_text(object, where, "model", &model, &found));
    if (!method && model && strcmp(model, "ngram") != 0 && strcmp(model, "[ngram]") != 0)
        return fail(ERR_USAGE,
                    "%s: model is \"%.80s\"; expected \"method\": \"ngram\": drafts come from the "
                    "text itself, not from a second model",
                    where, model);
    if (method && strcmp(method, "ngram") != 0)
        return fail(ERR_USAGE, "%s: method is \"%.80s\"; expected \"ngram\"", where, method);
    if (method || model)
        return OK;
    return fail(ERR_USAGE, "%s: key \"method\" is missing; expected \"ngram\"", where);
}

// A key that is misspelt would do nothing.
static enum status check_keys(json_t *object)
{
    static const char *const known[] = {"method",
                                        "model",
                                        "num_speculative_tokens",
                                        "prompt_lookup_min",
                                        "prompt_lookup_max",
                                        "disable_by_batch_size"};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        bool found = json_is_null(value);
        for (size_t i = 0; i < sizeof known / sizeof *known && !found; i++)
            found = strcmp(key, known[i]) == 0;
        if (!found)
            return fail(ERR_USAGE,
                        "%s: key \"%.60s\" is not known; expected method, num_speculative_tokens, "
                        "prompt_lookup_min, prompt_lookup_max or disable_by_batch_size",
                        where, key);
    }
    return OK;
}

static enum status read_draft_keys(json_t *object, struct speculation_config *out)
{
    TRY(check_keys(object));
    TRY(check_method(object));
    TRY(read_count(object, "num_speculative_tokens", 1, DRAFT_TOKENS_MAX, &out->n_tokens));
    if (out->n_tokens == 0)
        return fail(ERR_USAGE, "%s: key \"num_speculative_tokens\" is missing; expected 1 to %d",
                    where, DRAFT_TOKENS_MAX);
    TRY(read_count(object, "prompt_lookup_min", 1, LOOKUP_MAX, &out->lookup_min));
    TRY(read_count(object, "prompt_lookup_max", 1, LOOKUP_MAX, &out->lookup_max));
    TRY(read_count(object, "disable_by_batch_size", 1, INT32_MAX, &out->disable_by_batch_size));
    int32_t most = out->lookup_max ? out->lookup_max : out->lookup_min; // as vLLM fills them in
    out->lookup_max = most ? most : LOOKUP_DEFAULT;
    out->lookup_min = out->lookup_min ? out->lookup_min : out->lookup_max;
    if (out->lookup_min > out->lookup_max)
        return fail(ERR_USAGE, "%s: prompt_lookup_min is %d, more than prompt_lookup_max %d", where,
                    (int)out->lookup_min, (int)out->lookup_max);
    return OK;
}

enum status speculation_config_read(const char *json, struct speculation_config *out)
{
    *out = (struct speculation_config){0};
    if (!json || !*json)
        return OK;
    json_t *root;
    enum status status = json_parse(where, json, strlen(json), &root);
    if (status == OK) {
        status = json_is_object(root) ? read_draft_keys(root, out)
                                      : fail(ERR_USAGE,
                                             "%s is %s; expected an object like "
                                             "{\"method\": \"ngram\", "
                                             "\"num_speculative_tokens\": 4}",
                                             where, json_kind(root));
        json_decref(root);
    }
    return status == ERR_INPUT ? status_recode(ERR_USAGE) : status;
}

// ---- drafts ----

// How many tokens before `end` are those before `n`, `end` not counted: at most `most`.
static int32_t common_before(const int32_t *tokens, int32_t end, int32_t n, int32_t most)
{
    int32_t length = 0;
    most = most < end ? most : end;
    while (length < most && tokens[end - 1 - length] == tokens[n - 1 - length])
        length++;
    return length;
}

int32_t speculation_look_up(const struct speculation_config *config, const int32_t *tokens,
                            int32_t n, int32_t most, int32_t *out)
{
    int32_t best = 0, at = 0;
    for (int32_t end = n - 1; end >= config->lookup_min && best < config->lookup_max; end--) {
        if (tokens[end - 1] != tokens[n - 1])
            continue;
        int32_t length = common_before(tokens, end, n, config->lookup_max);
        if (length > best) {
            best = length;
            at = end;
        }
    }
    if (best < config->lookup_min)
        return 0;
    for (int32_t i = 0; i < most; i++) // behind the end, the draft repeats itself
        out[i] = at + i < n ? tokens[at + i] : out[at + i - n];
    return most > 0 ? most : 0;
}

enum { LONGEST_PAUSE = 32 };

int32_t draft_length(const struct speculation_config *config, struct draft_history *history)
{
    if (history->pause > 0) {
        history->pause--;
        return 0;
    }
    return history->length ? history->length : config->n_tokens;
}

void draft_judged(const struct speculation_config *config, struct draft_history *history,
                  int32_t n_drafted, int32_t n_accepted)
{
    if (n_accepted > 0)
        history->misses = 0;
    else if (1 << history->misses < LONGEST_PAUSE)
        history->misses++;
    history->pause = n_accepted > 0 ? 0 : (1 << history->misses) - 1;
    // one more than was right; a draft that was right to its end may have been too short
    int32_t length = n_accepted < n_drafted ? n_accepted + 1 : 2 * n_drafted;
    history->length = length < config->n_tokens ? length : config->n_tokens;
}

// ---- what they are worth ----

void speculation_init(struct speculation *s, const struct speculation_config *config)
{
    *s = (struct speculation){.config = *config, .accepted = 0.5};
}

void speculation_note_step(struct speculation *s, int32_t n_rows, double seconds)
{
    if (n_rows < 1 || n_rows > DRAFT_ROWS_MAX || seconds <= 0)
        return;
    double *known = &s->seconds[n_rows];
    // steps that something else held up say nothing; those that get longer with the context do
    double most = *known * 1.5;
    *known = *known <= 0 ? seconds : *known + ((seconds < most ? seconds : most) - *known) / 8;
}

void speculation_note_draft(struct speculation *s, int32_t n_drafted, int32_t n_accepted)
{
    s->n_drafts++;
    s->n_draft_tokens += (uint64_t)n_drafted;
    s->n_accepted += (uint64_t)n_accepted;
    for (int32_t i = 0; i < n_accepted && i < DRAFT_TOKENS_MAX; i++)
        s->n_accepted_at[i]++;
    s->accepted += ((double)n_accepted / n_drafted - s->accepted) / 32;
}

// What a step of so many rows takes, as far as is known: as long as the nearest smaller one, or as
// the nearest larger one; 0: nothing is known.
static double seconds_of(const struct speculation *s, int32_t n_rows)
{
    for (int32_t n = n_rows; n > 0; n--)
        if (s->seconds[n] > 0)
            return s->seconds[n];
    for (int32_t n = n_rows; n <= DRAFT_ROWS_MAX; n++)
        if (s->seconds[n] > 0)
            return s->seconds[n];
    return 0;
}

int32_t speculation_rows(const struct speculation *s, int32_t n_decoding)
{
    const struct speculation_config *config = &s->config;
    bool too_many = config->disable_by_batch_size && n_decoding >= config->disable_by_batch_size;
    if (config->n_tokens == 0 || n_decoding < 1 || n_decoding >= DRAFT_ROWS_MAX || too_many)
        return 0;
    int64_t most = (int64_t)n_decoding * config->n_tokens;
    if (most > DRAFT_ROWS_MAX - n_decoding)
        most = DRAFT_ROWS_MAX - n_decoding;
    double plain = seconds_of(s, n_decoding), seconds = plain, best = n_decoding;
    int32_t rows = 0;
    for (int32_t n = 1; n <= most; n++) {
        if (s->seconds[n_decoding + n] > 0)
            seconds = s->seconds[n_decoding + n];       // else as long as the nearest smaller one
        double steps = plain > 0 ? seconds / plain : 1; // in plain ones
        double tokens = (n_decoding + s->accepted * n) / steps;
        if (tokens > best) {
            best = tokens;
            rows = n;
        }
    }
    return rows;
}
