/* Certificates of openssl in a temporary folder: good pairs, and every way to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/tls.h"
#include "support/fail_alloc.h"
#include "util/buffer.h"

#define DAYS(n) ((time_t)(n)*86400)

static char folder[] = "/tmp/elmod-tls-XXXXXX";

/* NAME.key and NAME.pem of `days`, signed by itself. */
#define SELF_SIGNED(key, name, days)                                                              \
    "openssl req -x509 -newkey " key " -nodes -keyout " name ".key -out " name ".pem -days " days \
    " -subj /CN=" name " 2>/dev/null\n"

static int make_files(void **state)
{
    (void)state;
    static const char script[] = "set -e\n" /* */
        SELF_SIGNED("ec -pkeyopt ec_paramgen_curve:P-256", "a", "30")
            SELF_SIGNED("rsa:2048", "b", "60") SELF_SIGNED(
                "ec -pkeyopt ec_paramgen_curve:P-256", "c",
                "30") "openssl req -newkey ed25519 -nodes -keyout leaf.key -out leaf.csr -subj /CN=x 2>/dev/null\n"
                      "openssl x509 -req -in leaf.csr -CA a.pem -CAkey a.key -CAcreateserial -days 9 -out"
                      " leaf-alone.pem 2>/dev/null\n"
                      "cat leaf-alone.pem a.pem >leaf.pem; cat a.pem leaf-alone.pem >leaf-last.pem\n"
                      "for i in $(seq 16); do cat a.pem; done >many.pem; cat many.pem a.pem >too-many.pem\n"
                      "openssl ec -in a.key -aes128 -passout pass:secret -out locked.key 2>/dev/null\n"
                      "head -c 300 a.pem >cut.pem; head -c 100 a.key >cut.key; : >empty\n"
                      "head -c 2000000 /dev/zero >large\n";
    char command[sizeof script + 64];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "cd %s\n%s", folder, script);
    return system(command); /* NOLINT: a fixed text */
}

static int remove_files(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *path_of(const char *name, char path[static 64])
{
    snprintf(path, 64, name[0] == '/' ? "%.0s%s" : "%s/%s", folder, name);
    return path;
}

static struct tls *load(const char *cert, const char *key, struct elmo_error *err)
{
    static char cert_path[64], key_path[64]; /* borrowed by what is returned */
    return tls_load(path_of(cert, cert_path), path_of(key, key_path), err);
}

static void pairs_of_every_kind_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *key;
        int days;
    } cases[] = {
        {"a.pem", "a.key", 30},      {"b.pem", "b.key", 60},    {"leaf-alone.pem", "leaf.key", 9},
        {"leaf.pem", "leaf.key", 9}, {"many.pem", "a.key", 30},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elmo_error err = {0};
        AUTO(tls_free) struct tls *tls = load(cases[i].cert, cases[i].key, &err);
        if (!tls)
            fail_msg("%s: %s", cases[i].cert, err.message);
        time_t left = tls_expiry(tls) - time(NULL);
        assert_true(left <= DAYS(cases[i].days) && left > DAYS(cases[i].days - 1));
    }
}

static void a_wrong_file_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *key, *blamed, *message;
    } cases[] = {
        {"/no/such.pem", "a.key", "/no/such.pem", "No such file"},
        {"a.pem", "/no/such.key", "/no/such.key", "No such file"},
        {"empty", "a.key", "empty", ""},
        {"a.pem", "empty", "empty", ""},
        {"a.key", "a.key", "a.key", ""},
        {"a.pem", "a.pem", "a.pem", ""},
        {"cut.pem", "a.key", "cut.pem", ""},
        {"a.pem", "cut.key", "cut.key", ""},
        {"a.pem", "locked.key", "locked.key", ""},
        {"a.pem", "b.key", "b.key", "not the key of the certificate"},
        {"a.pem", "c.key", "c.key", "not the key of the certificate"},
        {"leaf.pem", "a.key", "a.key", "not the key of the certificate"},
        {"leaf-last.pem", "leaf.key", "leaf.key", "not the key of the certificate"},
        {"too-many.pem", "a.key", "too-many.pem", "more than 16 certificates"},
        {"large", "a.key", "large", "too large"},
        {"a.pem", "large", "large", "too large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elmo_error err = {0};
        char path[64];
        if (load(cases[i].cert, cases[i].key, &err))
            fail_msg("%s with %s is taken", cases[i].cert, cases[i].key);
        path_of(cases[i].blamed, path);
        if (strncmp(err.message, path, strlen(path)) != 0 || !strstr(err.message, cases[i].message))
            fail_msg("%s with %s: %s", cases[i].cert, cases[i].key, err.message);
    }
}

