#include "text/decoder.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/decoder_words.h"
#include "text/normalizer.h"
#include "text/pattern.h"
#include "text/splits.h"
#include "text/unicode.h"

void decoder_init(struct decoder *decoder)
{
    *decoder = (struct decoder){0};
}

void decoder_fini(struct decoder *decoder)
{
    for (size_t i = 0; i < decoder->n; i++) {
        bytes_fini(&decoder->steps[i].content);
        bytes_fini(&decoder->steps[i].delimiter);
        pattern_free(decoder->steps[i].pattern);
    }
    free(decoder->steps);
    decoder_init(decoder);
}

// ---- reading ----

static enum status parse_content(const json_t *object, const char *where, struct decoder_step *step)
{
    const char *text;
    size_t length;
    TRY(json_get_string(object, where, "content", &text, &length, NULL));
    return bytes_append(&step->content, text, length);
}

static enum status parse_decoder_strip(const json_t *object, const char *where,
                                       struct decoder_step *step)
{
    enum { MOST = 1 << 20 };
    int64_t start, stop;
    uint32_t code;
    size_t bytes = 0;
    TRY(parse_content(object, where, step));
    if (step->content.length > 0)
        utf8_next(step->content.data, step->content.length, &code, &bytes);
    if (bytes == 0 || bytes != step->content.length)
        return fail(ERR_INPUT, "%s: key \"content\" is \"%.60s\"; expected one character", where,
                    step->content.length ? step->content.data : "");
    TRY(json_get_int(object, where, "start", 0, MOST, &start, NULL));
    TRY(json_get_int(object, where, "stop", 0, MOST, &stop, NULL));
    step->start = (size_t)start;
    step->stop = (size_t)stop;
    return OK;
}

static enum status parse_decoder_step(const json_t *object, const char *where, const char *type,
                                      struct decoder_step *step)
{
    static const struct {
        const char *name;
        enum decoder_kind kind;
    } types[] = {{"ByteLevel", DECODER_BYTE_LEVEL},
                 {"ByteFallback", DECODER_BYTE_FALLBACK},
                 {"Fuse", DECODER_FUSE},
                 {"Strip", DECODER_STRIP},
                 {"Replace", DECODER_REPLACE},
                 {"Metaspace", DECODER_METASPACE},
                 {"WordPiece", DECODER_WORD_PIECE},
                 {"BPEDecoder", DECODER_BPE},
                 {"CTC", DECODER_CTC}};
    size_t i = 0, n = sizeof types / sizeof *types;
    while (i < n && strcmp(type, types[i].name) != 0)
        i++;
    if (i == n)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"type\" is \"%.60s\"; expected Sequence, ByteLevel, ByteFallback, "
                    "Fuse, Strip, Replace, Metaspace, WordPiece, BPEDecoder or CTC",
                    where, type);
    step->kind = types[i].kind;
    if (step->kind == DECODER_STRIP)
        return parse_decoder_strip(object, where, step);
    if (step->kind == DECODER_METASPACE)
        return metaspace_parse(object, where, &step->metaspace);
    if (step->kind >= DECODER_WORD_PIECE)
        return decoder_words_parse(object, where, step);
    if (step->kind != DECODER_REPLACE)
        return OK;
    TRY(parse_content(object, where, step));
    return pattern_parse(object, where, "pattern", &step->pattern);
}

static enum status parse_decoder(const json_t *object, const char *where, struct decoder *decoder)
{
    const char *type;
    TRY(json_get_text(object, where, "type", &type, NULL));
    if (strcmp(type, "Sequence") != 0) {
        if (decoder->n >= TOKENIZER_STEPS_MAX)
            return fail(ERR_INPUT, "%s: has too many steps; at most %d are allowed", where,
                        TOKENIZER_STEPS_MAX);
        TRY(memory_grow(&decoder->steps, &decoder->capacity, decoder->n + 1, sizeof *decoder->steps,
                        "a decoder"));
        decoder->steps[decoder->n] = (struct decoder_step){0};
        return parse_decoder_step(object, where, type, &decoder->steps[decoder->n++]);
    }
    json_t *list, *item;
    size_t i;
    TRY(json_get_array(object, where, "decoders", &list, NULL));
    json_array_foreach(list, i, item) TRY(parse_decoder(item, where, decoder));
    return OK;
}

