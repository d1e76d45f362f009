// From a parameter's name to the tensors that hold it, and the recipe that they follow.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "hf/weight_shapes.h"

// "model.layers.0.mlp.up_proj" of its ".weight"; the length.
size_t weight_module_length(const char *name)
{
    static const char end[] = ".weight";
    const size_t length = strlen(name), tail = sizeof end - 1;
    return length > tail && strcmp(name + length - tail, end) == 0 ? length - tail : length;
}

// The tensor of a part, by the first of its suffixes that is there.
static const struct tensor_info *find_suffixed(const struct checkpoint *checkpoint,
                                               const char *name, const char *suffixes)
{
    const int module = (int)weight_module_length(name);
    while (suffixes && *suffixes) {
        char full[WEIGHT_NAME_BYTES];
        const size_t length = strcspn(suffixes, "|");
        const int n = snprintf(full, sizeof full, "%.*s%.*s", module, name, (int)length, suffixes);
        const struct tensor_info *tensor =
            n > 0 && (size_t)n < sizeof full ? checkpoint_find(checkpoint, full) : NULL;
        if (tensor)
            return tensor;
        suffixes += length + (suffixes[length] == '|');
    }
    return NULL;
}

static const struct tensor_info *find_part_of(const struct checkpoint *checkpoint, const char *name,
                                              const struct weight_recipe *recipe,
                                              enum weight_part part)
{
    return find_suffixed(checkpoint, name, recipe->suffix[part]);
}

// ---- which recipe ----

static enum status check_scheme(const struct checkpoint *checkpoint, const struct stored_weight *w,
                                const struct quant_scheme *scheme)
{
    const char *where = quantisation_where(checkpoint->quantisation);
    const char *tensor = w->parts[PART_VALUES].tensor->name;
    if (scheme->format != w->recipe->format)
        return fail(ERR_INPUT,
                    "%s: says another format of \"%.200s\" than its tensors have, which is %s",
                    where, tensor, w->recipe->name);
    if (w->recipe->bits && w->recipe->method != QUANT_BITSANDBYTES &&
        scheme->bits != w->recipe->bits)
        return fail(ERR_INPUT, "%s: says %d bits of \"%.200s\"; expected %d (%s)", where,
                    scheme->bits, tensor, w->recipe->bits, w->recipe->name);
    if (scheme->has_columns_of_any_groups && !w->parts[PART_GROUPS].tensor)
        return fail(ERR_INPUT,
                    "%s: says actorder group, but \"%.200s\" has no weight_g_idx beside it", where,
                    tensor);
    if (!scheme->symmetric && w->recipe->format == QUANT_PACKED && !w->parts[PART_ZEROS].tensor)
        return fail(ERR_INPUT,
                    "%s: says symmetric false, but \"%.200s\" has no weight_zero_point beside it",
                    where, tensor);
    return OK;
}

static enum status find_all_tensors(const struct checkpoint *checkpoint, const char *name,
                                    struct stored_weight *w)
{
    const struct tensor_info *values = find_part_of(checkpoint, name, w->recipe, PART_VALUES);
    assert(values); // else it is not this recipe
    for (int part = 0; part < PARTS; part++) {
        w->parts[part].tensor = find_part_of(checkpoint, name, w->recipe, (enum weight_part)part);
        if (!w->parts[part].tensor && w->recipe->needed >> part & 1)
            return fail(ERR_INPUT,
                        "%s: tensor \"%.*s%.60s\" is missing from the checkpoint, which has "
                        "\"%.200s\" (%s)",
                        checkpoint->folder, (int)weight_module_length(name), name,
                        w->recipe->suffix[part], values->name, w->recipe->name);
    }
    return OK;
}

static enum status fill_weight(const struct checkpoint *checkpoint, const char *name,
                               int64_t matrices, struct stored_weight *w)
{
    struct quant_scheme scheme;
    char module[WEIGHT_NAME_BYTES];
    snprintf(module, sizeof module, "%.*s", (int)weight_module_length(name), name);
    TRY(find_all_tensors(checkpoint, name, w));
    TRY(quantisation_scheme(checkpoint->quantisation, module, &scheme));
    TRY(check_scheme(checkpoint, w, &scheme));
    w->bits = w->recipe->bits ? w->recipe->bits : scheme.bits;
    w->packing = w->recipe->packing;
    w->zeros_less_one = scheme.zeros_less_one && w->recipe->method == QUANT_GPTQ;
    w->divides = scheme.divides;
    w->is_float_bytes =
        w->recipe->codes == CODES_SIGNED && w->parts[PART_VALUES].tensor->type == ELEMENT_F8_E4M3;
    TRY(weight_read_layout(checkpoint, name, w));
    return weight_view_parts(checkpoint, w, &scheme, matrices);
}

