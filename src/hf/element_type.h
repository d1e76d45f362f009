// Types of tensor elements, as safetensors and config.json name them.
#ifndef COLROW_HF_ELEMENT_TYPE_H
#define COLROW_HF_ELEMENT_TYPE_H

#include <stddef.h>

enum element_type {
    ELEMENT_NONE,
    ELEMENT_BF16,
    ELEMENT_F16,
    ELEMENT_F32,
    ELEMENT_F64,
    ELEMENT_I8,
    ELEMENT_U8,
    ELEMENT_I16,
    ELEMENT_U16,
    ELEMENT_I32,
    ELEMENT_U32,
    ELEMENT_I64,
    ELEMENT_U64,
    ELEMENT_BOOL,
    ELEMENT_F8_E4M3,
    ELEMENT_F8_E5M2,
    ELEMENT_F8_E8M0, // from here on: only in tensors that nobody reads
    ELEMENT_F8_E4M3FNUZ,
    ELEMENT_F8_E5M2FNUZ,
    ELEMENT_C64,
    ELEMENT_F4,
    ELEMENT_F6_E2M3,
    ELEMENT_F6_E3M2,
};

size_t element_bits(enum element_type type);            // 0 for ELEMENT_NONE
size_t element_bytes(enum element_type type);           // 0 also for parts of bytes
const char *element_name(enum element_type type);       // "BF16", as safetensors writes it
const char *element_dtype_name(enum element_type type); // "bfloat16", as config.json writes it
// ELEMENT_NONE when unknown.
enum element_type element_from_safetensors(const char *name, size_t length);
// "BF16, F16, ...": all that safetensors knows, for messages.
void element_names(char *out, size_t room);
enum element_type element_from_dtype(const char *name); // "bfloat16", "torch.float16", ...

#endif
