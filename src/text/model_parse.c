// tokenizer.json's "model": which one it is, and the reading of Unigram, WordPiece and WordLevel
// (bpe_parse.c reads BPE).
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

const struct vocabulary *tokenizer_vocabulary(const struct tokenizer *tokenizer)
{
    switch (tokenizer->model) {
    case MODEL_BPE:
        break;
    case MODEL_UNIGRAM:
        return &tokenizer->unigram.vocabulary;
    case MODEL_WORD_PIECE:
        return &tokenizer->word_piece.vocabulary;
    }
    return &tokenizer->bpe.vocabulary;
}

// A reader of "vocab", which must be there.
static enum status open_vocab(const char *where, const char *file, struct json_span vocab,
                              const char *what, struct json_reader *out)
{
    if (!vocab.text)
        return fail(ERR_INPUT, "%s is missing; expected the %s", where, what);
    *out = (struct json_reader){
        .where = where, .file = file, .at = vocab.text, .end = vocab.text + vocab.length};
    return OK;
}

// ---- Unigram ----

// Digits onto `*mantissa` while it fits; the number of digits that did not.
static int take_serde_digits(const char **at, const char *end, uint64_t *mantissa, int *taken)
{
    int dropped = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (dropped > 0 || *mantissa > (UINT64_MAX - digit) / 10) {
            dropped += dropped < 100000;
        } else {
            *mantissa = *mantissa * 10 + digit;
            ++*taken;
        }
    }
    return dropped;
}

// serde_json, with which `tokenizers` reads scores, does not round to the nearest double: it takes
// the first digits as an integer and scales that by a power of ten. A score that is off by its last
// bit can decide between two ways of the same sum, so this does the same.
static bool serde_number(const char *text, const char *end, double *out)
{
    bool negative = text < end && *text == '-';
    const char *at = text + negative;
    uint64_t mantissa = 0;
    int taken = 0, scale = take_serde_digits(&at, end, &mantissa, &taken);
    if (at < end && *at == '.') {
        at++;
        taken = 0;
        take_serde_digits(&at, end, &mantissa, &taken);
        scale -= taken;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        bool down = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        uint64_t exponent = 0;
        if (take_serde_digits(&at, end, &exponent, &taken) > 0 || exponent > 100000)
            exponent = 100000;
        scale += down ? -(int)exponent : (int)exponent;
    }
    double value = (double)mantissa;
    for (; scale < -308 && value != 0; scale += 308)
        value /= 1e308;
    char power[16];
    snprintf(power, sizeof power, "1e%d", scale < 0 ? -scale : scale);
    if (value != 0 && scale > 308)
        return false;
    if (value != 0)
        value = scale < 0 ? value / strtod(power, NULL) : value * strtod(power, NULL);
    *out = negative ? -value : value;
    return isfinite(value);
}

static enum status read_score(struct json_reader *reader, struct bytes *scratch, double *score)
{
    bool integer;
    int64_t whole;
    json_reader_at(reader, ' '); // goes over blanks
    const char *begin = reader->at;
    TRY(json_reader_number(reader, scratch, &integer, &whole, score));
    if (serde_number(begin, reader->at, score))
        return OK;
    return fail(ERR_INPUT, "%s: found a score %s, which is too large for a double", reader->where,
                text_show(begin, (size_t)(reader->at - begin)));
}

// [["piece", score], ...]
static enum status read_pieces(struct json_reader *reader, struct unigram *unigram)
{
    struct bytes scratch, number;
    bytes_init(&scratch);
    bytes_init(&number);
    enum status status;
    TRY_DONE(json_reader_expect(reader, '['));
    if (!json_reader_at(reader, ']')) {
        do {
            const char *piece;
            size_t length;
            double score;
            TRY_DONE(json_reader_expect(reader, '['));
            TRY_DONE(json_reader_string(reader, &scratch, &piece, &length));
            TRY_DONE(json_reader_expect(reader, ','));
            TRY_DONE(read_score(reader, &number, &score));
            TRY_DONE(json_reader_expect(reader, ']'));
            TRY_DONE(unigram_add_piece(unigram, reader->where, piece, length, score));
        } while (json_reader_take(reader, ','));
    }
    status = json_reader_expect(reader, ']');
done:
    bytes_fini(&scratch);
    bytes_fini(&number);
    return status;
}

