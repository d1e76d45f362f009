#include "text/piece_tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "text/made_merges.h"
#include "text/unicode.h"

#define BLOCK "\xE2\x96\x81" // stands for a blank

// ---- names ----

// What stands at id `i` of the vocabulary: added_tokens_decoder may give a placeholder its name,
// but not that of a piece that keeps its own.
static bool is_renamed(const struct tokenizer_config *config, size_t i, struct piece *out)
{
    size_t low = 0, high = config->n_numbered;
    while (low < high) { // they are sorted
        size_t middle = (low + high) / 2;
        if (config->numbered[middle].id < (int64_t)i)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == config->n_numbered || config->numbered[low].id != (int64_t)i)
        return false;
    out->text = config->numbered[low].token.text;
    out->length = config->numbered[low].token.length;
    return true;
}

// The pieces with the names that count; a class with rules of its own renames none. `*out` is the
// caller's to free.
static enum status name_pieces(const struct sentencepiece *model,
                               const struct tokenizer_config *config, const char *where,
                               struct piece **out)
{
    struct vocabulary kept; // names of pieces that no token renames
    TRY(memory_new(model->n, sizeof **out, "the pieces", out));
    memcpy(*out, model->pieces, model->n * sizeof **out);
    if (config->class->model || config->n_numbered == 0)
        return OK;
    vocabulary_init(&kept);
    enum status status;
    struct piece named;
    for (size_t i = 0; i < model->n; i++) {
        const struct piece *piece = &model->pieces[i];
        if (!is_renamed(config, i, &named) &&
            vocabulary_find(&kept, piece->text, piece->length) < 0)
            TRY_DONE(vocabulary_add(&kept, where, piece->text, piece->length, (int64_t)i));
    }
    for (size_t i = 0; i < model->n; i++) {
        if (!is_renamed(config, i, &named) || vocabulary_find(&kept, named.text, named.length) >= 0)
            continue;
        (*out)[i].text = named.text;
        (*out)[i].length = named.length;
    }
    status = OK;
done:
    vocabulary_fini(&kept);
    return status;
}

// ---- tokens ----

static enum status add_spm_token(json_t *list, const struct piece *piece)
{
    json_t *token = json_pack("{s:s%, s:b, s:b}", "content", piece->text, piece->length,
                              "normalized", 0, "special", piece->type == PIECE_CONTROL);
    return json_array_append_new(list, token) == 0 ? OK : fail_memory(0, "the special tokens");
}

static enum status set_usual(json_t *usual, const char *key, const struct named_piece *piece,
                             const char *otherwise)
{
    if (piece->id < 0)
        return OK;
    json_t *text =
        piece->length > 0 ? json_stringn(piece->text, piece->length) : json_string(otherwise);
    return json_object_set_new(usual, key, text) == 0 ? OK : fail_memory(0, "the special tokens");
}

enum status piece_tokens(const struct sentencepiece *model, struct tokenizer_config *config)
{
    assert(model && config && config->class && !config->model_tokens);
    bool own_rules = config->class->model != NULL;
    config->model_tokens = json_array();
    config->usual_names = json_object();
    if (!config->model_tokens || !config->usual_names)
        return fail_memory(0, "the special tokens");
    for (size_t i = 0; i < model->n; i++)
        if (model->pieces[i].type == PIECE_CONTROL ||
            (own_rules && model->pieces[i].type == PIECE_USER_DEFINED))
            TRY(add_spm_token(config->model_tokens, &model->pieces[i]));
    if (own_rules)
        return OK;
    config->numbered_raw = model->add_dummy_prefix;
    TRY(set_usual(config->usual_names, "bos_token", &model->bos, "<s>"));
    TRY(set_usual(config->usual_names, "eos_token", &model->eos, "</s>"));
    return set_usual(config->usual_names, "unk_token", &model->unk, "<unk>");
}

// ---- the settings as a tokenizer.json ----

static enum status push_step(json_t *list, json_t *step)
{
    return json_array_append_new(list, step) == 0 ? OK : fail_memory(0, "a tokenizer");
}

static json_t *replace_step(const char *kind, const char *from, const char *to)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, from, "content",
                     to);
}

static enum status push_charsmap(json_t *list, const struct sentencepiece *model)
{
    struct bytes text;
    bytes_init(&text);
    enum status status = base64_encode(model->charsmap, model->charsmap_length, &text);
    if (status == OK)
        status = push_step(list, json_pack("{s:s, s:s}", "type", "Precompiled",
                                           "precompiled_charsmap", text.data));
    bytes_fini(&text);
    return status;
}

