#pragma once
/* The one markup that the reviews of aclImdb have in them. No state, any thread. */
#include <stddef.h>

/* Every "<br />" becomes as many spaces. */
void breaks_blank(char *text, size_t n_bytes);
