#include "engine/step_plan.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"

struct plan_head {
    uint64_t generation;
    int64_t number;
    int32_t n_rows, n_sequences, n_logits, capture, n_copies, unused;
};

struct plan_sequence {
    int64_t position, first_page; // first_page: index into the page entries
    int32_t first_row, n_tokens, n_pages, is_long, n_states, unused;
};

// Where the arrays begin.
struct places {
    size_t sequences, tokens, logit_rows, logit_full, pages, copies, end;
};

static bool place_array(size_t *end, size_t count, size_t item_bytes, size_t *out)
{
    size_t bytes;
    *out = *end;
    return checked_mul(count, item_bytes, &bytes) && checked_add(bytes, 63, &bytes) &&
           checked_add(*end, bytes & ~(size_t)63, end);
}

static bool step_places_of(const struct step_limits *limits, struct places *out)
{
    size_t end = round_up(sizeof(struct plan_head), 64);
    bool good =
        place_array(&end, (size_t)limits->sequences_max, sizeof(struct plan_sequence),
                    &out->sequences) &&
        place_array(&end, (size_t)limits->rows_max, sizeof(int32_t), &out->tokens) &&
        place_array(&end, (size_t)limits->logit_rows_max, sizeof(int32_t), &out->logit_rows) &&
        place_array(&end, (size_t)limits->logit_rows_max, 1, &out->logit_full) &&
        place_array(&end, (size_t)limits->page_entries_max, sizeof(int32_t), &out->pages) &&
        place_array(&end, (size_t)limits->copies_max, sizeof(struct step_copy), &out->copies);
    out->end = end;
    return good;
}

enum status step_plan_bytes(const struct step_limits *limits, size_t *out)
{
    struct places places;
    if (!step_places_of(limits, &places))
        return fail_memory(SIZE_MAX, "the step plan");
    *out = places.end;
    return OK;
}

static void copy_array(char *to, const void *from, int32_t count, size_t item_bytes)
{
    if (count)
        memcpy(to, from, (size_t)count * item_bytes);
}

void step_plan_write(void *area, const struct step_limits *limits, uint64_t generation,
                     const struct step *step)
{
    struct places places;
    bool fits = step_places_of(limits, &places);
    assert(fits && step->n_rows <= limits->rows_max && step->n_sequences <= limits->sequences_max);
    assert(step->n_logits <= limits->logit_rows_max && step->n_copies <= limits->copies_max);
    (void)fits;
    char *base = area;
    *(struct plan_head *)area = (struct plan_head){
        .generation = generation,
        .number = step->number,
        .n_rows = step->n_rows,
        .n_sequences = step->n_sequences,
        .n_logits = step->n_logits,
        .capture = step->capture,
        .n_copies = step->n_copies,
    };
    copy_array(base + places.copies, step->copies, step->n_copies, sizeof *step->copies);
    copy_array(base + places.tokens, step->tokens, step->n_rows, sizeof *step->tokens);
    copy_array(base + places.logit_rows, step->logit_rows, step->n_logits,
               sizeof *step->logit_rows);
    copy_array(base + places.logit_full, step->logit_full, step->n_logits, 1);
    struct plan_sequence *out = (struct plan_sequence *)(base + places.sequences);
    int64_t n_pages = 0;
    for (int32_t i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *in = &step->sequences[i];
        const int32_t state_entries = in->n_states * limits->state_pages;
        assert(n_pages + step_groups(limits) * in->n_pages + state_entries <=
               limits->page_entries_max);
        out[i] = (struct plan_sequence){
            .position = in->position,
            .first_page = n_pages,
            .first_row = in->first_row,
            .n_tokens = in->n_tokens,
            .is_long = in->is_long,
            .n_pages = in->n_pages,
            .n_states = in->n_states,
        };
        for (int group = 0; group < step_groups(limits); group++) {
            copy_array(base + places.pages + (size_t)n_pages * sizeof(int32_t),
                       in->pages + (size_t)group * (size_t)in->pages_stride, in->n_pages,
                       sizeof(int32_t));
            n_pages += in->n_pages;
        }
        copy_array(base + places.pages + (size_t)n_pages * sizeof(int32_t), in->states,
                   state_entries, sizeof(int32_t));
        n_pages += state_entries;
    }
}

