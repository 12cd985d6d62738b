/* The socket of those who run the service. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

static char folder[] = "/tmp/elmod-admin-XXXXXX";
static char socket_file[64], model_file[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(socket_file, sizeof socket_file, "%s/socket", folder);
    snprintf(model_file, sizeof model_file, "%s/model", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(model_file);
    return rmdir(folder); /* fails where a socket was left */
}

static void put_model(const char *text)
{
    FILE *file = fopen(model_file, "w"); /* the fake has read the one before */
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char *const flags[] = {"--model", model_file, "--admin-socket", socket_file, NULL};

static struct server *start(void)
{
    put_model("first 1");
    return server_start(SERVER_FAKE, flags);
}

static int connect_to_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, socket_file);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static struct response ask(const char *method, const char *path)
{
    char request[128];
    struct client client = {.fd = connect_to_socket()};
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
             method, path);
    client_send_text(&client, request);
    struct response r = client_read(&client);
    client_expect_close(&client);
    client_close(&client);
    return r;
}

static void assert_answer(struct response r, unsigned status, const char *part)
{
    if (r.status != status || !strstr(r.body, part))
        fail_msg("%u: %s", r.status, r.body);
    response_done(&r);
}

static void assert_serves(const struct server *server, const char *name)
{
    char part[64];
    snprintf(part, sizeof part, "{\"model\":\"%s\"", name);
    assert_answer(post(server, "/embed", "{\"inputs\":\"a\"}"), 200, part);
}

static void a_reload_is_answered_when_it_is_done(void **state)
{
    (void)state;
    struct server *server = start();
    put_model("second 2");
    struct response r = ask("POST", "/reload");
    assert_field(&r, "Content-Type", "application/json");
    assert_answer(r, 200,
                  "{\"model\":\"second\",\"sha256\":"
                  "\"0123456789abcdef000000000000000000000000000000000000000000000002\"}");
    assert_serves(server, "second");
    server_stop(server);
}

static void a_reload_that_fails_says_why(void **state)
{
    (void)state;
    struct server *server = start();
    put_model("nonsense");
    struct response r = ask("POST", "/reload");
    assert_field(&r, "Content-Type", "application/problem+json");
    assert_answer(r, 500, "not \\\"NAME MARK\\\"\"");
    assert_serves(server, "first");
    server_stop(server);
}

static void there_is_nothing_else(void **state)
{
    (void)state;
    struct server *server = start();
    assert_answer(ask("POST", "/embed"), 404, "\"not_found\"");
    struct response r = ask("GET", "/reload");
    assert_field(&r, "Allow", "POST");
    assert_answer(r, 405, "\"method_not_allowed\"");
    assert_answer(post(server, "/reload", "{}"), 404, "\"not_found\""); /* not for clients */
    assert_true(metric(server, "elmod_model_reloads_total{result=\"ok\"}") == 0);
    server_stop(server);
}

static void nothing_is_loaded_beside_the_first_model(void **state)
{
    (void)state;
    put_model("first 1");
    struct server *server = server_start_unloaded(SERVER_FAKE, flags);
    assert_answer(ask("POST", "/reload"), 503, "\"loading\"");
    server_tell(server, 'l');
    server_stop(server);
}

static void who_waits_is_answered_when_the_service_ends(void **state)
{
    (void)state;
    struct server *server = start();
    server_tell(server, 'S');
    struct client client = {.fd = connect_to_socket()};
    client_send_text(&client, "POST /reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    server_tell(server, 'W');
    server_signal(server, SIGTERM);
    while (server_accepts(server))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    server_tell(server, 'O');
    assert_answer(client_read(&client), 500, "shutting down");
    client_close(&client);
    assert_int_equal(server_wait(server), 0);
}

static void only_the_owner_may_connect_and_nothing_is_left(void **state)
{
    (void)state;
    struct stat status;
    mode_t before = umask(0);
    struct server *server = start();
    umask(before);
    assert_int_equal(stat(socket_file, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    server_stop(server);
    assert_int_equal(stat(socket_file, &status), -1);
}

static void a_socket_that_was_left_is_replaced(void **state)
{
    (void)state;
    struct server *server = start();
    server_signal(server, SIGKILL);
    assert_int_equal(server_wait(server), -SIGKILL);
    server = start();
    assert_answer(ask("POST", "/reload"), 200, "\"first\"");
    server_stop(server);
}

static void assert_is_refused(const char *path, const char *reason)
{
    char *text;
    const char *const others[] = {"--listen", "127.0.0.1:0", "--admin-socket", path, NULL};
    assert_int_equal(run_elmod(others, &text), 1);
    if (!strstr(text, "\"admin_socket_failed\"") || !strstr(text, reason))
        fail_msg("%s", text);
    free(text);
}

static void what_is_in_use_is_left_alone(void **state)
{
    (void)state;
    struct server *server = start();
    assert_is_refused(socket_file, "Address already in use");
    assert_is_refused(model_file, "Address already in use");
    assert_int_equal(access(model_file, F_OK), 0);
    assert_answer(ask("POST", "/reload"), 200, "\"first\"");
    server_stop(server);
    assert_is_refused("/no/such/folder/socket", "No such file");
    char path[200];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_is_refused(path, "File name too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_is_answered_when_it_is_done),
        cmocka_unit_test(a_reload_that_fails_says_why),
        cmocka_unit_test(there_is_nothing_else),
        cmocka_unit_test(nothing_is_loaded_beside_the_first_model),
        cmocka_unit_test(who_waits_is_answered_when_the_service_ends),
        cmocka_unit_test(only_the_owner_may_connect_and_nothing_is_left),
        cmocka_unit_test(a_socket_that_was_left_is_replaced),
        cmocka_unit_test(what_is_in_use_is_left_alone),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
