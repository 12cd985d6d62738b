#pragma once
/* The main of a test of several ranks: PROGRAM N, which mpirun starts as N processes; for N = 1
 * there is no mpirun. */
#include "train/engine/ranks.h"

extern struct ranks ranks; /* MPI starts once in a process */

/* Runs alone() for N = 1 and together() else, on every rank. Its status is for main to return: 77,
 * which meson takes for skipped, where there are not N ranks; under CI that is a failure. A test
 * that fails ends its process, as the other ranks would wait for it. Rank 0 alone writes to
 * standard output, so that cases are counted once, unless there are more arguments. */
int ranks_program(int argc, char **argv, int (*alone)(void), int (*together)(void));
