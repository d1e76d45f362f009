// Log-probabilities as answers show them.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/kernels.h"
#include "server/api_answer.h"
#include "server/json_writer.h"

// The tokens of a prompt and of its answer in a row, for the texts of tokens that are parts of
// characters.
static enum status token_text(struct api_answer *answer, const int32_t *before, size_t n_before,
                              int32_t id, struct bytes *out)
{
    bytes_clear(out);
    if (answer->request->tokens_as_token_ids)
        return bytes_format(out, "token_id:%d", (int)id);
    TRY(api_token_text(answer->model, before, (int)n_before, id, out));
    return bytes_append(out, "", 0);
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

struct row {
    const int32_t *before;
    size_t n_before;
    int32_t id;
    const struct colrow_logprob *entries; // [width]; NULL: the prompt's first token
    int width;
};

static size_t n_prompt_rows(const struct api_answer *answer, int prompt)
{
    return (size_t)answer->request->prompts[prompt].n_ids;
}

// Row i: first the prompt's tokens when they are shown, then the choice's from `from` on.
static struct row row_at(const struct api_answer *answer, const struct api_choice *choice,
                         size_t from, size_t n_shown, size_t i)
{
    size_t width = 1 + (size_t)answer->request->top_logprobs;
    if (i < n_shown) {
        const struct api_prompt *prompt = &answer->request->prompts[choice->prompt];
        const struct prompt_scores *scores = &answer->scores[choice->prompt];
        size_t of_prompt = 1 + (size_t)answer->request->prompt_logprobs;
        bool known = i > 0 && (int)i <= scores->n;
        return (struct row){prompt->ids, i, prompt->ids[i],
                            known ? scores->entries + (i - 1) * of_prompt : NULL, (int)of_prompt};
    }
    size_t k = from + i - n_shown;
    return (struct row){choice->ids, k, choice->ids[k], choice->logprobs + k * width, (int)width};
}

static enum status put_top(struct api_answer *answer, const struct row *row, struct bytes *text,
                           struct json_writer *writer)
{
    if (!row->entries) {
        json_put_null(writer, NULL);
        return OK;
    }
    json_open_object(writer, NULL);
    for (int i = 0; i < row->width; i++) {
        if (is_repeated(row->entries, i))
            continue;
        TRY(token_text(answer, row->before, row->n_before, row->entries[i].id, text));
        json_put_key(writer, text->data, text->length);
        json_put_float(writer, NULL, row->entries[i].logprob);
    }
    json_close_object(writer);
    return OK;
}

static enum status put_lists(struct api_answer *answer, struct api_choice *choice, size_t from,
                             size_t n_shown, size_t n, struct bytes *text,
                             struct json_writer *writer)
{
    size_t offset = choice->text_offset;
    json_open_object(writer, "logprobs");
    json_open_list(writer, "text_offset");
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(answer, choice, from, n_shown, i);
        json_put_int(writer, NULL, (int64_t)offset);
        TRY(token_text(answer, row.before, row.n_before, row.id, text));
        offset += n_characters(text);
    }
    choice->text_offset = offset;
    json_close_list(writer);
    json_open_list(writer, "token_logprobs");
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(answer, choice, from, n_shown, i);
        if (row.entries)
            json_put_float(writer, NULL, row.entries[0].logprob);
        else
            json_put_null(writer, NULL);
    }
    json_close_list(writer);
    json_open_list(writer, "tokens");
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(answer, choice, from, n_shown, i);
        TRY(token_text(answer, row.before, row.n_before, row.id, text));
        json_put_string(writer, NULL, text->data, text->length);
    }
    json_close_list(writer);
    json_open_list(writer, "top_logprobs");
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(answer, choice, from, n_shown, i);
        TRY(put_top(answer, &row, text, writer));
    }
    json_close_list(writer);
    json_close_object(writer);
    return OK;
}

enum status logprobs_put_legacy(struct api_answer *answer, struct api_choice *choice, size_t from,
                                size_t to, bool with_prompt, struct json_writer *writer)
{
    struct bytes text;
    bytes_init(&text);
    size_t n_shown = with_prompt && answer->scores ? n_prompt_rows(answer, choice->prompt) : 0;
    enum status status =
        put_lists(answer, choice, from, n_shown, n_shown + to - from, &text, writer);
    bytes_fini(&text);
    return status;
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
                                  size_t i, struct bytes *text, struct json_writer *writer)
{
    int k = answer->request->top_logprobs;
    const struct colrow_logprob *entries = choice->logprobs + i * (1 + (size_t)k);
    json_open_object(writer, NULL);
    TRY(token_text(answer, choice->ids, i, entries[0].id, text));
    put_chat_token(writer, text, entries[0].logprob);
    json_open_list(writer, "top_logprobs");
    // vLLM's order: the drawn token first, then the likeliest; as many as asked for
    for (int j = 0, n = 0; j < 1 + k && n < k; j++) {
        if (is_repeated(entries, j))
            continue;
        TRY(token_text(answer, choice->ids, i, entries[j].id, text));
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
    struct bytes text;
    bytes_init(&text);
    enum status status = OK;
    json_open_object(writer, "logprobs");
    json_open_list(writer, "content");
    for (size_t i = from; i < to; i++)
        TRY_DONE(put_chat_entry(answer, choice, i, &text, writer));
    json_close_list(writer);
    json_close_object(writer);
done:
    bytes_fini(&text);
    return status;
}

// ---- prompts ----

static enum status put_position(struct api_answer *answer, const struct row *row,
                                struct bytes *text, struct json_writer *writer)
{
    json_open_object(writer, NULL);
    for (int i = 0; i < row->width; i++) {
        char key[16];
        if (is_repeated(row->entries, i))
            continue;
        bytes_clear(text);
        TRY(api_token_text(answer->model, row->before, (int)row->n_before, row->entries[i].id,
                           text));
        snprintf(key, sizeof key, "%d", (int)row->entries[i].id);
        json_open_object(writer, key);
        json_put_float(writer, "logprob", row->entries[i].logprob);
        json_put_int(writer, "rank", row->entries[i].rank);
        json_put_string(writer, "decoded_token", text->length ? text->data : "", text->length);
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
    struct bytes text;
    bytes_init(&text);
    enum status status = OK;
    const struct prompt_scores *scores = &answer->scores[prompt];
    const int32_t *ids = answer->request->prompts[prompt].ids;
    int width = 1 + answer->request->prompt_logprobs;
    json_open_list(writer, "prompt_logprobs");
    json_put_null(writer, NULL); // nothing comes before the first token
    for (int i = 0; i < scores->n; i++) {
        struct row row = {ids, (size_t)i + 1, ids[i + 1],
                          scores->entries + (size_t)i * (size_t)width, width};
        TRY_DONE(put_position(answer, &row, &text, writer));
    }
    json_close_list(writer);
done:
    bytes_fini(&text);
    return status;
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
