// OpenSSL's hashes: base/sha256.h has no instructions for them, and here it is gigabytes.
#include "cmd/hub_digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 };

static enum status digest_pieces(EVP_MD_CTX *md, int fd, const char *path, uint64_t bytes,
                                 bool (*stopped)(void *), void *context)
{
    char *piece;
    TRY(memory_new(PIECE_BYTES, 1, "a piece of a file", &piece));
    enum status status = OK;
    for (uint64_t at = 0; at < bytes && status == OK;) {
        uint64_t left = bytes - at;
        ssize_t n = pread(fd, piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = fail_errno("read", path);
        else if (n == 0)
            status = fail(ERR_IO, "%s: has become shorter", path);
        else if (stopped(context))
            status = fail(ERR_CANCELLED, "%s: was not checked to its end", path);
        else if (EVP_DigestUpdate(md, piece, (size_t)n) != 1)
            status = fail(ERR_INTERNAL, "OpenSSL cannot hash");
        else
            at += (uint64_t)n;
    }
    free(piece);
    return status;
}

enum status hub_digest_of(int fd, const char *path, uint64_t bytes, bool sha256,
                          bool (*stopped)(void *), void *context, char out[HUB_SHA256_DIGITS + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char head[48];
    int head_bytes = snprintf(head, sizeof head, "blob %llu", (unsigned long long)bytes) + 1;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    enum status status = OK;
    if (!md || EVP_DigestInit_ex(md, sha256 ? EVP_sha256() : EVP_sha1(), NULL) != 1 ||
        (!sha256 && EVP_DigestUpdate(md, head, (size_t)head_bytes) != 1))
        status = fail(ERR_INTERNAL, "OpenSSL has no %s", sha256 ? "sha256" : "sha1");
    if (status == OK)
        status = digest_pieces(md, fd, path, bytes, stopped, context);
    if (status == OK && EVP_DigestFinal_ex(md, digest, &n) != 1)
        status = fail(ERR_INTERNAL, "OpenSSL cannot hash");
    out[0] = '\0';
    for (size_t i = 0; status == OK && i < n && 2 * i < HUB_SHA256_DIGITS; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(md);
    return status;
}
