#pragma once
/* HTTPS: the certificate that the server shows, and its key, from PEM files. libmicrohttpd does the
 * handshakes with GnuTLS; it asks here which certificate to show, so that a new one can take the
 * place of the old while the server runs. */
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "elmo.h"
#include "util/buffer.h"

#define TLS_FILE_MAX_BYTES (1024 * 1024)
#define TLS_CHAIN_MAX      16 /* certificates of the chain, the server's own first */

struct tls;

/* NULL: *err names the file and says what is wrong with it. */
struct tls *tls_load(const char *cert_path, const char *key_path, struct elmo_error *err);
/* Reads the files again, for handshakes that begin from now on. False: *err as above, and the old
 * certificate stays. One thread at a time, beside any handshakes. */
bool tls_reload(struct tls *tls, struct elmo_error *err);
/* No session may be open that it was attached to. NULL is fine. */
void tls_free(struct tls *tls);
DEFINE_AUTO(tls_free, struct tls *);

/* Seconds since 1970 when the certificate ends. */
time_t tls_expiry(const struct tls *tls);

/* GnuTLS's word for what a server takes: TLS 1.2 (or 1.3) and later, forward secrecy. */
const char *tls_priorities(bool only_1_3);

/* A session of the server, before its handshake: tls_certificate then finds its way. */
void tls_attach(struct tls *tls, gnutls_session_t session);
/* gnutls_certificate_retrieve_function3: lends the current certificate and key. */
gnutls_certificate_retrieve_function3 tls_certificate;

/* Sends what the socket takes at once, and that nothing more will come. In the session's own thread
 * alone: GnuTLS lets one thread send at a time. */
void tls_send_last(gnutls_session_t session, const struct buffer *answer);
