#pragma once
/* What was built: the project's version and the commit ("unknown" outside of a git checkout), which
 * meson fills into version.c.in. */

extern const char elmod_version[];
extern const char elmod_commit[];
