#include "text/word_piece.h"

#include <assert.h>

#include "text/unicode.h"

void word_piece_init(struct word_piece *model)
{
    *model = (struct word_piece){.unk_id = -1};
    vocabulary_init(&model->vocabulary);
}

void word_piece_fini(struct word_piece *model)
{
    vocabulary_fini(&model->vocabulary);
    piece_trie_fini(&model->trie);
    bytes_fini(&model->unk_token);
    bytes_fini(&model->prefix);
    word_piece_init(model);
}

enum status word_piece_end(struct word_piece *model)
{
    assert(model && model->trie.n == 0);
    const struct bytes *unk = &model->unk_token, *prefix = &model->prefix;
    model->unk_id = vocabulary_find(&model->vocabulary, unk->data ? unk->data : "", unk->length);
    if (model->whole_words)
        return OK;
    TRY(piece_trie_build(&model->vocabulary, &model->trie));
    model->continues = true;
    for (size_t i = 0; i < prefix->length && model->continues; i++)
        model->continues =
            piece_trie_step(&model->trie, &model->continuation, (unsigned char)prefix->data[i]);
    return OK;
}

static enum status write_unknown_word(const struct word_piece *model, const char *word,
                                      size_t length, struct token_ids *out)
{
    if (model->unk_id >= 0)
        return token_ids_push(out, model->unk_id);
    const struct bytes *unk = &model->unk_token;
    return fail(ERR_INPUT,
                "the tokenizer's \"unk_token\" \"%s\" is not in its \"vocab\", and the text has "
                "\"%s\", which is no token",
                text_show(unk->data ? unk->data : "", unk->length), text_show(word, length));
}

// The longest token behind `node` that `text` begins with: its length, 0 when there is none.
static size_t longest_token(const struct word_piece *model, uint32_t node, const char *text,
                            size_t length, int32_t *id)
{
    size_t best = 0;
    for (size_t i = 0; i < length; i++) {
        if (!piece_trie_step(&model->trie, &node, (unsigned char)text[i]))
            break;
        if (model->trie.id[node] >= 0) {
            *id = model->trie.id[node];
            best = i + 1;
        }
    }
    return best;
}

static bool has_more_chars(const char *text, size_t length, int64_t most)
{
    int64_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n > most;
}

enum status word_piece_encode(const struct word_piece *model, const char *word, size_t length,
                              struct token_ids *out)
{
    assert(model && (word || length == 0) && out);
    if (model->whole_words) {
        int32_t id = vocabulary_find(&model->vocabulary, word, length);
        return id >= 0 ? token_ids_push(out, id) : write_unknown_word(model, word, length, out);
    }
    if (has_more_chars(word, length, model->chars_max))
        return write_unknown_word(model, word, length, out);
    size_t before = out->n;
    for (size_t at = 0, bytes; at < length; at += bytes) {
        int32_t id = -1;
        bytes = at > 0 && !model->continues ? 0
                                            : longest_token(model, at > 0 ? model->continuation : 0,
                                                            word + at, length - at, &id);
        if (bytes == 0) {
            out->n = before;
            return write_unknown_word(model, word, length, out);
        }
        TRY(token_ids_push(out, id));
    }
    return OK;
}
