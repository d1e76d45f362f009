#include "text/decode_stream.h"

#include <assert.h>
#include <string.h>

#include "text/splits.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

enum { HELD_BYTES_MAX = 192 }; // a model that says U+FFFD for ever is not held back for ever

// A decoder that can be streamed: steps that look at one token; then one that joins tokens' bytes,
// or none; then Fuse; then Strip at the front of the whole text.
struct shape {
    size_t n_local;
    bool joined, letters; // `joined`: DECODER_BYTE_LEVEL (letters) or DECODER_BYTE_FALLBACK
    size_t strip;         // index of the Strip, or the number of steps
};

static bool find_shape(const struct decoder *decoder, struct shape *shape)
{
    size_t i = 0;
    *shape = (struct shape){0};
    while (i < decoder->n && decoder_step_is_local(&decoder->steps[i]))
        i++;
    shape->n_local = i;
    enum decoder_kind kind = i < decoder->n ? decoder->steps[i].kind : DECODER_FUSE;
    if (kind == DECODER_BYTE_LEVEL || kind == DECODER_BYTE_FALLBACK) {
        shape->joined = true;
        shape->letters = kind == DECODER_BYTE_LEVEL;
        i++;
    }
    bool fused = shape->letters;
    for (; i < decoder->n && decoder->steps[i].kind == DECODER_FUSE; i++)
        fused = true;
    shape->strip = decoder->n;
    if (i == decoder->n)
        return true;
    shape->strip = i;
    const struct decoder_step *last = &decoder->steps[i];
    return fused && i + 1 == decoder->n && last->kind == DECODER_STRIP && last->stop == 0;
}

void decode_stream_init(struct decode_stream *stream, const struct tokenizer *tokenizer,
                        bool skip_special_tokens)
{
    assert(stream);
    *stream =
        (struct decode_stream){.tokenizer = tokenizer, .skip_special_tokens = skip_special_tokens};
    if (!tokenizer)
        return;
    struct shape shape;
    const struct decoder *decoder = &tokenizer->decoder;
    stream->window = !find_shape(decoder, &shape);
    if (!stream->window && shape.strip < decoder->n)
        stream->strip_left = decoder->steps[shape.strip].start;
}

void decode_stream_fini(struct decode_stream *stream)
{
    bytes_fini(&stream->raw);
    bytes_fini(&stream->text);
    bytes_fini(&stream->token[0]);
    bytes_fini(&stream->token[1]);
    token_ids_fini(&stream->ids);
    bytes_fini(&stream->given);
    *stream = (struct decode_stream){0};
}

// Complete text, in order; drops what Strip takes from the front.
static enum status stream_add_text(struct decode_stream *stream, const char *text, size_t length)
{
    const struct decoder *decoder = &stream->tokenizer->decoder;
    if (length > 0 && stream->strip_left > 0) {
        const struct bytes *content = &decoder->steps[decoder->n - 1].content;
        while (stream->strip_left > 0 && length >= content->length &&
               memcmp(text, content->data, content->length) == 0) {
            text += content->length;
            length -= content->length;
            stream->strip_left--;
        }
        if (length > 0)
            stream->strip_left = 0;
    }
    return bytes_append(&stream->text, text, length);
}

static void drop_front(struct bytes *bytes, size_t n)
{
    assert(n <= bytes->length);
    if (n == 0)
        return;
    memmove(bytes->data, bytes->data + n, bytes->length - n);
    bytes->length -= n;
    bytes->data[bytes->length] = '\0';
}

// GPT-2's letters: each maximal invalid part is one U+FFFD. With `end` the last character may be
// incomplete.
static enum status stream_take_bytes(struct decode_stream *stream, bool end)
{
    struct bytes *raw = &stream->raw;
    size_t i = 0, bytes;
    for (; i < raw->length; i += bytes) {
        uint32_t code;
        enum utf8_kind kind = utf8_next(raw->data + i, raw->length - i, &code, &bytes);
        if (kind == UTF8_INCOMPLETE && !end)
            break;
        if (kind == UTF8_VALID)
            TRY(stream_add_text(stream, raw->data + i, bytes));
        else
            TRY(stream_add_text(stream, REPLACEMENT_CHARACTER, strlen(REPLACEMENT_CHARACTER)));
    }
    drop_front(raw, i);
    return OK;
}

