#pragma once
/* What the process is asked to do by signals: SIGTERM and SIGINT stop it, SIGHUP has it load its
 * files anew.
 *
 * OpenBLAS has threads before main() begins; a signal that all of ours block would end up in one of
 * those, and end the process. So there are handlers, for whichever thread; ours leave the signals
 * to the main thread, where waiting for them is all there is to do. */
#include <signal.h>
#include <stdatomic.h>

/* Once, before other threads are made. A second signal to stop ends the process at once. */
void signals_init(void);

/* Waits for the next: SIGTERM or SIGINT, again and again once one of them has come, or SIGHUP, once
 * for all that came since the last time. The main thread alone. */
int signals_wait(void);

/* The first signal to stop; 0: none yet. */
const atomic_int *signals_stop(void);

/* Threads that are made from here until signals_release(*ret_before) take no signals. */
void signals_hold(sigset_t *ret_before);
void signals_release(const sigset_t *before);
