#define _GNU_SOURCE /* SOCK_NONBLOCK, SOCK_CLOEXEC */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket bound to the address and listening, or -1 with errno set. */
static int listen_on(const struct addrinfo *info)
{
    int on = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The address that the socket really has. */
static bool name_socket(int fd, char ret_address[static LISTENER_ADDRESS_MAX])
{
    struct sockaddr_storage address;
    socklen_t n_bytes = sizeof address;
    char host[256], port[16];
    if (getsockname(fd, (struct sockaddr *)&address, &n_bytes) ||
        getnameinfo((struct sockaddr *)&address, n_bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return false;
    snprintf(ret_address, LISTENER_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
             port);
    return true;
}

int listener_open(const struct address *address, char ret_address[static LISTENER_ADDRESS_MAX],
                  const char **ret_reason)
{
    char port[16];
    snprintf(port, sizeof port, "%u", (unsigned)address->port);
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int r = getaddrinfo(address->host, port, &hints, &found);
    if (r) {
        *ret_reason = gai_strerror(r);
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = listen_on(info);
    if (fd < 0 || !name_socket(fd, ret_address)) {
        *ret_reason = strerror(errno);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* What a process left that could not clean up. */
static bool is_dead_socket(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
                errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead;
}

static bool bind_unix(int fd, const struct sockaddr_un *address)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (is_dead_socket(address))
        unlink(address->sun_path);
    return bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;
}

int listener_open_unix(const char *path, const char **ret_reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        *ret_reason = strerror(ENAMETOOLONG);
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Before it is bound, so that nobody else can connect at any time. */
    if (fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0 && bind_unix(fd, &address) &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    *ret_reason = strerror(errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

bool listener_write_file(const char *path, const char *address)
{
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *file = fopen(temporary, "w");
    if (!file)
        return false;
    bool written = fprintf(file, "%s\n", address) > 0;
    bool closed = fclose(file) == 0;
    if (written && closed && rename(temporary, path) == 0)
        return true;
    int saved = errno;
    unlink(temporary);
    errno = saved;
    return false;
}
