// SHA-256 and HMAC against the vectors of their standards, and against OpenSSL at every length
// around a block, in pieces of every size.
#include "testing.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/sha256.h"

static void hex(const uint8_t digest[SHA256_BYTES], char text[2 * SHA256_BYTES + 1])
{
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static void digest_of(const void *data, size_t bytes, size_t piece, uint8_t out[SHA256_BYTES])
{
    struct sha256 sha;
    sha256_begin(&sha);
    for (size_t at = 0; at < bytes; at += piece)
        sha256_add(&sha, (const char *)data + at, bytes - at < piece ? bytes - at : piece);
    sha256_end(&sha, out);
}

static void standard_vectors(void **state)
{
    (void)state;
    // FIPS 180-4's examples, and a million times "a"
    static const char *const cases[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        digest_of(cases[i][0], strlen(cases[i][0]), 7, digest);
        hex(digest, text);
        assert_string_equal(text, cases[i][1]);
    }
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    digest_of(million, 1000000, 4099, digest);
    free(million);
    hex(digest, text);
    assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void hmac_vectors(void **state)
{
    (void)state;
    // RFC 4231, cases 2 and 6: a short key, and one that is longer than a block
    uint8_t digest[SHA256_BYTES], key[131];
    char text[2 * SHA256_BYTES + 1];
    struct hmac_sha256 hmac;
    hmac_sha256_begin(&hmac, "Jefe", 4);
    hmac_sha256_add(&hmac, "what do ya want ", 16);
    hmac_sha256_add(&hmac, "for nothing?", 12);
    hmac_sha256_end(&hmac, digest);
    hex(digest, text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256_begin(&hmac, key, sizeof key);
    hmac_sha256_add(&hmac, "Test Using Larger Than Block-Size Key - Hash Key First", 54);
    hmac_sha256_end(&hmac, digest);
    hex(digest, text);
    assert_string_equal(text, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void as_openssl(void **state)
{
    (void)state;
    uint8_t data[300], ours[SHA256_BYTES], theirs[SHA256_BYTES];
    unsigned bytes = SHA256_BYTES;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 151 + i / 7);
    for (size_t n = 0; n <= sizeof data; n++) {
        digest_of(data, n, 1 + n % 67, ours);
        assert_true(EVP_Digest(data, n, theirs, &bytes, EVP_sha256(), NULL));
        assert_memory_equal(ours, theirs, SHA256_BYTES);
        struct hmac_sha256 hmac;
        hmac_sha256_begin(&hmac, data, n);
        hmac_sha256_add(&hmac, data + n / 2, n - n / 2);
        hmac_sha256_end(&hmac, ours);
        assert_non_null(HMAC(EVP_sha256(), data, (int)n, data + n / 2, n - n / 2, theirs, &bytes));
        assert_true(same_secret(ours, theirs, SHA256_BYTES));
        theirs[n % SHA256_BYTES] ^= (uint8_t)(1 << n % 8);
        assert_false(same_secret(ours, theirs, SHA256_BYTES));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_vectors),
        cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(as_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
