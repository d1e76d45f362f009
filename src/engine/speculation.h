// Speculation that cannot change a bit. A few tokens that are likely to follow are drafted from the
// sequence's own text (`method` "ngram": where its last tokens stood before, what came then), and
// one step computes the logits behind each of them. The tokens are drawn from these as ever, one
// after the other, while they are what was drafted; the rest of the draft is forgotten. A row's
// bits do not depend on which rows are beside it (docs/numerics.md), and a draw depends on logits,
// position and seed alone: the answer is that of plain decoding, in fewer steps.
//
// A row more costs little while reading the weights is what takes the time, and as much as any
// other where arithmetic does. So steps with drafts are timed, and drafts are as many as pay.
#ifndef COLROW_ENGINE_SPECULATION_H
#define COLROW_ENGINE_SPECULATION_H

#include <colrow/colrow.h>
#include <stdint.h>

#include "base/status.h"

enum {
    DRAFT_TOKENS_MAX = COLROW_DRAFT_TOKENS_MAX, // of a sequence in a step
    DRAFT_ROWS_MAX = 64, // of all sequences in a step: with more, arithmetic binds anywhere
};

// colrow_options.speculative_config, with vLLM's keys.
struct speculation_config {
    int32_t n_tokens;               // num_speculative_tokens; 0: nothing is drafted
    int32_t lookup_min, lookup_max; // prompt_lookup_min, _max: tokens that must have stood before
    int32_t disable_by_batch_size;  // so many sequences that run get none; 0: no such bound
};
// `json` NULL or "": none. ERR_USAGE names the key.
enum status speculation_config_read(const char *json,
                                    struct speculation_config *out) STATUS_MUST_USE;

// Tokens that followed where the last lookup_min to lookup_max of tokens[0 .. n) stood before: the
// most of them, and then the latest place. Returns how many were found, at most `most`, into `out`.
int32_t speculation_look_up(const struct speculation_config *config, const int32_t *tokens,
                            int32_t n, int32_t most, int32_t *out);

// What a sequence's drafts have come to.
struct draft_history {
    int32_t length; // of the next draft; 0: none was made yet
    int32_t misses; // drafts in a row of which nothing was accepted
    int32_t pause;  // steps to go without one
};
// How long the next draft may be, 0 while it pauses.
int32_t draft_length(const struct speculation_config *config, struct draft_history *history);
void draft_judged(const struct speculation_config *config, struct draft_history *history,
                  int32_t n_drafted, int32_t n_accepted);

// What drafts are worth on this machine.
struct speculation {
    struct speculation_config config;
    // of steps that only decode, by their rows: what they take. 0: not known yet
    double seconds[DRAFT_ROWS_MAX + 1];
    double accepted; // of a drafted token, on average
    // for metrics
    uint64_t n_drafts, n_draft_tokens, n_accepted, n_accepted_at[DRAFT_TOKENS_MAX];
};
void speculation_init(struct speculation *speculation, const struct speculation_config *config);
// A step of so many rows, none of a prompt, took `seconds`.
void speculation_note_step(struct speculation *speculation, int32_t n_rows, double seconds);
void speculation_note_draft(struct speculation *speculation, int32_t n_drafted, int32_t n_accepted);
// How many drafted tokens a step may hold in which `n_decoding` sequences decode.
int32_t speculation_rows(const struct speculation *speculation, int32_t n_decoding);

#endif
