#pragma once
/* What the process is asked to do by signals: SIGTERM and SIGINT stop it, SIGHUP has it load its
 * files anew. But a SIGHUP from the kernel, not from a process, says that the terminal is gone
 * where it ran in the foreground: that stops it, too.
 *
 * OpenBLAS has threads before main() begins; a signal that all of ours block would end up in one of
 * those, and end the process. So there are handlers, for whichever thread; ours leave the signals
 * to the main thread, where waiting for them is all there is to do. */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Once, before other threads are made. A second signal to stop ends the process at once. */
void signals_init(void);

/* Waits for the next. True: files are to be loaded anew; once for all who asked since the last
 * time. False: it is to stop, now and whenever it is called again. The main thread alone. */
bool signals_wait(void);

/* The first signal to stop: SIGTERM, SIGINT or SIGHUP; 0: none yet. */
const atomic_int *signals_stop(void);

/* Threads that are made from here until signals_release(*ret_before) take no signals. */
void signals_hold(sigset_t *ret_before);
void signals_release(const sigset_t *before);
