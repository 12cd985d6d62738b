#pragma once
/* The other side of HTTPS, for the health check: it asks its own server and believes it without
 * looking at the certificate, as it sends no secret and learns nothing but "ready". */
#include <sys/types.h>

#include "defs.h"

struct tls_client;

/* Does the handshake on a connected socket, which is borrowed, as long as its time-outs allow.
 * NULL: *ret_reason says why. */
struct tls_client *tls_client_start(int fd, const char **ret_reason);
void tls_client_free(struct tls_client *client); /* NULL is fine */
DEFINE_AUTO(tls_client_free, struct tls_client *);

/* Like send(2) and recv(2); -1 for any failure. */
ssize_t tls_client_send(struct tls_client *client, const void *bytes, size_t n_bytes);
ssize_t tls_client_receive(struct tls_client *client, void *dst, size_t n_max);
