#include "engine/sequence.h"

#include <assert.h>
#include <stddef.h>

void sequence_queue_remove(struct sequence_queue *queue, struct sequence *sequence)
{
    *(sequence->previous ? &sequence->previous->next : &queue->first) = sequence->next;
    *(sequence->next ? &sequence->next->previous : &queue->last) = sequence->previous;
    sequence->previous = sequence->next = NULL;
    queue->n--;
    assert(queue->n >= 0 && (queue->n == 0) == (queue->first == NULL));
}

static bool comes_before(const struct sequence *a, const struct sequence *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->arrival < b->arrival;
}

void sequence_queue_insert(struct sequence_queue *queue, struct sequence *sequence)
{
    struct sequence *before = queue->last; // most come last
    while (before && comes_before(sequence, before))
        before = before->previous;
    sequence->previous = before;
    sequence->next = before ? before->next : queue->first;
    *(before ? &before->next : &queue->first) = sequence;
    *(sequence->next ? &sequence->next->previous : &queue->last) = sequence;
    queue->n++;
}
