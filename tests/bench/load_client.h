#pragma once
/* One keep-alive connection of the load generator: sends a request, collects its answer, without
 * waiting for either. */
#include <netinet/in.h>
#include <stdint.h>

#include "util/buffer.h"

struct load_client {
    int fd;                    /* -1: closed */
    bool busy;                 /* a request is under way */
    uint64_t intended_ns;      /* when it should have been sent */
    const struct buffer *text; /* the request, borrowed */
    size_t n_sent;
    struct buffer answer;
};

enum load_progress { LOAD_UNDER_WAY, LOAD_ANSWERED, LOAD_BROKEN };

/* Connects; false: it cannot. */
bool load_client_open(struct load_client *client, const struct sockaddr_in *address);
void load_client_close(struct load_client *client);

/* Begins a request; go on with load_client_step until it is over, whenever epoll says so. */
void load_client_begin(struct load_client *client, const struct buffer *text, uint64_t intended_ns);
enum load_progress load_client_step(struct load_client *client);

/* Of an answer that is there: its status, and the tokens that its `usage` counts (0: none). */
unsigned load_client_status(const struct load_client *client);
size_t load_client_tokens(const struct load_client *client);
