#pragma once
/* `elmod --health-check`: asks the elmod that this configuration describes whether it is ready, so
 * that a container without a shell or curl can have a health check. It asks the address in
 * port_file where there is one, else `listen` (of all addresses, the loopback one), with TLS where
 * tls_cert is set: without a look at the certificate, as no secret goes there. Blocks for a
 * few seconds at most; for main() alone. */
#include <stdio.h>

#include "ops/config.h"

/* Whether GET /health/ready was answered 200; if not, one line on `err` says why. */
bool health_check(const struct config *config, FILE *err);
