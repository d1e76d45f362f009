// The answers of a hub to requests for several ranges: how many pieces of which size, then the
// answers one after the other. Whatever they are and however they are cut, the same is read;
// pieces lie where they belong, and no answer is read for ever.
#include "fuzz.h"

#include "../pretend_hub.h"

enum { SHAPE_BYTES = 5, HEAD_BYTES = 3 };
static const char boundary[] = "cut";

struct answers {
    const uint8_t *at, *end;
};

// Three bytes say how the next answer begins, and how long it is; behind the last there are none.
static void reply_next(struct hub_client *hub, const struct hub_request *request,
                       struct hub_answer *answer, struct bytes *body)
{
    static const int statuses[] = {206, 206, 206, 200, 416, 503};
    struct answers *input = hub->context;
    (void)request;
    answer->status = 503;
    if (input->end - input->at < HEAD_BYTES)
        return;
    size_t length = (size_t)input->at[1] | (size_t)input->at[2] << 8;
    answer->status = statuses[(input->at[0] & 15) % 6];
    answer->cut = input->at[0] & 16;
    if (input->at[0] & 32)
        snprintf(answer->encoding, sizeof answer->encoding, "gzip");
    if (!(input->at[0] & 64))
        snprintf(answer->boundary, sizeof answer->boundary, "%s", boundary);
    input->at += HEAD_BYTES;
    size_t rest = (size_t)(input->end - input->at);
    length = length < rest ? length : rest;
    enum status status = bytes_append(body, (const char *)input->at, length);
    assert(status == OK);
    input->at += length;
}

static size_t cut_short(void *context)
{
    unsigned *dice = context;
    *dice = *dice * 1664525U + 1013904223U;
    return 1 + (*dice >> 16) % 9;
}

struct outcome {
    enum status status;
    bool done;
    int requests;
    char *out;
};

static struct outcome fetch(const uint8_t *data, size_t size, struct hub_pieces pieces,
                            size_t (*cut)(void *), int fill)
{
    char address[HUB_URL_MAX + 1] = "";
    unsigned dice = (unsigned)size;
    struct answers input = {data, data + size};
    struct hub_client hub = {
        .reply = reply_next, .context = &input, .cut = cut, .cut_context = &dice};
    const struct hub_api api = {.context = &hub};
    struct outcome outcome = {.out = malloc(pieces.n * pieces.bytes)};
    assert(outcome.out);
    memset(outcome.out, fill, pieces.n * pieces.bytes);
    pieces.out = outcome.out;
    outcome.status = hub_pieces_fetch(&api, &hub, &pieces, address, &outcome.done);
    outcome.requests = hub.requests;
    assert(outcome.status == OK || *status_message());
    assert(outcome.status == OK || !outcome.done);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SHAPE_BYTES)
        return 0;
    struct hub_pieces pieces = {
        .commit = "c", .path = "p", .offset = data[0], .n = 1 + data[1], .bytes = 1 + data[2]};
    pieces.stride = pieces.bytes + 1 + data[3];
    pieces.file_bytes = pieces.offset + pieces.n * pieces.stride + data[4];
    data += SHAPE_BYTES;
    size -= SHAPE_BYTES;
    struct outcome whole = fetch(data, size, pieces, NULL, 0x55);
    struct outcome cut = fetch(data, size, pieces, cut_short, 0xaa);
    assert(whole.status == cut.status && whole.requests == cut.requests);
    assert(whole.status != OK || whole.done == cut.done);
    // From different bytes in the beginning: all of them were written.
    if (whole.status == OK && whole.done)
        assert(memcmp(whole.out, cut.out, pieces.n * pieces.bytes) == 0);
    free(whole.out);
    free(cut.out);
    return 0;
}
