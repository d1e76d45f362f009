#include "server/http_tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <stdlib.h>

struct tls_context {
    SSL_CTX *ssl;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; // owned by `ssl`
};

// OpenSSL's last reason, for a sentence.
static const char *tls_reason(void)
{
    static _Thread_local char text[256];
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, sizeof text, "%s", reason ? reason : "no reason given");
    ERR_clear_error();
    return text;
}

static enum status tls_files(SSL_CTX *ssl, const struct http_options *o)
{
    const char *key = o->ssl_keyfile ? o->ssl_keyfile : o->ssl_certfile;
    if (SSL_CTX_use_certificate_chain_file(ssl, o->ssl_certfile) != 1)
        return fail(ERR_INPUT, "%s: no certificate chain in PEM could be read (--ssl-certfile): %s",
                    o->ssl_certfile, tls_reason());
    bool has_key = SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1;
    if (!has_key && ERR_GET_REASON(ERR_peek_last_error()) != X509_R_KEY_VALUES_MISMATCH)
        return fail(ERR_INPUT, "%s: no private key in PEM could be read (--ssl-keyfile): %s", key,
                    tls_reason());
    if (!has_key || SSL_CTX_check_private_key(ssl) != 1)
        return fail(ERR_INPUT, "%s: the key does not belong to the certificate %s", key,
                    o->ssl_certfile);
    if (o->ssl_ca_certs && (SSL_CTX_load_verify_file(ssl, o->ssl_ca_certs) != 1))
        return fail(ERR_INPUT, "%s: no certificates in PEM could be read (--ssl-ca-certs): %s",
                    o->ssl_ca_certs, tls_reason());
    if (o->ssl_cert_reqs > 0 && !o->ssl_ca_certs)
        return fail(ERR_USAGE, "--ssl-cert-reqs asks for clients' certificates; name who signs "
                               "them with --ssl-ca-certs");
    return OK;
}

enum status tls_context_open(const struct http_options *o, struct tls_context **out)
{
    enum status status = OK;
    struct tls_context *context = NULL;
    TRY(memory_new(1, sizeof *context, "TLS", &context));
    context->ssl = SSL_CTX_new(TLS_server_method());
    if (!context->ssl) {
        status = fail(ERR_INTERNAL, "TLS is not available: %s", tls_reason());
        goto done;
    }
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS); // 34 KB less an idle connection
    TRY_DONE(tls_files(context->ssl, o));
    if (o->ssl_cert_reqs > 0)
        SSL_CTX_set_verify(
            context->ssl,
            SSL_VERIFY_PEER | (o->ssl_cert_reqs > 1 ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    static const unsigned char name[] = "colrow";
    SSL_CTX_set_session_id_context(context->ssl, name, sizeof name - 1);
done:
    if (status != OK) {
        tls_context_close(context);
        context = NULL;
    }
    *out = context;
    return status;
}

void tls_context_close(struct tls_context *context)
{
    if (context)
        SSL_CTX_free(context->ssl);
    free(context);
}

enum status tls_session_new(struct tls_context *context, struct tls_session **out)
{
    struct tls_session *session = NULL;
    TRY(memory_new(1, sizeof *session, "a TLS session", &session));
    session->ssl = SSL_new(context->ssl);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    if (!session->ssl || !session->in || !session->out) {
        BIO_free(session->in);
        BIO_free(session->out);
        SSL_free(session->ssl);
        free(session);
        *out = NULL;
        return fail_memory(0, "a TLS session");
    }
    BIO_set_mem_eof_return(session->in, -1);
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_accept_state(session->ssl);
    *out = session;
    return OK;
}

void tls_session_free(struct tls_session *session)
{
    if (session)
        SSL_free(session->ssl);
    free(session);
}

enum status tls_session_feed(struct tls_session *session, const char *data, size_t length)
{
    if (length > INT_MAX || BIO_write(session->in, data, (int)length) != (int)length)
        return fail_memory(length, "encrypted bytes");
    return OK;
}

enum tls_result tls_session_read(struct tls_session *session, char *data, size_t capacity,
                                 size_t *length)
{
    *length = 0;
    ERR_clear_error();
    if (SSL_read_ex(session->ssl, data, capacity, length) == 1)
        return TLS_HAS_DATA;
    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        ERR_clear_error();
        return TLS_FAILED;
    }
}

enum status tls_session_write(struct tls_session *session, const char *data, size_t length)
{
    size_t written = 0;
    ERR_clear_error();
    if (length > 0 &&
        (SSL_write_ex(session->ssl, data, length, &written) != 1 || written != length))
        return fail(ERR_IO, "TLS: %s", tls_reason());
    return OK;
}

void tls_session_close(struct tls_session *session)
{
    if (SSL_is_init_finished(session->ssl))
        SSL_shutdown(session->ssl);
    ERR_clear_error();
}

enum status tls_session_drain(struct tls_session *session, struct bytes *out)
{
    char buffer[16 << 10];
    int n;
    while ((n = BIO_read(session->out, buffer, sizeof buffer)) > 0)
        TRY(bytes_append(out, buffer, (size_t)n));
    return OK;
}
