#include "hf/element_type.h"

#include <assert.h>
#include <string.h>

#include "base/name_list.h"

static const struct {
    const char *name;  // safetensors
    const char *dtype; // config.json, as PyTorch spells it
    size_t bits;
} types[] = {
    [ELEMENT_NONE] = {"none", "none", 0},
    [ELEMENT_BF16] = {"BF16", "bfloat16", 16},
    [ELEMENT_F16] = {"F16", "float16", 16},
    [ELEMENT_F32] = {"F32", "float32", 32},
    [ELEMENT_F64] = {"F64", "float64", 64},
    [ELEMENT_I8] = {"I8", "int8", 8},
    [ELEMENT_U8] = {"U8", "uint8", 8},
    [ELEMENT_I16] = {"I16", "int16", 16},
    [ELEMENT_U16] = {"U16", "uint16", 16},
    [ELEMENT_I32] = {"I32", "int32", 32},
    [ELEMENT_U32] = {"U32", "uint32", 32},
    [ELEMENT_I64] = {"I64", "int64", 64},
    [ELEMENT_U64] = {"U64", "uint64", 64},
    [ELEMENT_BOOL] = {"BOOL", "bool", 8},
    [ELEMENT_F8_E4M3] = {"F8_E4M3", "float8_e4m3fn", 8},
    [ELEMENT_F8_E5M2] = {"F8_E5M2", "float8_e5m2", 8},
    [ELEMENT_F8_E8M0] = {"F8_E8M0", "float8_e8m0fnu", 8},
    [ELEMENT_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", "float8_e4m3fnuz", 8},
    [ELEMENT_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", "float8_e5m2fnuz", 8},
    [ELEMENT_C64] = {"C64", "complex64", 64},
    [ELEMENT_F4] = {"F4", "float4_e2m1fn_x2", 4},
    [ELEMENT_F6_E2M3] = {"F6_E2M3", "float6_e2m3", 6},
    [ELEMENT_F6_E3M2] = {"F6_E3M2", "float6_e3m2", 6},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

size_t element_bits(enum element_type type)
{
    assert((unsigned)type < N_TYPES);
    return types[type].bits;
}

size_t element_bytes(enum element_type type)
{
    return types[type].bits / 8;
}

const char *element_name(enum element_type type)
{
    assert((unsigned)type < N_TYPES);
    return types[type].name;
}

const char *element_dtype_name(enum element_type type)
{
    assert((unsigned)type < N_TYPES);
    return types[type].dtype;
}

enum element_type element_from_safetensors(const char *name, size_t length)
{
    for (int i = ELEMENT_NONE + 1; i < N_TYPES; i++)
        if (strlen(types[i].name) == length && memcmp(name, types[i].name, length) == 0)
            return (enum element_type)i;
    return ELEMENT_NONE;
}

void element_names(char *out, size_t room)
{
    *out = '\0';
    for (int i = ELEMENT_NONE + 1; i < N_TYPES; i++)
        name_list_add(out, room, types[i].name);
}

enum element_type element_from_dtype(const char *name)
{
    if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    if (strcmp(name, "half") == 0)
        return ELEMENT_F16;
    if (strcmp(name, "float") == 0)
        return ELEMENT_F32;
    if (strcmp(name, "double") == 0)
        return ELEMENT_F64;
    for (int i = ELEMENT_NONE + 1; i < N_TYPES; i++)
        if (strcmp(name, types[i].dtype) == 0)
            return (enum element_type)i;
    return ELEMENT_NONE;
}
