#include "engine/scheduler_drafts.h"

#include "engine/scheduler_pages.h"

static int32_t smaller(int32_t a, int64_t b)
{
    return a < b ? a : (int32_t)b;
}

int32_t drafts_room(const struct scheduler *s, int32_t n_decoding, int32_t rows, int32_t logit_rows)
{
    if (!s->speculation)
        return 0;
    int32_t most = speculation_rows(s->speculation, n_decoding);
    return smaller(smaller(most, rows - n_decoding), logit_rows - n_decoding);
}

int32_t draft_for(struct scheduler *s, struct sequence *sequence, int32_t most)
{
    int32_t n = sequence->n_tokens;
    if (most < 1 || n == sequence->n_prompt)
        return 0;
    most = smaller(most, draft_length(&s->speculation->config, &sequence->drafts));
    // the last token needs no keys, and has no next one
    most = smaller(most, sequence->tokens_max - 1 - n);
    if (s->long_length > 0 && !sequence->is_long) // behind it, keys are others
        most = smaller(most, s->long_length - n);
    if (most < 1)
        return 0;
    most = speculation_look_up(&s->speculation->config, sequence->tokens, n, most,
                               sequence->tokens + n);
    return most > 0 && sequence_take_missing(s, sequence, n + most) ? most : 0;
}
