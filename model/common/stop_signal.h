#pragma once
/* SIGTERM and SIGINT as a flag, so that a long run can write a checkpoint before it stops. One run
 * at a time in a process. */
#include <stdbool.h>

void stop_signal_catch(void);
bool stop_signal_came(void);
/* As it was before. Returns the signal that came, or 0. */
int stop_signal_release(void);
