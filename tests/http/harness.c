#define _GNU_SOURCE /* environ */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct server {
    pid_t pid;
    char folder[64]; /* temporary; holds the log and the port file */
    char log_file[128], port_file[128];
    struct sockaddr_in address;
    int control; /* our end of the wire to a SERVER_FAKE */
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- The server ---- */

static const char *binary(enum server_kind kind)
{
    const char *path = getenv(kind == SERVER_FAKE ? "ELMOD_FAKE_BINARY" : "ELMOD_BINARY");
    assert_non_null(path);
    return path;
}

#define MAX_FLAGS 32

static size_t append_flags(const char **argv, size_t n, const char *const *flags)
{
    for (; flags && *flags; flags++) {
        assert_true(n < MAX_FLAGS - 1);
        argv[n++] = *flags;
    }
    argv[n] = NULL;
    return n;
}

/* elmod takes ELMOD_ variables for its configuration; ours, and those of whoever runs the tests,
 * are none. */
static void drop_elmod_variables(void)
{
    size_t n_kept = 0;
    for (size_t i = 0; environ[i]; i++) {
        if (strncmp(environ[i], "ELMOD_", 6) != 0)
            environ[n_kept++] = environ[i];
    }
    environ[n_kept] = NULL;
}

/* In the child: the log is its output, the control wire its fd 3. */
static void exec_server(const char *const *argv, const char *log_file, int control)
{
    int log = open(log_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
        (control >= 0 && dup2(control, 3) < 0))
        _exit(99);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
    drop_elmod_variables();
    execv(argv[0], (char *const *)argv);
    _exit(98);
}

static struct server *spawn(enum server_kind kind, const char *const flags[], bool loads_when_told)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    snprintf(server->folder, sizeof server->folder, "/tmp/elmod-test-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->log_file, sizeof server->log_file, "%s/log", server->folder);
    snprintf(server->port_file, sizeof server->port_file, "%s/port", server->folder);
    const char *argv[MAX_FLAGS] = {
        binary(kind), "--listen", "127.0.0.1:0", "--port-file", server->port_file,
        "--threads",  "1"};
    append_flags(argv, 7, flags);
    int wire[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire), 0);
    server->control = wire[0];
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        setenv("FAKE_ELMO_LOADS", loads_when_told ? "when told" : "at once", 1);
        exec_server(argv, server->log_file, wire[1]);
    }
    close(wire[1]);
    return server;
}

static void read_port_file(struct server *server)
{
    char text[64] = "";
    time_t give_up = now_s() + PATIENCE_S;
    FILE *file;
    while (!(file = fopen(server->port_file, "r"))) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0 || now_s() > give_up) {
            char *log = server_log(server);
            fail_msg("elmod did not start: %s", log);
        }
        nap();
    }
    assert_non_null(fgets(text, sizeof text, file)); /* it appears whole */
    fclose(file);
    const char *port = strrchr(text, ':');
    assert_non_null(port);
    server->address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void wait_for_health(const struct server *server, const char *path)
{
    time_t give_up = now_s() + PATIENCE_S;
    for (;;) {
        struct response r = get(server, path);
        unsigned status = r.status;
        response_done(&r);
        if (status == 200)
            return;
        assert_true(now_s() < give_up);
        nap();
    }
}

struct server *server_start_unloaded(enum server_kind kind, const char *const flags[])
{
    struct server *server = spawn(kind, flags, true);
    read_port_file(server);
    wait_for_health(server, "/health/live");
    return server;
}

struct server *server_start(enum server_kind kind, const char *const flags[])
{
    struct server *server = spawn(kind, flags, false);
    read_port_file(server);
    wait_for_health(server, "/health/ready");
    return server;
}

void server_signal(struct server *server, int number)
{
    assert_int_equal(kill(server->pid, number), 0);
}

pid_t server_pid(const struct server *server)
{
    return server->pid;
}

