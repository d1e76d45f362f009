// Without libcurl nothing is fetched; what is in the cache can be used.
#include "cmd/hub_http.h"

static enum status open_nothing(const struct hub_settings *settings, const char *token,
                                bool (*stopped)(void *), void *context, struct hub_client **out)
{
    (void)settings, (void)token, (void)stopped, (void)context;
    *out = NULL;
    return fail(ERR_UNSUPPORTED, "this colrow was built without libcurl and cannot fetch from the "
                                 "hub; `hf download` fills the same cache");
}

static void close_nothing(struct hub_client *client)
{
    (void)client;
}

const struct hub_http hub_http = {.open = open_nothing, .close = close_nothing};
