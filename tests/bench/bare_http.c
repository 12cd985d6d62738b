/* A minimal server on libmicrohttpd: reads the body of a POST and answers with a text of a given
 * size. Flags, memory and threads are those of server/http/http.c. With "handoff" the connection is
 * suspended and another thread resumes it, as in a server that computes in other threads. Writes
 * its port to a file and serves until a signal ends it.
 *
 * usage: bare_http PORT_FILE THREADS ANSWER_BYTES [handoff] */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
    struct MHD_Connection *connection;
    struct request *next;
    int resumed;
};

static char *answer;
static size_t n_answer;
static int hands_off;
static struct {
    pthread_mutex_t mu; /* guards the members below */
    pthread_cond_t not_empty;
    struct request *first, **last;
} waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &waiting.first};

static void hand_off(struct request *r)
{
    MHD_suspend_connection(r->connection);
    pthread_mutex_lock(&waiting.mu);
    *waiting.last = r;
    waiting.last = &r->next;
    pthread_mutex_unlock(&waiting.mu);
    pthread_cond_signal(&waiting.not_empty);
}

static void *resume_all(void *arg)
{
    for (;;) {
        pthread_mutex_lock(&waiting.mu);
        while (!waiting.first)
            pthread_cond_wait(&waiting.not_empty, &waiting.mu);
        struct request *r = waiting.first;
        waiting.first = NULL;
        waiting.last = &waiting.first;
        pthread_mutex_unlock(&waiting.mu);
        while (r) {
            struct request *next = r->next;
            r->resumed = 1;
            MHD_resume_connection(r->connection);
            r = next;
        }
    }
    return arg;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n_bytes, void **request)
{
    struct request *r = *request;
    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    (void)bytes;
    if (!r) {
        r = calloc(1, sizeof *r);
        if (!r)
            return MHD_NO;
        r->connection = connection;
        *request = r;
        return MHD_YES;
    }
    if (*n_bytes > 0) {
        *n_bytes = 0;
        return MHD_YES;
    }
    if (hands_off && !r->resumed) {
        hand_off(r);
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n_answer, answer, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result queued = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return queued;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)connection;
    (void)code;
    free(*request);
    *request = NULL;
}

static int write_port(const char *path, unsigned port)
{
    FILE *file = fopen(path, "w");
    return file && fprintf(file, "127.0.0.1:%u\n", port) > 0 && fclose(file) == 0 ? 0 : -1;
}

int main(int argc, char *argv[])
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: bare_http PORT_FILE THREADS ANSWER_BYTES [handoff]\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned n_threads = (unsigned)strtoul(argv[2], NULL, 10);
    n_answer = strtoul(argv[3], NULL, 10);
    answer = malloc(n_answer + 1);
    if (!answer)
        return 1;
    memset(answer, ' ', n_answer);
    pthread_t resumer;
    hands_off = argc == 5;
    if (hands_off && pthread_create(&resumer, NULL, resume_all, NULL))
        return 1;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &address,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_THREAD_POOL_SIZE, n_threads,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(32 * 1024), MHD_OPTION_CONNECTION_LIMIT, 1024U,
        MHD_OPTION_CONNECTION_TIMEOUT, 60U, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info || write_port(argv[1], info->port)) {
        fprintf(stderr, "bare_http: it could not start\n");
        return 1;
    }
    for (;;)
        pause();
}
