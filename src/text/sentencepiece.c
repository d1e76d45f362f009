#include "text/sentencepiece.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/protobuf.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

// The numbers of the fields that count here.
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { FIELD_PIECE = 1, FIELD_SCORE = 2, FIELD_TYPE = 3 };
enum {
    TRAINER_KIND = 3,
    TRAINER_BYTE_FALLBACK = 35,
    TRAINER_UNK_ID = 40,
    TRAINER_BOS_ID = 41,
    TRAINER_EOS_ID = 42,
    TRAINER_UNK_PIECE = 45,
    TRAINER_BOS_PIECE = 46,
    TRAINER_EOS_PIECE = 47,
};
enum {
    NORMALIZER_CHARSMAP = 2,
    NORMALIZER_PREFIX = 3,
    NORMALIZER_BLANKS = 4,
    NORMALIZER_ESCAPE = 5,
};

void sentencepiece_fini(struct sentencepiece *model)
{
    free(model->pieces);
    *model = (struct sentencepiece){0};
}

static bool is_field(const struct protobuf_field *field, uint32_t number, enum protobuf_wire wire)
{
    return field->number == number && field->wire == wire; // of another kind: unknown, as there
}

static enum status check_piece_text(const char *where, const char *text, size_t length)
{
    size_t at;
    if (length > SENTENCEPIECE_PIECE_BYTES_MAX)
        return fail(ERR_INPUT, "%s: piece \"%s\" has %zu bytes; at most %d are allowed", where,
                    text_show(text, length), length, SENTENCEPIECE_PIECE_BYTES_MAX);
    return utf8_check(text, length, &at)
               ? OK
               : fail(ERR_INPUT, "%s: a piece is not valid UTF-8: byte 0x%02X", where,
                      (unsigned char)text[at]);
}

static enum status read_piece(struct sentencepiece *model, const char *where,
                              const struct protobuf_field *message)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    struct piece piece = {.text = "", .type = PIECE_NORMAL};
    bool found;
    protobuf_begin(&reader, where, message->data, message->length);
    for (;;) {
        TRY(protobuf_next(&reader, &field, &found));
        if (!found)
            break;
        if (is_field(&field, FIELD_PIECE, PROTOBUF_BYTES)) {
            piece.text = field.data;
            piece.length = field.length;
        } else if (is_field(&field, FIELD_SCORE, PROTOBUF_FIXED32)) {
            piece.score = protobuf_float(&field);
        } else if (is_field(&field, FIELD_TYPE, PROTOBUF_VARINT) && field.value >= PIECE_NORMAL &&
                   field.value <= PIECE_BYTE) {
            piece.type = (enum piece_type)field.value;
        }
    }
    TRY(check_piece_text(where, piece.text, piece.length));
    if (!isfinite(piece.score)) // there is no order of pieces then
        return fail(ERR_INPUT, "%s: piece \"%s\" has the score %g; expected a number", where,
                    text_show(piece.text, piece.length), (double)piece.score);
    if (model->n >= VOCABULARY_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many pieces; at most %d are allowed", where,
                    VOCABULARY_TOKENS_MAX);
    TRY(memory_grow(&model->pieces, &model->capacity, model->n + 1, sizeof *model->pieces,
                    "the pieces"));
    model->pieces[model->n++] = piece;
    return OK;
}

static void name_piece(struct named_piece *piece, const struct protobuf_field *field)
{
    piece->text = field->data;
    piece->length = field->length;
}

