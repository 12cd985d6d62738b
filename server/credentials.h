#pragma once
/* What the service shows to clients and asks of them, from files of the configuration: its
 * certificate, and their API keys. The log says what came of each. */
#include "api/service.h"

/* Sets service->api_keys and service->tls where they are configured. False: a file is wrong; free
 * what was loaded all the same. */
bool credentials_load(struct service *service);
/* Reads the files again, while requests and handshakes are under way; what is wrong leaves the old
 * in its place. One thread at a time. */
void credentials_reload(struct service *service);
void credentials_free(struct service *service);
