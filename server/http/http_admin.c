#include "http_admin.h"

#include <microhttpd.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "listener.h"
#include "protocol/problem.h"
#include "text/json_write.h"

#define MAX_CONNECTIONS 16u
#define TIMEOUT_S       10u

struct http_admin {
    struct service *service; /* borrowed */
    const char *path;        /* borrowed from the configuration */
    struct MHD_Daemon *daemon;
    pthread_mutex_t mu; /* guards everything below */
    pthread_cond_t is_idle;
    size_t n_busy; /* requests whose answer is not sent */
};

struct answer {
    unsigned status;
    const char *content_type;
    struct buffer out;
};

static void answer_problem(struct answer *answer, enum problem_code code, const char *detail)
{
    struct problem problem;
    problem_init(&problem);
    problem_set(&problem, code, "%s", detail);
    answer->status = problem_status(code);
    answer->content_type = "application/problem+json";
    problem_write(&answer->out, &problem);
}

static void reload(struct service *service, struct answer *answer)
{
    struct live_models_result result;
    struct json_writer w = {.out = &answer->out};
    live_models_reload_now(service->models, &result);
    if (!result.ok) {
        answer_problem(answer, PROBLEM_INTERNAL, result.reason);
        return;
    }
    answer->status = MHD_HTTP_OK;
    answer->content_type = "application/json";
    json_write_object_begin(&w);
    json_write_text_member(&w, "model", result.model);
    json_write_text_member(&w, "sha256", result.sha256);
    json_write_object_end(&w);
}

static void answer_request(struct service *service, const char *url, const char *method,
                           struct answer *answer)
{
    enum service_state state = atomic_load_explicit(&service->state, memory_order_acquire);
    if (strcmp(url, "/reload") != 0)
        answer_problem(answer, PROBLEM_NOT_FOUND, "There is nothing at this path but /reload.");
    else if (strcmp(method, "POST") != 0)
        answer_problem(answer, PROBLEM_METHOD_NOT_ALLOWED, "This path takes POST.");
    else if (state == SERVICE_LOADING)
        answer_problem(answer, PROBLEM_LOADING, "The first model is being loaded.");
    else if (state == SERVICE_DRAINING)
        answer_problem(answer, PROBLEM_DRAINING, "The server is shutting down.");
    else
        reload(service, answer);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
    size_t n_bytes;
    char *bytes = buffer_take(&answer->out, &n_bytes);
    struct MHD_Response *response =
        bytes ? MHD_create_response_from_buffer(n_bytes, bytes, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response) {
        free(bytes);
        return MHD_NO;
    }
    bool ok = MHD_add_response_header(response, "Content-Type", answer->content_type) == MHD_YES &&
              (answer->status != MHD_HTTP_METHOD_NOT_ALLOWED ||
               MHD_add_response_header(response, "Allow", "POST") == MHD_YES) &&
              MHD_add_response_header(response, "Connection", "close") == MHD_YES &&
              MHD_queue_response(connection, answer->status, response) == MHD_YES;
    MHD_destroy_response(response);
    return ok ? MHD_YES : MHD_NO;
}

static void begin(struct http_admin *admin)
{
    pthread_mutex_lock(&admin->mu);
    admin->n_busy++;
    pthread_mutex_unlock(&admin->mu);
}

static void end(struct http_admin *admin)
{
    pthread_mutex_lock(&admin->mu);
    if (--admin->n_busy == 0)
        pthread_cond_broadcast(&admin->is_idle);
    pthread_mutex_unlock(&admin->mu);
}

static char head_seen, begun; /* what *request points to */

static void on_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    if (*request == &begun)
        end(cls);
}

/* Once for the headers, for each piece of a body, of which nothing is wanted, and for its end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n_bytes, void **request)
{
    struct http_admin *admin = cls;
    struct answer answer = {0};
    (void)version;
    (void)bytes;
    if (!*request || *n_bytes > 0) {
        *request = &head_seen;
        *n_bytes = 0;
        return MHD_YES;
    }
    *request = &begun;
    begin(admin);
    /* Loading takes its time, and would count as silence of the client. */
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    answer_request(admin->service, url, method, &answer);
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, TIMEOUT_S);
    return send_answer(connection, &answer);
}

static void admin_free(struct http_admin *admin)
{
    pthread_cond_destroy(&admin->is_idle);
    pthread_mutex_destroy(&admin->mu);
    free(admin);
}

struct http_admin *http_admin_start(struct service *service, const char *path,
                                    const char **ret_reason)
{
    struct http_admin *admin = calloc(1, sizeof *admin);
    int fd = admin ? listener_open_unix(path, ret_reason) : -1;
    if (fd < 0) {
        free(admin);
        return NULL;
    }
    admin->service = service;
    admin->path = path;
    pthread_mutex_init(&admin->mu, NULL);
    pthread_cond_init(&admin->is_idle, NULL);
    admin->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request,
                         admin, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, admin, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
                         MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
    if (admin->daemon)
        return admin;
    close(fd);
    unlink(path);
    admin_free(admin);
    return NULL;
}

void http_admin_stop(struct http_admin *admin)
{
    if (!admin)
        return;
    unlink(admin->path);
    pthread_mutex_lock(&admin->mu);
    while (admin->n_busy > 0)
        pthread_cond_wait(&admin->is_idle, &admin->mu);
    pthread_mutex_unlock(&admin->mu);
    MHD_stop_daemon(admin->daemon); /* it closes the socket */
    admin_free(admin);
}
