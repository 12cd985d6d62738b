/* Each case runs in its own process: signals_init may be called once, and signals may end the
 * process. */
#define _GNU_SOURCE /* posix_openpt, grantpt, unlockpt, ptsname */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/signals.h"

/* Runs the case in a child; returns its exit status. */
static int status_of(int (*run)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(run());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool stopped_by(int number)
{
    return atomic_load(signals_stop()) == number;
}

static int asked_once_for_many(void)
{
    signals_init();
    for (int i = 0; i < 3; i++)
        kill(getpid(), SIGHUP);
    bool first = signals_wait() && stopped_by(0);
    kill(getpid(), SIGHUP);
    bool second = signals_wait();
    kill(getpid(), SIGTERM);
    bool stop = !signals_wait() && stopped_by(SIGTERM); /* so there was no third */
    return first && second && stop ? 0 : 1;
}

static void sighup_asks_once_for_all_that_came(void **state)
{
    (void)state;
    assert_int_equal(status_of(asked_once_for_many), 0);
}

static int stop_with_a_reload_waiting(void)
{
    signals_init();
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGINT);
    return !signals_wait() && !signals_wait() && stopped_by(SIGINT) ? 0 : 1;
}

static void stopping_comes_first(void **state)
{
    (void)state;
    assert_int_equal(status_of(stop_with_a_reload_waiting), 0);
}

static int stop_twice(void)
{
    signals_init();
    kill(getpid(), SIGINT);
    kill(getpid(), SIGTERM);
    return 0;
}

static void a_second_signal_to_stop_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(status_of(stop_twice), 128 + SIGTERM);
}

static int held_back(void)
{
    sigset_t before;
    signals_init();
    signals_hold(&before);
    kill(getpid(), SIGTERM);
    bool was_held = stopped_by(0);
    signals_release(&before);
    return was_held && stopped_by(SIGTERM) ? 0 : 1;
}

static void signals_are_held_back(void **state)
{
    (void)state;
    assert_int_equal(status_of(held_back), 0);
}

/* The service in the foreground of a terminal: reports that it is ready, then what stopped it. */
static int serve_in_terminal(int says)
{
    char byte = 0;
    alarm(60);
    signals_init();
    bool told = write(says, &byte, 1) == 1;
    byte = signals_wait() ? 0 : (char)atomic_load(signals_stop());
    return told && write(says, &byte, 1) == 1 ? 0 : 1;
}

/* Leads a session with a terminal, and ends when its service is ready. */
static int lead_session(const char *terminal, int hears, int says)
{
    char byte;
    setsid();
    int own = open(terminal, O_RDWR); /* the session's from now on */
    pid_t service = own >= 0 ? fork() : -1;
    if (service == 0)
        _exit(serve_in_terminal(says));
    return service > 0 && read(hears, &byte, 1) == 1 ? 0 : 1;
}

/* Closing the window of a shell ends the session leader while another process is in the
 * foreground. */
static int terminal_closes(void)
{
    int words[2];
    char byte = 0;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) || unlockpt(terminal) || pipe(words))
        return 1;
    pid_t leader = fork();
    if (leader == 0)
        _exit(lead_session(ptsname(terminal), words[0], words[1]));
    bool led = leader > 0 && waitpid(leader, NULL, 0) == leader;
    return led && read(words[0], &byte, 1) == 1 && byte == SIGHUP ? 0 : 1;
}

static void a_terminal_that_closes_stops_what_ran_in_it(void **state)
{
    (void)state;
    assert_int_equal(status_of(terminal_closes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sighup_asks_once_for_all_that_came),
        cmocka_unit_test(stopping_comes_first),
        cmocka_unit_test(a_second_signal_to_stop_ends_the_process),
        cmocka_unit_test(signals_are_held_back),
        cmocka_unit_test(a_terminal_that_closes_stops_what_ran_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
