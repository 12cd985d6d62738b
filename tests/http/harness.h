#pragma once
/* Real sockets against a real elmod: starts it on a free port, sends any bytes in any pieces, reads
 * answers, stops it and looks at its exit status. Every wait has a generous bound (a test fails
 * rather than hangs) and every failure is a cmocka failure. */
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "defs.h"

#define PATIENCE_S 120 /* for what surely comes */

/* ---- The server ---- */

enum server_kind {
    SERVER_REAL, /* elmod as it ships, with the model that ships */
    SERVER_FAKE, /* elmod with fake_elmo.c behind include/elmo.h: fast, and obeys server_tell */
};

struct server;

/* Starts elmod with these flags (NULL-terminated; NULL: none), on a free port of 127.0.0.1 with one
 * worker unless a flag says otherwise, and waits until it is ready. */
struct server *server_start(enum server_kind kind, const char *const flags[]);
/* The same, but waits for /health/live only. The model of a SERVER_FAKE loads when told 'l'. */
struct server *server_start_unloaded(enum server_kind kind, const char *const flags[]);
/* SIGTERM, then the exit status must be 0; frees it. */
void server_stop(struct server *server);
void server_signal(struct server *server, int number);
pid_t server_pid(const struct server *server);
/* Waits for its end and returns the exit status (-number for a signal); frees it. */
int server_wait(struct server *server);
/* Whether it lets clients connect. */
bool server_accepts(const struct server *server);
struct sockaddr_in server_address(const struct server *server);
const char *server_port_file(const struct server *server);

/* To a SERVER_FAKE, done when it returns: 's' shut the gate (runs stop inside the model), 'o' open
 * it, 'w' wait until a run stands at it, 'l' load the model; 'S' shut the door for loads, 'O' open
 * it, 'W' wait until a load stands at it. */
void server_tell(struct server *server, char command);

/* What it has logged so far; free() it. */
char *server_log(const struct server *server);
/* How often the words are in it, and waiting until that is n times or more. */
size_t n_in_log(const struct server *server, const char *words);
void wait_for_log(const struct server *server, const char *words, size_t n);

/* The value of a line of /metrics that begins with `series` and a space. */
double metric(const struct server *server, const char *series);
/* Waits until the metric has the value. */
void wait_for_metric(const struct server *server, const char *series, double value);

/* Starts elmod with exactly these flags, which must make it end by itself; returns its exit status
 * and, in *ret_stderr (free() it), what it wrote. */
int run_elmod(const char *const flags[], char **ret_stderr);

/* ---- A client (client.c) ---- */

struct client {
    int fd;
    char *bytes; /* received and not yet consumed */
    size_t n_bytes;
};

struct response {
    unsigned status;
    char *head; /* status line and fields, NUL-terminated; owned */
    char *body; /* NUL-terminated; owned */
    size_t n_body;
};

struct client client_open(const struct server *server);
/* One whose socket takes only a few thousand bytes that are not read. */
struct client client_open_narrow(const struct server *server);
void client_close(struct client *client);

void client_send(struct client *client, const void *bytes, size_t n_bytes);
void client_send_text(struct client *client, const char *text);
/* As long as the server takes it; false when it has closed. */
bool client_try_send(struct client *client, const void *bytes, size_t n_bytes);
/* Sends a POST of a JSON body, with more header lines ("A: b\r\n" each) or "". */
void client_post(struct client *client, const char *path, const char *more, const char *body);
void client_get(struct client *client, const char *path, const char *more);

/* Reads one response, whose body is what Content-Length or chunks say; `head_only` when it is the
 * answer to HEAD. False: the server closed the connection before the first byte of it. */
bool client_try_read(struct client *client, bool head_only, struct response *ret_response);
struct response client_read(struct client *client);
/* The server must close the connection now, without another byte. */
void client_expect_close(struct client *client);
/* Receives into client->bytes until the server closes the connection. */
void client_read_all(struct client *client);

void response_done(struct response *response);
/* The field's value, free() it; NULL when there is none. */
char *response_field(const struct response *response, const char *name);
/* It has the field, with this value; NULL: it has no such field. */
void assert_field(const struct response *response, const char *name, const char *expected);
/* The body as JSON; json_decref it. */
json_t *response_json(const struct response *response);
/* The response is a problem of this status and code; its request_id is that of the header. */
void assert_problem(const struct response *response, unsigned status, const char *code);

/* {"inputs":"a a a ...","outputs":["elmo"]}, of n_tokens; free() it. */
char *long_request(size_t n_tokens);

/* A whole exchange on a connection of its own. */
struct response post(const struct server *server, const char *path, const char *body);
struct response get(const struct server *server, const char *path);
