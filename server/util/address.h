#pragma once
/* "HOST:PORT" as text. Pure; any thread. */
#include <stdbool.h>
#include <stdint.h>

struct address {
    char host[254]; /* name or IP address, without brackets */
    uint16_t port;  /* 0: any free one */
};

/* Parses "HOST:PORT" or "[IPV6]:PORT". False: it is neither, and *ret_address is untouched. Names
 * are not looked up. */
bool address_parse(const char *text, struct address *ret_address);
