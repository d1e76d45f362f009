// The table of recipes, and what is said of a weight that is stored by one.
#include <stdio.h>
#include <string.h>

#include "hf/weight_recipe.h"

#define TYPE(name) (1u << ELEMENT_##name)
#define NEED(part) (1u << PART_##part)
#define FLOATS (TYPE(BF16) | TYPE(F16) | TYPE(F32))
#define BASE_PARTS (NEED(VALUES) | NEED(SCALES))

static const char of_four_bits[] = ".weight.quant_state.bitsandbytes__nf4|"
                                   ".weight.quant_state.bitsandbytes__fp4";

const struct weight_recipe weight_recipes[] = {
    {.name = "pack-quantized",
     .method = QUANT_COMPRESSED_TENSORS,
     .format = QUANT_PACKED,
     .suffix = {[PART_VALUES] = ".weight_packed",
                [PART_SCALES] = ".weight_scale",
                [PART_ZEROS] = ".weight_zero_point",
                [PART_GROUPS] = ".weight_g_idx",
                [PART_SHAPE] = ".weight_shape"},
     .value_types = TYPE(I32),
     .scale_types = FLOATS,
     .needed = BASE_PARTS | NEED(SHAPE),
     .packing = PACKED_ROW_BITS,
     .codes = CODES_UNSIGNED,
     .scales = SCALES_OF_SCHEME,
     .rounding = ROUNDED_AS_SCALES},
    {.name = "nvfp4-pack-quantized",
     .method = QUANT_COMPRESSED_TENSORS,
     .format = QUANT_NVFP4,
     .suffix = {[PART_VALUES] = ".weight_packed",
                [PART_SCALES] = ".weight_scale",
                [PART_GLOBAL] = ".weight_global_scale"},
     .value_types = TYPE(U8),
     .scale_types = TYPE(F8_E4M3),
     .needed = BASE_PARTS | NEED(GLOBAL),
     .packing = PACKED_NIBBLES,
     .codes = CODES_E2M1,
     .bits = 4,
     .scales = SCALES_OF_GROUPS,
     .group = 16,
     .rounding = ROUNDED_TO_BF16},
    {.name = "mxfp4-pack-quantized",
     .method = QUANT_COMPRESSED_TENSORS,
     .format = QUANT_MXFP4_PACKED,
     .suffix = {[PART_VALUES] = ".weight_packed", [PART_SCALES] = ".weight_scale"},
     .value_types = TYPE(U8),
     .scale_types = TYPE(U8) | TYPE(F8_E8M0),
     .needed = BASE_PARTS,
     .packing = PACKED_NIBBLES,
     .codes = CODES_E2M1,
     .bits = 4,
     .scales = SCALES_OF_GROUPS,
     .group = 32,
     .rounding = ROUNDED_TO_BF16},
    {.name = "mxfp8-quantized",
     .method = QUANT_COMPRESSED_TENSORS,
     .format = QUANT_MXFP8,
     .suffix = {[PART_VALUES] = ".weight", [PART_SCALES] = ".weight_scale"},
     .value_types = TYPE(F8_E4M3),
     .scale_types = TYPE(U8) | TYPE(F8_E8M0),
     .needed = BASE_PARTS,
     .packing = PACKED_BYTES,
     .codes = CODES_E4M3,
     .bits = 8,
     .scales = SCALES_OF_GROUPS,
     .group = 32,
     .rounding = ROUNDED_TO_BF16},
    {.name = "int-quantized or float-quantized",
     .method = QUANT_COMPRESSED_TENSORS,
     .format = QUANT_WHOLE,
     .suffix = {[PART_VALUES] = ".weight",
                [PART_SCALES] = ".weight_scale",
                [PART_ZEROS] = ".weight_zero_point"},
     .value_types = TYPE(I8) | TYPE(F8_E4M3),
     .scale_types = FLOATS,
     .needed = BASE_PARTS,
     .packing = PACKED_BYTES,
     .codes = CODES_SIGNED,
     .bits = 8,
     .scales = SCALES_OF_SCHEME,
     .rounding = ROUNDED_AS_SCALES},
    {.name = "gptq",
     .method = QUANT_GPTQ,
     .suffix = {[PART_VALUES] = ".qweight",
                [PART_SCALES] = ".scales",
                [PART_ZEROS] = ".qzeros",
                [PART_GROUPS] = ".g_idx"},
     .value_types = TYPE(I32),
     .scale_types = FLOATS,
     .needed = BASE_PARTS | NEED(ZEROS),
     .packing = PACKED_COLUMN_BITS,
     .codes = CODES_UNSIGNED,
     .scales = SCALES_TURNED,
     .rounding = ROUNDED_AS_SCALES},
    {.name = "awq",
     .method = QUANT_AWQ,
     .suffix = {[PART_VALUES] = ".qweight", [PART_SCALES] = ".scales", [PART_ZEROS] = ".qzeros"},
     .value_types = TYPE(I32),
     .scale_types = FLOATS,
     .needed = BASE_PARTS | NEED(ZEROS),
     .packing = PACKED_AWQ_NIBBLES,
     .codes = CODES_UNSIGNED,
     .bits = 4,
     .scales = SCALES_TURNED,
     .rounding = ROUNDED_AS_SCALES},
    {.name = "fp8",
     .method = QUANT_FP8,
     .suffix = {[PART_VALUES] = ".weight",
                [PART_SCALES] = ".weight_scale_inv|.scale|.qscale_weight|.weight_scale"},
     .value_types = TYPE(F8_E4M3),
     .scale_types = FLOATS | TYPE(F8_E8M0),
     .needed = BASE_PARTS,
     .packing = PACKED_BYTES,
     .codes = CODES_E4M3,
     .bits = 8,
     .scales = SCALES_OF_SCHEME,
     .rounding = NOT_ROUNDED},
    {.name = "mxfp4",
     .method = QUANT_MXFP4,
     .suffix = {[PART_VALUES] = "_blocks", [PART_SCALES] = "_scales"},
     .value_types = TYPE(U8),
     .scale_types = TYPE(U8) | TYPE(F8_E8M0),
     .needed = BASE_PARTS,
     .packing = PACKED_NIBBLES,
     .codes = CODES_E2M1,
     .bits = 4,
     .scales = SCALES_OF_GROUPS,
     .group = 32,
     .rounding = ROUNDED_TO_BF16},
    {.name = "bitsandbytes 4-bit",
     .method = QUANT_BITSANDBYTES,
     .suffix = {[PART_VALUES] = ".weight",
                [PART_SCALES] = ".weight.absmax",
                [PART_MAP] = ".weight.quant_map",
                [PART_STATE] = of_four_bits,
                [PART_NESTED_SCALES] = ".weight.nested_absmax",
                [PART_NESTED_MAP] = ".weight.nested_quant_map"},
     .value_types = TYPE(U8) | TYPE(I8) | FLOATS,
     .scale_types = TYPE(F32) | TYPE(U8),
     .needed = BASE_PARTS | NEED(MAP) | NEED(STATE),
     .packing = PACKED_HIGH_NIBBLES,
     .codes = CODES_MAPPED,
     .bits = 4,
     .scales = SCALES_FLAT,
     .rounding = ROUNDED_AS_SAID},
    {.name = "bitsandbytes int8",
     .method = QUANT_BITSANDBYTES,
     .suffix =
         {[PART_VALUES] = ".weight", [PART_SCALES] = ".SCB", [PART_FORMAT] = ".weight_format"},
     .value_types = TYPE(I8),
     .scale_types = TYPE(F32),
     .needed = BASE_PARTS,
     .packing = PACKED_BYTES,
     .codes = CODES_SIGNED,
     .bits = 8,
     .scales = SCALES_OF_ROWS,
     .rounding = NOT_ROUNDED},
    {.name = "torchao",
     .method = QUANT_TORCHAO,
     .suffix = {[PART_VALUES] = "._weight_qdata",
                [PART_SCALES] = "._weight_scale",
                [PART_ZEROS] = "._weight_zero_point"},
     .value_types = TYPE(I8) | TYPE(F8_E4M3),
     .scale_types = FLOATS,
     .needed = BASE_PARTS,
     .packing = PACKED_BYTES,
     .codes = CODES_SIGNED,
     .bits = 8,
     .scales = SCALES_OF_ROWS,
     .rounding = ROUNDED_AS_SAID},
};
const int n_weight_recipes = sizeof weight_recipes / sizeof weight_recipes[0];