static enum status wrong_plan(const char *what, int64_t found, int64_t least, int64_t most)
{
    return fail(ERR_INTERNAL, "step plan: %s is %lld; expected %lld to %lld", what,
                (long long)found, (long long)least, (long long)most);
}

#define CHECK(value, least, most)                                                                  \
    do {                                                                                           \
        if ((value) < (least) || (value) > (most))                                                 \
            return wrong_plan(#value, (value), (least), (most));                                   \
    } while (0)

static enum status check_sequence(const struct plan_sequence *sequence,
                                  const struct step_limits *limits)
{
    CHECK(sequence->n_pages, 1, limits->page_entries_max);
    CHECK(sequence->n_states, 0, limits->page_entries_max);
    int64_t n_pages =
        sequence->n_pages * step_groups(limits) + (int64_t)sequence->n_states * limits->state_pages;
    CHECK(n_pages, 1, limits->page_entries_max);
    CHECK(sequence->first_page, 0, limits->page_entries_max - n_pages);
    return OK;
}

// A plan of before a restart, or one out of turn, would be answered with wrong keys and values.
static enum status check_turn(const struct plan_head *head, uint64_t generation, uint64_t number)
{
    if (head->generation == generation && (uint64_t)head->number == number)
        return OK;
    return fail(ERR_INTERNAL,
                "step plan: it is step %lld of generation %llu; expected step %llu of generation "
                "%llu",
                (long long)head->number, (unsigned long long)head->generation,
                (unsigned long long)number, (unsigned long long)generation);
}

enum status step_plan_read(const void *area, const struct step_limits *limits, uint64_t generation,
                           uint64_t number, struct step_sequence *sequences, struct step *out)
{
    struct places places;
    if (!step_places_of(limits, &places))
        return fail_memory(SIZE_MAX, "the step plan");
    const char *base = area;
    const struct plan_head *head = area;
    TRY(check_turn(head, generation, number));
    CHECK(head->n_rows, 1, limits->rows_max);
    CHECK(head->n_sequences, 1, limits->sequences_max);
    CHECK(head->n_logits, 0, limits->logit_rows_max);
    CHECK(head->n_copies, 0, limits->copies_max);
    *out = (struct step){
        .number = head->number,
        .n_rows = head->n_rows,
        .tokens = (const int32_t *)(base + places.tokens),
        .n_sequences = head->n_sequences,
        .sequences = sequences,
        .n_logits = head->n_logits,
        .logit_rows = (const int32_t *)(base + places.logit_rows),
        .logit_full = (const uint8_t *)(base + places.logit_full),
        .capture = head->capture != 0,
        .n_copies = head->n_copies,
        .copies = (const struct step_copy *)(base + places.copies),
    };
    const struct plan_sequence *in = (const struct plan_sequence *)(base + places.sequences);
    const int32_t *pages = (const int32_t *)(base + places.pages);
    for (int32_t i = 0; i < head->n_sequences; i++) {
        TRY(check_sequence(&in[i], limits));
        sequences[i] = (struct step_sequence){
            .first_row = in[i].first_row,
            .n_tokens = in[i].n_tokens,
            .is_long = in[i].is_long != 0,
            .position = in[i].position,
            .pages = pages + in[i].first_page,
            .n_pages = in[i].n_pages,
            .pages_stride = in[i].n_pages,
            .states = pages + in[i].first_page + step_groups(limits) * in[i].n_pages,
            .n_states = in[i].n_states,
        };
    }
    return OK;
}
