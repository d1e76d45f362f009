// Source: Transformers 5.24, generation/configuration_utils.py and logits_process.py; vLLM 0.32's
// --generation-config auto.
#include "hf/generation_config.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum { GENERATION_CONFIG_BYTES_MAX = 1 << 20, TOKENS_MAX = INT32_MAX };

// ---- token ids ----

// A token id, also as 2.0. Ids that no token has (-1, one beyond an embedding that was not resized)
// never come up: they are left out, and that is said.
static enum status read_id(const char *name, const char *key, const json_t *value,
                           int32_t vocab_size, int32_t *out)
{
    double number = json_is_number(value) ? json_number(value) : (double)NAN;
    assert(value && vocab_size > 0);
    *out = -1;
    if (!(number == floor(number)) || isinf(number)) // not for NaN
        return fail(ERR_INPUT, "%s: key \"%s\" is %s; expected token ids from 0 to %d", name, key,
                    json_show(value), (int)vocab_size - 1);
    if (number >= 0 && number < vocab_size)
        *out = (int32_t)number;
    else
        log_info("%s: key \"%s\" is %s and ignored: token ids go from 0 to %d", name, key,
                 json_show(value), (int)vocab_size - 1);
    return OK;
}

static enum status add_eos(const char *name, const json_t *value, int32_t vocab_size,
                           struct generation_config *out)
{
    int32_t id;
    TRY(read_id(name, "eos_token_id", value, vocab_size, &id));
    if (id < 0)
        return OK;
    if (out->n_eos_token_ids == EOS_TOKENS_MAX)
        return fail(ERR_INPUT,
                    "%s: key \"eos_token_id\" has more than %d ids; expected at most so many", name,
                    EOS_TOKENS_MAX);
    out->eos_token_ids[out->n_eos_token_ids++] = id;
    return OK;
}

// One id or a list of them.
static enum status read_eos(const char *name, const json_t *root, int32_t vocab_size,
                            struct generation_config *out)
{
    const json_t *value = json_object_get(root, "eos_token_id");
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_array(value))
        return add_eos(name, value, vocab_size, out);
    for (size_t i = 0; i < json_array_size(value); i++)
        TRY(add_eos(name, json_array_get(value, i), vocab_size, out));
    return OK;
}

// End ids that cannot be read stop only the requests that would end at them.
static void take_eos(const char *name, const json_t *root, int32_t vocab_size,
                     struct generation_config *out)
{
    assert(out->n_eos_token_ids == 0);
    if (read_eos(name, root, vocab_size, out) == OK)
        return;
    snprintf(out->eos_fault, sizeof out->eos_fault, "%s", status_message());
    log_warning("%s: requests need ignore_eos", out->eos_fault);
    status_clear();
    out->n_eos_token_ids = 0;
}

// Shown, and not used: prompts begin as the tokenizer says.
static void read_bos(const char *name, const json_t *root, int32_t vocab_size,
                     struct generation_config *out)
{
    const json_t *value = json_object_get(root, "bos_token_id");
    if (!value || json_is_null(value) ||
        read_id(name, "bos_token_id", value, vocab_size, &out->bos_token_id) == OK)
        return;
    log_info("%s: ignored, for the tokenizer says how prompts begin", status_message());
    status_clear();
}

// ---- sampling ----

// A number of the file. One that makes no sense is kept as it is (what is no number, as NaN):
// requests that use it are refused, and those that bring their own are not.
struct setting {
    const char *key, *expected;
    double least, most;
    bool above_least, whole, greedy_too;
};

static bool makes_sense(const struct setting *setting, double value)
{
    bool least = setting->above_least ? value > setting->least : value >= setting->least;
    return least && value <= setting->most && (!setting->whole || value == floor(value));
}

static void read_setting(const char *name, const json_t *root, const struct setting *setting,
                         bool sampled, double *out, bool *found)
{
    const json_t *value = json_object_get(root, setting->key);
    assert(setting->least < setting->most && makes_sense(setting, *out));
    *found = value && !json_is_null(value);
    if (!*found)
        return;
    *out = json_is_number(value) ? json_number(value) : (double)NAN;
    if (makes_sense(setting, *out))
        return;
    bool used = sampled || setting->greedy_too;
    log_warning("%s: key \"%s\" is %s; expected %s%s", name, setting->key, json_show(value),
                setting->expected,
                used ? ": requests need one of their own"
                     : ": ignored, for nothing is drawn without \"do_sample\": true");
    *found = used;
}

