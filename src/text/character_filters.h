// Normalizers that look at one character after the other: StripAccents, Nmt and BertNormalizer of
// `tokenizers`.
#ifndef COLROW_TEXT_CHARACTER_FILTERS_H
#define COLROW_TEXT_CHARACTER_FILTERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

struct bert_normalizer {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
};

// Each appends the filtered form of valid UTF-8.
enum status filter_accents(const char *text, size_t length, struct bytes *out) STATUS_MUST_USE;
enum status filter_nmt(const char *text, size_t length, struct bytes *out) STATUS_MUST_USE;
enum status filter_bert(const struct bert_normalizer *bert, const char *text, size_t length,
                        struct bytes *out) STATUS_MUST_USE;

#endif
