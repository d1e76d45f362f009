#include "text/added_tokens.h"

#include <assert.h>
#include <stdlib.h>

#include "text/splits.h"
#include "text/unicode.h"

// Children are a list in no order: a few hundred tokens make short lists but for the first bytes,
// which token_trie.first filters.
struct trie_node {
    uint32_t child, sibling; // 0: none (the root is nobody's child)
    int32_t token;           // index of the token that ends here, -1: none
    unsigned char byte;
};

void added_tokens_init(struct added_tokens *added)
{
    *added = (struct added_tokens){0};
}

void added_tokens_fini(struct added_tokens *added)
{
    free(added->tokens);
    free(added->raw.nodes);
    free(added->normalized.nodes);
    bytes_fini(&added->text);
    added_tokens_init(added);
}

static uint32_t trie_child(const struct token_trie *trie, uint32_t at, unsigned char byte)
{
    uint32_t child = trie->nodes[at].child;
    while (child != 0 && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

static enum status trie_node_add(struct token_trie *trie, unsigned char byte, uint32_t *out)
{
    if (trie->n >= UINT32_MAX)
        return fail(ERR_INPUT, "the added tokens are too many");
    TRY(memory_grow(&trie->nodes, &trie->capacity, trie->n + 1, sizeof *trie->nodes,
                    "the added tokens"));
    *out = (uint32_t)trie->n++;
    trie->nodes[*out] = (struct trie_node){.token = -1, .byte = byte};
    return OK;
}

static enum status trie_add(struct token_trie *trie, const char *text, size_t length, int32_t token,
                            bool *fresh)
{
    uint32_t at = 0;
    if (trie->n == 0)
        TRY(trie_node_add(trie, 0, &at));
    trie->first[(unsigned char)text[0]] = true;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        uint32_t child = trie_child(trie, at, byte);
        if (child == 0) {
            TRY(trie_node_add(trie, byte, &child));
            trie->nodes[child].sibling = trie->nodes[at].child;
            trie->nodes[at].child = child;
        }
        at = child;
    }
    *fresh = trie->nodes[at].token < 0;
    if (*fresh)
        trie->nodes[at].token = token;
    return OK;
}

enum status added_tokens_add(struct added_tokens *added, const char *where,
                             const struct added_token *token, const char *content,
                             size_t content_length, const char *matched, size_t matched_length)
{
    if (added->n >= ADDED_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many tokens; at most %d are allowed", where,
                    ADDED_TOKENS_MAX);
    if (content_length > ADDED_TOKEN_BYTES_MAX || matched_length > ADDED_TOKEN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: token \"%s\" has %zu bytes; at most %d are allowed", where,
                    text_show(content, content_length),
                    content_length > matched_length ? content_length : matched_length,
                    ADDED_TOKEN_BYTES_MAX);
    if (matched_length == 0)
        return fail(ERR_UNSUPPORTED, "%s: token \"%s\" becomes empty when it is normalised", where,
                    text_show(content, content_length));
    bool fresh;
    struct token_trie *trie = token->normalized ? &added->normalized : &added->raw;
    TRY(trie_add(trie, matched, matched_length, (int32_t)added->n, &fresh));
    if (!fresh)
        return fail(ERR_INPUT, "%s: token \"%s\" is there twice; expected it once", where,
                    text_show(content, content_length));
    TRY(memory_grow(&added->tokens, &added->capacity, added->n + 1, sizeof *added->tokens,
                    "the added tokens"));
    struct added_token *copy = &added->tokens[added->n++];
    *copy = *token;
    copy->content = (uint32_t)added->text.length;
    copy->content_length = (uint32_t)content_length;
    TRY(bytes_append(&added->text, content, content_length));
    TRY(bytes_append(&added->text, "", 1));
    copy->matched = (uint32_t)added->text.length;
    copy->matched_length = (uint32_t)matched_length;
    TRY(bytes_append(&added->text, matched, matched_length));
    return bytes_append(&added->text, "", 1);
}

// The longest token at text[0]; its length, 0 when there is none.
static size_t match_here(const struct token_trie *trie, const char *text, size_t length,
                         int32_t *token)
{
    size_t best = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < length; i++) {
        at = trie_child(trie, at, (unsigned char)text[i]);
        if (at == 0)
            break;
        if (trie->nodes[at].token >= 0) {
            best = i + 1;
            *token = trie->nodes[at].token;
        }
    }
    return best;
}

static bool touches_a_word(const char *text, size_t length, size_t begin, size_t end)
{
    uint32_t code;
    size_t bytes;
    if (begin > 0) {
        utf8_last(text, begin, &code);
        if (unicode_is_word(code))
            return true;
    }
    if (end == length)
        return false;
    utf8_next(text + end, length - end, &code, &bytes);
    return unicode_is_word(code);
}

static size_t spaces_before(const char *text, size_t end)
{
    uint32_t code;
    size_t begin = end;
    while (begin > 0) {
        size_t bytes = utf8_last(text, begin, &code);
        if (!unicode_is_space(code))
            break;
        begin -= bytes;
    }
    return begin;
}

static size_t spaces_after(const char *text, size_t length, size_t begin)
{
    uint32_t code;
    size_t bytes;
    while (begin < length) {
        utf8_next(text + begin, length - begin, &code, &bytes);
        if (!unicode_is_space(code))
            break;
        begin += bytes;
    }
    return begin;
}

// `tokenizers` goes on searching right behind the token's own text, even when rstrip has taken
// blanks behind it; `written` may therefore go back, and so it does here.
enum status added_tokens_split(const struct added_tokens *added, bool normalized, const char *text,
                               size_t length, bool at_start, struct splits *out)
{
    const struct token_trie *trie = normalized ? &added->normalized : &added->raw;
    size_t written = 0;
    for (size_t i = 0; trie->n > 0 && i < length;) {
        int32_t index = -1;
        size_t matched = trie->first[(unsigned char)text[i]]
                             ? match_here(trie, text + i, length - i, &index)
                             : 0;
        if (matched == 0) {
            i++;
            continue;
        }
        const struct added_token *token = &added->tokens[index];
        size_t begin = i, end = i + matched;
        i = end;
        if (token->single_word && touches_a_word(text, length, begin, end))
            continue;
        if (token->lstrip) {
            size_t stripped = spaces_before(text, begin);
            begin = stripped > written ? stripped : written;
        }
        if (token->rstrip)
            end = spaces_after(text, length, end);
        if (written < begin)
            TRY(splits_add_text(out, text + written, begin - written, -1,
                                at_start && written == 0));
        size_t shown = end > begin ? end - begin : 0;
        TRY(splits_add_text(out, text + begin, shown, token->id, at_start && begin == 0));
        written = end;
    }
    if (written != length)
        TRY(splits_add_text(out, text + written, length - written, -1, at_start && written == 0));
    return OK;
}
