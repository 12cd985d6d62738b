/* Another model takes the place of the one that serves, while clients ask and answers are sent. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define SMALL "{\"inputs\":\"a b c\",\"outputs\":[\"elmo\",\"default\"]}" /* costs 3 + 2 */

#define RELOADS_OK     "elmod_model_reloads_total{result=\"ok\"}"
#define RELOADS_FAILED "elmod_model_reloads_total{result=\"failed\"}"

/* ---- Model files ---- */

static char folder[] = "/tmp/elmod-reload-XXXXXX";
static char model_file[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_file, sizeof model_file, "%s/model", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(model_file);
    return rmdir(folder);
}

/* Puts a file in the place of the model's, as an operator should: written beside it, and renamed.
 */
static void put_file(const char *text)
{
    char beside[80];
    snprintf(beside, sizeof beside, "%s.new", model_file);
    FILE *file = fopen(beside, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(beside, model_file), 0);
}

/* A fake one, of the name "model-MARK". */
static void put_model(unsigned mark)
{
    char text[64];
    snprintf(text, sizeof text, "model-%u %u\n", mark, mark);
    put_file(text);
}

/* ---- The server ---- */

static struct server *start_with(unsigned mark, const char *flag, const char *value)
{
    put_model(mark);
    const char *const flags[] = {"--model", model_file, flag, value, NULL};
    return server_start(SERVER_FAKE, flags);
}

static struct server *start(unsigned mark)
{
    return start_with(mark, NULL, NULL);
}

static void reload(struct server *server, unsigned mark, double n_ok)
{
    put_model(mark);
    server_signal(server, SIGHUP);
    wait_for_metric(server, RELOADS_OK, n_ok);
}

/* ---- Answers ---- */

static unsigned number_at(const json_t *row, size_t index)
{
    return (unsigned)json_number_value(json_array_get(row, index));
}

/* Which model made the answer; the test fails where a part of it is of another one. */
static unsigned model_of(const struct response *r)
{
    unsigned mark = 0;
    if (r->status != 200)
        fail_msg("status %u: %s", r->status, r->body);
    json_t *json = response_json(r);
    const json_t *data = json_array_get(json_object_get(json, "data"), 0);
    const json_t *rows = json_object_get(data, "elmo"), *pooled = json_object_get(data, "default");
    assert_int_equal(sscanf(json_string_value(json_object_get(json, "model")), "model-%u", &mark),
                     1);
    for (size_t t = 0; t < json_array_size(rows); t++)
        assert_int_equal(number_at(json_array_get(rows, t), 3), mark);
    if (pooled)
        assert_int_equal(number_at(pooled, 2), mark);
    json_decref(json);
    return mark;
}

static unsigned ask_model(const struct server *server)
{
    struct response r = post(server, "/embed", SMALL);
    unsigned mark = model_of(&r);
    response_done(&r);
    return mark;
}

static void assert_model(struct client *client, unsigned mark)
{
    struct response r = client_read(client);
    assert_int_equal(model_of(&r), mark);
    response_done(&r);
}

static struct client ask(const struct server *server)
{
    struct client client = client_open(server);
    client_post(&client, "/embed", "", SMALL);
    return client;
}

/* ---- What stays and what changes ---- */

static void the_next_request_has_the_new_model(void **state)
{
    (void)state;
    struct server *server = start(1);
    assert_int_equal(ask_model(server), 1);
    reload(server, 2, 1);
    assert_int_equal(ask_model(server), 2);
    struct response r = get(server, "/info");
    assert_non_null(strstr(r.body, "\"name\":\"model-2\""));
    response_done(&r);
    r = get(server, "/metrics");
    assert_non_null(strstr(r.body, "elmod_model_info{name=\"model-2\""));
    assert_null(strstr(r.body, "model-1"));
    response_done(&r);
    wait_for_log(server, "\"event\":\"reloaded\",\"model\":\"model-2\",\"sha256\":\"0123", 1);
    wait_for_log(server, "\"event\":\"unloaded\"", 1);
    server_stop(server);
}

static void a_bad_file_leaves_the_old_model_and_says_why(void **state)
{
    (void)state;
    struct server *server = start(1);
    put_file("nonsense");
    server_signal(server, SIGHUP);
    wait_for_metric(server, RELOADS_FAILED, 1);
    wait_for_log(server, "\"reload_failed\",\"reason\":\"/tmp/elmod-reload-", 1);
    wait_for_log(server, "not \\\"NAME MARK\\\"\"", 1);
    assert_int_equal(ask_model(server), 1);
    unlink(model_file);
    server_signal(server, SIGHUP);
    wait_for_metric(server, RELOADS_FAILED, 2);
    wait_for_log(server, "No such file", 1);
    assert_int_equal(ask_model(server), 1);
    reload(server, 2, 1);
    assert_int_equal(ask_model(server), 2);
    server_stop(server);
}

