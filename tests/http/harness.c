#define _GNU_SOURCE /* memmem */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 120

struct server {
    pid_t pid;
    char folder[64]; /* temporary; holds the log and the port file */
    char log_file[128], port_file[128];
    struct sockaddr_in address;
    int control; /* our end of the wire to a SERVER_FAKE */
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- The server ---- */

static const char *binary(enum server_kind kind)
{
    const char *path = getenv(kind == SERVER_FAKE ? "ELMOD_FAKE_BINARY" : "ELMOD_BINARY");
    assert_non_null(path);
    return path;
}

#define MAX_FLAGS 32

static size_t append_flags(const char **argv, size_t n, const char *const *flags)
{
    for (; flags && *flags; flags++) {
        assert_true(n < MAX_FLAGS - 1);
        argv[n++] = *flags;
    }
    argv[n] = NULL;
    return n;
}

/* elmod takes ELMOD_ variables for its configuration; ours, and those of whoever runs the tests,
 * are none. */
static void drop_elmod_variables(void)
{
    size_t n_kept = 0;
    for (size_t i = 0; environ[i]; i++) {
        if (strncmp(environ[i], "ELMOD_", 6) != 0)
            environ[n_kept++] = environ[i];
    }
    environ[n_kept] = NULL;
}

/* In the child: the log is its output, the control wire its fd 3. */
static void exec_server(const char *const *argv, const char *log_file, int control)
{
    int log = open(log_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
        (control >= 0 && dup2(control, 3) < 0))
        _exit(99);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
    drop_elmod_variables();
    execv(argv[0], (char *const *)argv);
    _exit(98);
}

static struct server *spawn(enum server_kind kind, const char *const flags[], bool loads_when_told)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    snprintf(server->folder, sizeof server->folder, "/tmp/elmod-test-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->log_file, sizeof server->log_file, "%s/log", server->folder);
    snprintf(server->port_file, sizeof server->port_file, "%s/port", server->folder);
    const char *argv[MAX_FLAGS] = {
        binary(kind), "--listen", "127.0.0.1:0", "--port-file", server->port_file,
        "--threads",  "1"};
    append_flags(argv, 7, flags);
    int wire[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire), 0);
    server->control = wire[0];
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        setenv("FAKE_ELMO_LOADS", loads_when_told ? "when told" : "at once", 1);
        exec_server(argv, server->log_file, wire[1]);
    }
    close(wire[1]);
    return server;
}

static void read_port_file(struct server *server)
{
    char text[64] = "";
    time_t give_up = now_s() + PATIENCE_S;
    FILE *file;
    while (!(file = fopen(server->port_file, "r"))) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0 || now_s() > give_up) {
            char *log = server_log(server);
            fail_msg("elmod did not start: %s", log);
        }
        nap();
    }
    assert_non_null(fgets(text, sizeof text, file)); /* it appears whole */
    fclose(file);
    const char *port = strrchr(text, ':');
    assert_non_null(port);
    server->address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void wait_for_health(const struct server *server, const char *path)
{
    time_t give_up = now_s() + PATIENCE_S;
    for (;;) {
        struct response r = get(server, path);
        unsigned status = r.status;
        response_done(&r);
        if (status == 200)
            return;
        assert_true(now_s() < give_up);
        nap();
    }
}

struct server *server_start_unloaded(enum server_kind kind, const char *const flags[])
{
    struct server *server = spawn(kind, flags, true);
    read_port_file(server);
    wait_for_health(server, "/health/live");
    return server;
}

struct server *server_start(enum server_kind kind, const char *const flags[])
{
    struct server *server = spawn(kind, flags, false);
    read_port_file(server);
    wait_for_health(server, "/health/ready");
    return server;
}

void server_signal(struct server *server, int number)
{
    assert_int_equal(kill(server->pid, number), 0);
}

pid_t server_pid(const struct server *server)
{
    return server->pid;
}

static void server_free(struct server *server)
{
    unlink(server->log_file);
    unlink(server->port_file);
    rmdir(server->folder);
    close(server->control);
    free(server);
}

#define PRINT_MAX 512 /* cmocka cuts longer texts */

/* Waits for the end of a process with patience; its log goes to stderr when it failed. */
static int wait_for_exit(pid_t pid)
{
    int status = 0;
    time_t give_up = now_s() + PATIENCE_S;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_s() > give_up) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            fail_msg("elmod did not end");
        }
        nap();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int server_wait(struct server *server)
{
    int status = wait_for_exit(server->pid);
    if (status != 0) {
        char *log = server_log(server);
        for (const char *at = log; *at; at += strnlen(at, PRINT_MAX))
            print_message("%.*s", PRINT_MAX, at);
        free(log);
    }
    server_free(server);
    return status;
}

void server_stop(struct server *server)
{
    server_signal(server, SIGTERM);
    assert_int_equal(server_wait(server), 0);
}