static void take_trainer_field(struct sentencepiece *model, const struct protobuf_field *field)
{
    int32_t id = (int32_t)(uint32_t)field->value;
    if (is_field(field, TRAINER_KIND, PROTOBUF_VARINT) && field->value >= SENTENCEPIECE_UNIGRAM &&
        field->value <= SENTENCEPIECE_CHAR)
        model->kind = (enum sentencepiece_kind)field->value;
    else if (is_field(field, TRAINER_BYTE_FALLBACK, PROTOBUF_VARINT))
        model->byte_fallback = field->value != 0;
    else if (is_field(field, TRAINER_UNK_ID, PROTOBUF_VARINT))
        model->unk.id = id;
    else if (is_field(field, TRAINER_BOS_ID, PROTOBUF_VARINT))
        model->bos.id = id;
    else if (is_field(field, TRAINER_EOS_ID, PROTOBUF_VARINT))
        model->eos.id = id;
    else if (is_field(field, TRAINER_UNK_PIECE, PROTOBUF_BYTES))
        name_piece(&model->unk, field);
    else if (is_field(field, TRAINER_BOS_PIECE, PROTOBUF_BYTES))
        name_piece(&model->bos, field);
    else if (is_field(field, TRAINER_EOS_PIECE, PROTOBUF_BYTES))
        name_piece(&model->eos, field);
}

static void take_normalizer_field(struct sentencepiece *model, const struct protobuf_field *field)
{
    if (is_field(field, NORMALIZER_CHARSMAP, PROTOBUF_BYTES)) {
        model->charsmap = field->data;
        model->charsmap_length = field->length;
    } else if (is_field(field, NORMALIZER_PREFIX, PROTOBUF_VARINT)) {
        model->add_dummy_prefix = field->value != 0;
    } else if (is_field(field, NORMALIZER_BLANKS, PROTOBUF_VARINT)) {
        model->remove_extra_whitespaces = field->value != 0;
    } else if (is_field(field, NORMALIZER_ESCAPE, PROTOBUF_VARINT)) {
        model->escape_whitespaces = field->value != 0;
    }
}

typedef void take_field(struct sentencepiece *model, const struct protobuf_field *field);

// A message in the model; one that comes again adds to the one before.
static enum status read_part(struct sentencepiece *model, const char *where,
                             const struct protobuf_field *message, take_field *take)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    bool found;
    protobuf_begin(&reader, where, message->data, message->length);
    for (;;) {
        TRY(protobuf_next(&reader, &field, &found));
        if (!found)
            return OK;
        take(model, &field);
    }
}

static enum status check_names(const struct sentencepiece *model, const char *where)
{
    const struct named_piece *names[] = {&model->unk, &model->bos, &model->eos};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        TRY(check_piece_text(where, names[i]->text, names[i]->length));
        if (memchr(names[i]->text, '\0', names[i]->length))
            return fail(ERR_INPUT, "%s: a special piece has a NUL in its name", where);
    }
    return OK;
}

enum status sentencepiece_parse(const char *where, const char *data, size_t length,
                                struct sentencepiece *out)
{
    assert(where && (data || length == 0) && out);
    struct protobuf_reader reader;
    struct protobuf_field field;
    *out = (struct sentencepiece){
        .kind = SENTENCEPIECE_UNIGRAM,
        .unk = {"<unk>", 5, 0},
        .bos = {"<s>", 3, 1},
        .eos = {"</s>", 4, 2},
        .charsmap = "",
        .add_dummy_prefix = true,
        .remove_extra_whitespaces = true,
        .escape_whitespaces = true,
    };
    protobuf_begin(&reader, where, data, length);
    for (;;) {
        bool found;
        TRY(protobuf_next(&reader, &field, &found));
        if (!found)
            break;
        if (is_field(&field, MODEL_PIECES, PROTOBUF_BYTES))
            TRY(read_piece(out, where, &field));
        else if (is_field(&field, MODEL_TRAINER, PROTOBUF_BYTES))
            TRY(read_part(out, where, &field, take_trainer_field));
        else if (is_field(&field, MODEL_NORMALIZER, PROTOBUF_BYTES))
            TRY(read_part(out, where, &field, take_normalizer_field));
    }
    if (out->n == 0)
        return fail(ERR_INPUT, "%s: has no pieces; expected a model of SentencePiece", where);
    return check_names(out, where);
}