// In SentencePiece's order.
static enum status push_normalizers(json_t *list, const struct sentencepiece *model, bool legacy)
{
    if (model->charsmap_length > 0)
        TRY(push_charsmap(list, model));
    if (model->remove_extra_whitespaces) {
        TRY(push_step(list, replace_step("Regex", "\\A +| +\\z", "")));
        TRY(push_step(list, replace_step("Regex", " {2,}", " ")));
    }
    if (model->escape_whitespaces)
        TRY(push_step(list, replace_step("String", " ", BLOCK)));
    // Metaspace puts nothing before a text that begins with its character; SentencePiece does.
    if (model->add_dummy_prefix && legacy)
        TRY(push_step(list, replace_step("Regex", "\\A" BLOCK, BLOCK BLOCK)));
    return OK;
}

static size_t count_characters(const struct piece *piece)
{
    size_t n = 0;
    for (size_t i = 0; i < piece->length; i++)
        n += ((unsigned char)piece->text[i] & 0xC0) != 0x80;
    return n;
}

struct long_piece {
    const struct piece *piece;
    size_t characters;
};

// The longer first; of one length, as they stand in the model.
static int compare_lengths(const void *a, const void *b)
{
    const struct long_piece *x = a, *y = b;
    if (x->characters != y->characters)
        return x->characters > y->characters ? -1 : 1;
    return (x->piece > y->piece) - (x->piece < y->piece);
}

static enum status append_escaped(const struct piece *piece, struct bytes *out)
{
    for (size_t i = 0; i < piece->length; i++) {
        char c = piece->text[i];
        if (c != '\0' && strchr("()[]{}?*+-|^$\\.", c))
            TRY(bytes_append(out, "\\", 1));
        TRY(bytes_append(out, &c, 1));
    }
    return OK;
}

// An expression that finds any user-defined piece. Empty: there are none.
static enum status write_pattern(const struct piece *pieces, size_t n, struct bytes *out)
{
    struct long_piece *found;
    size_t n_found = 0;
    TRY(memory_new(n, sizeof *found, "the pieces", &found));
    for (size_t i = 0; i < n; i++)
        if (pieces[i].type == PIECE_USER_DEFINED)
            found[n_found++] = (struct long_piece){&pieces[i], count_characters(&pieces[i])};
    qsort(found, n_found, sizeof *found, compare_lengths);
    enum status status = OK;
    for (size_t i = 0; i < n_found && status == OK; i++) {
        status = i > 0 ? bytes_append(out, "|", 1) : OK;
        if (status == OK)
            status = append_escaped(found[i].piece, out);
    }
    free(found);
    return status;
}

static enum status push_cuts(json_t *list, const struct sentencepiece *model, const char *pattern,
                             size_t pattern_length, bool legacy)
{
    if (model->add_dummy_prefix)
        TRY(push_step(list,
                      json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", BLOCK,
                                "prepend_scheme", legacy ? "always" : "first", "split", 0)));
    if (pattern_length == 0)
        return OK;
    return push_step(list,
                     json_pack("{s:s, s:{s:s%}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                               pattern, pattern_length, "behavior", "Isolated", "invert", 0));
}

static enum status push_decoders(json_t *list, const struct sentencepiece *model)
{
    TRY(push_step(list, replace_step("String", BLOCK, " ")));
    if (model->byte_fallback)
        TRY(push_step(list, json_pack("{s:s}", "type", "ByteFallback")));
    if (model->byte_fallback || model->add_dummy_prefix)
        TRY(push_step(list, json_pack("{s:s}", "type", "Fuse")));
    if (!model->add_dummy_prefix)
        return OK;
    return push_step(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ",
                                     "start", 1, "stop", 0));
}

static json_t *model_options(const struct sentencepiece *model, bool user_defined)
{
    if (model->kind == SENTENCEPIECE_UNIGRAM)
        return json_pack("{s:s}", "type", "Unigram");
    return json_pack("{s:s, s:s%, s:b, s:b, s:b}", "type", "BPE", "unk_token", model->unk.text,
                     model->unk.length, "fuse_unk", 1, "byte_fallback", model->byte_fallback,
                     "ignore_merges", user_defined);
}

enum status piece_root(const struct sentencepiece *model, const struct tokenizer_config *config,
                       json_t **root)
{
    assert(model && config && !config->class->model && root);
    const json_t *said = json_object_get(config->config, "legacy");
    bool legacy = !said || !json_is_falsy(said);
    json_t *normalizers = json_array(), *cuts = json_array(), *decoders = json_array();
    struct piece *pieces = NULL;
    struct bytes pattern;
    bytes_init(&pattern);
    *root = NULL;
    enum status status;
    // A Unigram model keeps its own names, and is given them under other names nowhere.
    TRY_DONE(name_pieces(model, config, "tokenizer.model", &pieces));
    TRY_DONE(write_pattern(model->kind == SENTENCEPIECE_UNIGRAM ? model->pieces : pieces, model->n,
                           &pattern));
    TRY_DONE(push_normalizers(normalizers, model, legacy));
    TRY_DONE(push_cuts(cuts, model, pattern.data, pattern.length, legacy));
    TRY_DONE(push_decoders(decoders, model));
    *root = json_pack("{s:o, s:{s:s, s:O}, s:{s:s, s:O}, s:{s:s, s:O}}", "model",
                      model_options(model, pattern.length > 0), "normalizer", "type", "Sequence",
                      "normalizers", normalizers, "pre_tokenizer", "type", "Sequence",
                      "pretokenizers", cuts, "decoder", "type", "Sequence", "decoders", decoders);
    status = *root ? OK : fail_memory(0, "a tokenizer");
done:
    json_decref(normalizers);
    json_decref(cuts);
    json_decref(decoders);
    free(pieces);
    bytes_fini(&pattern);
    return status;
}

