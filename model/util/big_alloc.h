#pragma once
/* Memory for arrays that are walked over from end to end: where it is worth it, the system is asked
 * for large pages. Small ones cost a look-up every 4 KiB, and stop what the processor fetches
 * ahead.
 */
#include <stddef.h>

/* n_bytes, aligned to 64 at least; NULL: out of memory. free() it. */
void *big_alloc(size_t n_bytes);
/* n_items * item_bytes bytes of zeros, likewise; NULL also where the size overflows. */
void *big_zeros(size_t n_items, size_t item_bytes);
