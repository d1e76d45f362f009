#include "text/added_tokens.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/normalizer.h"
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
    *added = (struct added_tokens){.id_last = -1};
    vocabulary_init(&added->index);
}

void added_tokens_fini(struct added_tokens *added)
{
    free(added->tokens);
    free(added->by_id);
    free(added->raw.nodes);
    free(added->normalized.nodes);
    vocabulary_fini(&added->index);
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

// Of two tokens with the same text the first one counts.
static enum status trie_add(struct token_trie *trie, const char *text, size_t length, int32_t token)
{
    uint32_t at = 0;
    assert(length > 0 && token >= 0);
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
    if (trie->nodes[at].token < 0)
        trie->nodes[at].token = token;
    return OK;
}

// ---- adding ----

const struct added_token *added_tokens_at(const struct added_tokens *added, int32_t id)
{
    if (id < 0 || (size_t)id >= added->n_ids || added->by_id[id] < 0)
        return NULL;
    return &added->tokens[added->by_id[id]];
}

int32_t added_tokens_find(const struct added_tokens *added, const char *content, size_t length)
{
    assert(added && (content || length == 0));
    int32_t at = vocabulary_find(&added->index, content, length);
    return at < 0 ? -1 : added->tokens[at].id;
}

bool added_tokens_is_special(const struct added_tokens *added, const char *text, size_t length)
{
    assert(added && (text || length == 0));
    int32_t at = vocabulary_find(&added->index, text, length);
    return at >= 0 && added->tokens[at].ever_special;
}

static enum status add_bytes(struct added_tokens *added, const char *text, size_t length,
                             uint32_t *at)
{
    if (added->text.length > UINT32_MAX / 2)
        return fail(ERR_INPUT, "the added tokens' texts are larger than 2 GB together");
    *at = (uint32_t)added->text.length;
    TRY(bytes_append(&added->text, text, length));
    return bytes_append(&added->text, "", 1); // so that messages can print it
}

// A text that is new; it has no id yet.
static enum status add_token_text(struct added_tokens *added, const char *where,
                                  const char *content, size_t length, int32_t *at)
{
    struct added_token token = {.id = -1, .content_length = (uint32_t)length};
    if (added->n >= ADDED_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many tokens; at most %d are allowed", where,
                    ADDED_TOKENS_MAX);
    if (length > ADDED_TOKEN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: token \"%s\" has %zu bytes; at most %d are allowed", where,
                    text_show(content, length), length, ADDED_TOKEN_BYTES_MAX);
    TRY(memory_grow(&added->tokens, &added->capacity, added->n + 1, sizeof *added->tokens,
                    "the added tokens"));
    TRY(add_bytes(added, content, length, &token.content));
    *at = (int32_t)added->n;
    TRY(vocabulary_add(&added->index, where, content, length, *at));
    added->tokens[added->n++] = token;
    return OK;
}

static enum status place_token(struct added_tokens *added, const char *where, int32_t at,
                               int32_t id)
{
    size_t before = added->ids_capacity;
    if (id > TOKEN_ID_MAX)
        return fail(ERR_INPUT, "%s: gets id %d; at most %d are allowed", where, id, TOKEN_ID_MAX);
    TRY(memory_grow(&added->by_id, &added->ids_capacity, (size_t)id + 1, sizeof *added->by_id,
                    "the added tokens"));
    if (added->ids_capacity > before)
        memset(added->by_id + before, 0xFF, (added->ids_capacity - before) * sizeof *added->by_id);
    if ((size_t)id >= added->n_ids)
        added->n_ids = (size_t)id + 1;
    added->by_id[id] = at;
    added->tokens[at].id = id;
    if (id > added->id_last)
        added->id_last = id;
    return OK;
}

static bool same_flags(const struct added_token *a, const struct added_token *b)
{
    return a->single_word == b->single_word && a->lstrip == b->lstrip && a->rstrip == b->rstrip &&
           a->normalized == b->normalized && a->special == b->special;
}

static void take_flags(struct added_token *token, const struct added_token *flags)
{
    token->single_word = flags->single_word;
    token->lstrip = flags->lstrip;
    token->rstrip = flags->rstrip;
    token->normalized = flags->normalized;
    token->special = flags->special;
}

void added_tokens_begin(struct added_tokens *added, const struct vocabulary *model)
{
    assert(added && model);
    int32_t n = (int32_t)model->n_tokens;
    added->id_next = added->id_last >= n ? added->id_last + 1 : n;
    assert(added->id_next >= n && added->id_next > added->id_last);
}

enum status added_tokens_add(struct added_tokens *added, const char *where,
                             const struct vocabulary *model, const struct added_token *flags,
                             const char *content, size_t length)
{
    assert(added && where && model && flags && (content || length == 0));
    int32_t at = vocabulary_find(&added->index, content, length), id;
    if (length == 0)
        return OK;
    if (at < 0)
        TRY(add_token_text(added, where, content, length, &at));
    struct added_token *token = &added->tokens[at];
    token->ever_special |= flags->special;
    if (token->id >= 0 && added->by_id[token->id] == at && same_flags(token, flags))
        return OK;
    id = token->id >= 0 ? token->id : vocabulary_find(model, content, length);
    if (id < 0)
        id = added->id_next++;
    take_flags(token, flags);
    token->ever_normalized |= flags->normalized;
    return place_token(added, where, at, id);
}

enum status added_tokens_add_at(struct added_tokens *added, const char *where,
                                const struct added_token *flags, const char *content, size_t length,
                                int32_t id)
{
    assert(added && where && flags && content && id >= 0);
    int32_t at;
    if (length == 0 || vocabulary_find(&added->index, content, length) >= 0)
        return fail(ERR_INPUT, "%s: token %d is \"%s\"; expected a text of its own", where, (int)id,
                    text_show(content, length));
    TRY(add_token_text(added, where, content, length, &at));
    take_flags(&added->tokens[at], flags);
    added->tokens[at].ever_special = flags->special;
    added->tokens[at].ever_normalized = flags->normalized;
    return place_token(added, where, at, id);
}

static enum status end_token(struct added_tokens *added, const struct normalizer *normalizer,
                             int32_t at)
{
    struct added_token *token = &added->tokens[at];
    struct bytes normal;
    bytes_init(&normal);
    const char *content = added->text.data + token->content, *decoded = content;
    size_t length = token->content_length;
    enum status status;
    if (token->ever_normalized) {
        size_t start = 0;
        TRY_DONE(normalizer_apply(normalizer, content, length, &start, &normal));
        decoded = normal.data ? normal.data : "";
        length = normal.length;
    }
    if (!token->normalized)
        TRY_DONE(trie_add(&added->raw, content, token->content_length, at));
    else if (length > 0)
        TRY_DONE(trie_add(&added->normalized, decoded, length, at));
    token->decoded = token->content;
    token->decoded_length = (uint32_t)length;
    status = token->ever_normalized ? add_bytes(added, decoded, length, &token->decoded) : OK;
done:
    bytes_fini(&normal);
    return status;
}

enum status added_tokens_end(struct added_tokens *added, const struct normalizer *normalizer)
{
    assert(added && normalizer);
    assert(added->raw.n == 0 && added->normalized.n == 0);
    for (size_t id = 0; id < added->n_ids; id++)
        if (added->by_id[id] >= 0)
            TRY(end_token(added, normalizer, added->by_id[id]));
    return OK;
}

// ---- searching ----

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
    assert(text && begin <= end && end <= length);
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
    assert(text && begin <= length);
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
                               size_t length, size_t start, struct splits *out)
{
    assert(added && out && (text || length == 0));
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
        if (added->split_special && token->ever_special)
            continue;
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
                                splits_start_of(start, written, begin)));
        size_t shown = end > begin ? end - begin : 0;
        TRY(splits_add_text(out, text + begin, shown, token->id, 0));
        written = end;
    }
    if (written != length)
        TRY(splits_add_text(out, text + written, length - written, -1,
                            splits_start_of(start, written, length)));
    return OK;
}
