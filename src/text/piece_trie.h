// All tokens of a vocabulary as a tree of bytes: which of them does a text begin with?
#ifndef COLROW_TEXT_PIECE_TRIE_H
#define COLROW_TEXT_PIECE_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct vocabulary;

// Nodes are numbered level by level from the root, 0, so the children of a node are neighbours.
struct piece_trie {
    size_t n;
    uint32_t *first_child; // [n + 1]: node i has the children first_child[i] .. first_child[i + 1]
    uint8_t *byte;         // [n]: that leads to the node
    int32_t *id;           // [n]: of the token that ends here, -1: none
};

// Of tokens with the same text the largest id counts.
enum status piece_trie_build(const struct vocabulary *vocabulary,
                             struct piece_trie *out) STATUS_MUST_USE;
void piece_trie_fini(struct piece_trie *trie);

// Goes from `*node` along `byte`; false, and `*node` as it was, when no token goes on like that.
static inline bool piece_trie_step(const struct piece_trie *trie, uint32_t *node,
                                   unsigned char byte)
{
    uint32_t begin = trie->first_child[*node], end = trie->first_child[*node + 1];
    const uint8_t *found = begin < end ? memchr(trie->byte + begin, byte, end - begin) : NULL;
    if (!found)
        return false;
    *node = (uint32_t)(found - trie->byte);
    return true;
}

#endif
