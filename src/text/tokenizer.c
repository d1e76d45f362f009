#include "text/tokenizer.h"

#include <assert.h>
#include <string.h>

#include "text/model_run.h"
#include "text/splits.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

// ---- tokens ----

int32_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
    assert(tokenizer);
    return (int32_t)tokenizer->n_ids;
}

const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *length)
{
    const struct added_token *added = added_tokens_at(&tokenizer->added, id);
    if (!added)
        return vocabulary_text(tokenizer_vocabulary(tokenizer), id, length);
    *length = added->content_length;
    return tokenizer->added.text.data + added->content;
}

int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *token)
{
    assert(tokenizer && token);
    size_t length = strlen(token);
    int32_t id = added_tokens_find(&tokenizer->added, token, length);
    return id >= 0 ? id : vocabulary_find(tokenizer_vocabulary(tokenizer), token, length);
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_tokens_at(&tokenizer->added, id);
    return added && added->ever_special;
}

int32_t tokenizer_eos_id(const struct tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->special.n; i++)
        if (strcmp(tokenizer->special.items[i].name, "eos_token") == 0)
            return tokenizer_find(tokenizer, tokenizer->special.items[i].text);
    return -1;
}

// ---- encoding ----

// Steps of the text up to words: added tokens in the raw text, normalisation, added tokens in the
// normalised text, pre-tokenisation.
static enum status cut_into_words(const struct tokenizer *tokenizer, const char *text,
                                  size_t length, struct splits *out)
{
    struct splits raw;
    struct bytes normal;
    size_t start = 0; // the first character's bytes
    splits_init(&raw);
    bytes_init(&normal);
    enum status status;
    if (length > 0) {
        uint32_t code;
        utf8_next(text, length, &code, &start);
    }
    TRY_DONE(added_tokens_split(&tokenizer->added, false, text, length, start, &raw));
    for (size_t i = 0; i < raw.n; i++) {
        const struct split *part = &raw.items[i];
        const char *data = raw.text.data + part->begin;
        size_t n = part->end - part->begin;
        if (part->id >= 0) {
            TRY_DONE(splits_add_text(out, data, n, part->id, 0));
            continue;
        }
        start = part->start;
        if (tokenizer->normalizer.n > 0) {
            bytes_clear(&normal);
            TRY_DONE(normalizer_apply(&tokenizer->normalizer, data, n, &start, &normal));
            data = normal.data;
            n = normal.length;
        }
        TRY_DONE(added_tokens_split(&tokenizer->added, true, data, n, start, out));
    }
    status = pre_tokenizer_apply(&tokenizer->pre_tokenizer, out);
done:
    splits_fini(&raw);
    bytes_fini(&normal);
    return status;
}

static enum status encode_words(const struct tokenizer *tokenizer, const struct splits *words,
                                struct token_ids *out)
{
    struct model_run run;
    TRY(model_run_init(&run, tokenizer, words->text.length, out));
    enum status status = OK;
    for (size_t i = 0; i < words->n && status == OK; i++) {
        const struct split *word = &words->items[i];
        status = word->id >= 0 ? token_ids_push(out, word->id)
                               : model_run_word(&run, words->text.data + word->begin,
                                                word->end - word->begin);
    }
    model_run_fini(&run);
    return status;
}

static enum status check_text(const char *text, size_t length)
{
    size_t at;
    if (length > TOKENIZER_TEXT_BYTES_MAX)
        return fail(ERR_INPUT, "a text to tokenize has %zu bytes, at most %d are allowed", length,
                    TOKENIZER_TEXT_BYTES_MAX);
    if (!utf8_check(text, length, &at))
        return fail(ERR_INPUT, "a text to tokenize is not valid UTF-8: byte 0x%02X at offset %zu",
                    (unsigned char)text[at], at);
    return OK;
}

static enum status encode_text(const struct tokenizer *tokenizer, const char *text, size_t length,
                               struct token_ids *out)
{
    struct splits words;
    splits_init(&words);
    enum status status;
    TRY_DONE(cut_into_words(tokenizer, text, length, &words));
    status = encode_words(tokenizer, &words, out);
done:
    splits_fini(&words);
    return status;
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                             bool add_special_tokens, struct token_ids *out)
{
    assert(tokenizer && (text || length == 0) && out);
    const struct token_ids *layout = add_special_tokens ? &tokenizer->post_processor.with_special
                                                        : &tokenizer->post_processor.plain;
    size_t begin = 0, end = 0; // the text's ids in `out`
    bool encoded = false;
    TRY(check_text(text, length));
    for (size_t i = 0; i < layout->n; i++) {
        if (layout->ids[i] != POST_PROCESSOR_TEXT) {
            TRY(token_ids_push(out, layout->ids[i]));
        } else if (!encoded) {
            begin = out->n;
            TRY(encode_text(tokenizer, text, length, out));
            end = out->n;
            encoded = true;
        } else {
            for (size_t k = begin; k < end; k++)
                TRY(token_ids_push(out, out->ids[k]));
        }
    }
    assert(begin <= end && end <= out->n);
    return OK;
}

// ---- decoding ----

// `tokenizers` decodes an added token from its normalised text, and takes it for special only if
// that text is the content of a special token.
const char *tokenizer_decoder_text(const struct tokenizer *tokenizer, int32_t id, size_t *length,
                                   bool *special)
{
    assert(tokenizer && length && special);
    const struct added_token *added = added_tokens_at(&tokenizer->added, id);
    *special = false;
    if (!added) {
        const struct vocabulary *vocabulary = tokenizer_vocabulary(tokenizer);
        const char *piece = vocabulary_text(vocabulary, id, length);
        // The same text may be an added token's under another id.
        *special = piece && vocabulary->repeats &&
                   added_tokens_is_special(&tokenizer->added, piece, *length);
        return piece;
    }
    const char *text = tokenizer->added.text.data + added->decoded;
    *length = added->decoded_length;
    *special = added_tokens_is_special(&tokenizer->added, text, *length);
    return text;
}

enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                             bool skip_special_tokens, struct bytes *out)
{
    struct decode_buffers buffers;
    decode_buffers_init(&buffers);
    enum status status = tokenizer_decode_in(tokenizer, ids, n, skip_special_tokens, &buffers, out);
    decode_buffers_fini(&buffers);
    return status;
}

enum status tokenizer_decode_in(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                                bool skip_special_tokens, struct decode_buffers *buffers,
                                struct bytes *out)
{
    assert(tokenizer && (ids || n == 0) && buffers && out);
    struct splits *tokens = &buffers->tokens;
    splits_clear(tokens);
    TRY(bytes_append(&tokens->text, "", 0)); // so that its data is never NULL
    for (size_t i = 0; i < n; i++) {
        size_t length;
        bool special;
        const char *text = tokenizer_decoder_text(tokenizer, ids[i], &length, &special);
        if (!text || (special && skip_special_tokens))
            continue;
        TRY(bytes_append(&tokens->text, text, length));
        TRY(splits_push(tokens, -1, 0));
    }
    return decoder_apply(&tokenizer->decoder, buffers, out);
}
