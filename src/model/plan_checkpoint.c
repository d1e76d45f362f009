// A plan's parameters and what a checkpoint holds of them.
//
// Source: Transformers 5.24, core_model_loading.py (rename_source_key) and modeling_utils.py
// (tie_weights).
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/plan_build.h"
#include "model/wrapper.h"

enum { NAME_BYTES = 224, COMPARED_BYTES = 1 << 20 };

static const char *name_of_slot(const struct family *family, enum slot slot)
{
    const struct parameter_row *row = family_row(family, -1, slot, false);
    return row ? row->name : NULL;
}

// False unless both are stored, as numbers.
static bool find_both(const struct model_config *config, const struct checkpoint *checkpoint,
                      const struct tensor_info **embed, const struct tensor_info **head)
{
    const struct family *family = config->family;
    assert(checkpoint && embed && head);
    *embed = plan_find_named(family, checkpoint, name_of_slot(family, SLOT_EMBED));
    *head = plan_find_named(family, checkpoint, name_of_slot(family, SLOT_LM_HEAD));
    return *embed && *head;
}

bool plan_ties(const struct model_config *config, const struct checkpoint *checkpoint,
               bool head_is_embed)
{
    assert(config);
    if (!config->tie_word_embeddings || !checkpoint)
        return config->tie_word_embeddings;
    const struct family *family = config->family;
    return head_is_embed || !plan_is_stored(family, checkpoint, name_of_slot(family, SLOT_EMBED)) ||
           !plan_is_stored(family, checkpoint, name_of_slot(family, SLOT_LM_HEAD));
}

static enum status compare_tensors(const struct checkpoint *checkpoint,
                                   const struct tensor_info *left, const struct tensor_info *right,
                                   bool *equal)
{
    int64_t n_rows = tensor_rows(left);
    size_t row_bytes = (size_t)tensor_columns(left) * element_bytes(left->type);
    int64_t rows = row_bytes < COMPARED_BYTES ? (int64_t)(COMPARED_BYTES / row_bytes) : 1;
    char *memory;
    enum status status = OK;
    assert(n_rows > 0 && row_bytes > 0);
    TRY(memory_new(2 * (size_t)rows, row_bytes, "two tensors to compare", &memory));
    for (int64_t row = 0; row < n_rows && *equal; row += rows) {
        int64_t end = row + rows < n_rows ? row + rows : n_rows;
        size_t bytes = (size_t)(end - row) * row_bytes;
        struct tensor_slice a = tensor_whole(left), b = tensor_whole(right);
        a.row_begin = b.row_begin = row;
        a.row_end = b.row_end = end;
        TRY_DONE(checkpoint_read(checkpoint, &a, memory, NULL));
        TRY_DONE(checkpoint_read(checkpoint, &b, memory + bytes, NULL));
        *equal = memcmp(memory, memory + bytes, bytes) == 0;
    }
done:
    free(memory);
    return status;
}

enum status plan_head_is_embed(const struct model_config *config,
                               const struct checkpoint *checkpoint, bool *out)
{
    const struct tensor_info *embed, *head;
    assert(config && checkpoint);
    *out = config->tie_word_embeddings && find_both(config, checkpoint, &embed, &head) &&
           embed->type == head->type && embed->n_dimensions == 2 && head->n_dimensions == 2 &&
           embed->shape[0] == head->shape[0] && embed->shape[1] == head->shape[1] &&
           embed->bytes > 0 && element_bytes(embed->type) > 0;
    // Two that stay at the hub are not compared: both are loaded, which gives the same bits.
    *out = *out && !checkpoint->remote;
    return *out ? compare_tensors(checkpoint, embed, head, out) : OK;
}

// ---- checks ----

static const char *file_of(const struct checkpoint *checkpoint, const struct tensor_info *tensor)
{
    return checkpoint->files[tensor->file];
}

static void say_shape(const struct tensor_info *tensor, char *out, size_t room)
{
    int used = snprintf(out, room, "[");
    for (int i = 0; i < tensor->n_dimensions; i++)
        used += snprintf(out + used, room - (size_t)used, "%s%lld", i ? ", " : "",
                         (long long)tensor->shape[i]);
    snprintf(out + used, room - (size_t)used, "]");
}

