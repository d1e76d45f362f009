// Log-probabilities as answers show them.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/kernels.h"
#include "server/api_answer.h"
#include "server/json_writer.h"

// Into answer->token: the text of a token behind others, which matter where it is part of a
// character.
static enum status text_of_token(struct api_answer *answer, const int32_t *before, size_t n_before,
                                 int32_t id)
{
    struct bytes *out = &answer->token;
    bytes_clear(out);
    TRY(api_token_text(answer->model, before, (int)n_before, id, &answer->texts, out));
    return bytes_append(out, "", 0); // its data is never NULL
}

// The same as answers show it, which may be its number: if the request wants that, or there is no
// tokenizer that knows its text.
static enum status show_token(struct api_answer *answer, const int32_t *before, size_t n_before,
                              int32_t id)
{
    if (!answer->request->tokens_as_token_ids && api_tokenizer(answer->model))
        return text_of_token(answer, before, n_before, id);
    bytes_clear(&answer->token);
    return bytes_format(&answer->token, "token_id:%d", (int)id);
}

static size_t n_characters(const struct bytes *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->length; i++)
        n += ((unsigned char)text->data[i] & 0xC0) != 0x80;
    return n;
}

// An entry that stands for a token already among those before it is left out.
static bool is_repeated(const struct colrow_logprob *entries, int i)
{
    for (int j = 0; j < i; j++)
        if (entries[j].id == entries[i].id)
            return true;
    return false;
}

// ---- /v1/completions: four lists ----

enum { TEXT_OFFSET, TOKEN_LOGPROBS, TOKENS, TOP_LOGPROBS };
static const char *const list_names[SHOWN_LISTS] = {"text_offset", "token_logprobs", "tokens",
                                                    "top_logprobs"};

struct row {
    const int32_t *before;
    size_t n_before;
    int32_t id;
    const struct colrow_logprob *entries; // [width]; NULL: the prompt's first token
    int width;
};

static struct row prompt_row(const struct api_answer *answer, int prompt, size_t i)
{
    const int32_t *ids = answer->request->prompts[prompt].ids;
    const struct prompt_scores *scores = &answer->scores[prompt];
    size_t width = 1 + (size_t)answer->request->prompt_logprobs;
    bool known = i > 0 && (int)i <= scores->n;
    return (struct row){ids, i, ids[i], known ? scores->entries + (i - 1) * width : NULL,
                        (int)width};
}

static struct row choice_row(const struct api_answer *answer, const struct api_choice *choice,
                             size_t i)
{
    size_t width = 1 + (size_t)answer->request->top_logprobs;
    return (struct row){choice->ids, i, choice->ids[i], choice->logprobs + i * width, (int)width};
}

static enum status put_top(struct api_answer *answer, const struct row *row,
                           struct json_writer *writer)
{
    const struct bytes *text = &answer->token;
    if (!row->entries) {
        json_put_null(writer, NULL);
        return OK;
    }
    json_open_object(writer, NULL);
    for (int i = 0; i < row->width; i++) {
        if (is_repeated(row->entries, i))
            continue;
        TRY(show_token(answer, row->before, row->n_before, row->entries[i].id));
        json_put_key(writer, text->data, text->length);
        json_put_float(writer, NULL, row->entries[i].logprob);
    }
    json_close_object(writer);
    return OK;
}

// A row's item of one of the lists. `offset`: characters before the row; moved on by TEXT_OFFSET.
static enum status put_item(struct api_answer *answer, int list, const struct row *row,
                            size_t *offset, struct json_writer *writer)
{
    const struct bytes *text = &answer->token;
    if (list == TOP_LOGPROBS)
        return put_top(answer, row, writer);
    if (list == TOKEN_LOGPROBS) {
        if (row->entries)
            json_put_float(writer, NULL, row->entries[0].logprob);
        else
            json_put_null(writer, NULL);
        return OK;
    }
    TRY(show_token(answer, row->before, row->n_before, row->id));
    if (list == TOKENS) {
        json_put_string(writer, NULL, text->data, text->length);
    } else {
        json_put_int(writer, NULL, (int64_t)*offset);
        *offset += n_characters(text);
    }
    return OK;
}

bool logprobs_prompt_is_due(const struct api_answer *answer, int prompt)
{
    const struct prompt_scores *scores = &answer->scores[prompt];
    return !scores->is_written && scores->n + 1 >= answer->request->prompts[prompt].n_ids;
}