// ---- the vocabulary ----

static enum status fill_unigram(const struct sentencepiece *model, const char *where,
                                struct unigram *unigram)
{
    if (model->unk.id < 0 || (size_t)model->unk.id >= model->n)
        return fail(ERR_INPUT, "%s: trainer_spec: unk_id is %d; expected one of the %zu pieces",
                    where, model->unk.id, model->n);
    for (size_t i = 0; i < model->n; i++)
        TRY(unigram_add_piece(unigram, where, model->pieces[i].text, model->pieces[i].length,
                              (double)model->pieces[i].score));
    unigram->unk_id = model->unk.id;
    unigram->byte_fallback = model->byte_fallback;
    return unigram_pieces_end(unigram, where);
}

// Of a name that is there twice the later one counts: from the end, and what is there is left out.
static enum status fill_vocabulary(const struct piece *pieces, size_t n, const char *where,
                                   struct bpe *bpe)
{
    TRY(vocabulary_expect(&bpe->vocabulary, n));
    for (size_t i = n; i-- > 0;)
        if (vocabulary_find(&bpe->vocabulary, pieces[i].text, pieces[i].length) < 0)
            TRY(vocabulary_add(&bpe->vocabulary, where, pieces[i].text, pieces[i].length,
                               (int64_t)i));
    return bpe_vocabulary_ends(bpe);
}

struct scored_token {
    float score;
    int32_t id;
};

static int compare_scores(const void *a, const void *b)
{
    const struct scored_token *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

// Normal pieces by their scores; `tokens` and `usable` have room for all pieces.
static enum status rank_pieces(const struct piece *pieces, size_t n, const struct bpe *bpe,
                               int32_t *tokens, bool *usable, size_t *n_tokens)
{
    struct scored_token *ranked;
    size_t length;
    *n_tokens = 0;
    TRY(memory_new(n, sizeof *ranked, "the pieces", &ranked));
    for (size_t i = 0; i < n; i++) {
        usable[i] = pieces[i].type == PIECE_NORMAL &&
                    vocabulary_text(&bpe->vocabulary, (int32_t)i, &length);
        if (usable[i])
            ranked[(*n_tokens)++] = (struct scored_token){pieces[i].score, (int32_t)i};
    }
    qsort(ranked, *n_tokens, sizeof *ranked, compare_scores);
    for (size_t i = 0; i < *n_tokens; i++)
        tokens[i] = ranked[i].id;
    free(ranked);
    return OK;
}

static enum status merge_by_score(const struct piece *pieces, size_t n, const char *where,
                                  struct bpe *bpe)
{
    int32_t *tokens = NULL;
    bool *usable = NULL;
    struct merge_rules rules = {0};
    enum status status;
    TRY_DONE(memory_new(n, sizeof *tokens, "the pieces", &tokens));
    TRY_DONE(memory_new(n, sizeof *usable, "the pieces", &usable));
    TRY_DONE(rank_pieces(pieces, n, bpe, tokens, usable, &rules.n_tokens));
    rules.tokens = tokens;
    rules.usable = usable;
    status = make_merges(bpe, where, &rules);
done:
    free(tokens);
    free(usable);
    return status;
}

enum status piece_model(const struct sentencepiece *model, const struct tokenizer_config *config,
                        const json_t *options, const char *where, struct tokenizer *tokenizer)
{
    assert(model && config && options && where && tokenizer);
    const struct merge_rules plain = {0};
    struct piece *pieces = NULL;
    bool own_rules = config->class->model != NULL;
    if (!own_rules && model->kind == SENTENCEPIECE_UNIGRAM) {
        tokenizer->model = MODEL_UNIGRAM;
        return fill_unigram(model, where, &tokenizer->unigram);
    }
    enum status status;
    tokenizer->model = MODEL_BPE;
    TRY_DONE(name_pieces(model, config, where, &pieces));
    TRY_DONE(bpe_parse_options(options, where, &tokenizer->bpe));
    TRY_DONE(fill_vocabulary(pieces, model->n, where, &tokenizer->bpe));
    status = own_rules ? make_merges(&tokenizer->bpe, where, &plain)
                       : merge_by_score(pieces, model->n, where, &tokenizer->bpe);
done:
    free(pieces);
    return status;
}