/* ---- Requests under way ---- */

static void what_waits_is_answered_by_the_model_it_came_to(void **state)
{
    (void)state;
    struct server *server = start(1);
    server_tell(server, 's');
    struct client running = ask(server);
    server_tell(server, 'w');
    struct client waiting = ask(server);
    wait_for_metric(server, "elmod_queue_requests", 1);
    reload(server, 2, 1);
    struct client later = ask(server);
    wait_for_metric(server, "elmod_batch_requests_count", 2); /* both models run one */
    assert_int_equal(n_in_log(server, "\"unloaded\""), 0);
    server_tell(server, 'o');
    assert_model(&running, 1);
    assert_model(&waiting, 1);
    assert_model(&later, 2);
    wait_for_log(server, "\"unloaded\"", 1);
    client_close(&running);
    client_close(&waiting);
    client_close(&later);
    server_stop(server);
}

static void the_limit_of_the_queue_holds_for_both_models(void **state)
{
    (void)state;
    put_model(1);
    const char *const flags[] = {
        "--model", model_file, "--queue-tokens", "10", "--max-request-tokens", "10", NULL};
    struct server *server = server_start(SERVER_FAKE, flags);
    struct client clients[3];
    server_tell(server, 's');
    clients[0] = ask(server);
    server_tell(server, 'w');
    for (int i = 1; i < 3; i++) {
        clients[i] = ask(server);
        wait_for_metric(server, "elmod_queue_requests", i);
    }
    reload(server, 2, 1);
    assert_true(metric(server, "elmod_queue_tokens") == 10);
    struct response r = post(server, "/embed", SMALL);
    assert_problem(&r, 429, "queue_full");
    response_done(&r);
    server_tell(server, 'o');
    for (int i = 0; i < 3; i++) {
        assert_model(&clients[i], 1);
        client_close(&clients[i]);
    }
    assert_int_equal(ask_model(server), 2);
    assert_true(metric(server, "elmod_queue_tokens") == 0);
    server_stop(server);
}

#define N_TOKENS 300000 /* the answer has 8.5 MB: more than the sockets take where nobody reads */

static struct server *start_for_long_requests(void)
{
    put_model(1);
    const char *const flags[] = {"--model",
                                 model_file,
                                 "--max-tokens",
                                 "300000",
                                 "--max-request-tokens",
                                 "400000",
                                 "--queue-tokens",
                                 "400000",
                                 "--drain-timeout-ms",
                                 "300",
                                 NULL};
    return server_start(SERVER_FAKE, flags);
}

/* Has asked for a long answer that is computed, and does not read it yet. */
static struct client begin_long_answer(const struct server *server)
{
    char *body = long_request(N_TOKENS);
    double batches = metric(server, "elmod_batch_requests_count");
    struct client client = client_open_narrow(server);
    client_post(&client, "/embed", "", body);
    free(body);
    wait_for_metric(server, "elmod_batch_requests_count", batches + 1);
    return client;
}

static void an_answer_half_sent_goes_on_from_the_old_model(void **state)
{
    (void)state;
    struct server *server = start_for_long_requests();
    struct client slow = begin_long_answer(server);
    reload(server, 2, 1);
    assert_int_equal(ask_model(server), 2);
    assert_int_equal(n_in_log(server, "\"unloaded\""), 0);
    assert_model(&slow, 1);
    wait_for_log(server, "\"unloaded\"", 1);
    client_post(&slow, "/embed", "", SMALL); /* on the same connection */
    assert_model(&slow, 2);
    client_close(&slow);
    server_stop(server);
}

#define N_DOCUMENTS 60 /* 6 MB */

/* What is not vectors is whole in memory before it is sent, and of no model. */
static void who_does_not_read_the_document_keeps_no_model(void **state)
{
    (void)state;
    struct server *server = start_for_long_requests();
    struct client slow = client_open_narrow(server);
    for (int k = 0; k < N_DOCUMENTS; k++) /* more than the sockets take */
        client_get(&slow, "/openapi.yaml", "");
    wait_for_metric(server, "elmod_inflight_requests", 2); /* with the one that asks */
    reload(server, 2, 1);
    wait_for_log(server, "\"unloaded\"", 1);
    reload(server, 3, 2);
    wait_for_log(server, "\"unloaded\"", 2);
    for (int k = 0; k < N_DOCUMENTS; k++) {
        struct response r = client_read(&slow);
        assert_int_equal(r.status, 200);
        response_done(&r);
    }
    client_close(&slow);
    server_stop(server);
}

