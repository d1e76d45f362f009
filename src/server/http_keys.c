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

// The key that a field carries: "Bearer KEY", as vLLM reads it (the scheme's case does not matter,
// one blank, then the key), or the key alone, which Anthropic's clients send as x-api-key. False
// where it carries none.
static bool key_of_field(const struct http_field *field, struct http_text *key)
{
    static const char scheme[] = "bearer ";
    size_t length = strlen(scheme);
    *key = field->value;
    if (http_text_equals(field->name, "X-Api-Key"))
        return true;
    if (key->length < length || strncasecmp(key->data, scheme, length) != 0)
        return false;
    *key = (struct http_text){key->data + length, key->length - length};
    return true;
}

// All fields that carry a key have to carry the same one: a server in front of this one may look at
// another of them.
static bool digest_given(const struct http_request *request, struct http_key_digest *out)
{
    int n = 0;
    for (int i = 0; i < request->n_fields; i++) {
        const struct http_field *field = &request->fields[i];
        struct http_key_digest digest;
        struct http_text key;
        if (!http_text_equals(field->name, "Authorization") &&
            !http_text_equals(field->name, "X-Api-Key"))
            continue;
        if (!key_of_field(field, &key) || !key_digest(key.data, key.length, &digest))
            return false;
        if (n++ > 0 && CRYPTO_memcmp(digest.bytes, out->bytes, DIGEST_BYTES) != 0)
            return false;
        *out = digest;
    }
    return n > 0;
}

bool http_keys_allow(const struct http_site *site, const struct http_request *request)
{
    if (site->options.n_api_keys == 0 || request->method == HTTP_METHOD_OPTIONS ||
        strncmp(request->path, "/v1", 3) != 0)
        return true;
    struct http_key_digest digest;
    if (!digest_given(request, &digest))
        return false;
    bool found = false;
    for (int i = 0; i < site->options.n_api_keys; i++)
        found |= CRYPTO_memcmp(digest.bytes, site->keys[i].bytes, DIGEST_BYTES) == 0;
    return found;
}
