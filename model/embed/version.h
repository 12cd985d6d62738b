#pragma once
/* The version of the project, and the commit that this program was built from, which meson fills
 * into version.c.in; "unknown" outside of a git checkout. */

extern const char embed_version[];
extern const char embed_commit[];
