/* Opening a model from a path, and what the model says of itself. Wrong bytes:
 * test_safetensors_hostile.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "elmo.h"
#include "reference/test_files.h"

static void check_open_fails(const char *path, int status, const char *expected)
{
    struct elmo_model *model = (void *)1;
    struct elmo_error err = {0};
    assert_int_equal(elmo_model_open(&model, path, NULL, &err), status);
    assert_ptr_equal(model, (void *)1);
    assert_int_equal(err.status, status);
    if (!strstr(err.message, expected))
        fail_msg("expected '%s' in '%s'", expected, err.message);
    assert_int_equal(elmo_model_open(&model, path, NULL, NULL), status); /* err may be NULL */
}

static void a_path_that_is_no_model_is_explained(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    char *path = temp_path(&dir, "file");
    check_open_fails(path, ELMO_E_IO, "No such file");
    check_open_fails(dir.path, ELMO_E_FORMAT, "not a regular file");
    assert_true(write_whole_file(path, "", 0));
    check_open_fails(path, ELMO_E_FORMAT, "is empty");
    assert_true(write_whole_file(path, "{\"lstm\": 1}", 11));
    check_open_fails(path, ELMO_E_FORMAT, "not a safetensors file");
    free(path);
    temp_dir_done(&dir);
}

static void a_kernel_that_this_processor_lacks_is_named(void **state)
{
    (void)state;
    const struct elmo_model_settings settings = {.dtype = ELMO_DTYPE_INT8, .kernel = "mmx"};
    struct elmo_model *model = NULL;
    struct elmo_error err = {0};
    assert_int_equal(elmo_model_open_default(&model, &settings, &err), ELMO_E_INVALID);
    assert_null(model);
    assert_non_null(strstr(err.message, "no kernel 'mmx' on this processor"));
}

static void a_model_says_how_it_computes(void **state)
{
    (void)state;
    static const char *const names[] = {"f32", "bf16", "int8"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        const struct elmo_model_settings settings = {.dtype = (enum elmo_dtype)k,
                                                     .kernel = "baseline"};
        struct elmo_model *model;
        assert_int_equal(elmo_model_open_default(&model, &settings, NULL), ELMO_OK);
        assert_string_equal(elmo_model_info(model)->compute_dtype, names[k]);
        assert_string_equal(elmo_model_info(model)->kernel, "baseline");
        elmo_model_free(model);
    }
}

static void the_default_model_describes_itself(void **state)
{
    (void)state;
    struct elmo_model *model;
    assert_int_equal(elmo_model_open_default(&model, NULL, NULL), ELMO_OK);
    const struct elmo_model_info *info = elmo_model_info(model);
    assert_string_equal(info->name, "elmo-small");
    assert_string_equal(info->tokenizer, "unicode");
    assert_string_equal(info->dtype, "bf16");
    assert_int_equal(strspn(info->sha256, "0123456789abcdef"), 64);
    assert_int_equal(info->n_layers, 2);
    assert_int_equal(info->token_dim, 512);
    assert_int_equal(info->layer_dim, 1024);
    assert_int_equal(info->state_floats, 2 * info->n_layers * (info->token_dim + info->cell_dim));
    assert_int_equal(info->n_labels, 2);
    assert_string_equal(info->labels[1], "positive");
    assert_int_equal(elmo_pooled_dim(model, ELMO_POOL_MEAN), 1024);
    assert_int_equal(elmo_pooled_dim(model, ELMO_POOL_MEAN_MAX), 2048);
    elmo_model_free(model);
    elmo_model_free(NULL);
    elmo_session_free(NULL);
}

static void the_same_file_by_path_is_the_same_model(void **state)
{
    (void)state;
    struct elmo_model *built_in, *opened;
    char *path = source_path("model/weights/elmo-small.safetensors");
    assert_int_equal(elmo_model_open_default(&built_in, NULL, NULL), ELMO_OK);
    assert_int_equal(elmo_model_open(&opened, path, NULL, NULL), ELMO_OK);
    assert_string_equal(elmo_model_info(built_in)->sha256, elmo_model_info(opened)->sha256);
    elmo_model_free(built_in);
    elmo_model_free(opened);
    free(path);
}

static void its_card_is_of_the_same_file(void **state)
{
    (void)state;
    struct elmo_model *model;
    size_t n_bytes;
    AUTO(mem_free) char *path = source_path("model/weights/README.md");
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    assert_non_null(bytes);
    AUTO(mem_free) char *card = strndup((const char *)bytes, n_bytes);
    assert_int_equal(elmo_model_open_default(&model, NULL, NULL), ELMO_OK);
    assert_non_null(strstr(card, elmo_model_info(model)->sha256));
    elmo_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_that_is_no_model_is_explained),
        cmocka_unit_test(a_kernel_that_this_processor_lacks_is_named),
        cmocka_unit_test(a_model_says_how_it_computes),
        cmocka_unit_test(the_default_model_describes_itself),
        cmocka_unit_test(the_same_file_by_path_is_the_same_model),
        cmocka_unit_test(its_card_is_of_the_same_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
