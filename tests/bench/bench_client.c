/* One connection that is kept, one request after the other: what a client waits, at the best that
 * it can have. Prints requests, median and 99th percentile of the latency, bytes received; asserts
 * nothing.
 *
 * usage: bench_client PORT PATH BODY_FILE SECONDS */
#define _GNU_SOURCE /* memmem */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LATENCIES 1000000
#define MAX_REQUEST   (16 << 20)
#define MAX_ANSWER    (256 << 20)

static double latencies_us[MAX_LATENCIES];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int connect_to(const char *port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The whole request, to send it at once. */
static char *make_request(const char *path, const char *body_file, size_t *ret_n)
{
    char *body = malloc(MAX_REQUEST), *request = malloc(MAX_REQUEST + 1024);
    FILE *file = fopen(body_file, "r");
    if (!body || !request || !file)
        die(body_file);
    size_t n_body = fread(body, 1, MAX_REQUEST, file);
    fclose(file);
    int n = snprintf(request, 1024,
                     "POST %.500s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     path, n_body);
    memcpy(request + n, body, n_body);
    free(body);
    *ret_n = (size_t)n + n_body;
    return request;
}

static void send_all(int fd, const char *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = send(fd, bytes, n_bytes, MSG_NOSIGNAL);
        if (n <= 0)
            die("send");
        bytes += n;
        n_bytes -= (size_t)n;
    }
}

/* Whether the n bytes are a whole answer; the last chunk is told by its text, which no JSON has. */
static bool is_whole(const char *bytes, size_t n)
{
    static const char last_chunk[] = "\r\n0\r\n\r\n";
    size_t n_last = sizeof last_chunk - 1;
    const char *end = memmem(bytes, n < 4096 ? n : 4096, "\r\n\r\n", 4);
    const char *length = end ? strcasestr(bytes, "\r\nContent-Length:") : NULL;
    if (length && length < end)
        return n >= (size_t)(end + 4 - bytes) + strtoul(length + 17, NULL, 10);
    return end && n > n_last && memcmp(bytes + n - n_last, last_chunk, n_last) == 0;
}

static size_t receive_answer(int fd, char *answer)
{
    size_t n_bytes = 0;
    do {
        ssize_t n = recv(fd, answer + n_bytes, MAX_ANSWER - n_bytes, 0);
        if (n <= 0)
            die("recv");
        n_bytes += (size_t)n;
        answer[n_bytes] = '\0';
    } while (!is_whole(answer, n_bytes));
    return n_bytes;
}

int main(int argc, char *argv[])
{
    if (argc != 5) {
        fprintf(stderr, "usage: bench_client PORT PATH BODY_FILE SECONDS\n");
        return 2;
    }
    size_t n_request, n = 0;
    char *request = make_request(argv[2], argv[3], &n_request), *answer = malloc(MAX_ANSWER + 1);
    if (!answer)
        die("malloc");
    int fd = connect_to(argv[1]);
    double begun_us = now_us(), n_bytes = 0, seconds = strtod(argv[4], NULL);
    while (n < MAX_LATENCIES && now_us() - begun_us < seconds * 1e6) {
        double sent_us = now_us();
        send_all(fd, request, n_request);
        n_bytes += (double)receive_answer(fd, answer);
        latencies_us[n++] = now_us() - sent_us;
    }
    double took_s = (now_us() - begun_us) / 1e6;
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        fprintf(stderr, "%.200s\n", answer);
    qsort(latencies_us, n, sizeof latencies_us[0], by_size);
    printf("%8.0f requests/s  p50 %9.1f us  p99 %9.1f us  %8.1f MB/s\n", (double)n / took_s,
           latencies_us[n / 2], latencies_us[n * 99 / 100], n_bytes / took_s / 1e6);
    close(fd);
    free(answer);
    free(request);
    return 0;
}
