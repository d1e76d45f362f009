#include "text/unigram.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "text/unicode.h"

static const double unk_penalty = 10; // below the worst piece

// The best way from the word's begin to a place in it.
struct unigram_node {
    double score;
    int32_t id;      // of the last piece
    uint32_t length; // of the last piece; 0: no way found yet
};

void unigram_init(struct unigram *unigram)
{
    *unigram = (struct unigram){.unk_id = -1, .score_least = INFINITY};
    vocabulary_init(&unigram->vocabulary);
    unigram->vocabulary.repeats = true;
    memset(unigram->byte_ids, 0xFF, sizeof unigram->byte_ids);
}

void unigram_fini(struct unigram *unigram)
{
    vocabulary_fini(&unigram->vocabulary);
    piece_trie_fini(&unigram->trie);
    free(unigram->scores);
    unigram_init(unigram);
}

// ---- building ----

enum status unigram_add_piece(struct unigram *unigram, const char *where, const char *text,
                              size_t length, double score)
{
    assert(unigram && where && (text || length == 0) && unigram->trie.n == 0);
    size_t id = unigram->vocabulary.n_ids;
    TRY(memory_grow(&unigram->scores, &unigram->scores_capacity, id + 1, sizeof *unigram->scores,
                    "the scores of tokens"));
    TRY(vocabulary_add(&unigram->vocabulary, where, text, length, (int64_t)id));
    unigram->scores[id] = score;
    if (score < unigram->score_least)
        unigram->score_least = score;
    return OK;
}

enum status unigram_pieces_end(struct unigram *unigram, const char *where)
{
    assert(unigram && where);
    const struct vocabulary *v = &unigram->vocabulary;
    if (unigram->unk_id >= 0 && (size_t)unigram->unk_id >= v->n_ids)
        return fail(ERR_INPUT, "%s: key \"unk_id\" is %d; expected the id of one of %zu pieces",
                    where, unigram->unk_id, v->n_ids);
    unigram->unk_score = unigram->score_least - unk_penalty;
    for (unsigned byte = 0; byte < 256 && unigram->byte_fallback; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        unigram->byte_ids[byte] = vocabulary_find(v, name, 6);
    }
    return piece_trie_build(v, &unigram->trie);
}

// ---- writing the pieces found ----

static bool has_bytes(const struct unigram *unigram, const char *text, size_t length)
{
    for (size_t i = 0; i < length && unigram->byte_fallback; i++)
        if (unigram->byte_ids[(unsigned char)text[i]] < 0)
            return false;
    return unigram->byte_fallback;
}

// Unknown characters in a row are one piece: a token after all when the vocabulary has it, else
// its bytes, else the unknown token.
static enum status write_unknown(struct unigram_run *run, const char *word)
{
    const struct unigram *unigram = run->unigram;
    const char *text = word + run->unk_begin;
    size_t length = run->unk_end - run->unk_begin;
    if (length == 0)
        return OK;
    run->unk_begin = run->unk_end = 0;
    int32_t id = vocabulary_find(&unigram->vocabulary, text, length);
    if (id < 0 && has_bytes(unigram, text, length)) {
        for (size_t i = 0; i < length; i++)
            TRY(token_ids_push(run->out, unigram->byte_ids[(unsigned char)text[i]]));
        return OK;
    }
    assert(unigram->unk_id >= 0);
    return token_ids_push(run->out, id >= 0 ? id : unigram->unk_id);
}

// Turns the links of the best way, which lead back from `end`, into links from its begin.
static void turn_links(struct unigram_node *nodes, size_t end)
{
    struct unigram_node link = nodes[end];
    for (size_t at = end; at > 0;) {
        assert(link.length > 0 && link.length <= at);
        at -= link.length;
        struct unigram_node before = nodes[at];
        nodes[at].id = link.id;
        nodes[at].length = link.length;
        link = before;
    }
}

