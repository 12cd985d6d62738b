#include "http.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conns.h"
#include "http_request.h"
#include "ops/log.h"
#include "tls.h"

#define CONNECTION_MEMORY_BYTES (32 * 1024) /* request line and headers must fit in */
#define BACKLOG_PATIENCE_MS     1000

/* HTTPS not by epoll: in a handshake that waits for its client the library would ask again and
 * again without a pause, as it forgets that it has read all there is. */
#define HTTP_FLAGS  MHD_USE_EPOLL_INTERNAL_THREAD
#define HTTPS_FLAGS (MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS)

struct http {
    struct service *service; /* borrowed */
    struct MHD_Daemon *daemon;
    struct conns *conns;
    int listen_fd; /* owned; the daemon's as soon as that runs */
    int silent[2]; /* owned: a pair of sockets on which nothing ever comes */
    bool listening;
};

/* ---- What libmicrohttpd calls ---- */

static struct conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* Once before the first request, and before a handshake, and once before the socket is closed. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **conn,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *conn = conns_add(http->conns, info->connect_fd);
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (info && http->service->tls)
            tls_attach(http->service->tls, info->tls_session);
    } else {
        conns_remove(http->conns, *conn);
        *conn = NULL;
    }
}

/* What is returned becomes *request of the calls below; NULL makes the first of them close. */
static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct http *http = cls;
    struct conn *conn = conn_of(connection);
    struct http_request *r =
        conn ? http_request_new(http->service, http->conns, conn, connection) : NULL;
    if (r)
        r->uri_end = (uintptr_t)uri + strlen(uri);
    return r;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n_bytes, void **request)
{
    struct http_request *r = *request;
    bool ok;
    (void)cls;
    (void)connection;
    if (!r)
        return MHD_NO;
    if (r->phase == HTTP_REQUEST_LINE) {
        ok = http_request_head(r, url, method, version);
    } else if (*n_bytes > 0) {
        ok = http_request_body(r, bytes, *n_bytes);
        *n_bytes = 0; /* all taken */
    } else {
        ok = r->phase == HTTP_BODY ? http_request_handle(r) : http_request_finish(r);
    }
    return ok ? MHD_YES : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    (void)cls;
    (void)code;
    if (*request)
        http_request_end(*request, info ? info->http_status : 0);
    *request = NULL;
}

/* Percent-decodes the path and the query in place. With an encoded NUL the text would end early,
 * and a path would be another one than proxies saw: it stays as it is and is not found. */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

/* The library's own messages. Their arguments may hold what a client sent, so only the format goes
 * to the log. */
static void on_message(void *cls, const char *format, va_list args)
{
    char text[256];
    (void)cls;
    (void)args;
    size_t n = strcspn(format, "\n");
    n = n < sizeof text - 1 ? n : sizeof text - 1;
    memcpy(text, format, n);
    text[n] = '\0';
    log_event(LOG_DEBUG, "libmicrohttpd", LOG_FIELDS(LOG_TEXT("message", text)));
}

/* ---- Life ---- */

/* Not "strict": then the library would itself refuse a missing Host, with its header sent twice;
 * the rest of what that stands for is checked in head.c anyway. */
static struct MHD_Daemon *start_daemon(struct http *http)
{
    const struct config *config = http->service->config;
    unsigned n_threads =
        (unsigned)(config->http_threads < config->max_connections ? config->http_threads
                                                                  : config->max_connections);
    /* No byte in either direction for so long ends any phase; conns.h has the rest. */
    unsigned timeout_s = (unsigned)((config->idle_timeout_ms + 999) / 1000);
    struct MHD_OptionItem pool[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)n_threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (n_threads == 1) /* the library takes no pool of one */
        pool[0].option = MHD_OPTION_END;
    const struct MHD_OptionItem https[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(intptr_t)tls_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(intptr_t)tls_priorities(config->tls_min_version == CONFIG_TLS_1_3)},
        {MHD_OPTION_END, 0, NULL},
    };
    bool is_https = http->service->tls != NULL;
    return MHD_start_daemon(
        (is_https ? HTTPS_FLAGS : HTTP_FLAGS) | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        http, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, http, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)config->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)config->max_connections_per_ip, MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
        MHD_OPTION_ARRAY, pool, MHD_OPTION_ARRAY, is_https ? https : https + 2, MHD_OPTION_END);
}

static void http_free(struct http *http)
{
    for (size_t k = 0; k < 2; k++)
        if (http->silent[k] >= 0)
            close(http->silent[k]);
    conns_stop(http->conns);
    free(http);
}

struct http *http_start(struct service *service, int listen_fd)
{
    const struct config *config = service->config;
    const struct conns_options options = {
        .header_timeout_ms = config->header_timeout_ms,
        .body_timeout_ms = config->body_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .write_late_answer = service->tls ? NULL : http_request_write_late_answer,
    };
    struct http *http = calloc(1, sizeof *http);
    if (http) {
        http->service = service;
        http->listen_fd = listen_fd;
        http->listening = true;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, http->silent))
            http->silent[0] = http->silent[1] = -1;
        http->conns = conns_start(&options);
        http->daemon = http->conns && http->silent[0] >= 0 ? start_daemon(http) : NULL;
    }
    if (http && http->daemon)
        return http;
    log_failure("http_failed", "it could not start");
    close(listen_fd);
    if (http)
        http_free(http);
    return NULL;
}

/* The kernel lets clients connect ahead of us, and closing the listener would reset those: wait
 * until the library has taken them all, but not for ever, as it takes none over the limit. */
static void wait_for_backlog(int listen_fd)
{
    const struct timespec nap = {.tv_nsec = 1000 * 1000};
    struct pollfd backlog = {.fd = listen_fd, .events = POLLIN};
    for (int naps = 0; naps < BACKLOG_PATIENCE_MS && poll(&backlog, 1, 0) > 0; naps++)
        nanosleep(&nap, NULL);
}

/* Not by MHD_quiesce_daemon: that and the library's threads may both take the socket out of the
 * epoll set, and who comes second aborts the process. Instead a silent socket takes its place,
 * under the same number: the listener is closed with that, and nothing comes any more. A thread
 * that waits in poll still holds it, so it is shut down before. */
void http_stop_listening(struct http *http)
{
    http->listening = false;
    wait_for_backlog(http->listen_fd);
    shutdown(http->listen_fd, SHUT_RDWR);
    while (dup2(http->silent[0], http->listen_fd) < 0 && errno == EINTR)
        continue;
    conns_drain(http->conns);
}

bool http_wait_idle(struct http *http, uint64_t deadline_ns)
{
    return conns_wait_empty(http->conns, deadline_ns);
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    if (http->listening)
        http_stop_listening(http);
    MHD_stop_daemon(http->daemon); /* it closes the listening socket */
    http_free(http);
}
