/* How the program starts and ends, as its exit status and its one line of error say. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

/* elmod with these flags ends by itself, with this status and these words on stderr. */
static void assert_ends(const char *const flags[], int status, const char *words)
{
    char *text;
    int ended = run_elmod(flags, &text);
    if (ended != status || !strstr(text, words))
        fail_msg("status %d: %s", ended, text);
    free(text);
}

static void a_wrong_configuration_is_status_2(void **state)
{
    (void)state;
    assert_ends((const char *[]){"--no-such-flag", NULL}, 2, "no-such-flag");
    assert_ends((const char *[]){"--listen", "nonsense", NULL}, 2, "listen");
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    char address[64] = "";
    struct server *server = server_start(SERVER_FAKE, NULL);
    FILE *file = fopen(server_port_file(server), "r");
    assert_non_null(file);
    assert_non_null(fgets(address, sizeof address, file));
    fclose(file);
    address[strcspn(address, "\n")] = '\0';
    const char *const flags[] = {"--listen", address, NULL};
    assert_ends(flags, 1, "Address already in use");
    assert_ends(flags, 1, address);
    server_stop(server);
}

static void an_address_that_is_not_ours_is_named(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "192.0.2.1:0", NULL};
    assert_ends(flags, 1, "Cannot assign requested address");
}

static void a_name_that_does_not_resolve_is_named(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "no-such-host.invalid:0", NULL};
    assert_ends(flags, 1, "\"listen_failed\",\"address\":\"no-such-host.invalid:0\"");
}

static void a_model_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "127.0.0.1:0", "--model", "/no/such/model", NULL};
    assert_ends(flags, 1, "\"model_failed\"");
    assert_ends(flags, 1, "No such file");
}

static void a_model_that_is_none_is_refused(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "127.0.0.1:0", "--model", "/proc/self/status", NULL};
    assert_ends(flags, 1, "\"model_failed\"");
}

static void words_for_the_cache_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "127.0.0.1:0", "--word-cache-vocab", "/no/such/words",
                                 NULL};
    assert_ends(flags, 1, "\"word_cache_failed\",\"reason\":\"/no/such/words: No such file");
}

static void words_of_a_file_are_in_the_cache_before_the_first_request(void **state)
{
    (void)state;
    char path[] = "/tmp/elmod-words-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "the\nfilm\n\nfilm\r\nlong", 20), 20);
    close(fd);
    struct server *server =
        server_start(SERVER_REAL, (const char *[]){"--word-cache-vocab", path, NULL});
    unlink(path);
    char *log = server_log(server);
    assert_non_null(strstr(log, "\"event\":\"word_cache_filled\",\"words\":3,\"ms\":"));
    free(log);
    assert_true(metric(server, "elmod_word_cache_hits_total") == 0);
    double misses = metric(server, "elmod_word_cache_misses_total");
    struct response r = post(server, "/embed", "{\"inputs\":[[\"film\",\"long\",\"the\"]]}");
    assert_int_equal(r.status, 200);
    response_done(&r);
    assert_true(metric(server, "elmod_word_cache_hits_total") == 3 + 2); /* <S>, </S> */
    assert_true(metric(server, "elmod_word_cache_misses_total") == misses);
    server_stop(server);
}

static void a_port_file_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    const char *const flags[] = {"--listen", "127.0.0.1:0", "--port-file", "/no/such/folder/port",
                                 NULL};
    assert_ends(flags, 1, "\"port_file_failed\"");
}

static void the_port_file_holds_the_address(void **state)
{
    (void)state;
    char address[64] = "", expected[80];
    struct server *server = server_start(SERVER_FAKE, NULL);
    FILE *file = fopen(server_port_file(server), "r");
    assert_non_null(file);
    assert_non_null(fgets(address, sizeof address, file));
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    unsigned port;
    assert_int_equal(sscanf(address, "127.0.0.1:%u\n", &port), 1);
    assert_in_range(port, 1, 65535);
    snprintf(expected, sizeof expected, "\"event\":\"listening\",\"address\":\"127.0.0.1:%u\"",
             port);
    char *log = server_log(server);
    assert_non_null(strstr(log, expected));
    free(log);
    server_stop(server);
}

static void start_and_end_are_logged(void **state)
{
    (void)state;
    struct server *server = server_start(SERVER_FAKE, NULL);
    char *log = server_log(server);
    assert_non_null(strstr(log, "\"event\":\"ready\",\"model\":\"fake \\\"elmo\\\"\""));
    free(log);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_configuration_is_status_2),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(an_address_that_is_not_ours_is_named),
        cmocka_unit_test(a_name_that_does_not_resolve_is_named),
        cmocka_unit_test(a_model_that_cannot_be_read_is_named),
        cmocka_unit_test(a_model_that_is_none_is_refused),
        cmocka_unit_test(words_for_the_cache_that_cannot_be_read_are_named),
        cmocka_unit_test(words_of_a_file_are_in_the_cache_before_the_first_request),
        cmocka_unit_test(a_port_file_that_cannot_be_written_is_an_error),
        cmocka_unit_test(the_port_file_holds_the_address),
        cmocka_unit_test(start_and_end_are_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
