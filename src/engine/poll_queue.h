// Outputs of requests without a callback, waiting to be polled: copies, since what they were made
// of moves on.
#ifndef COLROW_ENGINE_POLL_QUEUE_H
#define COLROW_ENGINE_POLL_QUEUE_H

#include <colrow/colrow.h>
#include <stdbool.h>

#include "base/status.h"

struct polled_output; // one block of memory

struct poll_queue {
    struct polled_output *first, *last;
    struct polled_output *shown; // what the last poll returned; freed by the next
};

void poll_queue_init(struct poll_queue *queue);
void poll_queue_fini(struct poll_queue *queue);

// An output that says no more than how a sequence ended, reserved early so that this can always be
// said.
enum status polled_output_reserve(struct polled_output **out) STATUS_MUST_USE;
void polled_output_free(struct polled_output *output); // accepts NULL

enum status poll_queue_add(struct poll_queue *queue, const struct colrow_output *output,
                           int32_t vocab_size) STATUS_MUST_USE;
// With a reserved output, which becomes the queue's: cannot fail. Ids, text and logprobs are left
// out; `error` is kept when it is short.
void poll_queue_add_last_resort(struct poll_queue *queue, struct polled_output *reserved,
                                const struct colrow_output *output);

bool poll_queue_is_empty(const struct poll_queue *queue);
// Valid until the next call on the queue.
bool poll_queue_next(struct poll_queue *queue, struct colrow_output *out);

#endif
