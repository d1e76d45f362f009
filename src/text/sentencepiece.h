// tokenizer.model as SentencePiece writes it: a protocol buffer (sentencepiece_model.proto) of
// pieces with scores, and of how texts are normalised.
#ifndef COLROW_TEXT_SENTENCEPIECE_H
#define COLROW_TEXT_SENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

// As they are numbered there; any other number reads as the default.
enum piece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN,
    PIECE_CONTROL,
    PIECE_USER_DEFINED,
    PIECE_UNUSED,
    PIECE_BYTE,
};
enum sentencepiece_kind {
    SENTENCEPIECE_UNIGRAM = 1,
    SENTENCEPIECE_BPE,
    SENTENCEPIECE_WORD,
    SENTENCEPIECE_CHAR,
};

enum { SENTENCEPIECE_PIECE_BYTES_MAX = 1024 }; // bounds the work of finding its two halves

// All texts lie in the file; they are not NUL-terminated.
struct piece {
    const char *text;
    size_t length;
    float score;
    enum piece_type type;
};
struct named_piece {
    const char *text;
    size_t length;
    int32_t id; // negative: there is none
};

struct sentencepiece {
    struct piece *pieces; // by id
    size_t n, capacity;
    enum sentencepiece_kind kind;
    bool byte_fallback;
    struct named_piece unk, bos, eos;
    const char *charsmap; // precompiled; of `charsmap_length` bytes
    size_t charsmap_length;
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
};

// `data` must outlive `out`, which the caller releases in any case.
enum status sentencepiece_parse(const char *where, const char *data, size_t length,
                                struct sentencepiece *out) STATUS_MUST_USE;
void sentencepiece_fini(struct sentencepiece *model);

#endif
