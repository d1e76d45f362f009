#include "text/piece_trie.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "text/vocabulary.h"

struct sorted_piece {
    const char *text;
    uint32_t length;
    int32_t id;
};

// The tokens that begin with a node's bytes: pieces[begin .. end].
struct node_range {
    uint32_t begin, end;
};

struct trie_builder {
    struct sorted_piece *pieces;
    size_t n_pieces;
    struct node_range *ranges; // [trie.n]
    size_t ranges_capacity, children_capacity, bytes_capacity, ids_capacity;
    struct piece_trie trie;
};

void piece_trie_fini(struct piece_trie *trie)
{
    free(trie->first_child);
    free(trie->byte);
    free(trie->id);
    *trie = (struct piece_trie){0};
}

static int compare_pieces(const void *a, const void *b)
{
    const struct sorted_piece *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->text, y->text, shorter);
    if (order != 0)
        return order;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static enum status sort_pieces(struct trie_builder *builder, const struct vocabulary *vocabulary)
{
    TRY(memory_new(vocabulary->n_tokens + 1, sizeof *builder->pieces, "the tokens in order",
                   &builder->pieces));
    for (size_t id = 0; id < vocabulary->n_ids; id++) {
        size_t length;
        const char *text = vocabulary_text(vocabulary, (int32_t)id, &length);
        if (text)
            builder->pieces[builder->n_pieces++] =
                (struct sorted_piece){text, (uint32_t)length, (int32_t)id};
    }
    assert(builder->n_pieces <= vocabulary->n_tokens);
    qsort(builder->pieces, builder->n_pieces, sizeof *builder->pieces, compare_pieces);
    return OK;
}

static enum status add_trie_node(struct trie_builder *builder, unsigned char byte, uint32_t begin,
                                 uint32_t end)
{
    static const char what[] = "the tree of tokens";
    struct piece_trie *trie = &builder->trie;
    size_t n = trie->n + 1;
    if (n >= UINT32_MAX)
        return fail(ERR_INPUT, "the tokens' texts are too long together for a tree of them");
    TRY(memory_grow(&builder->ranges, &builder->ranges_capacity, n, sizeof *builder->ranges, what));
    TRY(memory_grow(&trie->first_child, &builder->children_capacity, n + 1,
                    sizeof *trie->first_child, what));
    TRY(memory_grow(&trie->byte, &builder->bytes_capacity, n, sizeof *trie->byte, what));
    TRY(memory_grow(&trie->id, &builder->ids_capacity, n, sizeof *trie->id, what));
    builder->ranges[trie->n] = (struct node_range){begin, end};
    trie->byte[trie->n] = byte;
    trie->id[trie->n] = -1;
    trie->n = n;
    return OK;
}

// The node's own token, and a child for each byte that comes next.
static enum status add_trie_children(struct trie_builder *builder, size_t node, size_t depth)
{
    const struct node_range range = builder->ranges[node];
    const struct sorted_piece *p = builder->pieces;
    uint32_t i = range.begin;
    builder->trie.first_child[node] = (uint32_t)builder->trie.n;
    for (; i < range.end && p[i].length == depth; i++)
        builder->trie.id[node] = p[i].id;
    while (i < range.end) {
        uint32_t begin = i;
        unsigned char byte = (unsigned char)p[i].text[depth];
        while (i < range.end && (unsigned char)p[i].text[depth] == byte)
            i++;
        TRY(add_trie_node(builder, byte, begin, i));
    }
    return OK;
}

enum status piece_trie_build(const struct vocabulary *vocabulary, struct piece_trie *out)
{
    assert(vocabulary && out);
    struct trie_builder builder = {0};
    *out = (struct piece_trie){0};
    enum status status;
    TRY_DONE(sort_pieces(&builder, vocabulary));
    TRY_DONE(add_trie_node(&builder, 0, 0, (uint32_t)builder.n_pieces));
    size_t depth = 0, level_end = 1;
    for (size_t node = 0; node < builder.trie.n; node++) {
        if (node == level_end) {
            depth++;
            level_end = builder.trie.n;
        }
        TRY_DONE(add_trie_children(&builder, node, depth));
    }
    builder.trie.first_child[builder.trie.n] = (uint32_t)builder.trie.n;
    *out = builder.trie;
    builder.trie = (struct piece_trie){0};
    status = OK;
done:
    free(builder.pieces);
    free(builder.ranges);
    piece_trie_fini(&builder.trie);
    return status;
}
