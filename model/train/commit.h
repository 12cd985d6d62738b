#pragma once
/* The commit that this trainer was built from, which meson fills into commit.c.in; "unknown"
 * outside of a git checkout. */

extern const char train_commit[];
