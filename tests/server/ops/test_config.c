#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ops/config.h"
#include "support/fail_alloc.h"

#define MAX_WORDS 8

/* One run of config_load and what it printed. */
struct run {
    enum config_outcome outcome;
    struct config config;
    char *out, *err; /* owned */
};

static void run_done_auto(struct run *run)
{
    if (run->outcome == CONFIG_RUN || run->outcome == CONFIG_CHECK)
        config_done(&run->config);
    free(run->out);
    free(run->err);
}

/* `flags` and `environment` are NULL-terminated; NULL: none. */
static struct run load(char *const *flags, char *const *environment)
{
    static char *const nothing[] = {NULL};
    char *argv[MAX_WORDS + 2] = {"elmod"};
    int argc = 1;
    for (; flags && flags[argc - 1]; argc++)
        argv[argc] = flags[argc - 1];

    struct run run;
    memset(&run, 0, sizeof run);
    size_t n_out, n_err;
    FILE *out = open_memstream(&run.out, &n_out), *err = open_memstream(&run.err, &n_err);
    assert_non_null(out);
    assert_non_null(err);
    run.outcome =
        config_load(&run.config, argc, argv, environment ? environment : nothing, out, err);
    fclose(out);
    fclose(err);
    return run;
}

#define WORDS(...) ((char *const[]){__VA_ARGS__, NULL})
#define RUN        __attribute__((cleanup(run_done_auto))) struct run

