#define _DEFAULT_SOURCE /* madvise */
#include "big_alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "defs.h"

#define CACHE_LINE ((size_t)64)
#define LARGE_PAGE ((size_t)2 << 20)
#define MIN_LARGE  (2 * LARGE_PAGE) /* below it the last page's rest would weigh too much */

void *big_alloc(size_t n_bytes)
{
    size_t page = n_bytes < MIN_LARGE ? CACHE_LINE : LARGE_PAGE, n_aligned;
    if (!add_ok(n_bytes, page - 1, &n_aligned))
        return NULL;
    n_aligned -= n_aligned % page;
    void *memory = aligned_alloc(page, n_aligned ? n_aligned : page);
#ifdef MADV_HUGEPAGE
    if (memory && page == LARGE_PAGE)
        madvise(memory, n_aligned, MADV_HUGEPAGE); /* failing is fine: it is advice */
#endif
    return memory;
}

void *big_zeros(size_t n_items, size_t item_bytes)
{
    size_t n_bytes;
    void *memory = mul_ok(n_items, item_bytes, &n_bytes) ? big_alloc(n_bytes) : NULL;
    if (memory)
        memset(memory, 0, n_bytes);
    return memory;
}
