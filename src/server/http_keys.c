// API keys. All are compared, whole, whatever is given, so that time tells nothing about them.
#include "server/http_site.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DIGEST_BYTES = 32 };

struct http_key_digest {
    unsigned char bytes[DIGEST_BYTES];
};

static bool key_digest(const char *key, size_t length, struct http_key_digest *out)
{
    unsigned int n = 0;
    return EVP_Digest(key, length, out->bytes, &n, EVP_sha256(), NULL) == 1 && n == DIGEST_BYTES;
}

enum status http_keys_init(struct http_site *site)
{
    int n = site->options.n_api_keys;
    if (n > HTTP_KEYS_MAX)
        return fail(ERR_USAGE, "%d API keys are given; the most is %d", n, HTTP_KEYS_MAX);
    TRY(memory_new((size_t)n + 1, sizeof *site->keys, "API keys", &site->keys));
    for (int i = 0; i < n; i++) {
        const char *key = site->options.api_keys[i];
        if (!*key)
            return fail(ERR_USAGE, "an API key is empty");
        for (const char *c = key; *c; c++)
            if ((unsigned char)*c <= 0x20 || *c == 0x7f)
                return fail(ERR_USAGE, "API key %d holds a blank or control character", i + 1);
        if (!key_digest(key, strlen(key), &site->keys[i]))
            return fail(ERR_INTERNAL, "SHA-256 is not available");
    }
    return OK;
}

void http_keys_fini(struct http_site *site)
{
    free(site->keys);
    site->keys = NULL;
}

// "Bearer KEY", as vLLM reads it: the scheme's case does not matter, one blank, then the key.
// Anthropic's clients send the key alone, as x-api-key.
static struct http_text key_given(const struct http_request *request)
{
    static const char scheme[] = "bearer ";
    struct http_text given = http_request_field(request, "Authorization");
    if (!given.data)
        return http_request_field(request, "X-Api-Key");
    if (given.length < strlen(scheme) || strncasecmp(given.data, scheme, strlen(scheme)) != 0)
        return (struct http_text){NULL, 0};
    return (struct http_text){given.data + strlen(scheme), given.length - strlen(scheme)};
}

bool http_keys_allow(const struct http_site *site, const struct http_request *request)
{
    if (site->options.n_api_keys == 0 || request->method == HTTP_METHOD_OPTIONS ||
        strncmp(request->path, "/v1", 3) != 0)
        return true;
    struct http_text given = key_given(request);
    struct http_key_digest digest;
    if (!given.data || !key_digest(given.data, given.length, &digest))
        return false;
    bool found = false;
    for (int i = 0; i < site->options.n_api_keys; i++)
        found |= CRYPTO_memcmp(digest.bytes, site->keys[i].bytes, DIGEST_BYTES) == 0;
    return found;
}