/* Who reads slowly, or never, keeps one model in memory, but not one for every reload. */
static void there_are_never_three_models(void **state)
{
    (void)state;
    struct server *server = start_for_long_requests();
    struct client slow = begin_long_answer(server);
    reload(server, 2, 1);
    put_model(3);
    server_signal(server, SIGHUP);
    wait_for_metric(server, RELOADS_FAILED, 1);
    wait_for_log(server, "\"reason\":\"answers of the previous model", 1);
    assert_int_equal(ask_model(server), 2);
    client_close(&slow);
    wait_for_log(server, "\"unloaded\"", 1);
    reload(server, 3, 2);
    assert_int_equal(ask_model(server), 3);
    server_stop(server);
}

/* ---- Clients all the time ---- */

enum { N_CLIENTS = 6, N_RELOADS = 20 };

static atomic_bool clients_end;

struct asker {
    const struct server *server;
    size_t index, n_answers;
};

static void *ask_again_and_again(void *arg)
{
    static const char *const paths[] = {"/embed", "/sentiment", "/tokenize"};
    struct asker *asker = arg;
    struct client client = client_open(asker->server);
    unsigned last = 0;
    for (; !clients_end; asker->n_answers++) {
        const char *path = paths[(asker->index + asker->n_answers) % 3];
        bool embed = strcmp(path, "/embed") == 0;
        client_post(&client, path, "", embed ? SMALL : "{\"inputs\":\"a b c\"}");
        struct response r = client_read(&client);
        unsigned mark = model_of(&r);
        assert_true(mark >= last);
        last = mark;
        response_done(&r);
    }
    client_close(&client);
    return NULL;
}

static void no_request_fails_or_has_parts_of_two_models(void **state)
{
    (void)state;
    struct server *server = start_with(1, "--threads", "2");
    struct asker askers[N_CLIENTS];
    pthread_t threads[N_CLIENTS];
    size_t n_answers = 0;
    clients_end = false;
    for (size_t i = 0; i < N_CLIENTS; i++) {
        askers[i] = (struct asker){.server = server, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_again_and_again, &askers[i]), 0);
    }
    for (unsigned n = 1; n <= N_RELOADS; n++)
        reload(server, 1 + n, n);
    clients_end = true;
    for (size_t i = 0; i < N_CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        n_answers += askers[i].n_answers;
    }
    wait_for_metric(server, "elmod_inflight_requests", 1); /* the scrape itself */
    double n_good = 0;
    n_good += metric(server, "elmod_requests_total{path=\"/embed\",code=\"200\"}");
    n_good += metric(server, "elmod_requests_total{path=\"/sentiment\",code=\"200\"}");
    n_good += metric(server, "elmod_requests_total{path=\"/tokenize\",code=\"200\"}");
    assert_true(n_answers >= N_CLIENTS && n_good == (double)n_answers);
    wait_for_log(server, "\"unloaded\"", N_RELOADS);
    assert_int_equal(ask_model(server), 1 + N_RELOADS);
    server_stop(server);
}

/* Real files, of other sizes than one another, in turns; and what is mapped of them. */
static const char *const golden[] = {"tanh_deep", "no_projections"};

static size_t n_mapped(const struct server *server)
{
    char path[64], line[512];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)server_pid(server));
    FILE *maps = fopen(path, "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        n += strstr(line, "/tests/golden/") != NULL;
    fclose(maps);
    return n;
}

static void point_to_golden(size_t index)
{
    char target[512], beside[80];
    const char *root = getenv("ELMOD_SOURCE_ROOT");
    assert_non_null(root);
    snprintf(target, sizeof target, "%s/tests/golden/%s.safetensors", root, golden[index]);
    snprintf(beside, sizeof beside, "%s.new", model_file);
    assert_int_equal(symlink(target, beside), 0);
    assert_int_equal(rename(beside, model_file), 0);
}

static void *ask_golden(void *arg)
{
    struct asker *asker = arg;
    struct client client = client_open(asker->server);
    for (; !clients_end; asker->n_answers++) {
        client_post(&client, "/embed", "", SMALL);
        struct response r = client_read(&client);
        if (r.status != 200)
            fail_msg("status %u: %s", r.status, r.body);
        response_done(&r);
    }
    client_close(&client);
    return NULL;
}