// Byte tokens: a run that is not valid as a whole is one U+FFFD for each byte.
static enum status take_run(struct decode_stream *stream, bool end)
{
    struct bytes *raw = &stream->raw;
    size_t at = 0, bytes = 0;
    uint32_t code;
    if (!stream->run_broken && raw->length > 0 && utf8_check(raw->data, raw->length, &at)) {
        TRY(stream_add_text(stream, raw->data, raw->length));
        bytes_clear(raw);
    }
    if (raw->length > 0 &&
        (end || stream->run_broken ||
         utf8_next(raw->data + at, raw->length - at, &code, &bytes) == UTF8_INVALID)) {
        for (size_t i = 0; i < raw->length; i++)
            TRY(stream_add_text(stream, REPLACEMENT_CHARACTER, strlen(REPLACEMENT_CHARACTER)));
        bytes_clear(raw);
        stream->run_broken = true;
    }
    if (end)
        stream->run_broken = false;
    return OK;
}

// One token's text, after the local steps.
static enum status take_token(struct decode_stream *stream, const struct shape *shape,
                              const char *text, size_t length)
{
    if (!shape->joined)
        return stream_add_text(stream, text, length);
    if (shape->letters) {
        TRY(decoder_letters(text, length, &stream->raw));
        return stream_take_bytes(stream, false);
    }
    int byte = decoder_byte_token(text, length);
    if (byte >= 0) {
        char c = (char)byte;
        TRY(bytes_append(&stream->raw, &c, 1));
        return take_run(stream, false);
    }
    TRY(take_run(stream, true));
    return stream_add_text(stream, text, length);
}

static enum status stream_add_token(struct decode_stream *stream, const char *text, size_t length)
{
    const struct decoder *decoder = &stream->tokenizer->decoder;
    size_t index = stream->n_tokens++;
    if (!decoder->present) {
        if (index > 0)
            TRY(stream_add_text(stream, " ", 1));
        return stream_add_text(stream, text, length);
    }
    struct shape shape;
    find_shape(decoder, &shape);
    for (size_t i = 0; i < shape.n_local; i++) {
        struct bytes *next = &stream->token[i & 1];
        bytes_clear(next);
        TRY(bytes_append(next, "", 0)); // so that its data is never NULL
        TRY(decoder_step_token(&decoder->steps[i], index, text, length, next));
        text = next->data;
        length = next->length;
    }
    return take_token(stream, &shape, text, length);
}

static bool must_hold(const struct decode_stream *stream)
{
    const struct bytes *text = &stream->text;
    size_t n = strlen(REPLACEMENT_CHARACTER);
    if (text->length > HELD_BYTES_MAX)
        return false;
    return stream->raw.length > 0 || (text->length >= n && memcmp(text->data + text->length - n,
                                                                  REPLACEMENT_CHARACTER, n) == 0);
}

static enum status stream_give_text(struct decode_stream *stream, struct bytes *out)
{
    TRY(bytes_append(out, stream->text.data, stream->text.length));
    bytes_clear(&stream->text);
    return OK;
}

// ---- decoders of other shapes, as `tokenizers`' DecodeStream does all ----

static bool ends_unfinished(const struct bytes *text)
{
    size_t n = strlen(REPLACEMENT_CHARACTER);
    return text->length >= n &&
           memcmp(text->data + text->length - n, REPLACEMENT_CHARACTER, n) == 0;
}

