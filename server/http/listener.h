#pragma once
/* The socket that clients connect to, and the file that tells which address it got. */
#include "util/address.h"

#define LISTENER_ADDRESS_MAX 300 /* "[host]:port" with NUL */

/* Listens on the address; returns the non-blocking socket and its real address (port 0 becomes the
 * port chosen). -1: *ret_reason, static or from strerror, says why. */
int listener_open(const struct address *address, char ret_address[static LISTENER_ADDRESS_MAX],
                  const char **ret_reason);

/* Listens on a Unix socket at `path` that its owner alone may connect to. One that nobody listens
 * on any more is replaced. As above, else. */
int listener_open_unix(const char *path, const char **ret_reason);

/* Writes "host:port\n" to `path` at once: readers see no file, or all of it. False: errno says
 * why. */
bool listener_write_file(const char *path, const char *address);