static void the_memory_of_old_models_is_given_back(void **state)
{
    (void)state;
    point_to_golden(0);
    const char *const flags[] = {"--model", model_file, "--threads", "2", NULL};
    struct server *server = server_start(SERVER_REAL, flags);
    struct asker askers[2];
    pthread_t threads[2];
    size_t n_one = n_mapped(server);
    assert_in_range(n_one, 1, 3);
    clients_end = false;
    for (size_t i = 0; i < 2; i++) {
        askers[i] = (struct asker){.server = server};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_golden, &askers[i]), 0);
    }
    for (unsigned n = 1; n <= N_RELOADS; n++) {
        point_to_golden(n % 2);
        server_signal(server, SIGHUP);
        wait_for_metric(server, RELOADS_OK, n);
        assert_in_range(n_mapped(server), 1, 2 * n_one);
    }
    clients_end = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    wait_for_log(server, "\"unloaded\"", N_RELOADS);
    assert_int_equal(n_mapped(server), n_one);
    server_stop(server);
}

/* ---- Signals at any time ---- */

static void sighup_while_the_first_model_loads_loads_once_more(void **state)
{
    (void)state;
    put_model(1);
    const char *const flags[] = {"--model", model_file, NULL};
    struct server *server = server_start_unloaded(SERVER_FAKE, flags);
    server_signal(server, SIGHUP);
    server_tell(server, 'l');
    wait_for_log(server, "\"event\":\"ready\",\"model\":\"model-1\"", 1);
    wait_for_metric(server, RELOADS_OK, 1);
    server_stop(server);
}

static void signals_during_a_load_make_one_more(void **state)
{
    (void)state;
    struct server *server = start(1);
    server_tell(server, 'S');
    put_model(2);
    server_signal(server, SIGHUP);
    server_tell(server, 'W'); /* it has read the file */
    put_model(3);
    for (int i = 0; i < 3; i++)
        server_signal(server, SIGHUP);
    assert_int_equal(ask_model(server), 1);
    server_tell(server, 'O');
    wait_for_metric(server, RELOADS_OK, 2);
    assert_int_equal(ask_model(server), 3);
    reload(server, 4, 3);
    wait_for_log(server, "\"unloaded\"", 3);
    assert_int_equal(n_in_log(server, "\"reloaded\""), 3);
    server_stop(server);
}

static void sigterm_during_a_load_drains_as_ever(void **state)
{
    (void)state;
    struct server *server = start(1);
    server_tell(server, 's');
    struct client running = ask(server);
    server_tell(server, 'w');
    server_tell(server, 'S');
    put_model(2);
    server_signal(server, SIGHUP);
    server_tell(server, 'W');
    server_signal(server, SIGTERM);
    wait_for_log(server, "\"draining\"", 1); /* while the load stands there */
    server_tell(server, 'o');
    assert_model(&running, 1);
    client_expect_close(&running);
    client_close(&running);
    server_tell(server, 'O');
    assert_int_equal(server_wait(server), 0);
}

static void sighup_during_a_drain_does_nothing(void **state)
{
    (void)state;
    struct server *server = start(1);
    server_tell(server, 's');
    struct client running = ask(server);
    server_tell(server, 'w');
    server_signal(server, SIGTERM);
    wait_for_log(server, "\"draining\"", 1);
    put_model(2);
    server_signal(server, SIGHUP);
    server_tell(server, 'o');
    assert_model(&running, 1);
    client_close(&running);
    assert_int_equal(server_wait(server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_request_has_the_new_model),
        cmocka_unit_test(a_bad_file_leaves_the_old_model_and_says_why),
        cmocka_unit_test(what_waits_is_answered_by_the_model_it_came_to),
        cmocka_unit_test(the_limit_of_the_queue_holds_for_both_models),
        cmocka_unit_test(an_answer_half_sent_goes_on_from_the_old_model),
        cmocka_unit_test(who_does_not_read_the_document_keeps_no_model),
        cmocka_unit_test(there_are_never_three_models),
        cmocka_unit_test(no_request_fails_or_has_parts_of_two_models),
        cmocka_unit_test(the_memory_of_old_models_is_given_back),
        cmocka_unit_test(sighup_while_the_first_model_loads_loads_once_more),
        cmocka_unit_test(signals_during_a_load_make_one_more),
        cmocka_unit_test(sigterm_during_a_load_drains_as_ever),
        cmocka_unit_test(sighup_during_a_drain_does_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
