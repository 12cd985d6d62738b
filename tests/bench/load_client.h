#pragma once
/* A keep-alive connection of the load generator. It sends requests and receives answers without
 * blocking. */
#include <netinet/in.h>
#include <stdint.h>

#include "util/buffer.h"

struct load_client {
    int fd;                    /* -1: closed */
    bool busy;                 /* a request is open */
    uint64_t intended_ns;      /* when it should have been sent */
    const struct buffer *text; /* the request, borrowed */
    size_t n_sent;
    struct buffer answer;
};

enum load_progress { LOAD_UNDER_WAY, LOAD_ANSWERED, LOAD_BROKEN };

/* Connects. False: it failed. */
bool load_client_open(struct load_client *client, const struct sockaddr_in *address);
void load_client_close(struct load_client *client);

/* Begins a request. Call load_client_step whenever epoll reports the connection, until it is done.
 */
void load_client_begin(struct load_client *client, const struct buffer *text, uint64_t intended_ns);
enum load_progress load_client_step(struct load_client *client);

/* Status of a complete answer, and the tokens of its `usage` (0: it has none). */
unsigned load_client_status(const struct load_client *client);
size_t load_client_tokens(const struct load_client *client);