static enum status decode_ids(const struct decode_stream *stream, size_t begin, struct bytes *out)
{
    assert(stream->tokenizer && begin <= stream->ids.n);
    assert(begin <= stream->ids.n);
    bytes_clear(out);
    return tokenizer_decode(stream->tokenizer, stream->ids.ids + begin, stream->ids.n - begin,
                            stream->skip_special_tokens, out);
}

// The text of the window grows by what is new. `end`: what looks unfinished is given out as well.
static enum status take_window(struct decode_stream *stream, bool end, struct bytes *out)
{
    assert(stream->window && out);
    struct bytes *text = &stream->token[0], *given = &stream->given;
    TRY(decode_ids(stream, 0, text));
    if (text->length <= given->length || (!end && ends_unfinished(text)))
        return OK;
    // A decoder may change what it made before; then there is no text that goes on.
    if (given->length > 0 && memcmp(text->data, given->data, given->length) != 0)
        given->length = 0;
    TRY(bytes_append(out, text->data + given->length, text->length - given->length));
    memmove(stream->ids.ids, stream->ids.ids + stream->changing,
            (stream->ids.n - stream->changing) * sizeof *stream->ids.ids);
    stream->ids.n -= stream->changing;
    stream->changing = stream->ids.n;
    return decode_ids(stream, 0, given);
}

static enum status step_window(struct decode_stream *stream, int32_t id, struct bytes *out)
{
    TRY(token_ids_push(&stream->ids, id));
    return take_window(stream, false, out);
}

// ---- all of them ----

enum status decode_stream_step(struct decode_stream *stream, int32_t id, struct bytes *out)
{
    assert(stream && out);
    if (!stream->tokenizer)
        return OK;
    size_t length;
    bool special;
    if (stream->window)
        return step_window(stream, id, out);
    const char *text = tokenizer_decoder_text(stream->tokenizer, id, &length, &special);
    if (!text || (special && stream->skip_special_tokens))
        return OK;
    TRY(stream_add_token(stream, text, length));
    return must_hold(stream) ? OK : stream_give_text(stream, out);
}

enum status decode_stream_flush(struct decode_stream *stream, struct bytes *out)
{
    assert(stream && out);
    if (!stream->tokenizer)
        return OK;
    struct shape shape;
    if (stream->window)
        return take_window(stream, true, out);
    find_shape(&stream->tokenizer->decoder, &shape);
    if (shape.letters)
        TRY(stream_take_bytes(stream, true));
    else
        TRY(take_run(stream, true));
    return stream_give_text(stream, out);
}

// vLLM goes back to where the text of the last tokens has no unfinished character.
static enum status safe_begin(const struct decode_stream *stream, const int32_t *prompt, size_t n,
                              size_t *begin)
{
    enum { LEAST = 4, MOST = 23 };
    struct bytes text;
    bytes_init(&text);
    enum status status = OK;
    *begin = 0;
    for (size_t k = LEAST; n > LEAST && k <= n && k <= MOST; k++) {
        bytes_clear(&text);
        TRY_DONE(tokenizer_decode(stream->tokenizer, prompt + n - k, k, false, &text));
        if (memmem(text.data ? text.data : "", text.length, REPLACEMENT_CHARACTER,
                   strlen(REPLACEMENT_CHARACTER)))
            continue;
        *begin = n - k;
        break;
    }
done:
    bytes_fini(&text);
    return status;
}

enum status decode_stream_prime(struct decode_stream *stream, const int32_t *prompt, size_t n)
{
    assert(stream && (prompt || n == 0));
    struct bytes dropped;
    size_t begin;
    assert(stream->n_tokens == 0 && stream->ids.n == 0);
    if (!stream->tokenizer)
        return OK;
    bytes_init(&dropped);
    enum status status;
    TRY_DONE(safe_begin(stream, prompt, n, &begin));
    for (size_t i = begin; i < n; i++) {
        TRY_DONE(decode_stream_step(stream, prompt[i], &dropped));
        bytes_clear(&dropped);
    }
    status = OK;
done:
    bytes_fini(&dropped);
    return status;
}
