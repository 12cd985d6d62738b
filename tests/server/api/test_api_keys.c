#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api_keys.h"
#include "support/fail_alloc.h"
#include "util/buffer.h"

#define KEY       "k-0123456789abcd" /* of the least length */
#define OTHER_KEY "another-key-!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"

/* Loads a file with these bytes; its path is "" in messages then. */
static struct api_keys *load(const void *bytes, size_t n_bytes, struct elmo_error *err)
{
    char path[] = "/tmp/elmod-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n_bytes), (ssize_t)n_bytes);
    close(fd);
    struct api_keys *keys = api_keys_load(path, err);
    unlink(path);
    if (!keys) { /* the file is named first */
        assert_memory_equal(err->message, path, strlen(path));
        memmove(err->message, err->message + strlen(path), strlen(err->message + strlen(path)) + 1);
    }
    return keys;
}

static bool has(const struct api_keys *keys, const char *key)
{
    return api_keys_has(keys, key, strlen(key));
}

static void keys_are_taken_from_lines(void **state)
{
    (void)state;
    static const char *const files[] = {
        KEY "\n" OTHER_KEY "\n",
        KEY "\n" OTHER_KEY,
        "# of the front end\n" KEY "\n\n  \t\n\t" OTHER_KEY " \n#",
        "\r\n" KEY "\r\n" OTHER_KEY "\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct elmo_error err = {0};
        AUTO(api_keys_free) struct api_keys *keys = load(files[i], strlen(files[i]), &err);
        assert_non_null(keys);
        assert_int_equal(api_keys_count(keys), 2);
        assert_true(has(keys, KEY));
        assert_true(has(keys, OTHER_KEY));
    }
}

static void what_is_nearly_a_key_is_none(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    AUTO(api_keys_free) struct api_keys *keys = load(KEY "\n", sizeof KEY, &err);
    assert_non_null(keys);
    static const char *const others[] = {"",
                                         "k",
                                         KEY "x",
                                         "K-0123456789abcd",
                                         "# a comment",
                                         "k-0123456789abc",
                                         "k-0123456789abce",
                                         (" " KEY),
                                         OTHER_KEY};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(has(keys, others[i]));
    assert_false(api_keys_has(keys, KEY, sizeof KEY)); /* with its NUL */
}

static void a_bad_file_says_which_line_and_never_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_bytes; /* 0: all */
        const char *message;
    } cases[] = {
        {"", 0, ": there is no key in it"},
        {"\n# nothing\n", 0, ": there is no key in it"},
        {"k-0123456789abc\n", 0, ":1: a key has at least 16 characters"},
        {KEY "\n\nsecret", 0, ":3: a key has at least 16 characters"},
        {KEY "\nsecret secret secret", 0, ":2: a key has printable"},
        {"secret-secret-secret\x7f", 0, ":1: a key has printable"},
        {"secret-secret-secret\xc3\xa9", 0, ":1: a key has printable"},
        {"secret-secret\0secret", 20, ":1: a key has printable"},
        {"secret-secret-secret\0", 21, ":1: a key has printable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elmo_error err = {0};
        size_t n_bytes = cases[i].n_bytes ? cases[i].n_bytes : strlen(cases[i].text);
        assert_null(load(cases[i].text, n_bytes, &err));
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: %s", i, err.message);
        assert_null(strstr(err.message, "secret"));
    }
}

static void the_length_of_a_key_is_limited(void **state)
{
    (void)state;
    char line[API_KEY_MAX_CHARS + 2];
    memset(line, 'k', sizeof line);
    for (size_t n = API_KEY_MAX_CHARS; n <= API_KEY_MAX_CHARS + 1; n++) {
        struct elmo_error err = {0};
        AUTO(api_keys_free) struct api_keys *keys = load(line, n, &err);
        assert_int_equal(keys != NULL, n == API_KEY_MAX_CHARS);
        assert_int_equal(err.message[0] == '\0', n == API_KEY_MAX_CHARS);
    }
}

