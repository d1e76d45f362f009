#include "cmd/hub_range.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { RANGE_ROUNDS_MAX = 1000 };

struct range_flow {
    const struct hub_range *range;
    size_t have, from; // bytes; where this request began
    bool begun, strange;
};

static bool is_the_range(const struct range_flow *flow, const struct hub_answer *a)
{
    const struct hub_range *range = flow->range;
    uint64_t first = range->offset + flow->from, last = range->offset + range->bytes - 1;
    if (a->encoding[0] && strcmp(a->encoding, "identity") != 0)
        return false;
    if (a->status == 200) // all of it
        return first == 0 && last + 1 == range->file_bytes &&
               (a->content_length < 0 || (uint64_t)a->content_length == range->file_bytes);
    return a->status == 206 && a->has_range && a->first == first && a->last == last &&
           a->total == range->file_bytes;
}

static bool keep_bytes(void *context, const struct hub_answer *answer, const void *data,
                       size_t bytes)
{
    struct range_flow *flow = context;
    if (!flow->begun)
        flow->strange = !is_the_range(flow, answer);
    flow->begun = true;
    flow->strange = flow->strange || bytes > flow->range->bytes - flow->have;
    if (flow->strange)
        return false;
    memcpy((char *)flow->range->out + flow->have, data, bytes);
    flow->have += bytes;
    return true;
}

static enum status no_range(const struct hub_range *range, const struct hub_answer *answer)
{
    return fail(ERR_IO,
                "%s: byte ranges were asked for, and the hub answers with %s (status %ld); without "
                "them weights cannot be streamed: `colrow pull` fetches whole files",
                range->path, answer->status == 206 ? "another range" : "the whole file",
                answer->status);
}

enum status hub_range_fetch(const struct hub_api *api, struct hub_client *client,
                            const struct hub_range *range, char *address)
{
    struct range_flow flow = {.range = range};
    char url[HUB_URL_MAX + 1], found[HUB_URL_MAX + 1];
    assert(range->bytes > 0 && range->offset <= range->file_bytes &&
           range->bytes <= range->file_bytes - range->offset);
    snprintf(url, sizeof url, "%s", address ? address : "");
    for (int round = 0, tries = 0;; round++) {
        struct hub_answer answer;
        if (!url[0])
            hub_api_file_url(api, range->commit, range->path, url);
        flow.from = flow.have;
        flow.begun = flow.strange = false;
        const struct hub_request request = {.url = url,
                                            .ranged = true,
                                            .first = range->offset + flow.from,
                                            .last = range->offset + range->bytes - 1,
                                            .sink = keep_bytes,
                                            .context = &flow,
                                            .caller = range->caller,
                                            .found = found};
        TRY(hub_http.get(client, &request, &answer));
        if (flow.have == range->bytes) {
            if (address)
                snprintf(address, HUB_URL_MAX + 1, "%s", found);
            return OK;
        }
        url[0] = '\0'; // a signed address may have expired: the hub gives another
        tries = flow.have > flow.from && round < RANGE_ROUNDS_MAX ? 1 : tries + 1;
        if ((flow.strange || answer.status == 416) && tries >= HUB_TRIES_MAX)
            return no_range(range, &answer);
        if (answer.status == 416)
            answer.status = 206; // as strange an answer as another range
        TRY(hub_api_try_again(api, &answer, range->path, tries));
    }
}
