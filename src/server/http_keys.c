// API keys. All are compared, whole, whatever is given, so that time tells nothing about them.
#include "server/http_site.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

enum { DIGEST_BYTES = 32, KEY_FILE_BYTES_MAX = 1 << 20 };

struct http_key_digest {
    unsigned char bytes[DIGEST_BYTES];
};

static bool key_digest(const char *key, size_t length, struct http_key_digest *out)
{
    unsigned int n = 0;
    return EVP_Digest(key, length, out->bytes, &n, EVP_sha256(), NULL) == 1 && n == DIGEST_BYTES;
}

struct digests {
    struct http_key_digest *items;
    size_t capacity;
    int n;
};

// `where`: of whom an error speaks.
static enum status add_digest(struct digests *all, const char *key, const char *where)
{
    if (all->n == HTTP_KEYS_MAX)
        return fail(ERR_USAGE, "%s: there are more than %d keys", where, HTTP_KEYS_MAX);
    if (!*key)
        return fail(ERR_USAGE, "%s: a key is empty", where);
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return fail(ERR_USAGE, "%s: key %d holds a blank or control character", where,
                        all->n + 1);
    TRY(memory_grow(&all->items, &all->capacity, (size_t)all->n + 1, sizeof *all->items,
                    "API keys"));
    if (!key_digest(key, strlen(key), &all->items[all->n]))
        return fail(ERR_INTERNAL, "SHA-256 is not available");
    all->n++;
    return OK;
}

static enum status add_key_file(struct digests *all, const char *path)
{
    struct bytes text;
    char *rest = NULL;
    int before = all->n;
    bytes_init(&text);
    enum status status = file_read(path, KEY_FILE_BYTES_MAX, &text);
    if (status == OK && text.length > 0)
        for (char *line = strtok_r(text.data, "\r\n", &rest); line && status == OK;
             line = strtok_r(NULL, "\r\n", &rest))
            if (*line != '#')
                status = add_digest(all, line, path);
    if (text.data)
        explicit_bzero(text.data, text.length);
    bytes_fini(&text);
    if (status == OK && all->n == before)
        status = fail(ERR_USAGE, "flag --api-key-file: %s holds no key; expected one a line", path);
    return status;
}

enum status http_keys_read(struct http_site *site)
{
    const struct http_options *o = &site->options;
    struct digests all = {0};
    enum status status = OK;
    for (int i = 0; i < o->n_api_keys && status == OK; i++)
        status = add_digest(&all, o->api_keys[i], "flag --api-key");
    if (status == OK && o->api_key_file)
        status = add_key_file(&all, o->api_key_file);
    if (status != OK) {
        free(all.items);
        return status;
    }
    free(site->keys);
    site->keys = all.items;
    site->n_keys = all.n;
    return OK;
}

void http_keys_fini(struct http_site *site)
{
    free(site->keys);
    site->keys = NULL;
    site->n_keys = 0;
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
    if (site->n_keys == 0 || request->method == HTTP_METHOD_OPTIONS ||
        strncmp(request->path, "/v1", 3) != 0)
        return true;
    struct http_key_digest digest;
    if (!digest_given(request, &digest))
        return false;
    bool found = false;
    for (int i = 0; i < site->n_keys; i++)
        found |= CRYPTO_memcmp(digest.bytes, site->keys[i].bytes, DIGEST_BYTES) == 0;
    return found;
}
