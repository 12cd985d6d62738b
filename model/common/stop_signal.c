#include "stop_signal.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t came;
static struct sigaction old_term, old_int;

static void on_signal(int signal)
{
    came = signal;
}

void stop_signal_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    came = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, &old_term);
    sigaction(SIGINT, &action, &old_int);
    if (old_term.sa_handler == SIG_IGN)
        sigaction(SIGTERM, &old_term, NULL);
    if (old_int.sa_handler == SIG_IGN) /* as a shell has it for what runs in the background */
        sigaction(SIGINT, &old_int, NULL);
}

bool stop_signal_came(void)
{
    return came;
}

int stop_signal_release(void)
{
    sigaction(SIGTERM, &old_term, NULL);
    sigaction(SIGINT, &old_int, NULL);
    return came;
}