static void write_pair(const char *name)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && cp %s.pem now.pem && cp %s.key now.key", folder,
             name, name);
    assert_int_equal(system(command), 0);
}

/* The certificate that a handshake would get. */
static const void *current(struct tls *tls)
{
    gnutls_session_t session;
    gnutls_pcert_st *chain = NULL;
    gnutls_ocsp_data_st *ocsp;
    gnutls_privkey_t key = NULL;
    unsigned n_chain = 0, n_ocsp, flags;
    assert_int_equal(gnutls_init(&session, GNUTLS_SERVER), 0);
    tls_attach(tls, session);
    assert_int_equal(tls_certificate(session, NULL, &chain, &n_chain, &ocsp, &n_ocsp, &key, &flags),
                     0);
    gnutls_deinit(session);
    assert_int_equal(n_chain, 1);
    assert_non_null(key);
    return chain;
}

static void a_new_certificate_takes_the_place_of_the_old(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    write_pair("a");
    AUTO(tls_free) struct tls *tls = load("now.pem", "now.key", &err);
    assert_non_null(tls);
    const void *old = current(tls);
    time_t old_expiry = tls_expiry(tls);
    write_pair("b");
    assert_ptr_equal(current(tls), old);
    assert_true(tls_reload(tls, &err));
    assert_ptr_not_equal(current(tls), old);
    assert_true(tls_expiry(tls) > old_expiry);
}

/* SIGHUP comes for other files as well; what was replaced stays in memory, so it must differ. */
static void the_same_certificate_again_is_none_more(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    write_pair("a");
    AUTO(tls_free) struct tls *tls = load("now.pem", "now.key", &err);
    assert_non_null(tls);
    const void *first = current(tls);
    assert_true(tls_reload(tls, &err));
    assert_ptr_equal(current(tls), first);
}

static void a_wrong_new_certificate_leaves_the_old(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    write_pair("a");
    AUTO(tls_free) struct tls *tls = load("now.pem", "now.key", &err);
    assert_non_null(tls);
    const void *old = current(tls);
    char path[64];
    assert_int_equal(truncate(path_of("now.key", path), 0), 0);
    assert_false(tls_reload(tls, &err));
    assert_non_null(strstr(err.message, "now.key"));
    assert_ptr_equal(current(tls), old);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    size_t n_good = 0;
    for (bool done = false; !done; n_good++) {
        struct elmo_error err = {0};
        fail_alloc_after(n_good);
        struct tls *tls = load("a.pem", "a.key", &err);
        done = fail_alloc_stop() == 0;
        assert_int_equal(tls != NULL, done);
        assert_true(done || strstr(err.message, "out of memory"));
        tls_free(tls);
    }
    assert_true(n_good > 4);
}

static void the_priorities_are_known_to_the_library(void **state)
{
    (void)state;
    for (int only_1_3 = 0; only_1_3 < 2; only_1_3++) {
        gnutls_priority_t priorities;
        assert_int_equal(gnutls_priority_init(&priorities, tls_priorities(only_1_3), NULL), 0);
        const unsigned *versions;
        int n = gnutls_priority_protocol_list(priorities, &versions);
        assert_int_equal(n, only_1_3 ? 1 : 2);
        assert_int_equal(versions[0], GNUTLS_TLS1_3);
        assert_true(only_1_3 || versions[1] == GNUTLS_TLS1_2);
        gnutls_priority_deinit(priorities);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_every_kind_are_taken),
        cmocka_unit_test(a_wrong_file_is_named),
        cmocka_unit_test(a_new_certificate_takes_the_place_of_the_old),
        cmocka_unit_test(the_same_certificate_again_is_none_more),
        cmocka_unit_test(a_wrong_new_certificate_leaves_the_old),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(the_priorities_are_known_to_the_library),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