static void server_free(struct server *server)
{
    unlink(server->log_file);
    unlink(server->port_file);
    rmdir(server->folder);
    close(server->control);
    free(server);
}

#define PRINT_MAX 512 /* cmocka cuts longer texts */

/* Waits for the end of a process with patience; its log goes to stderr when it failed. */
static int wait_for_exit(pid_t pid)
{
    int status = 0;
    time_t give_up = now_s() + PATIENCE_S;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_s() > give_up) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            fail_msg("elmod did not end");
        }
        nap();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int server_wait(struct server *server)
{
    int status = wait_for_exit(server->pid);
    if (status != 0) {
        char *log = server_log(server);
        for (const char *at = log; *at; at += strnlen(at, PRINT_MAX))
            print_message("%.*s", PRINT_MAX, at);
        free(log);
    }
    server_free(server);
    return status;
}

void server_stop(struct server *server)
{
    server_signal(server, SIGTERM);
    assert_int_equal(server_wait(server), 0);
}

bool server_accepts(const struct server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int r = connect(fd, (const struct sockaddr *)&server->address, sizeof server->address);
    assert_true(r == 0 || errno == ECONNREFUSED);
    close(fd);
    return r == 0;
}

struct sockaddr_in server_address(const struct server *server)
{
    return server->address;
}

const char *server_port_file(const struct server *server)
{
    return server->port_file;
}

void server_tell(struct server *server, char command)
{
    char reply = 0;
    struct pollfd pfd = {.fd = server->control, .events = POLLIN};
    assert_int_equal(write(server->control, &command, 1), 1);
    assert_int_equal(poll(&pfd, 1, PATIENCE_S * 1000), 1);
    ssize_t n = read(server->control, &reply, 1);
    assert_true(n == 0 || (n == 1 && reply == command)); /* 0: it has obeyed, and come to its end */
}

static char *read_file(const char *path)
{
    size_t n = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    for (size_t r = 1; file && r > 0; n += r) {
        if (n + 1 == capacity)
            text = realloc(text, capacity *= 2);
        assert_non_null(text);
        r = fread(text + n, 1, capacity - n - 1, file);
    }
    if (file)
        fclose(file);
    text[n] = '\0';
    return text;
}

char *server_log(const struct server *server)
{
    return read_file(server->log_file);
}

int run_elmod(const char *const flags[], char **ret_stderr)
{
    char path[] = "/tmp/elmod-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const char *argv[MAX_FLAGS] = {binary(SERVER_REAL)};
    append_flags(argv, 1, flags);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        exec_server(argv, path, -1);
    int status = wait_for_exit(pid);
    *ret_stderr = read_file(path);
    unlink(path);
    return status;
}

/* ---- What it counts and logs ---- */

double metric(const struct server *server, const char *series)
{
    struct response r = get(server, "/metrics");
    assert_int_equal(r.status, 200);
    size_t n = strlen(series);
    const char *line = r.body;
    while (line && !(strncmp(line, series, n) == 0 && line[n] == ' ')) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        fail_msg("no metric %s", series);
    double value = strtod(line + n, NULL);
    response_done(&r);
    return value;
}

void wait_for_metric(const struct server *server, const char *series, double value)
{
    time_t give_up = now_s() + PATIENCE_S;
    while (metric(server, series) != value) {
        if (now_s() > give_up)
            fail_msg("%s never became %g", series, value);
        nap();
    }
}

size_t n_in_log(const struct server *server, const char *words)
{
    char *log = server_log(server);
    size_t n = 0;
    for (const char *at = log; (at = strstr(at, words)); at++)
        n++;
    free(log);
    return n;
}

void wait_for_log(const struct server *server, const char *words, size_t n)
{
    time_t give_up = now_s() + PATIENCE_S;
    while (n_in_log(server, words) < n) {
        if (now_s() > give_up)
            fail_msg("%s is not in the log %zu times", words, n);
        nap();
    }
}
