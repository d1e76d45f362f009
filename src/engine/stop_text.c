#include "engine/stop_text.h"

#include <assert.h>
#include <string.h>

void stop_text_init(struct stop_text *stop, const struct stop_string *stops, int n_stops,
                    bool include)
{
    *stop = (struct stop_text){.stops = stops, .n_stops = n_stops, .include = include, .found = -1};
    bytes_init(&stop->held);
}

void stop_text_fini(struct stop_text *stop)
{
    bytes_fini(&stop->held);
}

static bool ends_with(const char *text, size_t length, const char *end, size_t end_length)
{
    return length >= end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

// The stop string complete at the earliest byte behind `searched`; `*end` is where it ends.
static int find_stop(const struct stop_text *stop, size_t *end)
{
    for (*end = stop->searched + 1; *end <= stop->held.length; ++*end) {
        int best = -1;
        for (int i = 0; i < stop->n_stops; i++) {
            const struct stop_string *one = &stop->stops[i];
            if (ends_with(stop->held.data, *end, one->text, one->length) &&
                (best < 0 || one->length > stop->stops[best].length))
                best = i;
        }
        if (best >= 0)
            return best;
    }
    return -1;
}

// The longest end of `held` that begins a stop string.
static size_t undecided(const struct stop_text *stop)
{
    size_t longest = 0;
    for (int i = 0; i < stop->n_stops; i++) {
        size_t length = stop->stops[i].length - 1;
        if (length > stop->held.length)
            length = stop->held.length;
        while (length > longest &&
               !ends_with(stop->held.data, stop->held.length, stop->stops[i].text, length))
            length--;
        if (length > longest)
            longest = length;
    }
    return longest;
}

static enum status release(struct stop_text *stop, size_t length, struct bytes *out)
{
    if (length == 0)
        return OK;
    TRY(bytes_append(out, stop->held.data, length));
    stop->held.length -= length;
    memmove(stop->held.data, stop->held.data + length, stop->held.length + 1);
    stop->searched = stop->held.length;
    return OK;
}

enum status stop_text_add(struct stop_text *stop, const char *text, size_t length, bool armed,
                          struct bytes *out)
{
    if (stop->n_stops == 0)
        return bytes_append(out, text, length);
    if (stop->found >= 0)
        return OK;
    TRY(bytes_append(&stop->held, text, length));
    if (!armed)
        stop->searched = stop->held.length;
    size_t end;
    stop->found = find_stop(stop, &end);
    if (stop->found >= 0)
        return release(stop, stop->include ? end : end - stop->stops[stop->found].length, out);
    stop->searched = stop->held.length;
    return release(stop, stop->held.length - undecided(stop), out);
}

enum status stop_text_flush(struct stop_text *stop, struct bytes *out)
{
    return stop->found >= 0 ? OK : release(stop, stop->held.length, out);
}
