#pragma once
/* HTTP/1.1 on the listening socket: the only part that knows libmicrohttpd, which parses requests
 * and moves bytes in its own threads. A request whose job waits has its connection suspended; the
 * worker that answers it resumes it. */
#include <stddef.h>
#include <stdint.h>

#include "api/service.h"

struct http;

/* Serves the socket, which is owned from now on. NULL: it could not start; the log says why. */
struct http *http_start(struct service *service, int listen_fd);

/* No connection is accepted any more, and connecting to the address fails. Open ones are answered
 * with Connection: close. */
void http_stop_listening(struct http *http);
/* Waits until every connection is closed; false: the deadline passed. Stop listening first. */
bool http_wait_idle(struct http *http, uint64_t deadline_ns);

/* No request may be under way in the queue or in a worker. NULL is fine. */
void http_stop(struct http *http);
DEFINE_AUTO(http_stop, struct http *);
