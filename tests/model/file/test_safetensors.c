/* The container: what is written is read back, to the bit, in all three dtypes. Hostile files have
 * a test of their own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "defs.h"
#include "file/safetensors.h"

static const float values[6] = {1.5f, -2.25f, 0.0f, 3e38f, 1e-45f, -0.0f};
static const unsigned char halves[4] = {0x80, 0x3f, 0x00, 0xc0}; /* bf16 1.0, -2.0 */

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_safetensors.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/model", directory);
    unlink(path);
    return rmdir(directory);
}

static size_t read_file(const char *path, unsigned char *buf, size_t buf_bytes)
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(buf, 1, buf_bytes, in);
    fclose(in);
    return n;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char path[128];
    static unsigned char bytes[4096];
    struct elmo_error err = {0};
    struct safetensors *file;
    const struct st_tensor tensors[] = {
        {"b/matrix", ST_F32, NULL, 2, {2, 3}, (const unsigned char *)values, sizeof values},
        {"a", ST_BF16, NULL, 1, {2}, halves, sizeof halves},
        {"scalar", ST_F32, NULL, 0, {0}, (const unsigned char *)values, 4},
        {"nothing", ST_F16, NULL, 2, {0, 7}, NULL, 0},
    };
    const struct st_metadata metadata[] = {{"name", "x"}, {"quote", "\"\\\n"}};
    snprintf(path, sizeof path, "%s/model", directory);
    assert_int_equal(safetensors_write(path, tensors, 4, metadata, 2, &err), ELMO_OK);
    size_t n_bytes = read_file(path, bytes, sizeof bytes);
    assert_int_equal(safetensors_parse(&file, bytes, n_bytes, &err), ELMO_OK);
    assert_int_equal(safetensors_n_tensors(file), 4);
    const struct st_tensor *t = safetensors_find(file, "b/matrix");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[1], 3);
    assert_memory_equal(t->data, values, sizeof values);
    assert_int_equal((size_t)(t->data - bytes) % 8, 0);
    t = safetensors_find(file, "scalar");
    assert_true(t && t->n_dims == 0 && t->n_bytes == 4);
    assert_non_null(safetensors_find(file, "nothing"));
    assert_null(safetensors_find(file, "missing"));
    assert_string_equal(safetensors_metadata(file, "quote"), "\"\\\n");
    assert_null(safetensors_metadata(file, "missing"));
    safetensors_free(file);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char path[128];
    struct stat before, after;
    struct elmo_error err = {0};
    const struct st_tensor wrong = {"t", ST_F32, NULL, 1, {5}, (const unsigned char *)values, 4};
    const struct st_tensor other = {"t", ST_OTHER, NULL, 1, {4}, (const unsigned char *)values, 4};
    snprintf(path, sizeof path, "%s/model", directory);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(safetensors_write(path, &wrong, 1, NULL, 0, &err), ELMO_E_INVALID);
    assert_non_null(strstr(err.message, "'t'"));
    assert_int_equal(safetensors_write(path, &other, 1, NULL, 0, NULL), ELMO_E_INVALID);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    snprintf(path, sizeof path, "%s/no/such/folder", directory);
    err = (struct elmo_error){0};
    assert_int_equal(safetensors_write(path, &wrong, 0, NULL, 0, &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "No such file"));
}

static struct { /* one allocation of jansson's that fails: the first after n_before others */
    size_t n_before;
    bool failed;
} fault;

static void *faulty_malloc(size_t n_bytes)
{
    if (fault.failed || fault.n_before-- > 0)
        return malloc(n_bytes);
    fault.failed = true;
    return NULL;
}

/* jansson is a library of its own, which fail_alloc.h does not reach. */
static void a_file_is_whole_or_not_there_when_jansson_has_no_memory(void **state)
{
    (void)state;
    char path[128];
    unsigned char whole[512], found[512];
    const struct st_tensor t = {"t", ST_F32, NULL, 2, {2, 3}, (const unsigned char *)values, 24};
    const struct st_metadata metadata = {"name", "x"};
    snprintf(path, sizeof path, "%s/model", directory);
    assert_int_equal(safetensors_write(path, &t, 1, &metadata, 1, NULL), ELMO_OK);
    size_t n_whole = read_file(path, whole, sizeof whole), n_refused = 0;
    fault.failed = true;
    for (size_t n_before = 0; fault.failed; n_before++) {
        unlink(path);
        fault.n_before = n_before;
        fault.failed = false;
        json_set_alloc_funcs(faulty_malloc, free);
        int r = safetensors_write(path, &t, 1, &metadata, 1, NULL);
        json_set_alloc_funcs(malloc, free);
        n_refused += r != ELMO_OK;
        assert_int_equal(access(path, F_OK) != 0, r != ELMO_OK);
        if (r == ELMO_OK) {
            assert_int_equal(read_file(path, found, sizeof found), n_whole);
            assert_memory_equal(found, whole, n_whole);
        }
    }
    assert_true(n_refused > 10);
}

