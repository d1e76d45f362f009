#include "engine/poll_queue.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum { SHORT_ERROR_BYTES = 512 };

struct polled_output {
    struct polled_output *next;
    struct colrow_output output; // its pointers lead into `data`
    char error[SHORT_ERROR_BYTES];
    alignas(16) char data[];
};

void poll_queue_init(struct poll_queue *queue)
{
    *queue = (struct poll_queue){0};
}

void poll_queue_fini(struct poll_queue *queue)
{
    for (struct polled_output *item = queue->first, *next; item; item = next) {
        next = item->next;
        free(item);
    }
    free(queue->shown);
    poll_queue_init(queue);
}

enum status polled_output_reserve(struct polled_output **out)
{
    return memory_new(1, sizeof **out, "an output", out);
}

void polled_output_free(struct polled_output *output)
{
    free(output);
}

static void append_polled(struct poll_queue *queue, struct polled_output *item)
{
    item->next = NULL;
    *(queue->last ? &queue->last->next : &queue->first) = item;
    queue->last = item;
}

// Copies `bytes` behind what is there and returns where they lie now. The pieces keep their
// alignment.
static void *put(char **end, const void *data, size_t bytes)
{
    void *place = *end;
    if (!data)
        return NULL;
    memcpy(place, data, bytes);
    *end += round_up(bytes, 16);
    return place;
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

enum status poll_queue_add(struct poll_queue *queue, const struct colrow_output *in,
                           int32_t vocab_size)
{
    size_t ids = (size_t)in->n_ids * sizeof *in->ids, text = in->text_length + 1;
    size_t logprobs = (size_t)in->n_ids * (size_t)in->n_logprobs * sizeof *in->logprobs;
    size_t prompt_logits =
        (size_t)in->n_prompt_logits * (size_t)vocab_size * sizeof *in->prompt_logits;
    size_t reason = in->stop_reason ? in->stop_reason_length + 1 : 0, error = text_bytes(in->error);
    struct polled_output *item;
    size_t bytes =
        sizeof *item + ids + text + logprobs + prompt_logits + reason + error + (size_t)6 * 16;
    TRY(memory_new(bytes, 1, "an output", &item));
    char *end = item->data;
    item->output = *in;
    item->output.ids = put(&end, in->ids, ids);
    item->output.text = put(&end, in->text, text);
    item->output.logprobs = put(&end, in->logprobs, logprobs);
    item->output.prompt_logits = put(&end, in->prompt_logits, prompt_logits);
    item->output.stop_reason = put(&end, in->stop_reason, reason);
    item->output.error = put(&end, in->error, error);
    append_polled(queue, item);
    return OK;
}

void poll_queue_add_last_resort(struct poll_queue *queue, struct polled_output *reserved,
                                const struct colrow_output *in)
{
    snprintf(reserved->error, sizeof reserved->error, "%s", in->error ? in->error : "");
    reserved->output = (struct colrow_output){
        .request = in->request,
        .index = in->index,
        .text = "",
        .finish = in->finish,
        .stop_token = -1,
        .error = in->error ? reserved->error : NULL,
        .error_class = in->error_class,
        .prompt_tokens = in->prompt_tokens,
        .completion_tokens = in->completion_tokens,
    };
    append_polled(queue, reserved);
}

bool poll_queue_is_empty(const struct poll_queue *queue)
{
    return !queue->first;
}

bool poll_queue_next(struct poll_queue *queue, struct colrow_output *out)
{
    free(queue->shown);
    queue->shown = queue->first;
    if (!queue->first)
        return false;
    queue->first = queue->first->next;
    if (!queue->first)
        queue->last = NULL;
    *out = queue->shown->output;
    return true;
}
