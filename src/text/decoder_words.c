#include "text/decoder_words.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "text/decoder.h"
#include "text/splits.h"
#include "text/unicode.h"

static enum status copy_part(const json_t *object, const char *where, const char *key,
                             struct bytes *out)
{
    const char *text;
    size_t length;
    TRY(json_get_string(object, where, key, &text, &length, NULL));
    return bytes_append(out, text, length);
}

enum status decoder_words_parse(const json_t *object, const char *where, struct decoder_step *step)
{
    assert(object && where && step);
    if (step->kind == DECODER_BPE)
        return copy_part(object, where, "suffix", &step->content);
    TRY(json_get_bool(object, where, "cleanup", &step->cleanup, NULL));
    if (step->kind == DECODER_WORD_PIECE)
        return copy_part(object, where, "prefix", &step->content);
    TRY(copy_part(object, where, "pad_token", &step->content));
    return copy_part(object, where, "word_delimiter_token", &step->delimiter);
}

// ---- replacing ----

// Appends `text` with `with` instead of each `what`; an empty `what` stands around each character.
static enum status replace_all(const char *text, size_t length, const struct bytes *what,
                               const char *with, struct bytes *out)
{
    if (what->length == 0) {
        TRY(bytes_text(out, with));
        for (size_t i = 0, bytes; i < length; i += bytes) {
            uint32_t code;
            utf8_next(text + i, length - i, &code, &bytes);
            TRY(bytes_append(out, text + i, bytes));
            TRY(bytes_text(out, with));
        }
        return OK;
    }
    for (;;) {
        const char *at = memmem(text, length, what->data, what->length);
        size_t before = at ? (size_t)(at - text) : length;
        TRY(bytes_append(out, text, before));
        if (!at)
            return OK;
        TRY(bytes_text(out, with));
        text += before + what->length;
        length -= before + what->length;
    }
}

// The same in place, behind `begin`; `with` is no longer than `what`.
static void shorten_all(struct bytes *text, size_t begin, const char *what, const char *with)
{
    size_t n = strlen(what), m = strlen(with);
    assert(m <= n && n > 0 && begin <= text->length);
    char *write = text->data + begin, *read = write, *end = text->data + text->length;
    for (char *at; (at = memmem(read, (size_t)(end - read), what, n)); read = at + n) {
        memmove(write, read, (size_t)(at - read));
        write += at - read;
        write = mempcpy(write, with, m); // without its end
    }
    memmove(write, read, (size_t)(end - read));
    text->length = (size_t)(write + (end - read) - text->data);
    text->data[text->length] = '\0';
}

// English, as BERT's tokenizer took it apart.
static void clean_up(struct bytes *text, size_t begin)
{
    static const char *const rules[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        shorten_all(text, begin, rules[i][0], rules[i][1]);
}

// ---- the three ----

enum status decode_word_piece(const struct decoder_step *step, size_t index, const char *text,
                              size_t length, struct bytes *out)
{
    size_t begin = out->length, n = step->content.length;
    if (index > 0 && length >= n && (n == 0 || memcmp(text, step->content.data, n) == 0)) {
        text += n;
        length -= n;
    } else if (index > 0) {
        TRY(bytes_append(out, " ", 1));
    }
    TRY(bytes_append(out, text, length));
    if (step->cleanup)
        clean_up(out, begin);
    return OK;
}

enum status decode_bpe_words(const struct decoder_step *step, const struct splits *in,
                             struct splits *out)
{
    assert(in && out && in != out);
    for (size_t i = 0; i < in->n; i++) {
        const struct split *s = &in->items[i];
        TRY(replace_all(in->text.data + s->begin, s->end - s->begin, &step->content,
                        i + 1 < in->n ? " " : "", &out->text));
        TRY(splits_push(out, -1, 0));
    }
    return OK;
}

static bool same_token(const struct splits *in, size_t a, size_t b)
{
    const struct split *x = &in->items[a], *y = &in->items[b];
    size_t n = x->end - x->begin;
    return n == y->end - y->begin &&
           memcmp(in->text.data + x->begin, in->text.data + y->begin, n) == 0;
}

enum status decode_ctc(const struct decoder_step *step, const struct splits *in,
                       struct bytes *scratch, struct splits *out)
{
    assert(in && out && in != out);
    for (size_t i = 0; i < in->n; i++) {
        const struct split *s = &in->items[i];
        if (i > 0 && same_token(in, i - 1, i))
            continue;
        bytes_clear(scratch);
        TRY(replace_all(in->text.data + s->begin, s->end - s->begin, &step->content, "", scratch));
        if (step->cleanup) {
            clean_up(scratch, 0);
            TRY(replace_all(scratch->data, scratch->length, &step->delimiter, " ", &out->text));
        } else {
            TRY(bytes_append(&out->text, scratch->data, scratch->length));
        }
        TRY(splits_add(out, -1, 0)); // left out when nothing is left
    }
    return OK;
}
