#pragma once
/* A list of origins as in the configuration: "" (none), "*" (all), or origins as browsers write
 * them, SCHEME://HOST[:PORT], separated by commas without blanks. Pure. */
#include "defs.h"

bool origins_is_list(const char *text);
bool origins_are_any(const char *list); /* "*" */
/* Whether the list contains the origin. Case is ignored. */
bool origins_allow(const char *list, const char *origin);
