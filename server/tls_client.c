#include "tls_client.h"

#include <gnutls/gnutls.h>

struct tls_client {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

/* A time-out of the socket is GNUTLS_E_AGAIN, and final. */
static int handshake(gnutls_session_t session)
{
    int r;
    do
        r = gnutls_handshake(session);
    while (r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_WARNING_ALERT_RECEIVED);
    return r;
}

static int start(struct tls_client *client, int fd)
{
    int r = gnutls_certificate_allocate_credentials(&client->credentials);
    if (r >= 0)
        r = gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    if (r >= 0)
        r = gnutls_set_default_priority(client->session);
    if (r >= 0)
        r = gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    if (r < 0)
        return r;
    gnutls_transport_set_int(client->session, fd);
    return handshake(client->session);
}

struct tls_client *tls_client_start(int fd, const char **ret_reason)
{
    AUTO(tls_client_free) struct tls_client *client = calloc(1, sizeof *client);
    int r = client ? start(client, fd) : GNUTLS_E_MEMORY_ERROR;
    if (r < 0) {
        *ret_reason = gnutls_strerror(r);
        return NULL;
    }
    return STEAL(client);
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    if (client->session)
        gnutls_deinit(client->session);
    if (client->credentials)
        gnutls_certificate_free_credentials(client->credentials);
    free(client);
}

ssize_t tls_client_send(struct tls_client *client, const void *bytes, size_t n_bytes)
{
    ssize_t n = gnutls_record_send(client->session, bytes, n_bytes);
    return n < 0 ? -1 : n;
}

ssize_t tls_client_receive(struct tls_client *client, void *dst, size_t n_max)
{
    ssize_t n = gnutls_record_recv(client->session, dst, n_max);
    return n < 0 ? -1 : n;
}
