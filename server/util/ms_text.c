#include "ms_text.h"

#include <string.h>

#include "clock.h"

size_t ms_text_write(char dst[static MS_TEXT_MAX], uint64_t ns, unsigned n_decimals)
{
    char text[MS_TEXT_MAX], *start = text + sizeof text;
    uint64_t ms = ns / NS_PER_MS, rest = ns % NS_PER_MS;
    for (unsigned k = 6; k > n_decimals; k--)
        rest /= 10;
    *--start = '\0';
    for (unsigned k = 0; k < n_decimals; k++, rest /= 10)
        *--start = (char)('0' + rest % 10);
    *--start = '.';
    do
        *--start = (char)('0' + ms % 10);
    while ((ms /= 10) > 0);
    size_t n = (size_t)(text + sizeof text - start);
    memcpy(dst, start, n);
    return n - 1;
}
