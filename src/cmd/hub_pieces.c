#include "cmd/hub_pieces.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { AT_ONCE = 128, RANGE_TEXT = 48, PART_HEAD_MAX = 1024, PIECES_ROUNDS_MAX = 1000 };

struct pieces_flow {
    const struct hub_pieces *pieces;
    size_t next, end;         // pieces: the one that comes, and behind the last that was asked for
    size_t have;              // bytes of that
    char head[PART_HEAD_MAX]; // what stands in front of it
    size_t n_head;            // behind the last piece: of what is not kept
    bool in_piece, strange;
};

static uint64_t begin_of(const struct hub_pieces *pieces, size_t i)
{
    return pieces->offset + i * pieces->stride;
}

// "\r\n--BOUNDARY\r\nContent-Range: bytes 0-9/100\r\n\r\n", with other lines in any order.
static bool is_head_of_next(const struct pieces_flow *flow, const char *boundary)
{
    const struct hub_pieces *p = flow->pieces;
    const char *at = strstr(flow->head, boundary);
    unsigned long long first, last, total;
    while (at && (at = strstr(at, "\r\n"))) {
        at += 2;
        if (strncasecmp(at, "Content-Range:", 14) == 0)
            return sscanf(at + 14, " bytes %20llu-%20llu/%20llu", &first, &last, &total) == 3 &&
                   first == begin_of(p, flow->next) && last == first + p->bytes - 1 &&
                   total == p->file_bytes;
    }
    return false;
}

// One byte more of what is no piece. False: it is not what was expected.
static bool take_head(struct pieces_flow *flow, const char *boundary, char c)
{
    if (flow->n_head + 1 >= sizeof flow->head || c == '\0')
        return false;
    flow->head[flow->n_head++] = c;
    flow->head[flow->n_head] = '\0';
    if (flow->n_head < 4 || strcmp(flow->head + flow->n_head - 4, "\r\n\r\n") != 0)
        return true;
    flow->in_piece = is_head_of_next(flow, boundary);
    return flow->in_piece;
}

static bool take_parts(void *context, const struct hub_answer *answer, const void *data,
                       size_t bytes)
{
    struct pieces_flow *flow = context;
    const struct hub_pieces *p = flow->pieces;
    const char *at = data, *end = at + bytes;
    if (answer->status != 206 || !answer->boundary[0] || answer->encoding[0])
        flow->strange = true;
    while (at < end && flow->next < flow->end && !flow->strange) {
        if (!flow->in_piece) {
            flow->strange = !take_head(flow, answer->boundary, *at++);
            continue;
        }
        size_t n = p->bytes - flow->have;
        n = n < (size_t)(end - at) ? n : (size_t)(end - at);
        memcpy((char *)p->out + flow->next * p->bytes + flow->have, at, n);
        at += n;
        flow->have += n;
        if (flow->have == p->bytes) {
            flow->next++;
            flow->have = flow->n_head = 0;
            flow->in_piece = false;
        }
    }
    if (flow->next == flow->end) // the closing boundary; more may never end
        flow->n_head += (size_t)(end - at);
    return !flow->strange && flow->n_head < PART_HEAD_MAX;
}

static void write_ranges(const struct pieces_flow *flow, char out[AT_ONCE * RANGE_TEXT])
{
    size_t n = 0;
    for (size_t i = flow->next; i < flow->end; i++) {
        unsigned long long begin = begin_of(flow->pieces, i);
        n += (size_t)snprintf(out + n, RANGE_TEXT, "%s%llu-%llu", n ? "," : "", begin,
                              begin + flow->pieces->bytes - 1);
    }
}

static bool refuses_ranges(long status)
{
    return status == 400 || status == 413 || status == 416 || status == 431;
}

enum status hub_pieces_fetch(const struct hub_api *api, struct hub_client *client,
                             const struct hub_pieces *pieces, char *address, bool *done)
{
    struct pieces_flow flow = {.pieces = pieces};
    char url[HUB_URL_MAX + 1], ranges[AT_ONCE * RANGE_TEXT];
    assert(pieces->bytes > 0 && pieces->stride > pieces->bytes);
    snprintf(url, sizeof url, "%s", address);
    for (int round = 0, tries = 0; flow.next < pieces->n; round++) {
        struct hub_answer answer;
        size_t before = flow.next;
        flow.end = pieces->n - before < AT_ONCE ? pieces->n : before + AT_ONCE;
        flow.have = flow.n_head = 0;
        flow.in_piece = false;
        if (flow.end - before == 1 && before > 0) // one range is answered otherwise
            flow.next = --before;
        if (!url[0])
            hub_api_file_url(api, pieces->commit, pieces->path, url);
        write_ranges(&flow, ranges);
        const struct hub_request request = {.url = url,
                                            .ranged = true,
                                            .ranges = ranges,
                                            .sink = take_parts,
                                            .context = &flow,
                                            .caller = pieces->caller,
                                            .found = address};
        TRY(hub_http.get(client, &request, &answer));
        *done = false;
        if (flow.strange || refuses_ranges(answer.status))
            return OK;
        if (flow.next == flow.end) {
            snprintf(url, sizeof url, "%s", address);
            tries = 0;
            continue;
        }
        url[0] = '\0';
        tries = flow.next > before && round < PIECES_ROUNDS_MAX ? 1 : tries + 1;
        TRY(hub_api_try_again(api, &answer, pieces->path, tries));
    }
    *done = true;
    return OK;
}