// Writes the pieces between word[begin] and word[end], which nodes[0] and nodes[end - begin] stand
// for.
static enum status write_pieces(struct unigram_run *run, const char *word, size_t begin, size_t end)
{
    turn_links(run->nodes, end - begin);
    for (size_t at = begin; at < end;) {
        const struct unigram_node *node = &run->nodes[at - begin];
        if (node->id == run->unigram->unk_id) {
            if (run->unk_begin == run->unk_end)
                run->unk_begin = at;
            run->unk_end = at + node->length;
        } else {
            TRY(write_unknown(run, word));
            TRY(token_ids_push(run->out, node->id));
        }
        at += node->length;
    }
    return OK;
}

// ---- finding them ----

void unigram_run_init(struct unigram_run *run, const struct unigram *unigram, struct token_ids *out)
{
    assert(run && unigram && out);
    *run = (struct unigram_run){.unigram = unigram, .out = out};
}

void unigram_run_fini(struct unigram_run *run)
{
    free(run->nodes);
    *run = (struct unigram_run){0};
}

// Makes nodes up to `last` ready, which were so up to `*ready`.
static enum status reach(struct unigram_run *run, size_t last, size_t *ready)
{
    if (last <= *ready)
        return OK;
    TRY(memory_grow(&run->nodes, &run->capacity, last + 1, sizeof *run->nodes,
                    "the pieces of a word"));
    for (size_t i = *ready + 1; i <= last; i++)
        run->nodes[i].length = 0;
    *ready = last;
    return OK;
}

// True when the piece makes a better way to nodes[at + length].
static bool improve(struct unigram_node *nodes, size_t at, size_t length, int32_t id, double score)
{
    struct unigram_node *end = &nodes[at + length];
    double sum = score + nodes[at].score;
    if (end->length > 0 && !(sum > end->score))
        return false;
    *end = (struct unigram_node){.score = sum, .id = id, .length = (uint32_t)length};
    return true;
}

// All pieces that begin at nodes[at], where the first of the `length` bytes left is a character of
// `bytes` bytes.
static enum status add_pieces_at(struct unigram_run *run, const char *text, size_t length,
                                 size_t bytes, size_t at, size_t *ready)
{
    const struct unigram *unigram = run->unigram;
    bool single = false;
    uint32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        if (!piece_trie_step(&unigram->trie, &node, (unsigned char)text[i]))
            break;
        int32_t id = unigram->trie.id[node];
        if (id < 0)
            continue;
        TRY(reach(run, at + i + 1, ready));
        improve(run->nodes, at, i + 1, id, unigram->scores[id]);
        single = single || i + 1 == bytes;
    }
    if (single)
        return OK;
    TRY(reach(run, at + bytes, ready));
    if (improve(run->nodes, at, bytes, unigram->unk_id, unigram->unk_score) && unigram->unk_id < 0)
        return fail(ERR_INPUT,
                    "the tokenizer's model has no \"unk_id\", and the text has \"%.*s\", which is "
                    "no token",
                    (int)bytes, text);
    return OK;
}

// Wherever no piece goes across, all ways meet: what is before is decided and written. So a long
// word needs little memory.
enum status unigram_run_word(struct unigram_run *run, const char *word, size_t length)
{
    assert(run && run->unigram && run->out && (word || length == 0));
    size_t begin = 0, ready = 0, bytes;
    if (length > UINT32_MAX)
        return fail(ERR_INPUT, "a word of %zu bytes is too long", length);
    TRY(memory_grow(&run->nodes, &run->capacity, 1, sizeof *run->nodes, "the pieces of a word"));
    run->nodes[0] = (struct unigram_node){0};
    for (size_t at = 0; at < length; at += bytes) {
        uint32_t code;
        utf8_next(word + at, length - at, &code, &bytes);
        if (at > begin && at - begin == ready) {
            double score = run->nodes[ready].score;
            TRY(write_pieces(run, word, begin, at));
            run->nodes[0].score = score;
            begin = at;
            ready = 0;
        }
        TRY(add_pieces_at(run, word + at, length - at, bytes, at - begin, &ready));
    }
    TRY(write_pieces(run, word, begin, length));
    return write_unknown(run, word);
}
