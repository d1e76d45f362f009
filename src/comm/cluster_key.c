#include "comm/cluster_key.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/memory.h"

enum status cluster_key_read(const char *path, struct cluster_key *out)
{
    struct bytes file;
    bytes_init(&file);
    enum status status = file_read_given(path, CLUSTER_KEY_BYTES_MAX, &file);
    while (status == OK && file.length > 0 &&
           (file.data[file.length - 1] == '\n' || file.data[file.length - 1] == '\r'))
        file.length--;
    if (status == OK && file.length < CLUSTER_KEY_BYTES_MIN)
        status =
            fail(ERR_INPUT,
                 "%s: a cluster key has %d bytes or more, this one %zu; make one with: openssl "
                 "rand -hex 32",
                 path, CLUSTER_KEY_BYTES_MIN, file.length);
    if (status == OK) {
        out->bytes = file.length;
        memcpy(out->secret, file.data, file.length);
    }
    if (file.data)
        explicit_bzero(file.data, file.capacity);
    bytes_fini(&file);
    return status;
}

void cluster_key_prove(const struct cluster_key *key, enum proof_side side,
                       const uint8_t nonce[NONCE_BYTES], const void *data, size_t bytes,
                       uint8_t out[SHA256_BYTES])
{
    struct hmac_sha256 hmac;
    hmac_sha256_begin(&hmac, key->secret, key->bytes);
    hmac_sha256_add(&hmac, side == HOST_PROOF ? "colrow host " : "colrow guest", 12);
    hmac_sha256_add(&hmac, nonce, NONCE_BYTES);
    hmac_sha256_add(&hmac, data, bytes);
    hmac_sha256_end(&hmac, out);
}

enum status cluster_nonce(uint8_t out[NONCE_BYTES])
{
    if (getrandom(out, NONCE_BYTES, 0) != NONCE_BYTES)
        return fail_errno("get", "random numbers from the kernel");
    return OK;
}

static bool ipv4_is_private(uint32_t ip)
{
    static const struct {
        uint32_t network;
        int bits;
    } ranges[] = {{0x7f000000, 8},  {0x0a000000, 8},  {0xac100000, 12},
                  {0xc0a80000, 16}, {0xa9fe0000, 16}, {0x64400000, 10}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if ((ip ^ ranges[i].network) >> (32 - ranges[i].bits) == 0)
            return true;
    return false;
}

bool address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, address, sizeof ipv4);
        return ipv4_is_private(ntohl(ipv4.sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 ipv6;
    memcpy(&ipv6, address, sizeof ipv6);
    const uint8_t *ip = ipv6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr))
        return ipv4_is_private((uint32_t)ip[12] << 24 | (uint32_t)ip[13] << 16 |
                               (uint32_t)ip[14] << 8 | ip[15]);
    return IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr) ||
           (ip[0] & 0xfe) == 0xfc;
}
