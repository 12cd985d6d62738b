/* Many clients at once, with the model that ships: everybody gets their own answer, and the same
 * one as alone. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"

enum { N_CLIENTS = 100 };

static struct server *server;

static int start(void **state)
{
    (void)state;
    const char *const flags[] = {"--threads", "2", "--http-threads", "2", "--request-timeout-ms",
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

struct question {
    size_t index;
    char body[512];
    struct response alone, together;
};

/* 1 to 3 inputs of 0 to 11 words; every question is another one. */
static void ask_about(struct question *q, size_t index)
{
    static const char *const words[] = {"a",    "gripping", "film", "that", "nobody", "likes",
                                        "very", "much",     ",",    "but",  "I",      "do"};
    size_t n = (size_t)sprintf(q->body, "{\"outputs\":[\"elmo\",\"default\"],\"inputs\":[");
    q->index = index;
    for (size_t i = 0; i <= index % 3; i++) {
        n += (size_t)sprintf(q->body + n, "%s\"%zu", i ? "," : "", index);
        for (size_t w = 0; w < (index * 7 + i * 5) % 12; w++)
            n += (size_t)sprintf(q->body + n, " %s", words[(index + w) % 12]);
        n += (size_t)sprintf(q->body + n, "\"");
    }
    sprintf(q->body + n, "]}");
}

static struct response ask(const struct question *q)
{
    char id[64];
    struct client client = client_open(server);
    snprintf(id, sizeof id, "X-Request-Id: question-%zu\r\n", q->index);
    client_post(&client, "/embed", id, q->body);
    struct response r = client_read(&client);
    client_close(&client);
    return r;
}

static void *ask_together(void *arg)
{
    struct question *q = arg;
    q->together = ask(q);
    return NULL;
}

/* The same JSON but for the last bits of its numbers: what is clipped to 3 here, an integer to
 * jansson, may be 2.9999998 there. */
static void assert_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a)) {
        assert_true(json_is_number(b));
        assert_true(fabs(json_number_value(a) - json_number_value(b)) <= 1e-5);
        return;
    }
    assert_int_equal(json_typeof(a), json_typeof(b));
    if (json_is_object(a)) {
        const char *key;
        json_t *value;
        assert_int_equal(json_object_size(a), json_object_size(b));
        json_object_foreach((json_t *)a, key, value) assert_same(value, json_object_get(b, key));
    } else if (json_is_array(a)) {
        assert_int_equal(json_array_size(a), json_array_size(b));
        for (size_t i = 0; i < json_array_size(a); i++)
            assert_same(json_array_get(a, i), json_array_get(b, i));
    } else {
        assert_true(json_equal(a, b));
    }
}

static void assert_own_answer(const struct question *q)
{
    char expected[64];
    snprintf(expected, sizeof expected, "question-%zu", q->index);
    char *id = response_field(&q->together, "X-Request-Id");
    assert_non_null(id);
    assert_string_equal(id, expected);
    free(id);
    if (q->together.status != 200)
        fail_msg("%u: %s", q->together.status, q->together.body);
    json_t *alone = response_json(&q->alone), *together = response_json(&q->together);
    assert_same(alone, together);
    json_decref(alone);
    json_decref(together);
}

static void parallel_answers_equal_the_single_ones(void **state)
{
    (void)state;
    struct question *questions = calloc(N_CLIENTS, sizeof *questions);
    pthread_t threads[N_CLIENTS];
    assert_non_null(questions);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        ask_about(&questions[i], i);
        questions[i].alone = ask(&questions[i]);
        assert_int_equal(questions[i].alone.status, 200);
    }
    for (size_t i = 0; i < N_CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_together, &questions[i]), 0);
    for (size_t i = 0; i < N_CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        assert_own_answer(&questions[i]);
        response_done(&questions[i].alone);
        response_done(&questions[i].together);
    }
    free(questions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_answers_equal_the_single_ones),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