bool server_accepts(const struct server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int r = connect(fd, (const struct sockaddr *)&server->address, sizeof server->address);
    assert_true(r == 0 || errno == ECONNREFUSED);
    close(fd);
    return r == 0;
}

const char *server_port_file(const struct server *server)
{
    return server->port_file;
}

void server_tell(struct server *server, char command)
{
    char reply = 0;
    struct pollfd pfd = {.fd = server->control, .events = POLLIN};
    assert_int_equal(write(server->control, &command, 1), 1);
    assert_int_equal(poll(&pfd, 1, PATIENCE_S * 1000), 1);
    ssize_t n = read(server->control, &reply, 1);
    assert_true(n == 0 || (n == 1 && reply == command)); /* 0: it has obeyed, and come to its end */
}

static char *read_file(const char *path)
{
    size_t n = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    for (size_t r = 1; file && r > 0; n += r) {
        if (n + 1 == capacity)
            text = realloc(text, capacity *= 2);
        assert_non_null(text);
        r = fread(text + n, 1, capacity - n - 1, file);
    }
    if (file)
        fclose(file);
    text[n] = '\0';
    return text;
}

char *server_log(const struct server *server)
{
    return read_file(server->log_file);
}

int run_elmod(const char *const flags[], char **ret_stderr)
{
    char path[] = "/tmp/elmod-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const char *argv[MAX_FLAGS] = {binary(SERVER_REAL)};
    append_flags(argv, 1, flags);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        exec_server(argv, path, -1);
    int status = wait_for_exit(pid);
    *ret_stderr = read_file(path);
    unlink(path);
    return status;
}

/* ---- A client ---- */

/* n_receive: bytes of the receive buffer, which the kernel doubles; 0: as it likes. */
static struct client open_client(const struct server *server, int n_receive)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    assert_true(client.fd >= 0);
    if (n_receive > 0)
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &n_receive, sizeof n_receive);
    assert_int_equal(
        connect(client.fd, (const struct sockaddr *)&server->address, sizeof server->address), 0);
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return client;
}

struct client client_open(const struct server *server)
{
    return open_client(server, 0);
}

struct client client_open_narrow(const struct server *server)
{
    return open_client(server, 2048);
}

void client_close(struct client *client)
{
    close(client->fd);
    free(client->bytes);
    *client = (struct client){.fd = -1};
}

