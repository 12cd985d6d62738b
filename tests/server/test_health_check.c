/* The health check against a server of one answer. */
#include "health_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define READY     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define NOT_READY "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

struct server { /* listens on 127.0.0.1 at any port */
    int listener;
    uint16_t port;
    const char *answer;
    char question[256];
    pthread_t thread;
};

/* Takes one connection, and the request's first bytes. */
static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    ssize_t n = recv(fd, s->question, sizeof s->question - 1, 0);
    s->question[n > 0 ? n : 0] = '\0';
    (void)send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void server_listen(struct server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    s->port = ntohs(address.sin_port);
}

/* The verdict of a check of `host` while a server there gives that answer. */
static bool check_answer(struct server *s, const char *host, const char *answer)
{
    char text[64];
    server_listen(s);
    s->answer = answer;
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    snprintf(text, sizeof text, "%s:%u", host, (unsigned)s->port);
    struct config config = {.listen = text, .port_file = "", .tls_cert = ""};
    FILE *err = tmpfile();
    assert_non_null(err);
    bool healthy = health_check(&config, err);
    assert_int_equal(ftell(err) == 0, healthy); /* it says why not, and nothing else */
    fclose(err);
    pthread_join(s->thread, NULL);
    close(s->listener);
    return healthy;
}

static void asks_for_readiness(void **state)
{
    (void)state;
    struct server s;
    assert_true(check_answer(&s, "127.0.0.1", READY));
    assert_memory_equal(s.question, "GET /health/ready HTTP/1.1\r\n", 28);
}

static void asks_the_loopback_address_of_one_that_listens_everywhere(void **state)
{
    (void)state;
    struct server s;
    assert_true(check_answer(&s, "0.0.0.0", READY));
}

static void any_other_answer_is_not_healthy(void **state)
{
    (void)state;
    const char *const answers[] = {NOT_READY, "", "HTTP/1.1 20", "HTTP/1.1 404 Not Found\r\n\r\n",
                                   "220 mail.example ESMTP\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct server s;
        assert_false(check_answer(&s, "127.0.0.1", answers[i]));
    }
}

static void nobody_there_is_not_healthy(void **state)
{
    (void)state;
    struct server s;
    char text[64];
    server_listen(&s);
    close(s.listener);
    snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)s.port);
    struct config config = {.listen = text, .port_file = "", .tls_cert = ""};
    FILE *err = tmpfile();
    assert_non_null(err);
    assert_false(health_check(&config, err));
    fclose(err);
}

/* Writes `text` to a new file and checks with it as the port file. */
static bool check_port_file(const char *text, const char *listen_text)
{
    char path[] = "/tmp/test_health_check_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    char listen_copy[64];
    snprintf(listen_copy, sizeof listen_copy, "%s", listen_text);
    struct config config = {.listen = listen_copy, .port_file = path, .tls_cert = ""};
    FILE *err = tmpfile();
    assert_non_null(err);
    bool healthy = health_check(&config, err);
    fclose(err);
    unlink(path);
    return healthy;
}

static void the_port_file_says_which_port_was_free(void **state)
{
    (void)state;
    struct server s = {.answer = READY};
    char line[64];
    server_listen(&s);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    snprintf(line, sizeof line, "127.0.0.1:%u\n", (unsigned)s.port);
    assert_true(check_port_file(line, "127.0.0.1:0"));
    pthread_join(s.thread, NULL);
    close(s.listener);
}

static void an_unknown_port_is_not_healthy(void **state)
{
    (void)state;
    const char *const lines[] = {"", "\n", "127.0.0.1:0\n", "nonsense\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_false(check_port_file(lines[i], "127.0.0.1:0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_readiness),
        cmocka_unit_test(asks_the_loopback_address_of_one_that_listens_everywhere),
        cmocka_unit_test(any_other_answer_is_not_healthy),
        cmocka_unit_test(nobody_there_is_not_healthy),
        cmocka_unit_test(the_port_file_says_which_port_was_free),
        cmocka_unit_test(an_unknown_port_is_not_healthy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
