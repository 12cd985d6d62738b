#pragma once
/* Runs a program of the build by a shell. Which one, says the environment variable that meson sets
 * to its path: "ELMO_TRAIN" and so on. What cannot be run, or is killed, fails the test. */
#include <stddef.h>

/* What the last one printed, both streams, NUL-terminated and cut at the end of this. */
extern char program_output[65536];

/* Runs it in `folder`; its arguments, and what may follow them, are the shell's. Returns the exit
 * status. */
int program_run(const char *variable, const char *folder, const char *arguments);

struct program_case {
    int exit_code;
    const char *arguments;
};
/* Runs each in `folder`, one after the other. */
void program_check(const char *variable, const char *folder, const struct program_case *cases,
                   size_t n_cases);
