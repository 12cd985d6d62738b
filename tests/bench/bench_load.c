/* Generates load over sockets. In an open loop requests are sent at random times (Poisson) at a
 * given rate, whatever the server does. Latency then counts from the time at which a request should
 * have been sent, also if it had to wait for a free connection. In a closed loop every client sends
 * its next request when it has the answer to the last one.
 *
 *     bench_load --address 127.0.0.1:8080 [--path /embed] [--output default]
 *                [--format float|base64] [--texts N | --body FILE] [--seconds N]
 *                [--connections N] (--rates 100,200,.. | --clients 1,8,64,..)
 *
 * A request has the next N texts of sentences.txt, or the body in FILE. Prints a row of a table for
 * every rate or number of clients, after a second of warm-up. Answers other than 200 count only as
 * refused. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "bench_options.h"
#include "load_client.h"
#include "text/json_write.h"
#include "util/clock.h"

#define MAX_BODIES      256
#define MAX_CONNECTIONS 4096
#define MAX_WAITING     (1 << 20)
#define WARM_UP_NS      NS_PER_SEC
#define PATIENCE_NS     (10 * NS_PER_SEC) /* for open requests at the end */

struct load {
    struct sockaddr_in address;
    struct buffer requests[MAX_BODIES]; /* whole HTTP requests, sent in turn */
    size_t n_requests, next_request;
    struct load_client clients[MAX_CONNECTIONS];
    struct load_client *free[MAX_CONNECTIONS]; /* clients with nothing to do */
    size_t n_clients, n_free;
    int epoll, timer;
    double rate; /* requests a second; 0: a closed loop */
    uint64_t begin_ns, end_ns, next_ns;
    uint64_t waiting[MAX_WAITING]; /* ring of intended times without a connection */
    size_t waiting_first, n_waiting;
    double *latencies_ms; /* [n_latencies] */
    size_t n_latencies, n_latencies_max;
    size_t n_answered, n_tokens, n_refused, n_broken; /* between begin_ns and end_ns */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- Requests ---- */

struct text_options {
    const char *path, *output, *format, *body_file;
    size_t n_texts;
};

static void add_request(struct load *load, const char *path, const struct buffer *body)
{
    struct buffer *request = &load->requests[load->n_requests++];
    buffer_printf(request,
                  "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  path, body->n_bytes);
    buffer_append(request, body->bytes, body->n_bytes);
    if (request->failed)
        fail("requests");
}

static void write_body(struct buffer *body, const struct text_options *options, char *const *lines,
                       size_t n_lines, size_t first)
{
    struct json_writer w = {.out = body};
    json_write_object_begin(&w);
    if (strcmp(options->path, "/embed") == 0) {
        json_write_key(&w, "outputs");
        json_write_array_begin(&w);
        json_write_string(&w, options->output, strlen(options->output));
        json_write_array_end(&w);
        json_write_key(&w, "encoding_format");
        json_write_string(&w, options->format, strlen(options->format));
    }
    json_write_key(&w, "inputs");
    json_write_array_begin(&w);
    for (size_t i = 0; i < options->n_texts; i++) {
        const char *line = lines[(first + i) % n_lines];
        json_write_string(&w, line, strlen(line));
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
}

/* One request for each sentence that it may begin with. */
static void make_requests(struct load *load, const struct text_options *options)
{
    char *lines[MAX_BODIES], line[4096];
    size_t n_lines = 0;
    FILE *in = fopen(options->body_file ? options->body_file : BENCH_SENTENCES, "r");
    if (!in)
        fail("body");
    if (options->body_file) {
        AUTO(buffer_done) struct buffer body = {0};
        for (size_t n; (n = fread(line, 1, sizeof line, in)) > 0;)
            buffer_append(&body, line, n);
        add_request(load, options->path, &body);
    }
    while (n_lines < MAX_BODIES && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = '\0';
        if (!(lines[n_lines++] = strdup(line)))
            fail("sentences");
    }
    fclose(in);
    for (size_t i = 0; i < n_lines; i++) {
        AUTO(buffer_done) struct buffer body = {0};
        write_body(&body, options, lines, n_lines, i);
        add_request(load, options->path, &body);
    }
    for (size_t i = 0; i < n_lines; i++)
        free(lines[i]);
}

/* ---- Connections ---- */

static void open_clients(struct load *load, size_t n)
{
    load->n_clients = load->n_free = n;
    for (size_t i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = &load->clients[i]};
        load->free[i] = &load->clients[i];
        if (!load_client_open(&load->clients[i], &load->address) ||
            epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->clients[i].fd, &event))
            fail("connect");
    }
}

static void close_clients(struct load *load)
{
    for (size_t i = 0; i < load->n_clients; i++)
        load_client_close(&load->clients[i]);
}

/* ---- Answers ---- */

static void note_latency(struct load *load, uint64_t intended_ns, uint64_t now_ns)
{
    if (load->n_latencies == load->n_latencies_max) {
        load->n_latencies_max = load->n_latencies_max ? 2 * load->n_latencies_max : 4096;
        load->latencies_ms =
            realloc(load->latencies_ms, load->n_latencies_max * sizeof *load->latencies_ms);
        if (!load->latencies_ms)
            fail("latencies");
    }
    load->latencies_ms[load->n_latencies++] = (double)(now_ns - intended_ns) / NS_PER_MS;
}

static bool is_counted(const struct load *load, uint64_t ns)
{
    return ns >= load->begin_ns && ns < load->end_ns;
}

static void note_answer(struct load *load, const struct load_client *client)
{
    uint64_t now_ns = clock_now_ns();
    if (load_client_status(client) != 200) {
        load->n_refused += is_counted(load, client->intended_ns);
        return;
    }
    if (is_counted(load, client->intended_ns))
        note_latency(load, client->intended_ns, now_ns);
    if (is_counted(load, now_ns)) {
        load->n_answered++;
        load->n_tokens += load_client_tokens(client);
    }
}

static void begin(struct load *load, struct load_client *client, uint64_t intended_ns)
{
    load_client_begin(client, &load->requests[load->next_request++ % load->n_requests],
                      intended_ns);
}

/* The client has its answer. In an open loop it sends the request that has waited longest, in a
 * closed loop a new one. */
static void begin_next(struct load *load, struct load_client *client)
{
    uint64_t now_ns = clock_now_ns();
    if (load->rate == 0 && now_ns < load->end_ns) {
        begin(load, client, now_ns);
    } else if (load->n_waiting > 0) {
        begin(load, client, load->waiting[load->waiting_first++ % MAX_WAITING]);
        load->n_waiting--;
    } else {
        load->free[load->n_free++] = client;
    }
}

static void step(struct load *load, struct load_client *client)
{
    while (client->busy) {
        switch (load_client_step(client)) {
        case LOAD_UNDER_WAY: return;
        case LOAD_ANSWERED:
            note_answer(load, client);
            begin_next(load, client);
            break;
        case LOAD_BROKEN: /* the client is not connected again */
            load->n_broken++;
            client->busy = false;
            break;
        }
    }
}

static void send_one(struct load *load, uint64_t intended_ns)
{
    struct load_client *client = load->free[--load->n_free];
    begin(load, client, intended_ns);
    step(load, client);
}

/* ---- One rate, or one number of clients ---- */

static double uniform(void) /* in (0, 1) */
{
    static uint64_t state = 1;
    state = state * 6364136223846793005U + 1442695040888963407U;
    return ((double)(state >> 12) + 0.5) / 4503599627370496.0;
}

/* Sends all requests that are due, and sets the timer for the next one. */
static void send_due(struct load *load)
{
    uint64_t now_ns = clock_now_ns();
    while (load->next_ns <= now_ns && load->next_ns < load->end_ns) {
        if (load->n_free > 0)
            send_one(load, load->next_ns);
        else if (load->n_waiting < MAX_WAITING)
            load->waiting[(load->waiting_first + load->n_waiting++) % MAX_WAITING] = load->next_ns;
        load->next_ns += (uint64_t)(-log(uniform()) * NS_PER_SEC / load->rate) + 1;
    }
    struct itimerspec at = {.it_value = clock_timespec(load->next_ns)};
    timerfd_settime(load->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static size_t n_under_way(const struct load *load)
{
    return load->n_clients - load->n_free - load->n_broken;
}

static void run(struct load *load, uint64_t seconds)
{
    uint64_t now_ns = clock_now_ns();
    load->begin_ns = now_ns + WARM_UP_NS;
    load->end_ns = load->begin_ns + seconds * NS_PER_SEC;
    load->next_ns = now_ns;
    load->waiting_first = load->n_waiting = load->n_latencies = 0;
    load->n_answered = load->n_tokens = load->n_refused = load->n_broken = 0;
    for (size_t n = load->rate == 0 ? load->n_clients : 0; n > 0; n--)
        send_one(load, now_ns);
    while ((now_ns = clock_now_ns()) < load->end_ns + PATIENCE_NS &&
           (now_ns < load->end_ns || n_under_way(load) + load->n_waiting > 0)) {
        struct epoll_event events[64];
        int n = epoll_wait(load->epoll, events, 64, 10);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                step(load, events[i].data.ptr);
        if (load->rate > 0)
            send_due(load);
    }
}

/* Requests without an answer count with the time until now. */
static size_t note_unanswered(struct load *load)
{
    uint64_t now_ns = clock_now_ns();
    size_t n_before = load->n_latencies;
    for (size_t i = 0; i < load->n_waiting; i++) {
        uint64_t intended_ns = load->waiting[(load->waiting_first + i) % MAX_WAITING];
        if (is_counted(load, intended_ns))
            note_latency(load, intended_ns, now_ns);
    }
    for (size_t i = 0; i < load->n_clients; i++)
        if (load->clients[i].busy && is_counted(load, load->clients[i].intended_ns))
            note_latency(load, load->clients[i].intended_ns, now_ns);
    return load->n_latencies - n_before;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct load *load, double p)
{
    return load->n_latencies ? load->latencies_ms[(size_t)(p * (double)(load->n_latencies - 1))]
                             : NAN;
}

static void measure(struct load *load, size_t n_clients, double rate, uint64_t seconds)
{
    load->rate = rate;
    open_clients(load, n_clients);
    run(load, seconds);
    size_t n_unanswered = note_unanswered(load);
    close_clients(load);
    if (load->n_latencies > 0)
        qsort(load->latencies_ms, load->n_latencies, sizeof *load->latencies_ms, by_value);
    char offered[32];
    snprintf(offered, sizeof offered, rate > 0 ? "%.0f/s" : "%.0f clients",
             rate > 0 ? rate : (double)n_clients);
    printf("| %s | %.0f | %.0f | %.2f | %.2f | %zu | %zu | %zu |\n", offered,
           (double)load->n_answered / (double)seconds, (double)load->n_tokens / (double)seconds,
           percentile(load, 0.5), percentile(load, 0.99), load->n_refused, n_unanswered,
           load->n_broken);
    fflush(stdout);
}

/* ---- Options ---- */

static bool parse_address(struct sockaddr_in *ret, const char *text)
{
    char host[64];
    unsigned port;
    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX)
        return false;
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

int main(int argc, char **argv)
{
    static struct load load;
    const struct text_options texts = {
        .path = option(argc, argv, "--path", "/embed"),
        .output = option(argc, argv, "--output", "default"),
        .format = option(argc, argv, "--format", "float"),
        .body_file = option(argc, argv, "--body", NULL),
        .n_texts = strtoul(option(argc, argv, "--texts", "1"), NULL, 10),
    };
    const char *rates = option(argc, argv, "--rates", NULL);
    const char *clients = option(argc, argv, "--clients", NULL);
    uint64_t seconds = strtoul(option(argc, argv, "--seconds", "5"), NULL, 10);
    size_t n_connections = strtoul(option(argc, argv, "--connections", "256"), NULL, 10);
    const char *list = rates ? rates : clients;
    if (!parse_address(&load.address, option(argc, argv, "--address", "127.0.0.1:8080")) || !list ||
        argc % 2 == 0 || seconds < 1 || seconds > 3600 || n_connections < 1 ||
        n_connections > MAX_CONNECTIONS || texts.n_texts < 1) {
        fprintf(stderr, "usage: see the top of bench_load.c\n");
        return 2;
    }
    make_requests(&load, &texts);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (load.epoll < 0 || load.timer < 0 ||
        epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.timer, &event))
        fail("epoll");
    for (char *next; *list; list = next + (*next == ',')) {
        double n = strtod(list, &next);
        if (next == list || !(n >= 1) || (!rates && n > MAX_CONNECTIONS))
            break;
        if (rates)
            measure(&load, n_connections, n, seconds);
        else
            measure(&load, (size_t)n, 0, seconds);
    }
    for (size_t i = 0; i < load.n_requests; i++)
        buffer_done(&load.requests[i]);
    free(load.latencies_ms);
    return 0;
}