/* Writes a configuration file; the path is valid until the next call. */
static char *write_file(const char *content)
{
    static char path[64];
    strcpy(path, "/tmp/elmod-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    return path;
}

static void assert_error(const struct run *run, const char *part)
{
    assert_int_equal(run->outcome, CONFIG_ERROR);
    assert_string_equal(run->out, "");
    if (!strstr(run->err, part))
        fail_msg("'%s' is not in: %s", part, run->err);
    assert_int_equal(strncmp(run->err, "elmod: ", 7), 0);
    assert_ptr_equal(strchr(run->err, '\n'), run->err + strlen(run->err) - 1); /* one line */
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    RUN run = load(NULL, NULL);
    assert_int_equal(run.outcome, CONFIG_RUN);
    assert_string_equal(run.config.model, "");
    assert_string_equal(run.config.listen, "127.0.0.1:8080");
    assert_string_equal(run.config.port_file, "");
    assert_int_equal(run.config.threads, 0);
    assert_int_equal(run.config.log_format, LOG_FORMAT_JSON);
    assert_int_equal(run.config.log_level, LOG_INFO);
    assert_int_equal(run.config.max_body_bytes, 4194304);
    assert_int_equal(run.config.max_request_tokens, 16384);
    assert_int_equal(run.config.drain_grace_ms, 0);
    assert_string_equal(run.config.api_keys, "");
    assert_string_equal(run.config.tls_cert, "");
    assert_string_equal(run.config.cors_origins, "");
    assert_string_equal(run.err, "");
}

static void flags_take_their_value_in_both_forms(void **state)
{
    (void)state;
    RUN run = load(WORDS("--max-inputs", "8", "--model=a=b", "--log-level=debug"), NULL);
    assert_int_equal(run.outcome, CONFIG_RUN);
    assert_int_equal(run.config.max_inputs, 8);
    assert_string_equal(run.config.model, "a=b");
    assert_int_equal(run.config.log_level, LOG_DEBUG);
}

static void the_last_of_two_equal_flags_counts(void **state)
{
    (void)state;
    RUN run = load(WORDS("--threads", "1", "--threads", "2"), NULL);
    assert_int_equal(run.outcome, CONFIG_RUN);
    assert_int_equal(run.config.threads, 2);
}

static void flag_beats_environment_beats_file_beats_default(void **state)
{
    (void)state;
    char *path = write_file("{\"threads\": 1, \"max_inputs\": 1, \"max_tokens\": 1,"
                            " \"listen\": \"localhost:1\", \"log_format\": \"text\"}");
    RUN run = load(WORDS("--config", path, "--threads", "3"),
                   WORDS("ELMOD_THREADS=2", "ELMOD_MAX_INPUTS=2"));
    unlink(path);
    assert_int_equal(run.outcome, CONFIG_RUN);
    assert_int_equal(run.config.threads, 3);
    assert_int_equal(run.config.max_inputs, 2);
    assert_int_equal(run.config.max_tokens, 1);
    assert_int_equal(run.config.http_threads, 2);
    assert_string_equal(run.config.listen, "localhost:1");
    assert_int_equal(run.config.log_format, LOG_FORMAT_TEXT);
}

static void the_file_is_named_by_flag_or_environment(void **state)
{
    (void)state;
    char *path = write_file("{\"threads\": 7}");
    char variable[128];
    snprintf(variable, sizeof variable, "ELMOD_CONFIG=%s", path);
    {
        RUN run = load(NULL, WORDS(variable));
        assert_int_equal(run.outcome, CONFIG_RUN);
        assert_int_equal(run.config.threads, 7);
    }
    {
        RUN run = load(WORDS("--config", path), WORDS("ELMOD_CONFIG=/not/there"));
        assert_int_equal(run.outcome, CONFIG_RUN);
        assert_int_equal(run.config.threads, 7);
    }
    unlink(path);
}

static void unknown_names_are_errors_with_a_suggestion(void **state)
{
    (void)state;
    static const struct {
        char *flag, *variable;
        const char *message;
    } cases[] = {
        {"--thread", NULL, "--thread is not known; did you mean --threads?"},
        {"--max_inputs=1", NULL, "--max_inputs is not known; did you mean --max-inputs?"},
        {"--halp", NULL, "--halp is not known; did you mean --help?"},
        {"--ELMOD_THREADS", NULL, "--ELMOD_THREADS is not known; see elmod --help"},
        {"model.safetensors", NULL, "model.safetensors is not known; see elmod --help"},
        {"-h", NULL, "-h is not known"},
        {"", NULL, " is not known"},
        {"--", NULL, "-- is not known"},
        {NULL, "ELMOD_THREAD=1", "ELMOD_THREAD is not known; did you mean ELMOD_THREADS?"},
        {NULL, "ELMOD_=1", "ELMOD_ is not known"},
        {NULL, "ELMOD_threads=1", "ELMOD_threads is not known"},
        {NULL, "ELMOD_HELP=1", "ELMOD_HELP is not known"},
        {NULL, "ELMOD_PORT=8080", "ELMOD_PORT is not known"},
        {NULL, "ELMOD_X=_SERVICE_HOST", "ELMOD_X is not known"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RUN run = load(cases[i].flag ? WORDS(cases[i].flag) : NULL,
                       cases[i].variable ? WORDS(cases[i].variable) : NULL);
        assert_error(&run, cases[i].message);
    }
}

static void names_however_long_are_only_unknown(void **state)
{
    (void)state;
    char flag[1000];
    for (size_t n = 3; n < sizeof flag; n += 7) {
        memset(flag, 'x', n);
        memcpy(flag, "--", 2);
        flag[n] = '\0';
        RUN run = load(WORDS(flag), NULL);
        assert_error(&run, "is not known");
    }
}

static void variables_of_others_are_passed_over(void **state)
{
    (void)state;
    RUN run = load(NULL, WORDS("PATH=/bin", "ELMO_THREADS=x", "ELMOD=1", "XELMOD_Y=1",
                               "ELMOD_SERVICE_HOST=10.0.0.1", "ELMOD_SERVICE_PORT=80",
                               "ELMOD_SERVICE_PORT_HTTP=80", "ELMOD_PORT=tcp://10.0.0.1:80"));
    assert_int_equal(run.outcome, CONFIG_RUN);
    RUN more = load(NULL, WORDS("ELMOD_PORT_80_TCP=tcp://10.0.0.1:80", "ELMOD_PORT_80_TCP_PORT=80",
                                "ELMOD_CANARY_SERVICE_HOST=10.0.0.2",
                                "ELMOD_CANARY_PORT=udp://10.0.0.2:1"));
    assert_int_equal(more.outcome, CONFIG_RUN);
}

static void values_out_of_range_name_their_source(void **state)
{
    (void)state;
    static const struct {
        char *flag, *variable;
        const char *message;
    } cases[] = {
        {"--threads=1025", NULL, "--threads: must be 0..1024, got '1025'"},
        {"--threads=x", NULL, "--threads: must be 0..1024, got 'x'"},
        {"--threads=", NULL, "--threads: must be 0..1024, got ''"},
        {"--threads=-1", NULL, "got '-1'"},
        {"--threads=+1", NULL, "got '+1'"},
        {"--threads= 1", NULL, "got ' 1'"},
        {"--threads=1 ", NULL, "got '1 '"},
        {"--threads=1k", NULL, "got '1k'"},
        {"--threads=0x1", NULL, "got '0x1'"},
        {"--threads=1.0", NULL, "got '1.0'"},
        {"--threads=18446744073709551616", NULL, "got '18446744073709551616'"},
        {"--max-inputs=0", NULL, "--max-inputs: must be 1..1048576, got '0'"},
        {"--log-level=trace", NULL, "--log-level: must be error|warn|info|debug, got 'trace'"},
        {"--log-level=warn|info", NULL, "got 'warn|info'"},
        {"--log-level=inf", NULL, "got 'inf'"},
        {"--log-level=", NULL, "got ''"},
        {"--dtype=f16", NULL, "--dtype: must be f32|bf16|int8, got 'f16'"},
        {"--listen=8080", NULL, "--listen: must be HOST:PORT, got '8080'"},
        {"--threads", NULL, "--threads: needs a value"},
        {"--config", NULL, "--config: needs a value"},
        {"--help=yes", NULL, "--help: takes no value"},
        {NULL, "ELMOD_THREADS=", "ELMOD_THREADS: must be 0..1024, got ''"},
        {NULL, "ELMOD_LISTEN=x", "ELMOD_LISTEN: must be HOST:PORT, got 'x'"},
        {"--config=/not/there", NULL, "/not/there"},
        {"--tls-min-version=1.1", NULL, "--tls-min-version: must be 1.2|1.3, got '1.1'"},
        {"--tls-cert=c", NULL, "tls-cert and tls-key must be given together"},
        {NULL, "ELMOD_TLS_KEY=k", "tls-cert and tls-key must be given together"},
        {"--cors-origins=https://a/", NULL,
         "--cors-origins: must be SCHEME://HOST[:PORT],... or *, got 'https://a/'"},
        {"--queue-tokens=5", NULL, "queue-tokens (5) must be at least max-request-tokens (16384)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RUN run = load(cases[i].flag ? WORDS(cases[i].flag) : NULL,
                       cases[i].variable ? WORDS(cases[i].variable) : NULL);
        assert_error(&run, cases[i].message);
    }
}

static void a_wrong_value_is_an_error_even_when_hidden(void **state)
{
    (void)state;
    RUN run = load(WORDS("--threads=1"), WORDS("ELMOD_THREADS=x"));
    assert_error(&run, "ELMOD_THREADS: must be 0..1024, got 'x'");
}

static void the_bounds_of_a_range_are_in_it(void **state)
{
    (void)state;
    RUN low = load(WORDS("--threads=0", "--max-inputs=1"), NULL);
    assert_int_equal(low.outcome, CONFIG_RUN);
    RUN high = load(WORDS("--threads=1024", "--max-body-bytes=1073741824"), NULL);
    assert_int_equal(high.outcome, CONFIG_RUN);
    assert_int_equal(high.config.max_body_bytes, 1073741824);
}

static void bad_files_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *content, *message;
    } cases[] = {
        {"", ":1: "},
        {"{\"threads\": 1", ":1: "},
        {"{\n\"threads\": x}", ":2: "},
        {"[]", ": must be a JSON object"},
        {"{\"threads\": 1, \"threads\": 2}", "duplicate"},
        {"{\"threads\": \"1\"}", ": threads: must be an integer"},
        {"{\"threads\": 1.5}", ": threads: must be an integer"},
        {"{\"threads\": null}", ": threads: must be an integer"},
        {"{\"threads\": -1}", ": threads: must be 0..1024, got '-1'"},
        {"{\"threads\": 99999999999999999999}", ":1: "},
        {"{\"model\": 1}", ": model: must be a string"},
        {"{\"log_format\": 0}", ": log_format: must be a string"},
        {"{\"log_format\": \"xml\"}", ": log_format: must be json|text, got 'xml'"},
        {"{\"max-inputs\": 1}", ": max-inputs is not known; did you mean max_inputs?"},
        {"{\"config\": \"x\"}", ": config is not known"},
        {"{\"model\": \"a\\u0000b\"}", ":1: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = write_file(cases[i].content);
        RUN run = load(WORDS("--config", path), NULL);
        unlink(path);
        assert_error(&run, cases[i].message);
        assert_non_null(strstr(run.err, path));
    }
}

static void every_prefix_of_a_file_is_an_error(void **state)
{
    (void)state;
    static const char content[] = "{\"threads\": 1, \"model\": \"m\", \"log_level\": \"warn\"}";
    for (size_t n = 0; n < sizeof content - 1; n++) {
        char prefix[sizeof content];
        memcpy(prefix, content, n);
        prefix[n] = '\0';
        char *path = write_file(prefix);
        RUN run = load(WORDS("--config", path), NULL);
        unlink(path);
        assert_error(&run, path);
    }
}

static void help_names_every_option_with_its_default(void **state)
{
    (void)state;
    RUN run = load(WORDS("--help", "--threads", "x"), WORDS("ELMOD_NONSENSE=1"));
    assert_int_equal(run.outcome, CONFIG_EXIT);
    static const char *const parts[] = {
        "--model FILE",
        "--listen HOST:PORT",
        "ELMOD_LISTEN; default \"127.0.0.1:8080\"",
        "--log-level error|warn|info|debug",
        "ELMOD_LOG_LEVEL; default info",
        "ELMOD_MAX_BODY_BYTES; 1..1073741824, default 4194304",
        "--retry-after-ms N",
        "--config FILE",
        "ELMOD_CONFIG",
        "--print-config",
        "--health-check",
        "--version",
        "--help",
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!strstr(run.out, parts[i]))
            fail_msg("--help does not say '%s'", parts[i]);
    size_t n_flags = 0;
    for (const char *p = run.out; (p = strstr(p, "\n  --")); p++)
        n_flags++;
    assert_int_equal(n_flags, 39 + 5);
}

static void version_is_one_line(void **state)
{
    (void)state;
    RUN run = load(WORDS("--version"), NULL);
    assert_int_equal(run.outcome, CONFIG_EXIT);
    assert_int_equal(strncmp(run.out, "elmod ", 6), 0);
    assert_true(run.out[6] >= '0' && run.out[6] <= '9');
    assert_ptr_equal(strchr(run.out, '\n'), run.out + strlen(run.out) - 1);
}

static void assert_line(const char *text, const char *name, const char *value, const char *source)
{
    char line[256];
    snprintf(line, sizeof line, "%-24s %-20s # %s\n", name, value, source);
    if (!strstr(text, line))
        fail_msg("no line '%s' in:\n%s", line, text);
}

static void print_config_shows_each_value_and_its_source(void **state)
{
    (void)state;
    char *path = write_file("{\"max_tokens\": 99, \"model\": \"a\\\"b\"}");
    RUN run = load(WORDS("--print-config", "--threads", "2", "--config", path),
                   WORDS("ELMOD_LOG_LEVEL=warn"));
    unlink(path);
    assert_int_equal(run.outcome, CONFIG_EXIT);
    assert_line(run.out, "threads", "2", "flag");
    assert_line(run.out, "log_level", "\"warn\"", "environment");
    assert_line(run.out, "max_tokens", "99", "file");
    assert_line(run.out, "model", "\"a\\\"b\"", "file");
    assert_line(run.out, "listen", "\"127.0.0.1:8080\"", "default");
    size_t n_lines = 0;
    for (const char *p = run.out; (p = strchr(p, '\n')); p++)
        n_lines++;
    assert_int_equal(n_lines, 39);
}

static void health_check_has_the_same_configuration(void **state)
{
    (void)state;
    RUN run = load(WORDS("--health-check"), WORDS("ELMOD_LISTEN=[::]:81"));
    assert_int_equal(run.outcome, CONFIG_CHECK);
    assert_string_equal(run.config.listen, "[::]:81");
}

static void print_config_does_not_hide_errors(void **state)
{
    (void)state;
    RUN run = load(WORDS("--print-config", "--threads", "x"), NULL);
    assert_error(&run, "--threads");
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    char *path = write_file("{\"model\": \"m\", \"threads\": 1}");
    char *argv[] = {"elmod", "--listen", "[::1]:0", "--config", path, NULL};
    char *envp[] = {"ELMOD_PORT_FILE=p", NULL};
    json_set_alloc_funcs(malloc, free); /* ours, which fail */
    bool done = false;
    size_t n_good = 0;
    for (; !done; n_good++) {
        FILE *null = fopen("/dev/null", "w");
        assert_non_null(null);
        struct config config;
        fail_alloc_after(n_good);
        enum config_outcome outcome = config_load(&config, 5, argv, envp, null, null);
        done = fail_alloc_stop() == 0;
        assert_int_equal(outcome, done ? CONFIG_RUN : CONFIG_ERROR);
        if (outcome == CONFIG_RUN)
            config_done(&config);
        fclose(null);
    }
    assert_true(n_good > 6); /* three defaults, three texts, and what jansson takes */
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(flags_take_their_value_in_both_forms),
        cmocka_unit_test(the_last_of_two_equal_flags_counts),
        cmocka_unit_test(flag_beats_environment_beats_file_beats_default),
        cmocka_unit_test(the_file_is_named_by_flag_or_environment),
        cmocka_unit_test(unknown_names_are_errors_with_a_suggestion),
        cmocka_unit_test(names_however_long_are_only_unknown),
        cmocka_unit_test(variables_of_others_are_passed_over),
        cmocka_unit_test(values_out_of_range_name_their_source),
        cmocka_unit_test(a_wrong_value_is_an_error_even_when_hidden),
        cmocka_unit_test(the_bounds_of_a_range_are_in_it),
        cmocka_unit_test(bad_files_say_where),
        cmocka_unit_test(every_prefix_of_a_file_is_an_error),
        cmocka_unit_test(help_names_every_option_with_its_default),
        cmocka_unit_test(version_is_one_line),
        cmocka_unit_test(print_config_shows_each_value_and_its_source),
        cmocka_unit_test(health_check_has_the_same_configuration),
        cmocka_unit_test(print_config_does_not_hide_errors),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
