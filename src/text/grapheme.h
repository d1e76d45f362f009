// What a reader takes for one character (UAX 29, extended grapheme clusters, as the crate
// unicode-segmentation of tokenizers 0.23 has them).
#ifndef COLROW_TEXT_GRAPHEME_H
#define COLROW_TEXT_GRAPHEME_H

#include <stddef.h>

// The bytes of the cluster that valid UTF-8 begins with (length > 0).
size_t grapheme_length(const char *text, size_t length);

#endif