// One tensor of all experts.
static enum status check_experts_shape(const struct plan_parameter *p,
                                       const struct checkpoint *checkpoint,
                                       const struct tensor_info *tensor)
{
    char found[256], columns[32] = "";
    const int64_t first = p->transposed ? p->columns : p->rows,
                  second = p->transposed ? p->rows : p->columns;
    if (tensor->n_dimensions == (p->is_vector ? 2 : 3) && tensor->shape[0] == p->n_experts &&
        tensor->shape[1] == first && (p->is_vector || tensor->shape[2] == second))
        return OK;
    say_shape(tensor, found, sizeof found);
    if (!p->is_vector)
        snprintf(columns, sizeof columns, ", %lld", (long long)second);
    return fail(
        ERR_INPUT, "%s: tensor \"%s\" has the shape %s; expected [%d, %lld%s] from config.json",
        file_of(checkpoint, tensor), tensor->name, found, p->n_experts, (long long)first, columns);
}

// A scalar, a row [1, rows], or [1, 1, rows, 1].
static bool is_vector_among_ones(const struct tensor_info *tensor, int64_t rows)
{
    int n = 0;
    for (int i = 0; i < tensor->n_dimensions; i++) {
        if (tensor->shape[i] != 1 && tensor->shape[i] != rows)
            return false;
        n += tensor->shape[i] != 1;
    }
    return n == (rows != 1);
}

static enum status check_shape(const struct plan_parameter *p, const struct checkpoint *checkpoint,
                               const struct tensor_info *tensor)
{
    bool matrix = !p->is_vector;
    int64_t rows = plan_tensor_rows(p);
    if (p->n_experts && p->n_tensors == 1 && !strchr(p->name, '*'))
        return check_experts_shape(p, checkpoint, tensor);
    if (slot_is_taps(p->slots[0]) && matrix && tensor->n_dimensions == 3 &&
        tensor->shape[0] == rows && tensor->shape[1] == 1 && tensor->shape[2] == p->columns)
        return OK;
    if (tensor->n_dimensions == (matrix ? 2 : 1) && tensor->shape[0] == rows &&
        (!matrix || tensor->shape[1] == p->columns))
        return OK;
    if (!matrix && is_vector_among_ones(tensor, rows))
        return OK;
    char expected[64], found[256];
    if (matrix)
        snprintf(expected, sizeof expected, "[%lld, %s%lld]", (long long)rows,
                 slot_is_taps(p->slots[0]) ? "1, " : "", (long long)p->columns);
    else
        snprintf(expected, sizeof expected, "[%lld]", (long long)rows);
    say_shape(tensor, found, sizeof found);
    return fail(ERR_INPUT, "%s: tensor \"%s\" has the shape %s; expected %s from config.json",
                file_of(checkpoint, tensor), tensor->name, found, expected);
}

// A tensor whose name ends like the one that is missing: a wrapper's prefix.
static const struct tensor_info *find_wrapped(const struct checkpoint *checkpoint, const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < checkpoint->n_tensors; i++) {
        size_t have = strlen(checkpoint->tensors[i].name);
        if (have > length && strcmp(checkpoint->tensors[i].name + have - length, name) == 0)
            return &checkpoint->tensors[i];
    }
    return NULL;
}

static enum status missing(const struct plan *plan, const struct plan_parameter *p, int number,
                           const struct checkpoint *checkpoint)
{
    char name[NAME_BYTES];
    plan_tensor_name(p, number, name, sizeof name);
    const struct tensor_info *wrapped = find_wrapped(checkpoint, name);
    bool is_head = p == plan_find_parameter(plan, 0, -1, SLOT_LM_HEAD, false, NULL);
    char hint[300] = "";
    if (wrapped)
        snprintf(hint, sizeof hint,
                 " (found \"%.200s\": rename the tensors, they were saved from a wrapped model)",
                 wrapped->name);
    else if (is_head)
        snprintf(hint, sizeof hint, " (config.json does not say \"tie_word_embeddings\": true)");
    return fail(ERR_INPUT, "%s: tensor \"%s\" is missing from the checkpoint; %s needs it%s",
                checkpoint->folder, name, plan->config.architecture, hint);
}

