#pragma once
/* Makes allocations of a test program fail on purpose; linked with --wrap=malloc,calloc,
 * realloc, aligned_alloc and strdup. */
#include <stddef.h>

/* Lets `n_good` allocations of this thread succeed and makes all later ones fail, until
 * fail_alloc_stop. */
void fail_alloc_after(size_t n_good);
/* Ends the failures. Returns the number of allocations that failed. */
size_t fail_alloc_stop(void);