static void the_number_of_keys_is_limited(void **state)
{
    (void)state;
    for (size_t n = API_KEYS_MAX; n <= API_KEYS_MAX + 1; n++) {
        struct elmo_error err = {0};
        AUTO(buffer_done) struct buffer text = {0};
        for (size_t i = 0; i < n; i++)
            buffer_printf(&text, "key-number-%08zu\n", i);
        AUTO(api_keys_free) struct api_keys *keys = load(text.bytes, text.n_bytes, &err);
        if (n == API_KEYS_MAX) {
            assert_non_null(keys);
            assert_true(has(keys, "key-number-00000000"));
            assert_true(has(keys, "key-number-00001023"));
            assert_false(has(keys, "key-number-00001024"));
        } else {
            assert_null(keys);
            assert_string_equal(err.message, ":1025: there are more than 1024 keys");
        }
    }
}

static void the_size_of_the_file_is_limited(void **state)
{
    (void)state;
    char *text = malloc(API_KEYS_MAX_BYTES + 1);
    assert_non_null(text);
    memset(text, '#', API_KEYS_MAX_BYTES + 1);
    memcpy(text, KEY "\n", sizeof KEY);
    for (size_t n = API_KEYS_MAX_BYTES; n <= API_KEYS_MAX_BYTES + 1; n++) {
        struct elmo_error err = {0};
        AUTO(api_keys_free) struct api_keys *keys = load(text, n, &err);
        assert_int_equal(keys != NULL, n == API_KEYS_MAX_BYTES);
    }
    free(text);
}

static void what_cannot_be_read_is_named(void **state)
{
    (void)state;
    static const char *const paths[] = {"/no/such/file", "/"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct elmo_error err = {0};
        assert_null(api_keys_load(paths[i], &err));
        assert_memory_equal(err.message, paths[i], strlen(paths[i]));
    }
}

static void write_keys(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void new_keys_take_the_place_of_the_old_unless_they_are_wrong(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    char path[] = "/tmp/elmod-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_keys(path, KEY);
    AUTO(api_keys_free) struct api_keys *keys = api_keys_load(path, &err);
    assert_non_null(keys);
    write_keys(path, OTHER_KEY "\nsecret");
    assert_false(api_keys_reload(keys, &err));
    assert_non_null(strstr(err.message, ":2: a key has at least 16 characters"));
    assert_true(has(keys, KEY));
    assert_false(has(keys, OTHER_KEY));
    write_keys(path, OTHER_KEY);
    assert_true(api_keys_reload(keys, &err));
    assert_false(has(keys, KEY));
    assert_true(has(keys, OTHER_KEY));
    unlink(path);
}

/* SIGHUP comes for other files as well; what was replaced stays in memory, so it must differ.
 * (Sanitizers have an allocator of their own, of which mallinfo2 knows nothing.) */
static void the_same_keys_again_take_no_memory(void **state)
{
    (void)state;
    struct elmo_error err = {0};
    char path[] = "/tmp/elmod-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_keys(path, KEY "\n" OTHER_KEY);
    AUTO(api_keys_free) struct api_keys *keys = api_keys_load(path, &err);
    assert_non_null(keys);
    size_t n_before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++)
        assert_true(api_keys_reload(keys, &err));
    assert_in_range(mallinfo2().uordblks, 0, n_before + 100 * 1000);
    assert_true(has(keys, KEY));
    assert_true(has(keys, OTHER_KEY));
    write_keys(path, OTHER_KEY "\n" OTHER_KEY); /* as many, but others */
    assert_true(api_keys_reload(keys, &err));
    assert_false(has(keys, KEY));
    unlink(path);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    size_t n_good = 0;
    for (bool done = false; !done; n_good++) {
        struct elmo_error err = {0};
        fail_alloc_after(n_good);
        struct api_keys *keys = load(KEY, sizeof KEY - 1, &err);
        done = fail_alloc_stop() == 0;
        assert_int_equal(keys != NULL, done);
        assert_true(done || strstr(err.message, "out of memory"));
        api_keys_free(keys);
    }
    assert_true(n_good > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_taken_from_lines),
        cmocka_unit_test(what_is_nearly_a_key_is_none),
        cmocka_unit_test(a_bad_file_says_which_line_and_never_the_key),
        cmocka_unit_test(the_length_of_a_key_is_limited),
        cmocka_unit_test(the_number_of_keys_is_limited),
        cmocka_unit_test(the_size_of_the_file_is_limited),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(new_keys_take_the_place_of_the_old_unless_they_are_wrong),
        cmocka_unit_test(the_same_keys_again_take_no_memory),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
