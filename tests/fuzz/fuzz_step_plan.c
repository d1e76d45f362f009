// The first bytes say which limits, the rest lies where a rank finds its step plan: it is refused
// with a sentence, or all that it names lies inside the area; what was read can be written again;
// and a model runs it or says why not.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "../model_runner.h"
#include "engine/step_plan.h"

enum { NUMBER = 7, ROWS = 16, SEQUENCES = 4, LOGIT_ROWS = 8, PAGES = 16, HEAD_BYTES = 4 };

static struct runner *small_runner(void)
{
    static struct runner runner;
    static struct comm *comm;
    if (comm)
        return &runner;
    const struct runner_options options = {
        .folder = MODEL_DIR, .rows_max = ROWS, .n_pages = PAGES, .compute = COMPUTE_BF16};
    enum status status = comm_open_self(&comm);
    assert(status == OK);
    status = runner_open(&options, comm, NULL, &runner);
    assert(status == OK);
    return &runner;
}

static struct step_limits limits_of(const uint8_t *data)
{
    return (struct step_limits){
        .rows_max = 1 + data[0] % ROWS,
        .sequences_max = 1 + data[1] % SEQUENCES,
        .logit_rows_max = 1 + data[2] % LOGIT_ROWS,
        .page_entries_max = 1 + data[3] % PAGES,
        .copies_max = data[3] / PAGES % 4,
    };
}

static bool lies_inside(const void *area, size_t bytes, const void *begin, int64_t count,
                        size_t item_bytes)
{
    uintptr_t at = (uintptr_t)begin, from = (uintptr_t)area;
    return count >= 0 && at >= from && at - from <= bytes &&
           (size_t)count <= (bytes - (at - from)) / item_bytes;
}

static void check_read(const struct step *step, const struct step_limits *limits, const void *area,
                       size_t bytes)
{
    assert(step->number == NUMBER);
    assert(step->n_rows >= 1 && step->n_rows <= limits->rows_max);
    assert(step->n_sequences >= 1 && step->n_sequences <= limits->sequences_max);
    assert(step->n_logits >= 0 && step->n_logits <= limits->logit_rows_max);
    assert(lies_inside(area, bytes, step->tokens, step->n_rows, sizeof *step->tokens));
    assert(lies_inside(area, bytes, step->logit_rows, step->n_logits, sizeof *step->logit_rows));
    assert(lies_inside(area, bytes, step->logit_full, step->n_logits, 1));
    assert(step->n_copies >= 0 && step->n_copies <= limits->copies_max);
    assert(lies_inside(area, bytes, step->copies, step->n_copies, sizeof *step->copies));
    for (int32_t i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *s = &step->sequences[i];
        assert(s->n_pages >= 1 && lies_inside(area, bytes, s->pages, s->n_pages, sizeof *s->pages));
    }
}

// What can be written comes back as it was.
static void check_again(const struct step *step, const struct step_limits *limits, size_t bytes)
{
    struct step_sequence sequences[SEQUENCES];
    struct step again;
    int64_t n_pages = 0;
    for (int32_t i = 0; i < step->n_sequences; i++)
        n_pages += step->sequences[i].n_pages;
    if (n_pages > limits->page_entries_max)
        return; // sequences that share entries: the scheduler writes none
    void *area = aligned_alloc(64, bytes);
    assert(area);
    step_plan_write(area, limits, 1, step);
    enum status status = step_plan_read(area, limits, 1, NUMBER, sequences, &again);
    assert(status == OK);
    (void)status;
    assert(again.n_rows == step->n_rows && again.n_logits == step->n_logits);
    assert(again.n_sequences == step->n_sequences && again.capture == step->capture);
    assert(again.n_copies == step->n_copies);
    assert(memcmp(again.tokens, step->tokens, (size_t)step->n_rows * sizeof *step->tokens) == 0);
    for (int32_t i = 0; i < step->n_sequences; i++) {
        const struct step_sequence *a = &step->sequences[i], *b = &again.sequences[i];
        assert(a->position == b->position && a->first_row == b->first_row);
        assert(a->n_tokens == b->n_tokens && a->n_pages == b->n_pages);
        assert(memcmp(a->pages, b->pages, (size_t)a->n_pages * sizeof *a->pages) == 0);
    }
    free(area);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    struct step_limits limits = limits_of(data);
    struct step_sequence sequences[SEQUENCES];
    struct step step;
    struct runner *runner = small_runner();
    size_t bytes;
    enum status status = step_plan_bytes(&limits, &bytes);
    assert(status == OK);
    char *area = aligned_alloc(64, bytes);
    assert(area);
    memset(area, 0, bytes);
    size -= HEAD_BYTES;
    if (size)
        memcpy(area, data + HEAD_BYTES, size < bytes ? size : bytes);
    status = step_plan_read(area, &limits, 1, NUMBER, sequences, &step);
    if (status == OK) {
        check_read(&step, &limits, area, bytes);
        check_again(&step, &limits, bytes);
        status = model_forward(runner->model, &step, &runner->results);
    }
    assert(status == OK || *status_message());
    free(area);
    return 0;
}
