#include "origins.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

/* Length of the host at the start of the text, 0 if there is none. */
static size_t host_bytes(const char *text)
{
    if (*text != '[')
        return strspn(text, LETTERS DIGITS ".-_");
    size_t n = strspn(text + 1, DIGITS "abcdefABCDEF:.");
    return n > 0 && text[1 + n] == ']' ? n + 2 : 0;
}

/* Length of the origin at the start of the text, 0 if there is none. */
static size_t origin_bytes(const char *text)
{
    size_t n = strspn(text, LETTERS DIGITS "+-.");
    if (n == 0 || !strchr(LETTERS, *text) || strncmp(text + n, "://", 3) != 0)
        return 0;
    n += 3;
    size_t n_host = host_bytes(text + n);
    if (n_host == 0)
        return 0;
    n += n_host;
    if (text[n] != ':')
        return n;
    size_t n_digits = strspn(text + n + 1, DIGITS);
    unsigned long port = strtoul(text + n + 1, NULL, 10);
    return n_digits > 0 && port > 0 && port <= UINT16_MAX ? n + 1 + n_digits : 0;
}

bool origins_are_any(const char *list)
{
    return strcmp(list, "*") == 0;
}

bool origins_is_list(const char *text)
{
    if (*text == '\0' || origins_are_any(text))
        return true;
    for (;; text++) {
        size_t n = origin_bytes(text);
        text += n;
        if (n == 0 || (*text != ',' && *text != '\0'))
            return false;
        if (*text == '\0')
            return true;
    }
}

bool origins_allow(const char *list, const char *origin)
{
    size_t n_origin = strlen(origin);
    if (origins_are_any(list))
        return true;
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n == n_origin && strncasecmp(list, origin, n) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}
