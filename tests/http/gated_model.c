/* Makes elmod out of fake_elmo.c for tests of what happens while the model is busy or loading. The
 * harness steers it over a socket that it inherits as fd 3: each byte is a command, echoed when it
 * is done (see harness.h). A model file holds "NAME MARK" (fake_elmo.h says what a mark is). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fake_elmo.h"

#define CONTROL_FD 3

/* Loads stop at it while it is shut. */
static struct {
    pthread_mutex_t mu; /* guards everything below */
    pthread_cond_t changed;
    bool shut, is_reached;
} door = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set_door(bool shut)
{
    pthread_mutex_lock(&door.mu);
    door.shut = shut;
    pthread_cond_broadcast(&door.changed);
    pthread_mutex_unlock(&door.mu);
}

static void wait_at_door(void)
{
    pthread_mutex_lock(&door.mu);
    while (!door.is_reached)
        pthread_cond_wait(&door.changed, &door.mu);
    pthread_mutex_unlock(&door.mu);
}

static void go_through_door(void)
{
    pthread_mutex_lock(&door.mu);
    door.is_reached = true;
    pthread_cond_broadcast(&door.changed);
    while (door.shut)
        pthread_cond_wait(&door.changed, &door.mu);
    door.is_reached = false;
    pthread_mutex_unlock(&door.mu);
}

static void obey(char command)
{
    switch (command) {
    case 's': fake_elmo_shut_gate(); break;
    case 'o': fake_elmo_open_gate(); break;
    case 'w': fake_elmo_wait_at_gate(1); break;
    case 'S': set_door(true); break;
    case 'O': set_door(false); break;
    case 'W': wait_at_door(); break;
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
    set_door(false);
    return NULL;
}

/* Before the first model: waits for 'l' where the harness wants that, and listens from then on. */
static int begin(void)
{
    static bool begun; /* loads do not overlap */
    char command = 0;
    pthread_t control;
    const char *loads = getenv("FAKE_ELMO_LOADS");
    if (begun)
        return 0;
    begun = true;
    if (loads && strcmp(loads, "when told") == 0) {
        while (command != 'l' && read(CONTROL_FD, &command, 1) == 1)
            continue;
        if (write(CONTROL_FD, &command, 1) != 1)
            return ELMO_E_IO;
    }
    /* It takes no signals: TSan keeps one that comes in read() until that returns. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&control, NULL, control_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return ELMO_E_NOMEM;
    pthread_detach(control);
    return 0;
}

static int load(struct elmo_model **ret_model, struct fake_elmo *options)
{
    options->without_head = getenv("FAKE_ELMO_HEADLESS") != NULL;
    *ret_model = fake_elmo_model_new(options);
    return *ret_model ? 0 : ELMO_E_NOMEM;
}

int elmo_model_open_default(struct elmo_model **ret_model,
                            const struct elmo_model_settings *settings, struct elmo_error *err)
{
    int r = begin();
    (void)settings;
    (void)err;
    go_through_door();
    return r ? r : load(ret_model, &(struct fake_elmo){0});
}

static int read_file(const char *path, char name[static 64], unsigned *mark, struct elmo_error *err)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        snprintf(err->message, sizeof err->message, "%.200s: %s", path, strerror(errno));
        return err->status = ELMO_E_IO;
    }
    int n = fscanf(file, "%63s %u", name, mark);
    fclose(file);
    if (n == 2)
        return 0;
    snprintf(err->message, sizeof err->message, "%.200s: not \"NAME MARK\"", path);
    return err->status = ELMO_E_FORMAT;
}

int elmo_model_open(struct elmo_model **ret_model, const char *path,
                    const struct elmo_model_settings *settings, struct elmo_error *err)
{
    char name[64];
    struct fake_elmo options = {.name = name};
    int r = begin();
    (void)settings;
    if (!r)
        r = read_file(path, name, &options.mark, err);
    go_through_door();
    return r ? r : load(ret_model, &options);
}

void elmo_model_free(struct elmo_model *model)
{
    fake_elmo_model_free(model);
}
