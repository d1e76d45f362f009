#include "hf/element_type.h"

#include <string.h>

static const struct {
    const char *name;  // safetensors
    const char *dtype; // config.json, as PyTorch spells it
    size_t bytes;
} types[] = {
    [ELEMENT_NONE] = {"none", "none", 0},
    [ELEMENT_BF16] = {"BF16", "bfloat16", 2},
    [ELEMENT_F16] = {"F16", "float16", 2},
    [ELEMENT_F32] = {"F32", "float32", 4},
    [ELEMENT_F64] = {"F64", "float64", 8},
    [ELEMENT_I8] = {"I8", "int8", 1},
    [ELEMENT_U8] = {"U8", "uint8", 1},
    [ELEMENT_I16] = {"I16", "int16", 2},
    [ELEMENT_U16] = {"U16", "uint16", 2},
    [ELEMENT_I32] = {"I32", "int32", 4},
    [ELEMENT_U32] = {"U32", "uint32", 4},
    [ELEMENT_I64] = {"I64", "int64", 8},
    [ELEMENT_U64] = {"U64", "uint64", 8},
    [ELEMENT_BOOL] = {"BOOL", "bool", 1},
    [ELEMENT_F8_E4M3] = {"F8_E4M3", "float8_e4m3fn", 1},
    [ELEMENT_F8_E5M2] = {"F8_E5M2", "float8_e5m2", 1},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

size_t element_bytes(enum element_type type)
{
    return types[type].bytes;
}

const char *element_name(enum element_type type)
{
    return types[type].name;
}

const char *element_dtype_name(enum element_type type)
{
    return types[type].dtype;
}

enum element_type element_from_safetensors(const char *name)
{
    for (int i = ELEMENT_NONE + 1; i < N_TYPES; i++)
        if (strcmp(name, types[i].name) == 0)
            return (enum element_type)i;
    return ELEMENT_NONE;
}

enum element_type element_from_dtype(const char *name)
{
    if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    if (strcmp(name, "half") == 0)
        return ELEMENT_F16;
    if (strcmp(name, "float") == 0)
        return ELEMENT_F32;
    for (int i = ELEMENT_NONE + 1; i < N_TYPES; i++)
        if (strcmp(name, types[i].dtype) == 0)
            return (enum element_type)i;
    return ELEMENT_NONE;
}