void stored_weight_show(const struct stored_weight *w, char *out, size_t room)
{
    char codes[64], scales[64] = "";
    if (!w->recipe) {
        snprintf(out, room, "%s", element_name(w->numbers.type));
        return;
    }
    const enum weight_codes kind = w->is_float_bytes ? CODES_E4M3 : w->recipe->codes;
    if (kind == CODES_MAPPED)
        snprintf(codes, sizeof codes, "%s",
                 strstr(w->parts[PART_STATE].tensor->name, "nf4") ? "nf4" : "fp4");
    else
        snprintf(codes, sizeof codes,
                 kind == CODES_E4M3   ? "fp8 e4m3"
                 : kind == CODES_E2M1 ? "fp4 e2m1"
                                      : "int%d",
                 w->bits);
    if (w->row_unit > 1 && w->scale_rows * w->scale_columns > 1)
        snprintf(scales, sizeof scales, ", block %lldx%lld", (long long)w->row_unit,
                 (long long)w->group);
    else if (w->recipe->scales == SCALES_FLAT)
        snprintf(scales, sizeof scales, ", blocks of %lld%s", (long long)w->group,
                 w->nested_group ? ", nested" : "");
    else if (w->parts[PART_GROUPS].tensor && w->scale_columns > 1)
        snprintf(scales, sizeof scales, ", %lld groups by g_idx", (long long)w->scale_columns);
    else if (w->scale_columns > 1)
        snprintf(scales, sizeof scales, ", group %lld", (long long)w->group);
    else
        snprintf(scales, sizeof scales, ", a scale a %s", w->scale_rows > 1 ? "row" : "matrix");
    snprintf(out, room, "%s%s (%s)", codes, scales, w->recipe->name);
}

bool weight_recipe_ignores(const char *name)
{
    static const char *const ends[] = {
        ".input_scale",       ".input_zero_point", ".input_global_scale", ".output_scale",
        ".output_zero_point", ".activation_scale", ".act_scale",          ".k_scale",
        ".v_scale",           ".q_scale",          ".prob_scale",         ".k_zero_point",
        ".v_zero_point",      ".weight_scale_inv", ".weight_shape",
    };
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t tail = strlen(ends[i]);
        if (length > tail && strcmp(name + length - tail, ends[i]) == 0)
            return true;
    }
    return false;
}
