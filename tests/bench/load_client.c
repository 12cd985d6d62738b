#define _GNU_SOURCE /* memmem */
#include "load_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (1 << 18)

bool load_client_open(struct load_client *c, const struct sockaddr_in *address)
{
    static const int on = 1;
    *c = (struct load_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (const struct sockaddr *)address, sizeof *address) ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK)) {
        load_client_close(c);
        return false;
    }
    return true;
}

void load_client_close(struct load_client *c)
{
    close(c->fd);
    c->fd = -1;
    buffer_done(&c->answer);
}

void load_client_begin(struct load_client *c, const struct buffer *text, uint64_t intended_ns)
{
    c->busy = true;
    c->intended_ns = intended_ns;
    c->text = text;
    c->n_sent = 0;
    c->answer.n_bytes = 0;
}

/* The bytes after the first occurrence of `text`, or NULL. */
static const char *find(const char *bytes, size_t n_bytes, const char *text)
{
    const char *found = memmem(bytes, n_bytes, text, strlen(text));
    return found ? found + strlen(text) : NULL;
}

/* The answer has a Content-Length or is in chunks. elmod's JSON has no line ends, so only the last
 * chunk looks like this. */
static bool is_complete(const struct buffer *answer)
{
    const char *body = find(answer->bytes, answer->n_bytes, "\r\n\r\n");
    if (!body)
        return false;
    size_t n_head = (size_t)(body - answer->bytes), n_body = answer->n_bytes - n_head;
    const char *length = find(answer->bytes, n_head, "\r\nContent-Length: ");
    if (length)
        return n_body >= strtoul(length, NULL, 10);
    return n_body >= 5 && memcmp(body + n_body - 5, "0\r\n\r\n", 5) == 0;
}

static enum load_progress nothing_more_now(void)
{
    return errno == EAGAIN || errno == EINTR ? LOAD_UNDER_WAY : LOAD_BROKEN;
}

enum load_progress load_client_step(struct load_client *c)
{
    while (c->n_sent < c->text->n_bytes) {
        ssize_t n =
            send(c->fd, c->text->bytes + c->n_sent, c->text->n_bytes - c->n_sent, MSG_NOSIGNAL);
        if (n < 0)
            return nothing_more_now();
        c->n_sent += (size_t)n;
    }
    for (;;) {
        char *room = buffer_reserve(&c->answer, PIECE);
        ssize_t n = room ? recv(c->fd, room, PIECE, 0) : 0;
        if (n < 0)
            return nothing_more_now();
        if (n == 0)
            return LOAD_BROKEN;
        buffer_commit(&c->answer, (size_t)n);
        if (is_complete(&c->answer)) {
            c->busy = false;
            return LOAD_ANSWERED;
        }
    }
}

unsigned load_client_status(const struct load_client *c)
{
    return (unsigned)strtoul(c->answer.bytes + strlen("HTTP/1.1 "), NULL, 10);
}

size_t load_client_tokens(const struct load_client *c)
{
    enum { END = 64 }; /* "usage":{"inputs":1,"tokens":8}} and the last chunk */
    size_t n = c->answer.n_bytes < END ? c->answer.n_bytes : END;
    const char *tokens = find(c->answer.bytes + c->answer.n_bytes - n, n, "\"tokens\":");
    return tokens ? strtoul(tokens, NULL, 10) : 0;
}