static bool follows(const struct checkpoint *checkpoint, const char *name,
                    const struct weight_recipe *recipe)
{
    const struct tensor_info *values = find_part_of(checkpoint, name, recipe, PART_VALUES),
                             *scales = find_part_of(checkpoint, name, recipe, PART_SCALES);
    if (!values || !scales || !type_is_of(recipe->value_types, values->type) ||
        !type_is_of(recipe->scale_types, scales->type))
        return false;
    // numbers may be what bitsandbytes stores its codes as
    return !type_is_number(values->type) || find_part_of(checkpoint, name, recipe, PART_STATE);
}

// The recipe of the checkpoint's method; else, to be refused, of another, or one of which the
// scales are missing or of an unknown type.
static const struct weight_recipe *choose_recipe(const struct checkpoint *checkpoint,
                                                 const char *name, bool *followed)
{
    const enum quant_method method = quantisation_method(checkpoint->quantisation);
    const struct weight_recipe *other = NULL, *begun = NULL;
    *followed = true;
    for (int i = 0; i < n_weight_recipes; i++) {
        const struct weight_recipe *recipe = &weight_recipes[i];
        const struct tensor_info *values = find_part_of(checkpoint, name, recipe, PART_VALUES);
        if (!values)
            continue;
        const bool ours = recipe->method == method, all = follows(checkpoint, name, recipe);
        if (ours && all)
            return recipe;
        other = other || !all ? other : recipe;
        if (ours && !begun && !type_is_number(values->type))
            begun = recipe;
    }
    *followed = false;
    return begun ? begun : other;
}

static enum status refuse_recipe(const struct checkpoint *checkpoint, const char *name,
                                 const struct weight_recipe *recipe)
{
    const struct tensor_info *values = find_part_of(checkpoint, name, recipe, PART_VALUES),
                             *scales = find_part_of(checkpoint, name, recipe, PART_SCALES);
    char types[120];
    const struct quantisation *q = checkpoint->quantisation;
    if (!q || quantisation_method(q) != recipe->method)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.200s\" is stored as by %s, but config.json has %s%s%s",
                    weight_file(checkpoint, values), values->name, recipe->name,
                    q ? "the quant_method \"" : "no \"quantization_config\"",
                    q ? quantisation_name(q) : "", q ? "\"" : "");
    const bool is_scales = type_is_of(recipe->value_types, values->type);
    if (!scales && is_scales)
        return fail(ERR_INPUT,
                    "%s: tensor \"%.*s%.*s\" is missing from the checkpoint, which has \"%.200s\" "
                    "(%s)",
                    checkpoint->folder, (int)weight_module_length(name), name,
                    (int)strcspn(recipe->suffix[PART_SCALES], "|"), recipe->suffix[PART_SCALES],
                    values->name, recipe->name);
    const struct tensor_info *wrong = is_scales ? scales : values;
    weight_list_types(is_scales ? recipe->scale_types : recipe->value_types, types, sizeof types);
    return fail(ERR_INPUT, "%s: tensor \"%.200s\" has the type %s; expected %s (%s)",
                weight_file(checkpoint, wrong), wrong->name, element_name(wrong->type), types,
                recipe->name);
}

static bool is_packed_numbers(const struct checkpoint *checkpoint, const char *name)
{
    for (int i = 0; i < n_weight_recipes; i++)
        if (weight_recipes[i].suffix[PART_STATE] && follows(checkpoint, name, &weight_recipes[i]))
            return quantisation_method(checkpoint->quantisation) == weight_recipes[i].method;
    return false;
}

bool stored_weight_is_there(const struct checkpoint *checkpoint, const char *name)
{
    if (checkpoint_find(checkpoint, name))
        return true;
    for (int i = 0; i < n_weight_recipes; i++)
        if (find_part_of(checkpoint, name, &weight_recipes[i], PART_VALUES))
            return true;
    return false;
}

enum status stored_weight_find(const struct checkpoint *checkpoint, const char *name,
                               int64_t matrices, int64_t rows, int64_t columns,
                               struct stored_weight *out)
{
    const struct tensor_info *plain = checkpoint_find(checkpoint, name);
    bool followed;
    *out = (struct stored_weight){.rows = matrices * rows, .columns = columns};
    assert(matrices > 0 && rows > 0 && columns > 0);
    if (plain && type_is_number(plain->type) && !is_packed_numbers(checkpoint, name)) {
        out->parts[PART_VALUES].tensor = plain;
        out->numbers = *plain;
        return OK;
    }
    out->recipe = choose_recipe(checkpoint, name, &followed);
    if (!out->recipe) { // another type, which is its reader's to refuse, or nothing
        out->parts[PART_VALUES].tensor = plain;
        if (plain)
            out->numbers = *plain;
        return OK;
    }
    if (!followed)
        return refuse_recipe(checkpoint, name, out->recipe);
    out->numbers.n_dimensions = 2;
    out->numbers.shape[0] = out->rows;
    out->numbers.shape[1] = out->columns;
    TRY(fill_weight(checkpoint, name, matrices, out));
    out->numbers.name = out->parts[PART_VALUES].tensor->name;
    out->numbers.file = out->parts[PART_VALUES].tensor->file;
    return OK;
}
