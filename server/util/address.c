#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool is_host(const char *host)
{
    struct in6_addr ignored;
    if (strchr(host, ':'))
        return inet_pton(AF_INET6, host, &ignored) == 1;
    return *host && host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789.-")] == '\0';
}

bool address_parse(const char *text, struct address *ret_address)
{
    struct address address = {0};
    const char *colon = strrchr(text, ':');
    bool has_brackets = *text == '[';
    if (!colon || (has_brackets && (colon == text || colon[-1] != ']')))
        return false;
    const char *host = text + has_brackets;
    size_t n_host = (size_t)(colon - text) - 2 * has_brackets;
    if (n_host >= sizeof address.host)
        return false;
    memcpy(address.host, host, n_host);
    if (!is_host(address.host) || has_brackets != (strchr(address.host, ':') != NULL))
        return false;

    const char *port = colon + 1;
    size_t n_digits = strspn(port, "0123456789");
    unsigned long number = strtoul(port, NULL, 10);
    if (n_digits == 0 || port[n_digits] || number > UINT16_MAX)
        return false;
    address.port = (uint16_t)number;
    *ret_address = address;
    return true;
}