static enum status check_tensor(const struct plan *plan, const struct plan_parameter *p, int number,
                                const struct checkpoint *checkpoint)
{
    struct stored_weight stored;
    TRY(plan_find_stored(plan, checkpoint, p, number, &stored));
    const struct tensor_info *tensor = stored.parts[PART_VALUES].tensor;
    if (!tensor)
        return p->is_bias ? OK : missing(plan, p, number, checkpoint);
    if (stored.recipe)
        return OK;
    TRY(check_shape(p, checkpoint, tensor));
    if (tensor->type != ELEMENT_BF16 && tensor->type != ELEMENT_F16 &&
        tensor->type != ELEMENT_F32 && tensor->type != ELEMENT_F64)
        return fail(ERR_UNSUPPORTED,
                    "%s: tensor \"%s\" has the type %s; expected BF16, F16, F32 or F64",
                    file_of(checkpoint, tensor), tensor->name, element_name(tensor->type));
    return OK;
}

enum status plan_check_parameters(const struct plan *plan, const struct checkpoint *checkpoint)
{
    assert(plan && checkpoint);
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        for (int k = 0; p->stored != ELEMENT_NONE && k < p->n_tensors; k++)
            TRY(check_tensor(plan, p, k, checkpoint));
    }
    return OK;
}

// ---- what is said about it ----

static bool is_ignored(const struct family *family, const char *name)
{
    for (const char *const *end = family->ignored; *end; end++) {
        size_t length = strlen(name), tail = strlen(*end);
        if ((*end)[tail - 1] == '.' && strncmp(name, *end, tail) == 0)
            return true;
        if (length >= tail && strcmp(name + length - tail, *end) == 0)
            return true;
    }
    return false;
}

static void tell_of_ties(const struct plan *plan, const struct checkpoint *checkpoint)
{
    if (plan->is_untied)
        log_info("%s: config.json says \"tie_word_embeddings\": true, but lm_head is stored beside "
                 "the embedding: it counts, as in Transformers",
                 checkpoint->folder);
    if (plan->head_is_repeated)
        log_info("%s: lm_head is stored beside the embedding that it is tied to, with the same "
                 "bits: one copy serves both",
                 checkpoint->folder);
}

// What becomes of weights that a tool has quantised.
static void tell_of_recipes(const struct plan *plan, const struct checkpoint *checkpoint)
{
    char shown[160];
    const struct quantisation *q = checkpoint->quantisation;
    if (!q)
        return;
    quantisation_show(q, shown, sizeof shown);
    log_info("%s: weights are quantised (%s) and become %s as they are loaded%s",
             checkpoint->folder, shown, compute_name(plan->compute),
             quantisation_is_of_inputs(q)
                 ? "; inputs of products are not quantised, as they would be elsewhere"
                 : "");
}

// Transformers names them and begins them with zeros, as training would.
static void tell_of_missing_biases(const struct plan *plan, const struct checkpoint *checkpoint)
{
    const char *first = NULL;
    int n = 0;
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        if (p->is_bias && !plan_find_tensor(plan, checkpoint, p, 0)) {
            first = first ? first : p->name;
            n++;
        }
    }
    if (n)
        log_warning("%s: %d bias%s of %s %s missing from the checkpoint, such as \"%s\": taken as "
                    "zeros, as in Transformers",
                    checkpoint->folder, n, n > 1 ? "es" : "", plan->config.architecture,
                    n > 1 ? "are" : "is", first);
}

// The other parts' tensors carry nothing that text needs.
static void tell_of_wrapper(const struct plan *plan, const struct checkpoint *checkpoint)
{
    int n = 0;
    if (!plan->config.wrapper)
        return;
    for (int i = 0; i < checkpoint->n_tensors; i++)
        n += wrapper_ignores(checkpoint->tensors[i].name);
    log_info("%s: of %s the text part is served: images, audio and video are not, and %d of its "
             "tensors are not read",
             checkpoint->folder, plan->config.architecture, n);
}