static enum status read_sampling(const char *name, const json_t *root,
                                 struct generation_config *out)
{
    static const struct setting
        temperature = {"temperature", "a number from 0", 0, 1e6, false, false, false},
        top_p = {"top_p", "a number from 0 to 1", 0, 1, false, false, false},
        top_k = {"top_k", "a whole number from -1", -1, INT32_MAX, false, true, false},
        min_p = {"min_p", "a number from 0 to 1", 0, 1, false, false, false},
        penalty = {"repetition_penalty", "a number above 0", 0, 1e6, true, false, true};
    TRY(json_get_bool(root, name, "do_sample", &out->do_sample, &out->has_do_sample));
    bool sampled = out->do_sample;
    read_setting(name, root, &temperature, sampled, &out->temperature, &out->has_temperature);
    read_setting(name, root, &top_p, sampled, &out->top_p, &out->has_top_p);
    read_setting(name, root, &top_k, sampled, &out->top_k, &out->has_top_k);
    read_setting(name, root, &min_p, sampled, &out->min_p, &out->has_min_p);
    read_setting(name, root, &penalty, sampled, &out->repetition_penalty,
                 &out->has_repetition_penalty);
    return OK;
}

// Keys that change Transformers' answers and are not honoured here, each with the number that
// changes nothing. That is said once, for the answers differ.
static void name_ignored(const char *name, const json_t *root)
{
    static const struct {
        const char *key;
        double neutral;
    } keys[] = {{"num_beams", 1},
                {"min_new_tokens", 0},
                {"min_length", 0},
                {"typical_p", 1},
                {"epsilon_cutoff", 0},
                {"eta_cutoff", 0},
                {"guidance_scale", 1},
                {"penalty_alpha", 0},
                {"no_repeat_ngram_size", 0},
                {"stop_strings", NAN},
                {"bad_words_ids", NAN},
                {"suppress_tokens", NAN},
                {"sequence_bias", NAN},
                {"forced_bos_token_id", NAN},
                {"forced_eos_token_id", NAN},
                {"begin_suppress_tokens", NAN},
                {"exponential_decay_length_penalty", NAN}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(root, keys[i].key);
        bool empty = json_is_array(value) && json_array_size(value) == 0;
        if (!value || json_is_null(value) || empty ||
            (json_is_number(value) && json_number(value) == keys[i].neutral))
            continue;
        log_warning("%s: key \"%s\" is %s and ignored: it is not supported", name, keys[i].key,
                    json_show(value));
    }
}

// ---- lengths ----

// 0 where the file says nothing usable. A fraction counts up, and what is beyond all contexts
// (1e30, Infinity) is no limit.
static int32_t read_token_limit(const char *name, const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value))
        return 0;
    double number = json_is_number(value) ? ceil(json_number(value)) : (double)NAN;
    if (number >= 1)
        return number < TOKENS_MAX ? (int32_t)number : TOKENS_MAX;
    log_warning("%s: key \"%s\" is %s and ignored; expected a number of tokens from 1", name, key,
                json_show(value));
    return 0;
}

// ---- files ----

// Where they are not there yet.
static void take_ids(const char *path, const json_t *object, int32_t vocab_size,
                     struct generation_config *out)
{
    if (!json_is_object(object))
        return;
    if (out->n_eos_token_ids == 0 && !out->eos_fault[0])
        take_eos(path, object, vocab_size, out);
    if (out->bos_token_id < 0)
        read_bos(path, object, vocab_size, out);
}

static enum status read_file(const char *folder, const char *file, bool whole, int32_t vocab_size,
                             struct generation_config *out)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    TRY(file_join(folder, file, path));
    if (!file_exists(path))
        return OK;
    TRY(json_file(path, GENERATION_CONFIG_BYTES_MAX, &root));
    enum status status = OK;
    if (!json_is_object(root)) {
        status = fail(ERR_INPUT, "%s: holds %s; expected an object", path, json_kind(root));
        goto done;
    }
    take_ids(path, root, vocab_size, out);
    take_ids(path, json_object_get(root, "text_config"), vocab_size, out); // multimodal models
    if (whole) {
        TRY_DONE(read_sampling(path, root, out));
        name_ignored(path, root);
        out->max_new_tokens = read_token_limit(path, root, "max_new_tokens");
        out->max_length = read_token_limit(path, root, "max_length");
    }
done:
    json_decref(root);
    return status;
}

enum status generation_config_read(const char *folder, int32_t vocab_size,
                                   struct generation_config *out)
{
    assert(folder && vocab_size > 0);
    *out = (struct generation_config){
        .bos_token_id = -1, .temperature = 1, .top_p = 1, .top_k = 0, .repetition_penalty = 1};
    TRY(read_file(folder, "generation_config.json", true, vocab_size, out));
    return read_file(folder, "config.json", false, vocab_size, out);
}
