// SentencePiece's "precompiled_charsmap": which characters become which text. As `tokenizers` reads
// it (the crate spm_precompiled): a double array (Darts) over the bytes of what is replaced, whose
// values are offsets into texts that end with NUL.
#ifndef COLROW_TEXT_PRECOMPILED_CHARSMAP_H
#define COLROW_TEXT_PRECOMPILED_CHARSMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct precompiled_charsmap {
    uint32_t *units;
    size_t n_units;
    struct bytes texts;
};

void precompiled_charsmap_fini(struct precompiled_charsmap *map);
// From its bytes, as tokenizer.model holds them, or in base64, as tokenizer.json does.
enum status precompiled_charsmap_read(struct precompiled_charsmap *map, const char *where,
                                      const char *data, size_t length) STATUS_MUST_USE;
enum status precompiled_charsmap_decode(struct precompiled_charsmap *map, const char *where,
                                        const char *base64, size_t length) STATUS_MUST_USE;
// Appends the mapped form of valid UTF-8. `*start`: see normalizer_apply().
enum status precompiled_charsmap_apply(const struct precompiled_charsmap *map, const char *text,
                                       size_t length, size_t *start,
                                       struct bytes *out) STATUS_MUST_USE;

#endif
