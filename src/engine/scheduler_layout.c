#include "engine/scheduler_layout.h"

#include <assert.h>
#include <string.h>

static void add_logit_row(struct scheduler *s, int32_t row, bool full)
{
    s->logit_rows[s->step.n_logits] = row;
    s->logit_full[s->step.n_logits++] = full;
}

static void add_logits(struct scheduler *s, struct step_member *member, int64_t position,
                       int32_t first_row)
{
    struct step_logits *logits = &member->logits;
    logits->first = s->step.n_logits;
    for (int32_t at = logits->prompt_begin; at < logits->prompt_end; at++)
        add_logit_row(s, first_row + at - (int32_t)position, true);
    int32_t n_more = logits->n - (s->step.n_logits - logits->first);
    for (int32_t i = n_more; i > 0; i--) // the last rows: of the newest token, and of its drafts
        add_logit_row(s, first_row + member->n_tokens - i, logits->full);
}

void scheduler_lay_out(struct scheduler *s, struct step_under_way *step)
{
    int32_t row = 0;
    for (int32_t i = 0; i < s->step.n_sequences; i++) {
        struct step_member *member = &s->members[i];
        const struct sequence *sequence = member->sequence;
        // the last of its tokens that are under way
        int32_t end = sequence->n_computed + sequence->step_tokens,
                position = end - member->n_tokens;
        s->sequences[i] = (struct step_sequence){
            .first_row = row,
            .n_tokens = member->n_tokens,
            .position = position,
            .is_long = sequence->is_long,
            .pages = sequence->pages,
            .n_pages = (int32_t)kv_pages_for(end),
            .pages_stride = sequence->pages_max,
            .n_states = kv_count_states(&s->kv, position, member->n_tokens),
        };
        if (s->kv.state_pages)
            s->sequences[i].states = sequence->states + (size_t)kv_first_state(&s->kv, position) *
                                                            (size_t)s->kv.state_pages;
        memcpy(s->tokens + row, sequence->tokens + position,
               (size_t)member->n_tokens * sizeof *s->tokens);
        add_logits(s, member, position, row);
        step->n_draft_rows += member->logits.n_drafts;
        row += member->n_tokens;
        int32_t n_known = member->n_tokens - member->logits.n_drafts;
        step->n_prefill_rows += n_known > 1 || position < sequence->n_prompt ? n_known : 0;
    }
    s->step.n_rows = step->n_rows = row;
    step->n_members = s->step.n_sequences;
    assert(row <= s->limits.rows_max && s->step.n_logits <= s->limits.logit_rows_max);
}