bool client_try_send(struct client *client, const void *bytes, size_t n_bytes)
{
    const char *next = bytes;
    while (n_bytes > 0) {
        ssize_t n = send(client->fd, next, n_bytes, MSG_NOSIGNAL);
        if (n < 0) {
            assert_true(errno == EPIPE || errno == ECONNRESET);
            return false;
        }
        next += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

void client_send(struct client *client, const void *bytes, size_t n_bytes)
{
    assert_true(client_try_send(client, bytes, n_bytes));
}

void client_send_text(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

void client_post(struct client *client, const char *path, const char *more, const char *body)
{
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n%s\r\n",
                     path, strlen(body), more);
    assert_true(n > 0 && (size_t)n < sizeof head);
    client_send_text(client, head);
    client_send_text(client, body);
}

void client_get(struct client *client, const char *path, const char *more)
{
    char head[1024];
    int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, more);
    assert_true(n > 0 && (size_t)n < sizeof head);
    client_send_text(client, head);
}

/* Receives some more; false at the end of the stream. */
static bool receive(struct client *client)
{
    enum { PIECE = 1 << 16 };
    client->bytes = realloc(client->bytes, client->n_bytes + PIECE);
    assert_non_null(client->bytes);
    ssize_t n = recv(client->fd, client->bytes + client->n_bytes, PIECE, 0);
    if (n < 0 && errno == ECONNRESET)
        return false;
    assert_true(n >= 0);
    client->n_bytes += (size_t)n;
    return n > 0;
}

static char *copy_text(const char *bytes, size_t n_bytes)
{
    char *text = malloc(n_bytes + 1);
    assert_non_null(text);
    memcpy(text, bytes, n_bytes);
    text[n_bytes] = '\0';
    return text;
}

static char *take_text(struct client *client, size_t n_bytes)
{
    char *text = copy_text(client->bytes, n_bytes);
    client->n_bytes -= n_bytes;
    memmove(client->bytes, client->bytes + n_bytes, client->n_bytes);
    return text;
}

static void receive_until(struct client *client, size_t n_bytes)
{
    while (client->n_bytes < n_bytes) {
        if (!receive(client))
            fail_msg("the body ended after %zu of %zu bytes", client->n_bytes, n_bytes);
    }
}

/* The size line of a chunk. */
static size_t read_chunk_size(struct client *client)
{
    char *end = NULL;
    while (!client->n_bytes || !(end = memmem(client->bytes, client->n_bytes, "\r\n", 2)))
        receive_until(client, client->n_bytes + 1);
    char *line = take_text(client, (size_t)(end - client->bytes) + 2);
    assert_true(strspn(line, "0123456789abcdefABCDEF") > 0);
    size_t n = strtoul(line, &end, 16);
    assert_string_equal(end, "\r\n");
    free(line);
    return n;
}

static void read_chunks(struct client *client, struct response *r)
{
    size_t n;
    r->body = copy_text("", 0);
    do {
        n = read_chunk_size(client);
        receive_until(client, n + 2);
        assert_memory_equal(client->bytes + n, "\r\n", 2);
        char *chunk = take_text(client, n + 2);
        r->body = realloc(r->body, r->n_body + n + 1);
        assert_non_null(r->body);
        memcpy(r->body + r->n_body, chunk, n);
        r->n_body += n;
        r->body[r->n_body] = '\0';
        free(chunk);
    } while (n > 0);
}

static void read_body(struct client *client, struct response *r)
{
    char *length = response_field(r, "Content-Length");
    char *coding = response_field(r, "Transfer-Encoding");
    if (coding) {
        assert_null(length);
        assert_string_equal(coding, "chunked");
        read_chunks(client, r);
    } else {
        r->n_body = length ? strtoul(length, NULL, 10) : 0;
        receive_until(client, r->n_body);
        r->body = take_text(client, r->n_body);
    }
    free(coding);
    free(length);
}

bool client_try_read(struct client *client, bool head_only, struct response *ret_response)
{
    struct response r = {0};
    char *end = NULL;
    while (!client->n_bytes || !(end = memmem(client->bytes, client->n_bytes, "\r\n\r\n", 4))) {
        if (!receive(client)) {
            assert_int_equal(client->n_bytes, 0);
            return false;
        }
    }
    r.head = take_text(client, (size_t)(end - client->bytes) + 4);
    assert_int_equal(sscanf(r.head, "HTTP/1.1 %u ", &r.status), 1);
    if (head_only)
        r.body = copy_text("", 0);
    else
        read_body(client, &r);
    *ret_response = r;
    return true;
}

struct response client_read(struct client *client)
{
    struct response r;
    assert_true(client_try_read(client, false, &r));
    return r;
}

void client_expect_close(struct client *client)
{
    assert_int_equal(client->n_bytes, 0);
    assert_false(receive(client));
}

void client_read_all(struct client *client)
{
    while (receive(client))
        continue;
}

void response_done(struct response *response)
{
    free(response->head);
    free(response->body);
    *response = (struct response){0};
}

char *response_field(const struct response *response, const char *name)
{
    size_t n_name = strlen(name);
    const char *line = strstr(response->head, "\r\n");
    for (; line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        const char *field = line + 2;
        if (strncasecmp(field, name, n_name) == 0 && field[n_name] == ':') {
            field += n_name + 1;
            field += strspn(field, " ");
            return copy_text(field, strcspn(field, "\r"));
        }
    }
    return NULL;
}

json_t *response_json(const struct response *response)
{
    json_error_t error;
    json_t *json = json_loadb(response->body, response->n_body, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %.200s", error.text, response->body);
    return json;
}

void assert_problem(const struct response *response, unsigned status, const char *code)
{
    char urn[128];
    if (response->status != status)
        fail_msg("status %u: %s", response->status, response->body);
    char *type = response_field(response, "Content-Type");
    char *id = response_field(response, "X-Request-Id");
    assert_non_null(type);
    assert_string_equal(type, "application/problem+json");
    json_t *problem = response_json(response);
    assert_string_equal(json_string_value(json_object_get(problem, "code")), code);
    snprintf(urn, sizeof urn, "urn:elmod:problem:%s", code);
    assert_string_equal(json_string_value(json_object_get(problem, "type")), urn);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_non_null(id);
    assert_string_equal(json_string_value(json_object_get(problem, "request_id")), id);
    assert_true(json_is_string(json_object_get(problem, "title")));
    assert_true(json_is_string(json_object_get(problem, "detail")));
    json_decref(problem);
    free(id);
    free(type);
}

struct response post(const struct server *server, const char *path, const char *body)
{
    struct client client = client_open(server);
    client_post(&client, path, "", body);
    struct response r = client_read(&client);
    client_close(&client);
    return r;
}

struct response get(const struct server *server, const char *path)
{
    struct client client = client_open(server);
    client_get(&client, path, "");
    struct response r = client_read(&client);
    client_close(&client);
    return r;
}

double metric(const struct server *server, const char *series)
{
    struct response r = get(server, "/metrics");
    assert_int_equal(r.status, 200);
    size_t n = strlen(series);
    const char *line = r.body;
    while (line && !(strncmp(line, series, n) == 0 && line[n] == ' ')) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        fail_msg("no metric %s", series);
    double value = strtod(line + n, NULL);
    response_done(&r);
    return value;
}

void wait_for_metric(const struct server *server, const char *series, double value)
{
    time_t give_up = now_s() + PATIENCE_S;
    while (metric(server, series) != value) {
        if (now_s() > give_up)
            fail_msg("%s never became %g", series, value);
        nap();
    }
}
