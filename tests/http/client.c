/* The client's side of harness.h. */
#define _GNU_SOURCE /* memmem */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

/* n_receive: bytes of the receive buffer, which the kernel doubles; 0: as it likes. */
static struct client open_client(const struct server *server, int n_receive)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const struct sockaddr_in address = server_address(server);
    assert_true(client.fd >= 0);
    if (n_receive > 0)
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &n_receive, sizeof n_receive);
    assert_int_equal(connect(client.fd, (const struct sockaddr *)&address, sizeof address), 0);
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

void assert_field(const struct response *response, const char *name, const char *expected)
{
    char *value = response_field(response, name);
    if (!value != !expected || (expected && strcmp(value, expected) != 0))
        fail_msg("%s is %s in:\n%s", name, value ? value : "missing", response->head);
    free(value);
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

char *long_request(size_t n_tokens)
{
    static const char before[] = "{\"inputs\":\"", after[] = "\",\"outputs\":[\"elmo\"]}";
    char *body = malloc(sizeof before + 2 * n_tokens + sizeof after);
    assert_non_null(body);
    char *end = stpcpy(body, before);
    for (size_t t = 0; t < n_tokens; t++)
        end = stpcpy(end, "a ");
    strcpy(end, after);
    return body;
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
