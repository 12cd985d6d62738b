#include "tls.h"

#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "ops/secret_file.h"

/* Immutable, so that any number of handshakes may use it. */
struct identity {
    struct identity *older; /* owned; a handshake may still be at it */
    gnutls_pcert_st chain[TLS_CHAIN_MAX];
    unsigned n_chain;
    gnutls_privkey_t key;
    time_t expiry;
};

struct tls {
    const char *cert_path, *key_path;   /* borrowed */
    _Atomic(struct identity *) current; /* owned; one that was replaced lives until tls_free */
};

static void identity_free(struct identity *identity)
{
    while (identity) {
        struct identity *older = identity->older;
        for (unsigned i = 0; i < identity->n_chain; i++)
            gnutls_pcert_deinit(&identity->chain[i]);
        if (identity->key)
            gnutls_privkey_deinit(identity->key);
        free(identity);
        identity = older;
    }
}
DEFINE_AUTO(identity_free, struct identity *);

/* ---- Loading ---- */

static bool fail(struct elmo_error *err, const char *path, const char *why)
{
    err->status = ELMO_E_FORMAT;
    snprintf(err->message, sizeof err->message, "%.250s: %s", path, why);
    return false;
}

static bool ok(int r, const char *path, struct elmo_error *err)
{
    return r >= 0 || fail(err, path, gnutls_strerror(r));
}

static gnutls_datum_t datum_of(const struct secret_file *file)
{
    return (gnutls_datum_t){(unsigned char *)file->bytes, (unsigned)file->n_bytes};
}

static bool read_expiry(struct identity *identity, const char *path, struct elmo_error *err)
{
    gnutls_x509_crt_t certificate;
    if (!ok(gnutls_pcert_export_x509(&identity->chain[0], &certificate), path, err))
        return false;
    identity->expiry = gnutls_x509_crt_get_expiration_time(certificate);
    gnutls_x509_crt_deinit(certificate);
    return true;
}

static bool read_chain(struct identity *identity, const char *path, struct elmo_error *err)
{
    AUTO(secret_file_done) struct secret_file file = {0};
    if (secret_file_read(&file, path, TLS_FILE_MAX_BYTES, err))
        return false;
    const gnutls_datum_t bytes = datum_of(&file);
    unsigned n_chain = TLS_CHAIN_MAX;
    int r =
        gnutls_pcert_list_import_x509_raw(identity->chain, &n_chain, &bytes, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
        return fail(err, path, "the chain has more than 16 certificates");
    if (!ok(r, path, err))
        return false;
    identity->n_chain = n_chain;
    return n_chain > 0 ? read_expiry(identity, path, err)
                       : fail(err, path, "there is no certificate in it");
}

static bool read_key(struct identity *identity, const char *path, struct elmo_error *err)
{
    AUTO(secret_file_done) struct secret_file file = {0};
    if (secret_file_read(&file, path, TLS_FILE_MAX_BYTES, err))
        return false;
    secret_file_warn(path, file.others_may_read);
    const gnutls_datum_t bytes = datum_of(&file);
    return ok(gnutls_privkey_init(&identity->key), path, err) &&
           ok(gnutls_privkey_import_x509_raw(identity->key, &bytes, GNUTLS_X509_FMT_PEM, NULL, 0),
              path, err);
}

/* Whether the certificate was made for the key: both give the same public one. */
static bool check_pair(const struct identity *identity, const char *key_path,
                       struct elmo_error *err)
{
    unsigned char of_cert[64], of_key[64];
    size_t n_cert = sizeof of_cert, n_key = sizeof of_key;
    gnutls_pubkey_t public_key;
    if (!ok(gnutls_pubkey_init(&public_key), key_path, err))
        return false;
    int r = gnutls_pubkey_import_privkey(public_key, identity->key, 0, 0);
    if (r >= 0)
        r = gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, of_key, &n_key);
    if (r >= 0)
        r = gnutls_pubkey_get_key_id(identity->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_cert,
                                     &n_cert);
    gnutls_pubkey_deinit(public_key);
    if (!ok(r, key_path, err))
        return false;
    return (n_cert == n_key && memcmp(of_cert, of_key, n_key) == 0) ||
           fail(err, key_path, "this is not the key of the certificate");
}

static struct identity *identity_load(const struct tls *tls, struct elmo_error *err)
{
    AUTO(identity_free) struct identity *identity = calloc(1, sizeof *identity);
    if (!identity) {
        fail(err, tls->cert_path, "out of memory");
        return NULL;
    }
    if (!read_chain(identity, tls->cert_path, err) || !read_key(identity, tls->key_path, err) ||
        !check_pair(identity, tls->key_path, err))
        return NULL;
    return STEAL(identity);
}

struct tls *tls_load(const char *cert_path, const char *key_path, struct elmo_error *err)
{
    AUTO(tls_free) struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        fail(err, cert_path, "out of memory");
        return NULL;
    }
    tls->cert_path = cert_path;
    tls->key_path = key_path;
    struct identity *identity = identity_load(tls, err);
    if (!identity)
        return NULL;
    atomic_init(&tls->current, identity);
    return STEAL(tls);
}

/* Each key is that of its first certificate. */
static bool are_same(const struct identity *a, const struct identity *b)
{
    bool same = a->n_chain == b->n_chain;
    for (unsigned i = 0; same && i < a->n_chain; i++) {
        const gnutls_datum_t *x = &a->chain[i].cert, *y = &b->chain[i].cert;
        same = x->size == y->size && memcmp(x->data, y->data, x->size) == 0;
    }
    return same;
}

/* The old ones stay: a few kilobytes each, and nobody renews a certificate often. But this is asked
 * for also when other files are new. */
bool tls_reload(struct tls *tls, struct elmo_error *err)
{
    AUTO(identity_free) struct identity *identity = identity_load(tls, err);
    struct identity *old = atomic_load(&tls->current);
    if (!identity)
        return false;
    if (are_same(identity, old))
        return true;
    identity->older = old;
    atomic_store(&tls->current, STEAL(identity));
    return true;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    identity_free(atomic_load(&tls->current));
    free(tls);
}

time_t tls_expiry(const struct tls *tls)
{
    return atomic_load(&tls->current)->expiry;
}

/* ---- Sessions ---- */

const char *tls_priorities(bool only_1_3)
{
    return only_1_3 ? "NORMAL:-VERS-ALL:+VERS-TLS1.3:%SERVER_PRECEDENCE"
                    : "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:%SERVER_PRECEDENCE";
}

void tls_attach(struct tls *tls, gnutls_session_t session)
{
    gnutls_session_set_ptr(session, tls);
}

int tls_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **certs, unsigned *n_certs, gnutls_ocsp_data_st **ocsp,
                    unsigned *n_ocsp, gnutls_privkey_t *key, unsigned *flags)
{
    struct tls *tls = gnutls_session_get_ptr(session);
    struct identity *identity = atomic_load(&tls->current);
    (void)info;
    *certs = identity->chain;
    *n_certs = identity->n_chain;
    *ocsp = NULL;
    *n_ocsp = 0;
    *key = identity->key;
    *flags = 0; /* nothing of it is GnuTLS's to free */
    return 0;
}

void tls_send_last(gnutls_session_t session, const struct buffer *answer)
{
    size_t n_sent = 0;
    while (!answer->failed && n_sent < answer->n_bytes) {
        ssize_t n = gnutls_record_send(session, answer->bytes + n_sent, answer->n_bytes - n_sent);
        if (n <= 0)
            return;
        n_sent += (size_t)n;
    }
    gnutls_bye(session, GNUTLS_SHUT_WR);
}