enum status decoder_parse(const json_t *root, const char *where, struct decoder *decoder)
{
    assert(root && where && decoder);
    json_t *object;
    char place[512];
    snprintf(place, sizeof place, "%.400s: decoder", where);
    TRY(json_get_object(root, where, "decoder", &object, &decoder->present));
    return decoder->present ? parse_decoder(object, place, decoder) : OK;
}

// ---- steps that look at one token ----

bool decoder_step_is_local(const struct decoder_step *step)
{
    return step->kind == DECODER_STRIP || step->kind == DECODER_REPLACE ||
           step->kind == DECODER_METASPACE || step->kind == DECODER_WORD_PIECE;
}

static enum status decode_strip(const struct decoder_step *step, const char *text, size_t length,
                                struct bytes *out)
{
    const char *content = step->content.data;
    size_t n = step->content.length;
    for (size_t i = 0; i < step->start && length >= n && memcmp(text, content, n) == 0; i++) {
        text += n;
        length -= n;
    }
    for (size_t i = 0; i < step->stop && length >= n && memcmp(text + length - n, content, n) == 0;
         i++)
        length -= n;
    return bytes_append(out, text, length);
}

static enum status decode_replace(const struct decoder_step *step, const char *text, size_t length,
                                  struct bytes *out)
{
    struct pattern_walk walk;
    TRY(pattern_walk_init(&walk, step->pattern));
    pattern_walk_begin(&walk, text, length);
    enum status status = OK;
    size_t written = 0;
    for (bool found = length > 0;
         found && (status = pattern_walk_next(&walk, &found)) == OK && found; written = walk.end) {
        TRY_DONE(bytes_append(out, text + written, walk.begin - written));
        TRY_DONE(bytes_append(out, step->content.data, step->content.length));
        if (out->length > TEXT_BYTES_MAX) {
            status =
                fail(ERR_INPUT, "the text grows beyond %zu bytes in the decoder", TEXT_BYTES_MAX);
            goto done;
        }
    }
    TRY_DONE(status);
    status = bytes_append(out, text + written, length - written);
done:
    pattern_walk_fini(&walk);
    return status;
}

static enum status decode_metaspace(const struct metaspace *m, size_t index, const char *text,
                                    size_t length, struct bytes *out)
{
    bool drop =
        index == 0 && m->prepend != PREPEND_NEVER; // then the blank was put there by the encoder
    while (length > 0) {
        const char *at = memmem(text, length, m->replacement, m->length);
        size_t before = at ? (size_t)(at - text) : length;
        TRY(bytes_append(out, text, before));
        if (!at)
            break;
        if (!drop)
            TRY(bytes_append(out, " ", 1));
        text += before + m->length;
        length -= before + m->length;
    }
    return OK;
}

enum status decoder_step_token(const struct decoder_step *step, size_t index, const char *text,
                               size_t length, struct bytes *out)
{
    assert(step && (text || length == 0) && out);
    switch (step->kind) {
    case DECODER_STRIP:
        return decode_strip(step, text, length, out);
    case DECODER_REPLACE:
        return decode_replace(step, text, length, out);
    case DECODER_METASPACE:
        return decode_metaspace(&step->metaspace, index, text, length, out);
    case DECODER_WORD_PIECE:
        return decode_word_piece(step, index, text, length, out);
    case DECODER_BYTE_LEVEL:
    case DECODER_BYTE_FALLBACK:
    case DECODER_FUSE:
    case DECODER_BPE:
    case DECODER_CTC:
        break;
    }
    return fail(ERR_INTERNAL, "this decoder step does not look at single tokens");
}

// ---- steps that look at all tokens ----