enum status logprobs_write_prompt(struct api_answer *answer, int prompt)
{
    struct prompt_scores *scores = &answer->scores[prompt];
    size_t n = (size_t)answer->request->prompts[prompt].n_ids;
    scores->n_characters = 0;
    for (int list = 0; list < SHOWN_LISTS; list++) {
        struct json_writer writer;
        bytes_clear(&scores->shown[list]);
        json_writer_begin(&writer, &scores->shown[list]);
        for (size_t i = 0; i < n; i++) {
            struct row row = prompt_row(answer, prompt, i);
            TRY(put_item(answer, list, &row, &scores->n_characters, &writer));
        }
        TRY(writer.status);
    }
    scores->is_written = true;
    return OK;
}

enum status logprobs_put_legacy(struct api_answer *answer, struct api_choice *choice, size_t from,
                                size_t to, bool with_prompt, struct json_writer *writer)
{
    struct prompt_scores *shown =
        with_prompt && answer->scores ? &answer->scores[choice->prompt] : NULL;
    if (shown && !shown->is_written)
        TRY(logprobs_write_prompt(answer, choice->prompt));
    if (shown)
        choice->text_offset = shown->n_characters;
    json_open_object(writer, "logprobs");
    for (int list = 0; list < SHOWN_LISTS; list++) {
        json_open_list(writer, list_names[list]);
        if (shown && shown->shown[list].length > 0)
            json_put_raw(writer, NULL, shown->shown[list].data, shown->shown[list].length);
        if (shown && answer->request->sampling.n == 1) // no other answer needs it
            bytes_fini(&shown->shown[list]);
        for (size_t i = from; i < to; i++) {
            struct row row = choice_row(answer, choice, i);
            TRY(put_item(answer, list, &row, &choice->text_offset, writer));
        }
        json_close_list(writer);
    }
    json_close_object(writer);
    return OK;
}

// ---- chats: a list of tokens ----

static void put_chat_token(struct json_writer *writer, const struct bytes *text, float logprob)
{
    json_put_string(writer, "token", text->data, text->length);
    json_put_float(writer, "logprob", logprob);
    json_open_list(writer, "bytes");
    for (size_t i = 0; i < text->length; i++)
        json_put_int(writer, NULL, (unsigned char)text->data[i]);
    json_close_list(writer);
}

static enum status put_chat_entry(struct api_answer *answer, const struct api_choice *choice,
                                  size_t i, struct json_writer *writer)
{
    const struct bytes *text = &answer->token;
    int k = answer->request->top_logprobs;
    const struct colrow_logprob *entries = choice->logprobs + i * (1 + (size_t)k);
    json_open_object(writer, NULL);
    TRY(show_token(answer, choice->ids, i, entries[0].id));
    put_chat_token(writer, text, entries[0].logprob);
    json_open_list(writer, "top_logprobs");
    // vLLM's order: the drawn token first, then the likeliest; as many as asked for
    for (int j = 0, n = 0; j < 1 + k && n < k; j++) {
        if (is_repeated(entries, j))
            continue;
        TRY(show_token(answer, choice->ids, i, entries[j].id));
        json_open_object(writer, NULL);
        put_chat_token(writer, text, entries[j].logprob);
        json_close_object(writer);
        n++;
    }
    json_close_list(writer);
    json_close_object(writer);
    return OK;
}

enum status logprobs_put_chat(struct api_answer *answer, const struct api_choice *choice,
                              size_t from, size_t to, struct json_writer *writer)
{
    json_open_object(writer, "logprobs");
    json_open_list(writer, "content");
    for (size_t i = from; i < to; i++)
        TRY(put_chat_entry(answer, choice, i, writer));
    json_close_list(writer);
    json_close_object(writer);
    return OK;
}

// ---- prompts ----

static enum status put_position(struct api_answer *answer, const struct row *row,
                                struct json_writer *writer)
{
    const struct bytes *text = &answer->token;
    json_open_object(writer, NULL);
    for (int i = 0; i < row->width; i++) {
        char key[16];
        if (is_repeated(row->entries, i))
            continue;
        TRY(text_of_token(answer, row->before, row->n_before, row->entries[i].id));
        snprintf(key, sizeof key, "%d", (int)row->entries[i].id);
        json_open_object(writer, key);
        json_put_float(writer, "logprob", row->entries[i].logprob);
        json_put_int(writer, "rank", row->entries[i].rank);
        json_put_string(writer, "decoded_token", text->data, text->length);
        json_close_object(writer);
    }
    json_close_object(writer);
    return OK;
}

enum status logprobs_put_prompt(struct api_answer *answer, int prompt, struct json_writer *writer)
{
    if (!answer->scores) {
        json_put_null(writer, "prompt_logprobs");
        return OK;
    }
    const struct prompt_scores *scores = &answer->scores[prompt];
    const int32_t *ids = answer->request->prompts[prompt].ids;
    int width = 1 + answer->request->prompt_logprobs;
    json_open_list(writer, "prompt_logprobs");
    json_put_null(writer, NULL); // nothing comes before the first token
    for (int i = 0; i < scores->n; i++) {
        struct row row = {ids, (size_t)i + 1, ids[i + 1],
                          scores->entries + (size_t)i * (size_t)width, width};
        TRY(put_position(answer, &row, writer));
    }
    json_close_list(writer);
    return OK;
}

