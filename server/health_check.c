#include "health_check.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tls_client.h"
#include "util/address.h"

#define TIMEOUT_S 2 /* for each of connecting, sending and receiving */

static void fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
DEFINE_AUTO(fd_close, int);

static bool fail(FILE *err, const char *what, const char *why)
{
    fprintf(err, "elmod: not healthy: %s: %s\n", what, why);
    return false;
}

/* The first line of the file into `text`; false where there is no such file or line. */
static bool read_line(const char *path, char *text, int text_bytes)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool ok = fgets(text, text_bytes, file) != NULL;
    fclose(file);
    text[ok ? strcspn(text, "\n") : 0] = '\0';
    return ok;
}

static bool find_address(const struct config *config, struct address *ret_address, FILE *err)
{
    char line[sizeof ret_address->host + 16];
    const char *text = config->listen;
    if (config->port_file[0] && read_line(config->port_file, line, sizeof line))
        text = line;
    if (!address_parse(text, ret_address) || ret_address->port == 0)
        return fail(err, "listen", "the port is not known");
    if (strcmp(ret_address->host, "0.0.0.0") == 0)
        strcpy(ret_address->host, "127.0.0.1");
    else if (strcmp(ret_address->host, "::") == 0)
        strcpy(ret_address->host, "::1");
    return true;
}

/* A connected socket; -1 with errno. Linux honours SO_SNDTIMEO in connect(). */
static int connect_to(const struct addrinfo *address)
{
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    AUTO(fd_close) int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ||
        connect(fd, address->ai_addr, address->ai_addrlen))
        return -1;
    int connected = fd;
    fd = -1;
    return connected;
}

static int connect_to_host(const struct address *address, FILE *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)address->port);
    int r = getaddrinfo(address->host, port, &hints, &found);
    if (r) {
        fail(err, address->host, gai_strerror(r));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = connect_to(a);
    if (fd < 0)
        fail(err, "connecting", strerror(errno));
    freeaddrinfo(found);
    return fd;
}

struct link { /* to the server; with TLS where it has a certificate */
    int fd;
    struct tls_client *tls; /* or NULL */
};

static ssize_t link_send(const struct link *link, const void *bytes, size_t n_bytes)
{
    return link->tls ? tls_client_send(link->tls, bytes, n_bytes)
                     : send(link->fd, bytes, n_bytes, MSG_NOSIGNAL);
}

static ssize_t link_receive(const struct link *link, void *dst, size_t n_max)
{
    return link->tls ? tls_client_receive(link->tls, dst, n_max) : recv(link->fd, dst, n_max, 0);
}

/* Sends the question, and reads as much of the answer as its status needs. */
static bool ask(const struct link *link, char *answer, size_t answer_bytes)
{
    static const char question[] = "GET /health/ready HTTP/1.1\r\n"
                                   "Host: localhost\r\nConnection: close\r\n\r\n";
    if (link_send(link, question, sizeof question - 1) != (ssize_t)sizeof question - 1)
        return false;
    size_t n = 0;
    while (n < answer_bytes) {
        ssize_t n_read = link_receive(link, answer + n, answer_bytes - n);
        if (n_read <= 0)
            return false;
        n += (size_t)n_read;
    }
    return true;
}

bool health_check(const struct config *config, FILE *err)
{
    static const char ready[] = "HTTP/1.1 200";
    struct address address;
    char answer[sizeof ready - 1];
    if (!find_address(config, &address, err))
        return false;
    AUTO(fd_close) int fd = connect_to_host(&address, err);
    if (fd < 0)
        return false;
    AUTO(tls_client_free) struct tls_client *tls = NULL;
    const char *reason = NULL;
    if (config->tls_cert[0])
        tls = tls_client_start(fd, &reason);
    if (reason)
        return fail(err, "TLS", reason);
    const struct link link = {fd, tls};
    if (!ask(&link, answer, sizeof answer))
        return fail(err, "asking", "no answer");
    if (memcmp(answer, ready, sizeof answer) != 0)
        return fail(err, "/health/ready", "it answered that it is not");
    return true;
}