static enum status unigram_parse(const json_t *model, const char *where, struct json_reader *reader,
                                 struct unigram *unigram)
{
    int64_t unk_id = -1;
    bool found;
    TRY(json_get_int(model, where, "unk_id", 0, TOKEN_ID_MAX, &unk_id, &found));
    TRY(json_get_bool(model, where, "byte_fallback", &unigram->byte_fallback, &found));
    TRY(read_pieces(reader, unigram));
    unigram->unk_id = (int32_t)unk_id;
    return unigram_pieces_end(unigram, where);
}

// ---- WordPiece, WordLevel ----

static enum status copy_option(const json_t *model, const char *where, const char *key,
                               struct bytes *out)
{
    const char *text;
    size_t length;
    TRY(json_get_string(model, where, key, &text, &length, NULL));
    return bytes_append(out, text, length);
}

static enum status word_piece_parse(const json_t *model, const char *where,
                                    struct json_reader *reader, struct word_piece *out)
{
    TRY(copy_option(model, where, "unk_token", &out->unk_token));
    if (!out->whole_words) {
        TRY(copy_option(model, where, "continuing_subword_prefix", &out->prefix));
        TRY(json_get_int(model, where, "max_input_chars_per_word", 0, INT64_MAX, &out->chars_max,
                         NULL));
    }
    TRY(vocabulary_parse(&out->vocabulary, reader));
    return word_piece_end(out);
}

// ---- which one ----

// Files from before "type" was written: `tokenizers` tries BPE, WordPiece, WordLevel and Unigram,
// in this order.
static const char *guess_type(const json_t *model, struct json_span vocab)
{
    static const char *const bpe_only[] = {"merges", "dropout", "fuse_unk", "byte_fallback",
                                           "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof bpe_only / sizeof *bpe_only; i++)
        if (json_object_get(model, bpe_only[i]))
            return "BPE";
    if (vocab.text && vocab.text[0] == '[')
        return "Unigram";
    if (json_object_get(model, "max_input_chars_per_word"))
        return "WordPiece";
    return vocab.text && json_object_get(model, "unk_token") ? "WordLevel" : "BPE";
}

enum status model_parse(const json_t *root, const char *where, const char *file,
                        struct json_span vocab, struct json_span merges,
                        struct tokenizer *tokenizer)
{
    assert(root && where && file && tokenizer);
    json_t *model;
    struct json_reader reader;
    const char *type;
    bool found;
    char place[448], part[512];
    snprintf(place, sizeof place, "%.400s: model", where);
    snprintf(part, sizeof part, "%s: key \"vocab\"", place);
    TRY(json_get_object(root, where, "model", &model, NULL));
    type = guess_type(model, vocab);
    TRY(json_get_text(model, place, "type", &type, &found));
    tokenizer->model = strcmp(type, "Unigram") == 0 ? MODEL_UNIGRAM : MODEL_WORD_PIECE;
    tokenizer->word_piece.whole_words = strcmp(type, "WordLevel") == 0;
    if (strcmp(type, "BPE") == 0) {
        tokenizer->model = MODEL_BPE;
        return bpe_parse(root, where, file, vocab, merges, &tokenizer->bpe);
    }
    if (tokenizer->model == MODEL_UNIGRAM) {
        TRY(open_vocab(part, file, vocab, "pieces and scores of a Unigram model", &reader));
        return unigram_parse(model, place, &reader, &tokenizer->unigram);
    }
    if (!tokenizer->word_piece.whole_words && strcmp(type, "WordPiece") != 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"type\" is \"%.60s\"; expected BPE, Unigram, WordPiece or WordLevel",
                    place, type);
    TRY(open_vocab(part, file, vocab, "tokens and ids", &reader));
    return word_piece_parse(model, place, &reader, &tokenizer->word_piece);
}