// A row of logits, padded to whole blocks, with the largest of each block: most blocks hold nothing
// that counts, and are passed by.
struct scored_row {
    const float *logits, *tops;
    int32_t n;
};
enum { BLOCK = WEIGHING_BLOCK };

// The best `k`, best first, by insertion: k is 20 at most.
static void find_best(const struct scored_row *row, int k, struct colrow_logprob *best)
{
    int have = 0;
    for (int32_t id = 0; id < row->n && k > 0; id++) {
        if (id % BLOCK == 0 && have == k && !(row->tops[id / BLOCK] > best[k - 1].logprob)) {
            id += BLOCK - 1;
            continue;
        }
        float logit = row->logits[id];
        if (have == k && !(logit > best[k - 1].logprob))
            continue;
        int at = have < k ? have++ : k - 1;
        while (at > 0 && logit > best[at - 1].logprob) {
            best[at] = best[at - 1];
            at--;
        }
        best[at] = (struct colrow_logprob){.id = id, .logprob = logit};
    }
    for (int i = 0; i < have; i++)
        best[i].rank = i + 1;
}

// Loops over whole blocks: compilers make vectors of them.
static int rank_in_row(const struct scored_row *row, int32_t id)
{
    float chosen = row->logits[id];
    int rank = 1;
    for (int32_t begin = 0; begin < row->n; begin += BLOCK) {
        const float *block = row->logits + begin;
        if (!(row->tops[begin / BLOCK] >= chosen))
            continue;
        for (int i = 0; i < BLOCK; i++)
            rank += block[i] > chosen;
        if (begin + BLOCK <= id)
            for (int i = 0; i < BLOCK; i++)
                rank += block[i] == chosen;
    }
    for (int32_t i = id / BLOCK * BLOCK; i < id; i++)
        rank += row->logits[i] == chosen;
    return rank;
}

// As the engine's own log-probabilities of drawn tokens, bit for bit (engine/sampler.c).
static void score_row(struct api_answer *answer, const float *logits, int32_t id, int k,
                      struct colrow_logprob *entries)
{
    const struct kernels *kernels = answer->model->kernels;
    int32_t n = answer->model->vocab_size, width = (int32_t)answer->row_width;
    float most, *padded = answer->row, *exps = padded + width, *tops = exps + width;
    if (n < width) // most vocabularies are whole blocks, and a copy is as dear as all else
        logits = memcpy(padded, logits, (size_t)n * sizeof *padded);
    const struct scored_row row = {logits, tops, n};
    kernels->tops(logits, width, tops);
    kernels->argmax(tops, width / BLOCK, &most);
    float log_sum = number_log(kernels->exp_sum(logits, most, width, exps));
    find_best(&row, k, entries + 1);
    entries[0] =
        (struct colrow_logprob){.id = id, .logprob = logits[id], .rank = rank_in_row(&row, id)};
    for (int i = 0; i < 1 + k; i++)
        entries[i].logprob = entries[i].logprob - most - log_sum;
}

static enum status make_row(struct api_answer *answer)
{
    size_t width = ((size_t)answer->model->vocab_size + BLOCK - 1) / BLOCK * BLOCK;
    TRY(memory_new(2 * width + width / BLOCK, sizeof *answer->row, "a row of logits",
                   &answer->row));
    answer->row_width = width;
    for (size_t i = (size_t)answer->model->vocab_size; i < width; i++)
        answer->row[i] = -INFINITY;
    return OK;
}

enum status scores_add(struct api_answer *answer, int prompt, const struct colrow_output *output)
{
    const struct api_prompt *of = &answer->request->prompts[prompt];
    if (!answer->scores)
        return OK;
    struct prompt_scores *scores = &answer->scores[prompt];
    int k = answer->request->prompt_logprobs;
    size_t width = 1 + (size_t)k;
    if (!answer->row)
        TRY(make_row(answer));
    if (!scores->entries)
        TRY(memory_new((size_t)of->n_ids * width, sizeof *scores->entries,
                       "a prompt's log-probabilities", &scores->entries));
    for (int i = 0; i < output->n_prompt_logits; i++) {
        int64_t at = output->prompt_position + i; // predicts the token behind it
        if (at != scores->n || at + 1 >= of->n_ids)
            continue; // the last row is the answer's; a row that comes again was computed again
        score_row(answer, output->prompt_logits + (size_t)i * (size_t)answer->model->vocab_size,
                  of->ids[at + 1], k, scores->entries + (size_t)at * width);
        scores->n++;
    }
    return OK;
}
