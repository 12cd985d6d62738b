#pragma once
/* A list of origins as the configuration has it: "" (none), "*" (all), or origins as browsers write
 * them, SCHEME://HOST[:PORT], with commas between and nothing else. Pure. */
#include "defs.h"

bool origins_is_list(const char *text);
bool origins_are_any(const char *list); /* "*" */
/* Whether the list has the origin; letters of either case are the same. */
bool origins_allow(const char *list, const char *origin);
