// Requests that may be what kills the ranks. Who was part of the step two times in a row when they
// were lost, and got no further in between, is a suspect: suspects run alone, one after the other,
// until they have got further than ever. Who is found there again and again is given up; everybody
// else goes on.
//
// A rank may also be killed from outside, while an innocent request runs alone. So once is
// forgiven, others have their turn first, and the ranks must be lost in the same way (signal or
// exit status) as before.
#include <stdio.h>

#include "base/log.h"
#include "engine/engine.h"

enum {
    LOSSES_OF_A_SUSPECT = 2,
    ALONE_OF_A_CULPRIT = 2, // losses while it ran alone,
    ALIKE_OF_A_CULPRIT = 3, // with the one before in the same way
    ALONE_MAX = 4,          // or so many in whatever ways
};

static bool is_alive(const struct completion *completion)
{
    return completion->finish == COLROW_RUNNING && !completion->closed;
}

// Part of the lost step once more. True when it got no further since the last time.
static bool note_lost_member(struct sequence *sequence)
{
    bool stuck = sequence->n_losses > 0 && sequence->computed_most == sequence->computed_at_loss;
    sequence->n_losses = stuck ? sequence->n_losses + 1 : 1;
    sequence->computed_at_loss = sequence->computed_most;
    return sequence->n_losses >= LOSSES_OF_A_SUSPECT;
}

static void note_lost_request(struct colrow_engine *engine, struct request *request, int fault)
{
    bool present = false, stuck = false;
    for (int32_t i = 0; i < request->n; i++) {
        struct sequence *sequence = &request->completions[i].sequence;
        bool member = sequence->step_tokens > 0 && is_alive(&request->completions[i]);
        if (member)
            stuck = note_lost_member(sequence) || stuck;
        else if (!request->suspect)
            sequence->n_losses = 0; // it was not there
        present = present || member;
    }
    if (!present)
        return;
    request->n_alike = stuck && request->fault == fault ? request->n_alike + 1 : 1;
    request->fault = fault;
    request->n_alone += engine->scheduler.alone == request;
    if (!stuck || request->suspect)
        return;
    request->suspect = true;
    request->n_alone = 0;
    engine->recovery.n_suspects++;
}

void engine_note_lost_steps(struct colrow_engine *engine)
{
    int fault = crew_exit_status(engine->crew);
    for (struct request *request = engine->first_request; request; request = request->next)
        note_lost_request(engine, request, fault);
    engine->recovery.n_losses_alone += engine->scheduler.alone != NULL;
}

static bool is_culprit(const struct request *request)
{
    return request->suspect &&
           (request->n_alone >= ALONE_MAX ||
            (request->n_alone >= ALONE_OF_A_CULPRIT && request->n_alike >= ALIKE_OF_A_CULPRIT));
}

static int most_losses(const struct request *request)
{
    int most = 0;
    for (int32_t i = 0; i < request->n; i++)
        if (request->completions[i].sequence.n_losses > most)
            most = request->completions[i].sequence.n_losses;
    return most;
}

void engine_give_up_culprits(struct colrow_engine *engine)
{
    for (struct request *request = engine->first_request; request && engine->recovery.n_suspects;
         request = request->next) {
        if (!is_culprit(request))
            continue;
        char sentence[STATUS_MESSAGE_MAX];
        enum status fault =
            fail(ERR_INTERNAL,
                 "request %llu is given up: the ranks were lost %d times in a row in a step with "
                 "it, %d of them while it ran alone; the last time: %s",
                 (unsigned long long)request->number, most_losses(request), request->n_alone,
                 engine->recovery.reason);
        snprintf(sentence, sizeof sentence, "%s", status_message());
        log_warning("%s", sentence);
        request->suspect = false;
        engine->statistics.requests_given_up++;
        engine_end_request(engine, request, COLROW_FAILED, fault, sentence);
    }
}

static bool got_further(const struct request *request)
{
    for (int32_t i = 0; i < request->n; i++) {
        const struct sequence *sequence = &request->completions[i].sequence;
        if (is_alive(&request->completions[i]) && sequence->n_losses > 0 &&
            sequence->computed_most == sequence->computed_at_loss)
            return false;
    }
    return true;
}

static void clear_suspect(struct request *request)
{
    request->suspect = false;
    request->n_alone = 0;
    for (int32_t i = 0; i < request->n; i++)
        request->completions[i].sequence.n_losses = 0;
}

static bool may_run(const struct request *request)
{
    for (int32_t i = 0; i < request->n; i++) {
        const struct sequence *sequence = &request->completions[i].sequence;
        if (!sequence->paused &&
            (sequence->state == SEQUENCE_WAITING || sequence->state == SEQUENCE_RUNNING))
            return true;
    }
    return false;
}

void engine_choose_alone(struct colrow_engine *engine)
{
    if (engine->recovery.n_suspects == 0)
        return;
    const struct request *next = NULL;
    engine->recovery.n_suspects = 0;
    for (struct request *request = engine->first_request; request; request = request->next) {
        if (!request->suspect)
            continue;
        if (got_further(request)) {
            clear_suspect(request);
            continue;
        }
        engine->recovery.n_suspects++;
        if (may_run(request) && (!next || request->n_alone < next->n_alone))
            next = request;
    }
    scheduler_isolate(&engine->scheduler, next);
}
