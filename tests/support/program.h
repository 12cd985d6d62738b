#pragma once
/* Runs a program of the build in a shell. An environment variable set by meson, such as
 * "ELMO_TRAIN", has its path. The test fails if the program cannot be run or is killed. */
#include <stddef.h>

/* Output of the last program, stdout and stderr, NUL-terminated and truncated to this array. */
extern char program_output[65536];

/* Runs the program in `folder` with arguments in shell syntax. Returns the exit status. */
int program_run(const char *variable, const char *folder, const char *arguments);

struct program_case {
    int exit_code;
    const char *arguments;
};
/* Runs each in `folder`, one after the other. */
void program_check(const char *variable, const char *folder, const struct program_case *cases,
                   size_t n_cases);
