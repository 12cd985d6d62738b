#include "signals.h"

#include <errno.h>
#include <semaphore.h>
#include <stddef.h>
#include <unistd.h>

static sem_t asked; /* posted for each signal */
static atomic_int stop_signal;
static atomic_bool reload_asked;

/* The second signal ends the process without waiting. */
static void on_stop(int number)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&stop_signal, &none, number))
        _exit(128 + number);
    sem_post(&asked);
}

static void on_hangup(int number, siginfo_t *info, void *context)
{
    int none = 0;
    (void)context;
    if (info->si_code > 0) /* from the kernel, perhaps after one from a shell */
        atomic_compare_exchange_strong(&stop_signal, &none, number);
    else
        atomic_store(&reload_asked, true);
    sem_post(&asked);
}

void signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_stop}; /* interrupts sem_wait */
    struct sigaction hangup = {.sa_sigaction = on_hangup, .sa_flags = SA_SIGINFO | SA_RESTART};
    sem_init(&asked, 0, 0);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&hangup.sa_mask);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &hangup, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool signals_wait(void)
{
    for (;;) {
        if (atomic_load(&stop_signal))
            return false;
        if (atomic_exchange(&reload_asked, false))
            return true;
        while (sem_wait(&asked) && errno == EINTR)
            continue;
    }
}

const atomic_int *signals_stop(void)
{
    return &stop_signal;
}

void signals_hold(sigset_t *ret_before)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ours, ret_before);
}

void signals_release(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}
