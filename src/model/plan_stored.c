// The tensors behind a plan's parameters, by any of their names.
//
// Source: Transformers 5.24, core_model_loading.py (rename_source_key) and modeling_utils.py
// (tie_weights).
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

enum { SPELLING_BYTES = 224 };

static const char *without_prefix(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

// How checkpoints spell what stands before the rest of a name: a base model's has no prefix, one
// that was wrapped has two, and multimodal models have their text part below "language_model".
// Transformers renames them alike.
static const struct {
    const char *before;
    bool base; // and then the family's base prefix
} spellings[] = {
    {"", true},
    {"", false},
    {"model.language_model.", false},
    {"language_model.", true},
    {"language_model.", false},
    {"model.language_model.", true},
    {"language_model.model.", true}, // Transformers 5.10 to 5.23 saved some so
};

enum { SPELLINGS = sizeof spellings / sizeof spellings[0] };

// What stands in `name` for `change->from` becomes `change->to`.
static void change_name(const struct name_change *change, char *name, size_t room)
{
    char rest[SPELLING_BYTES];
    char *at = change->from ? strstr(name, change->from) : NULL;
    if (!at)
        return;
    snprintf(rest, sizeof rest, "%s", at + strlen(change->from));
    snprintf(at, room - (size_t)(at - name), "%s%s", change->to, rest);
}

// Spelling `number` of a name into `out`; false: there are no more.
static bool spell_tensor(const struct family *family, const char *name, int number,
                         char out[SPELLING_BYTES])
{
    char changed[SPELLING_BYTES];
    const int set = number / (SPELLINGS + 2) - 1, way = number % (SPELLINGS + 2);
    if (set >= family->n_other_names)
        return false;
    snprintf(changed, sizeof changed, "%s", name);
    for (int i = 0; set >= 0 && i < NAME_CHANGES_MAX; i++)
        change_name(&family->other_names[set][i], changed, sizeof changed);
    const char *rest = without_prefix(changed, family->base_prefix);
    int n;
    if (way < 2)
        n = snprintf(out, SPELLING_BYTES, "%s%s", way ? family->base_prefix : "", changed);
    else
        n = snprintf(out, SPELLING_BYTES, "%s%s%s", spellings[way - 2].before,
                     spellings[way - 2].base ? family->base_prefix : "", rest ? rest : changed);
    return n > 0 && n < SPELLING_BYTES;
}

const struct tensor_info *plan_find_named(const struct family *family,
                                          const struct checkpoint *checkpoint, const char *name)
{
    char spelt[SPELLING_BYTES];
    const struct tensor_info *tensor = NULL;
    for (int i = 0; !tensor && spell_tensor(family, name, i, spelt); i++)
        tensor = checkpoint_find(checkpoint, spelt);
    return tensor;
}

bool plan_is_stored(const struct family *family, const struct checkpoint *checkpoint,
                    const char *name)
{
    char spelt[SPELLING_BYTES];
    for (int i = 0; spell_tensor(family, name, i, spelt); i++)
        if (stored_weight_is_there(checkpoint, spelt))
            return true;
    return false;
}

void plan_tensor_name(const struct plan_parameter *p, int number, char *out, size_t room)
{
    const char *star = strchr(p->name, '*'); // for the number of a head or an expert
    assert(number >= 0 && number < p->n_tensors);
    if (star)
        snprintf(out, room, "%.*s%d%s", (int)(star - p->name), p->name, number, star + 1);
    else
        snprintf(out, room, "%s", p->name);
}

static enum status find_matrix(const struct plan *plan, const struct checkpoint *checkpoint,
                               const struct plan_parameter *p, const char *name,
                               struct stored_weight *out)
{
    char spelt[SPELLING_BYTES];
    const int64_t matrices = p->n_experts && p->n_tensors == 1 ? p->n_experts : 1;
    for (int i = 0; spell_tensor(plan->config.family, name, i, spelt); i++) {
        if (!stored_weight_is_there(checkpoint, spelt))
            continue;
        TRY(stored_weight_find(checkpoint, spelt, matrices, plan_tensor_rows(p), p->columns, out));
        if (out->parts[PART_VALUES].tensor)
            return OK;
    }
    return OK;
}

enum status plan_find_stored(const struct plan *plan, const struct checkpoint *checkpoint,
                             const struct plan_parameter *p, int number, struct stored_weight *out)
{
    const struct family *family = plan->config.family;
    char name[SPELLING_BYTES];
    *out = (struct stored_weight){0};
    plan_tensor_name(p, number, name, sizeof name);
    if (p->is_vector) {
        const struct tensor_info *tensor = plan_find_named(family, checkpoint, name);
        out->parts[PART_VALUES].tensor = tensor;
        if (tensor)
            out->numbers = *tensor;
        return OK;
    }
    TRY(find_matrix(plan, checkpoint, p, name, out));
    const bool is_embedding = p == plan_find_parameter(plan, 0, -1, SLOT_EMBED, false, NULL);
    if (out->parts[PART_VALUES].tensor || !is_embedding || !plan->config.tie_word_embeddings)
        return OK;
    const struct parameter_row *head = family_row(family, -1, SLOT_LM_HEAD, false);
    return find_matrix(plan, checkpoint, p, head->name, out);
}

const struct tensor_info *plan_find_tensor(const struct plan *plan,
                                           const struct checkpoint *checkpoint,
                                           const struct plan_parameter *p, int number)
{
    struct stored_weight stored;
    return plan_find_stored(plan, checkpoint, p, number, &stored) == OK
               ? stored.parts[PART_VALUES].tensor
               : NULL;
}

enum status plan_note_recipes(struct plan *plan, const struct checkpoint *checkpoint)
{
    if (!checkpoint || !checkpoint->quantisation)
        return OK;
    for (int i = 0; i < plan->n_parameters; i++) {
        struct plan_parameter *p = &plan->parameters[i];
        struct stored_weight stored, *kept;
        if (p->is_vector || p->stored == ELEMENT_NONE ||
            plan_find_stored(plan, checkpoint, p, 0, &stored) != OK || !stored.recipe)
            continue;
        TRY(arena_take(&plan->arena, 1, sizeof *kept, &kept));
        *kept = stored;
        p->recipe = kept;
    }
    return OK;
}