int decoder_byte_token(const char *text, size_t length)
{
    assert(text || length == 0);
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int value = 0;
    for (int i = 3 + (text[3] == '+'); i < 5; i++) { // Rust's numbers may have a sign
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

enum status decoder_letters(const char *text, size_t length, struct bytes *out)
{
    assert((text || length == 0) && out);
    size_t before = out->length;
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        int byte = letter_to_byte(code);
        if (byte < 0) { // not of that alphabet: the token stands for itself
            out->length = before;
            return bytes_append(out, text, length);
        }
        char c = (char)byte;
        TRY(bytes_append(out, &c, 1));
    }
    return OK;
}

// A run of byte tokens is the text its bytes make, or one U+FFFD for each when they make none.
static enum status end_run(struct bytes *run, struct splits *out)
{
    size_t at;
    if (run->length == 0)
        return OK;
    if (utf8_check(run->data, run->length, &at)) {
        TRY(bytes_append(&out->text, run->data, run->length));
        TRY(splits_push(out, -1, 0));
    } else {
        for (size_t i = 0; i < run->length; i++) {
            TRY(bytes_text(&out->text, REPLACEMENT_CHARACTER));
            TRY(splits_push(out, -1, 0));
        }
    }
    bytes_clear(run);
    return OK;
}

static enum status byte_fallback(const struct splits *in, struct bytes *run, struct splits *out)
{
    assert(in && out && in != out);
    bytes_clear(run);
    for (size_t i = 0; i < in->n; i++) {
        const char *text = in->text.data + in->items[i].begin;
        size_t length = in->items[i].end - in->items[i].begin;
        int byte = decoder_byte_token(text, length);
        if (byte >= 0) {
            char c = (char)byte;
            TRY(bytes_append(run, &c, 1));
            continue;
        }
        TRY(end_run(run, out));
        TRY(bytes_append(&out->text, text, length));
        TRY(splits_push(out, -1, 0));
    }
    return end_run(run, out);
}

static enum status decode_byte_level(const struct splits *in, struct bytes *bytes,
                                     struct splits *out)
{
    assert(in && out && in != out);
    bytes_clear(bytes);
    for (size_t i = 0; i < in->n; i++)
        TRY(decoder_letters(in->text.data + in->items[i].begin,
                            in->items[i].end - in->items[i].begin, bytes));
    TRY(utf8_append_lossy(&out->text, bytes->data, bytes->length));
    return splits_push(out, -1, 0);
}

static enum status decoder_apply_step(const struct decoder_step *step, const struct splits *in,
                                      struct bytes *scratch, struct splits *out)
{
    assert(step && in && out && in != out);
    if (step->kind == DECODER_BYTE_FALLBACK)
        return byte_fallback(in, scratch, out);
    if (step->kind == DECODER_BYTE_LEVEL)
        return decode_byte_level(in, scratch, out);
    if (step->kind == DECODER_BPE)
        return decode_bpe_words(step, in, out);
    if (step->kind == DECODER_CTC)
        return decode_ctc(step, in, scratch, out);
    if (step->kind == DECODER_FUSE) {
        TRY(bytes_append(&out->text, in->text.data, in->text.length));
        return splits_push(out, -1, 0);
    }
    for (size_t i = 0; i < in->n; i++) {
        const struct split *s = &in->items[i];
        TRY(decoder_step_token(step, i, in->text.data + s->begin, s->end - s->begin, &out->text));
        TRY(splits_push(out, -1, 0));
    }
    return OK;
}

static enum status join_with_blanks(const struct splits *tokens, struct bytes *out)
{
    for (size_t i = 0; i < tokens->n; i++) {
        if (i > 0)
            TRY(bytes_append(out, " ", 1));
        TRY(bytes_append(out, tokens->text.data + tokens->items[i].begin,
                         tokens->items[i].end - tokens->items[i].begin));
    }
    return OK;
}

enum status decoder_apply(const struct decoder *decoder, struct decode_buffers *buffers,
                          struct bytes *out)
{
    assert(decoder && buffers && out);
    struct splits *tokens = &buffers->tokens, *next = &buffers->next;
    if (!decoder->present)
        return join_with_blanks(tokens, out);
    for (size_t i = 0; i < decoder->n; i++) {
        splits_clear(next);
        TRY(bytes_append(&next->text, "", 0)); // so that its data is never NULL
        TRY(decoder_apply_step(&decoder->steps[i], tokens, &buffers->bytes, next));
        struct splits swap = *tokens;
        *tokens = *next;
        *next = swap;
    }
    return bytes_append(out, tokens->text.data, tokens->text.length);
}
