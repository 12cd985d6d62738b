/* elmod: serves one ELMo model over HTTP. `elmod --help` tells the rest. */
#include <stdio.h>
#include <unistd.h>

#include "api/service.h"
#include "health_check.h"
#include "ops/config.h"

#define EXIT_BAD_CONFIGURATION 2

extern char **environ;

int main(int argc, char *argv[])
{
    struct config config;
    int status = EXIT_FAILURE;
    switch (config_load(&config, argc, argv, environ, stdout, stderr)) {
    case CONFIG_EXIT: return EXIT_SUCCESS;
    case CONFIG_ERROR: return EXIT_BAD_CONFIGURATION;
    case CONFIG_CHECK: status = health_check(&config, stderr) ? EXIT_SUCCESS : EXIT_FAILURE; break;
    case CONFIG_RUN:
        log_init(STDERR_FILENO, config.log_format, config.log_level);
        status = service_run(&config);
        break;
    }
    config_done(&config);
    return status;
}
