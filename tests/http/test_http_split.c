/* One client asks for a thousand texts at once, others for single ones meanwhile, of the model that
 * ships: the large request is computed in pieces, beside and between the others, and everybody gets
 * the vectors of a text that is computed alone, to the bit. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

#ifdef __SANITIZE_THREAD__ /* the model takes a hundred times as long */
enum { N_TEXTS = 60, N_ROUNDS = 2 };
#else
enum { N_TEXTS = 1000, N_ROUNDS = 25 };
#endif
enum { N_DISTINCT = 40, N_CLIENTS = 8, TEXT_MAX = 256 };

static struct server *server;
static char texts[N_DISTINCT][TEXT_MAX];
static char *alone[N_DISTINCT]; /* the vector of a text, in base64 */

static int start(void **state)
{
    (void)state;
    const char *const flags[] = {"--threads", "2", "--batch-tokens", "300", "--request-timeout-ms",
                                 "3600000",   NULL};
    server = server_start(SERVER_REAL, flags);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(server);
    return 0;
}

/* 1 to 20 words, another text for every index. */
static void make_text(size_t index, char text[static TEXT_MAX])
{
    static const char *const words[] = {"a",    "gripping", "film", "that", "nobody", "likes",
                                        "very", "much",     ",",    "but",  "I",      "do"};
    size_t n = (size_t)snprintf(text, TEXT_MAX, "%zu", index);
    for (size_t w = 0; w < index * 7 % 20; w++)
        n += (size_t)snprintf(text + n, TEXT_MAX - n, " %s", words[(index + w) % 12]);
}

/* The texts first, first + 1, .. of the distinct ones, round and round; free() it. */
static char *body_of(size_t first, size_t n_texts)
{
    char *body;
    size_t n_bytes;
    FILE *out = open_memstream(&body, &n_bytes);
    assert_non_null(out);
    fprintf(out, "{\"outputs\":[\"default\"],\"encoding_format\":\"base64\",\"inputs\":[");
    for (size_t i = 0; i < n_texts; i++)
        fprintf(out, "%s\"%s\"", i ? "," : "", texts[(first + i) % N_DISTINCT]);
    fprintf(out, "]}");
    assert_int_equal(fclose(out), 0);
    return body;
}

/* The answer's vectors are those of the texts first, first + 1, .. computed alone. */
static bool is_right(const struct response *r, size_t first, size_t n_texts)
{
    if (r->status != 200) {
        print_error("%u: %s\n", r->status, r->body);
        return false;
    }
    json_t *json = response_json(r);
    const json_t *data = json_object_get(json, "data");
    bool right = json_array_size(data) == n_texts;
    for (size_t i = 0; i < n_texts && right; i++) {
        const char *vector = json_string_value(json_object_get(json_array_get(data, i), "default"));
        right = vector && strcmp(vector, alone[(first + i) % N_DISTINCT]) == 0;
    }
    json_decref(json);
    return right;
}

static void compute_alone(size_t index)
{
    char *body = body_of(index, 1);
    struct response r = post(server, "/embed", body);
    assert_int_equal(r.status, 200);
    json_t *json = response_json(&r);
    const json_t *item = json_array_get(json_object_get(json, "data"), 0);
    const char *vector = json_string_value(json_object_get(item, "default"));
    assert_non_null(vector);
    alone[index] = strdup(vector);
    assert_non_null(alone[index]);
    json_decref(json);
    response_done(&r);
    free(body);
}

struct asker {
    pthread_t thread;
    size_t index, n_right;
};

static void *ask_for_single_texts(void *arg)
{
    struct asker *asker = arg;
    struct client client = client_open(server);
    for (size_t i = 0; i < N_ROUNDS; i++) {
        char *body = body_of(asker->index * N_ROUNDS + i, 1);
        client_post(&client, "/embed", "", body);
        struct response r = client_read(&client);
        asker->n_right += is_right(&r, asker->index * N_ROUNDS + i, 1);
        response_done(&r);
        free(body);
    }
    client_close(&client);
    return NULL;
}

static void a_thousand_texts_and_single_ones_get_their_own_answers(void **state)
{
    (void)state;
    struct asker askers[N_CLIENTS];
    for (size_t i = 0; i < N_DISTINCT; i++) {
        make_text(i, texts[i]);
        compute_alone(i);
    }
    double n_batches = metric(server, "elmod_batch_requests_count");
    char *body = body_of(0, N_TEXTS);
    struct client large = client_open(server);
    client_post(&large, "/embed", "", body);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        askers[i] = (struct asker){.index = i};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_for_single_texts, &askers[i]),
                         0);
    }
    struct response r = client_read(&large);
    assert_true(is_right(&r, 0, N_TEXTS));
    response_done(&r);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].n_right, N_ROUNDS);
    }
    /* A text has ten tokens on average. */
    assert_true(metric(server, "elmod_batch_requests_count") >= n_batches + N_TEXTS * 10 / 300);
    assert_true(metric(server, "elmod_queue_tokens") == 0);
    assert_true(metric(server, "elmod_queue_requests") == 0);
    client_close(&large);
    free(body);
    for (size_t i = 0; i < N_DISTINCT; i++)
        free(alone[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_texts_and_single_ones_get_their_own_answers),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
