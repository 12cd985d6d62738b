#pragma once
/* A Unix socket for those who run the service, apart from its clients: POST /reload loads the model
 * anew, as SIGHUP does, and answers when that is over, with what serves from then on or with a
 * problem that says why it is still the old one. One thread, one request at a time. */
#include "api/service.h"

struct http_admin;

/* Listens at `path`; who may connect is up to the file's owner. NULL: *ret_reason, where it is set,
 * says why. */
struct http_admin *http_admin_start(struct service *service, const char *path,
                                    const char **ret_reason);
/* Waits for the requests that are under way, and removes the socket. NULL is fine. */
void http_admin_stop(struct http_admin *admin);