static void tell_of_repeated(const struct checkpoint *checkpoint)
{
    if (checkpoint->has_consolidated)
        log_info("%s: consolidated.safetensors is ignored: it has the same weights under other "
                 "names, as Mistral's own programs read them",
                 checkpoint->folder);
    if (!checkpoint->repeated)
        return;
    const struct tensor_info *tensor = checkpoint_find(checkpoint, checkpoint->repeated);
    log_warning(
        "%s: tensor \"%.200s\" is in more than one file of the checkpoint: that of %s counts",
        checkpoint->folder, tensor->name, file_of(checkpoint, tensor));
}

// Layers that read the keys of an earlier one, or attend what it has chosen, may have keys or an
// indexer of their own in the checkpoint.
static void mark_unread_keys(const struct plan *plan, const struct checkpoint *checkpoint,
                             char *is_ours)
{
    enum { UNREAD = 4 };
    static const enum slot keys[UNREAD] = {SLOT_KEY, SLOT_VALUE, SLOT_KEY_NORM, SLOT_KEY_NORM},
                           index[UNREAD] = {SLOT_INDEX_QUERY, SLOT_INDEX_KEY, SLOT_INDEX_KEY_NORM,
                                            SLOT_INDEX_WEIGHTS};
    const struct family *family = plan->config.family;
    for (int layer = 0; layer < plan->config.num_hidden_layers; layer++)
        for (int i = 0; i < model_config_layer(&plan->config, layer)->n_sublayers; i++) {
            const struct attention_config *attention =
                &model_config_layer(&plan->config, layer)->sublayers[i].attention;
            const enum slot *unread = attention->latent.index.shared ? index : keys;
            if (!attention->keys_of_earlier && !attention->latent.index.shared)
                continue;
            for (size_t k = 0; k < 2 * (size_t)UNREAD; k++) {
                const struct parameter_row *row = family_row(family, i, unread[k / 2], k % 2);
                char name[sizeof plan->parameters->name];
                if (!row)
                    continue;
                snprintf(name, sizeof name, row->name, layer);
                const struct tensor_info *tensor = plan_find_named(family, checkpoint, name);
                if (tensor)
                    is_ours[tensor - checkpoint->tensors] = 1;
            }
        }
}

// Tensors that the model has no place for: allowed, as in Transformers, but said: a bias that
// config.json does not mention makes another model.
static enum status tell_of_others(const struct plan *plan, const struct checkpoint *checkpoint)
{
    const struct family *family = plan->config.family;
    const char *first = NULL;
    char *is_ours;
    int n_others = 0;
    enum status status = OK;
    TRY(memory_new((size_t)checkpoint->n_tensors + 1, 1, "a list of tensors", &is_ours));
    for (int i = 0; i < plan->n_parameters; i++)
        for (int k = 0; k < plan->parameters[i].n_tensors; k++) {
            struct stored_weight stored;
            status = plan_find_stored(plan, checkpoint, &plan->parameters[i], k, &stored);
            if (status != OK)
                goto done;
            for (int part = 0; part < PARTS; part++)
                if (stored.parts[part].tensor)
                    is_ours[stored.parts[part].tensor - checkpoint->tensors] = 1;
        }
    mark_unread_keys(plan, checkpoint, is_ours);
    for (int i = 0; i < checkpoint->n_tensors; i++) {
        const char *name = checkpoint->tensors[i].name;
        if (is_ours[i] || is_ignored(family, name) ||
            (checkpoint->quantisation && weight_recipe_ignores(name)) ||
            (plan->config.wrapper && wrapper_ignores(name)))
            continue;
        first = first ? first : name;
        n_others++;
    }
    if (n_others)
        log_warning("%s: %d tensor%s of the checkpoint %s no part of %s and will not be read, such "
                    "as \"%.200s\"",
                    checkpoint->folder, n_others, n_others > 1 ? "s" : "",
                    n_others > 1 ? "are" : "is", plan->config.architecture, first);
done:
    free(is_ours);
    return status;
}

enum status plan_check_checkpoint(const struct plan *plan, const struct checkpoint *checkpoint)
{
    TRY(plan_check_parameters(plan, checkpoint));
    tell_of_wrapper(plan, checkpoint);
    tell_of_ties(plan, checkpoint);
    tell_of_repeated(checkpoint);
    tell_of_recipes(plan, checkpoint);
    tell_of_missing_biases(plan, checkpoint);
    return tell_of_others(plan, checkpoint);
}