static void all_metadata_is_listed(void **state)
{
    (void)state;
    char path[128];
    static unsigned char bytes[4096];
    const struct st_metadata written[] = {{"name", "caf\xc3\xa9"}, {"b", "{}"}, {"a", ""}};
    for (size_t n = 0; n <= ARRAY_LEN(written); n++) {
        struct safetensors *file;
        struct st_metadata found[ARRAY_LEN(written)];
        snprintf(path, sizeof path, "%s/model", directory);
        assert_int_equal(safetensors_write(path, NULL, 0, written, n, NULL), 0);
        size_t n_bytes = read_file(path, bytes, sizeof bytes);
        assert_int_equal(safetensors_parse(&file, bytes, n_bytes, NULL), 0);
        assert_int_equal(safetensors_n_metadata(file), n);
        safetensors_all_metadata(found, file);
        for (size_t k = 0; k < n; k++) {
            assert_string_equal(found[k].key, written[k].key);
            assert_string_equal(found[k].value, written[k].value);
        }
        safetensors_free(file);
    }
}

static void f16_widens_exactly(void **state)
{
    (void)state;
    static const struct {
        uint16_t half;
        float value;
    } cases[] = {{0x0000, 0.0f},        {0x3c00, 1.0f},        {0xc000, -2.0f},
                 {0x7bff, 65504.0f},    {0x0400, 0x1p-14f},    {0x0001, 0x1p-24f},
                 {0x83ff, -0x3ffp-24f}, {0x3555, 0x1.554p-2f}, {0x7c00, INFINITY}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        unsigned char bytes[2] = {(unsigned char)cases[k].half,
                                  (unsigned char)(cases[k].half >> 8)};
        float value;
        st_to_f32(&value, bytes, ST_F16, 1);
        assert_true(value == cases[k].value);
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        float value;
        uint16_t expected;
    } cases[] = {{1.0f, 0x3f80},      {-2.0f, 0xc000},         {0x1.01p0f, 0x3f80},
                 {0x1.03p0f, 0x3f82}, {0x1.010002p0f, 0x3f81}, {0.0f, 0x0000},
                 {-0.0f, 0x8000},     {INFINITY, 0x7f80},      {3.4e38f, 0x7f80}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        assert_int_equal(st_bf16_from_f32(cases[k].value), cases[k].expected);
    assert_true((st_bf16_from_f32(NAN) & 0x7fff) > 0x7f80);
    for (uint32_t b = 0; b < 0x10000; b++) { /* every finite bf16 survives the round trip */
        unsigned char bytes[2] = {(unsigned char)b, (unsigned char)(b >> 8)};
        float value;
        st_to_f32(&value, bytes, ST_BF16, 1);
        if (isfinite(value))
            assert_int_equal(st_bf16_from_f32(value), b);
    }
}

static float f32_of_f16(uint32_t half)
{
    unsigned char bytes[2] = {(unsigned char)half, (unsigned char)(half >> 8)};
    float value;
    st_to_f32(&value, bytes, ST_F16, 1);
    return value;
}

/* Each finite one, and what lies around the middle between it and the next. */
static void f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000)
        for (uint32_t b = 0; b < 0x7c00; b++) {
            float value = f32_of_f16(sign | b);
            float next = b == 0x7bff ? (sign ? -65536.0f : 65536.0f) : f32_of_f16(sign | (b + 1));
            float middle = (value + next) / 2; /* exact */
            assert_int_equal(st_f16_from_f32(value), sign | b);
            assert_int_equal(st_f16_from_f32(middle), sign | (b + (b & 1)));
            assert_int_equal(st_f16_from_f32(nextafterf(middle, value)), sign | b);
            assert_int_equal(st_f16_from_f32(nextafterf(middle, next)), sign | (b + 1));
        }
    assert_int_equal(st_f16_from_f32(INFINITY), 0x7c00);
    assert_int_equal(st_f16_from_f32(-3e38f), 0xfc00);
    assert_true((st_f16_from_f32(NAN) & 0x7fff) > 0x7c00);
}

static void unaligned_f32_is_read(void **state)
{
    (void)state;
    unsigned char bytes[1 + sizeof values];
    float read[6];
    memcpy(bytes + 1, values, sizeof values);
    st_to_f32(read, bytes + 1, ST_F32, 6);
    assert_memory_equal(read, values, sizeof values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_file_is_whole_or_not_there_when_jansson_has_no_memory),
        cmocka_unit_test(f16_widens_exactly),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(all_metadata_is_listed),
        cmocka_unit_test(unaligned_f32_is_read),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
