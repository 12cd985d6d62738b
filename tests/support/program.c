#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

char program_output[65536];

int program_run(const char *variable, const char *folder, const char *arguments)
{
    char command[4096];
    assert_non_null(getenv(variable));
    int n = snprintf(command, sizeof command, "exec 2>&1; cd '%s' && \"$%s\" %s", folder, variable,
                     arguments);
    assert_true(n > 0 && (size_t)n < sizeof command);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    program_output[fread(program_output, 1, sizeof program_output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void program_check(const char *variable, const char *folder, const struct program_case *cases,
                   size_t n_cases)
{
    for (size_t k = 0; k < n_cases; k++) {
        int found = program_run(variable, folder, cases[k].arguments);
        if (found != cases[k].exit_code)
            fail_msg("%s %s: %d expected, found %d:\n%s", variable, cases[k].arguments,
                     cases[k].exit_code, found, program_output);
    }
}
