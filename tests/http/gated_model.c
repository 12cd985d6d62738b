/* Makes elmod out of fake_elmo.c for tests of what happens while the model is busy or loading. The
 * harness steers it over a socket that it inherits as fd 3: each byte is a command, echoed when it
 * is done (see harness.h). */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_elmo.h"

#define CONTROL_FD 3

static void obey(char command)
{
    switch (command) {
    case 's': fake_elmo_shut_gate(); break;
    case 'o': fake_elmo_open_gate(); break;
    case 'w': fake_elmo_wait_at_gate(1); break;
    default: break;
    }
}

static void *control_main(void *arg)
{
    char command;
    (void)arg;
    while (read(CONTROL_FD, &command, 1) == 1) {
        obey(command);
        if (write(CONTROL_FD, &command, 1) != 1)
            break;
    }
    fake_elmo_open_gate(); /* the test is gone: nothing may hang */
    return NULL;
}

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    char command = 0;
    pthread_t control;
    const char *loads = getenv("FAKE_ELMO_LOADS");
    (void)settings;
    (void)err;
    if (loads && strcmp(loads, "when told") == 0) {
        while (command != 'l' && read(CONTROL_FD, &command, 1) == 1)
            continue;
        if (write(CONTROL_FD, &command, 1) != 1)
            return ELMO_E_IO;
    }
    *ret_model =
        fake_elmo_model(&(struct fake_elmo){.without_head = getenv("FAKE_ELMO_HEADLESS") != NULL});
    if (pthread_create(&control, NULL, control_main, NULL))
        return ELMO_E_NOMEM;
    pthread_detach(control);
    return 0;
}

int elmo_model_open(struct elmo_model **ret_model, const char *path,
                    const struct elmo_model_settings *settings, struct elmo_error *err)
{
    (void)path;
    return elmo_model_open_default(ret_model, settings, err);
}

void elmo_model_free(struct elmo_model *model)
{
    (void)model;
}
