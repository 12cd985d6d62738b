#pragma once
/* Signals: SIGTERM and SIGINT stop the process, SIGHUP reloads its files. A SIGHUP from the kernel,
 * not from a process, means that the terminal of a foreground process was closed; it stops the
 * process too.
 *
 * OpenBLAS starts threads before main(). A signal that all of our threads block would be delivered
 * to one of those and end the process. So there are handlers, which may run in any thread; our
 * threads block the signals, and the main thread waits for them. */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Call it once, before other threads start. A second signal to stop ends the process at once. */
void signals_init(void);

/* Waits for the next signal. True: reload the files; several signals since the last call count as
 * one. False: stop; all later calls return false too. Only the main thread may call it. */
bool signals_wait(void);

/* The first signal to stop (SIGTERM, SIGINT or SIGHUP); 0: none yet. */
const atomic_int *signals_stop(void);

/* Threads started between this call and signals_release(*ret_before) block the signals. */
void signals_hold(sigset_t *ret_before);
void signals_release(const sigset_t *before);
