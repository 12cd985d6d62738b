/* The file of the LM softmax: what is written is read back, and a file that is none is refused with
 * words. Every prefix of a small valid file, thousands of mutants, a table of wrong headers, memory
 * that runs out at every allocation; each file lies in memory of exactly its size, so that the
 * sanitizers of a debug build see every read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "inference/lm_softmax.h"
#include "reference/st_draft.h"
#include "reference/test_files.h"
#include "support/fail_alloc.h"
#include "text/vocabulary.h"

#define N_MUTANTS 30000
#define V         5u
#define P         2u
#define DIGEST    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const words[V] = {"<S>", "</S>", "<UNK>", "film", "caf\xc3\xa9"};
static const float w[V * P] = {1, -2, 0.5f, 3, 0.25f, 0, 7, 8, -9, 10},
                         b[V] = {0.1f, 0.2f, 3, 4, 5};

static struct temp_dir dir;
static struct st_draft valid;

static void write_file(const char *path, enum st_dtype dtype)
{
    struct word_table vocabulary = {0};
    float rounded[V * P];
    memcpy(rounded, w, sizeof w);
    for (size_t k = 0; k < V; k++)
        assert_int_equal(word_table_add(&vocabulary, words[k], strlen(words[k])), k);
    const struct lm_softmax_parts parts = {.name = "tiny",
                                           .bilm_sha256 = DIGEST,
                                           .vocabulary = &vocabulary,
                                           .dim = P,
                                           .w = rounded,
                                           .b = b,
                                           .w_dtype = dtype};
    assert_int_equal(lm_softmax_write(path, &parts, NULL), 0);
    word_table_done(&vocabulary);
}

static int set_up(void **state)
{
    (void)state;
    temp_dir_init(&dir);
    AUTO(mem_free) char *path = temp_path(&dir, "valid.safetensors");
    write_file(path, ST_F32);
    size_t n_bytes;
    AUTO(mem_free) unsigned char *bytes = read_whole_file(path, &n_bytes);
    return !st_draft_parse(&valid, bytes, n_bytes);
}

static int tear_down(void **state)
{
    (void)state;
    st_draft_done(&valid);
    temp_dir_done(&dir);
    return 0;
}

/* ---- Valid files ---- */

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    AUTO(mem_free) char *path = temp_path(&dir, "softmax.safetensors");
    static const enum st_dtype dtypes[] = {ST_F32, ST_BF16}; /* all of w is exact in bf16 */
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        struct lm_softmax s;
        write_file(path, dtypes[d]);
        assert_int_equal(lm_softmax_open(&s, path, NULL), 0);
        assert_int_equal(s.vocabulary.n_items, V);
        assert_int_equal(s.dim, P);
        assert_memory_equal(s.w, w, sizeof w);
        assert_memory_equal(s.b, b, sizeof b);
        assert_string_equal(s.bilm_sha256, DIGEST);
        for (uint32_t k = 0; k < V; k++)
            assert_int_equal(word_table_find(&s.vocabulary, words[k], strlen(words[k])), k);
        lm_softmax_done(&s);
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct lm_softmax s;
    struct elmo_error err = {0};
    assert_int_equal(lm_softmax_open(&s, "/no/such/softmax", &err), ELMO_E_IO);
    assert_non_null(strstr(err.message, "/no/such/softmax"));
}

/* ---- Files that are none ---- */

/* Opens the draft's bytes; false, with words, when they are no softmax file. */
static bool opens(const struct st_draft *d, size_t n_cut, struct elmo_error *ret_err)
{
    struct lm_softmax s = {0};
    size_t n_bytes;
    AUTO(mem_free) unsigned char *whole = st_draft_bytes(d, &n_bytes);
    AUTO(mem_free) unsigned char *bytes = malloc(n_bytes - n_cut + !(n_bytes - n_cut));
    assert_non_null(bytes);
    memcpy(bytes, whole, n_bytes - n_cut);
    *ret_err = (struct elmo_error){0};
    int r = lm_softmax_open_memory(&s, bytes, n_bytes - n_cut, ret_err);
    if (r) {
        assert_int_equal(r, ELMO_E_FORMAT);
        assert_true(*ret_err->message);
        assert_null(s.w);
        return false;
    }
    for (size_t k = 0; k < s.vocabulary.n_items * s.dim; k++)
        assert_true(isfinite(s.w[k]));
    for (size_t k = 0; k < s.vocabulary.n_items; k++)
        assert_true(isfinite(s.b[k]));
    lm_softmax_done(&s);
    return true;
}

static void no_prefix_of_a_valid_file_opens(void **state)
{
    (void)state;
    struct elmo_error err;
    assert_true(opens(&valid, 0, &err));
    size_t n_bytes = 8 + strlen(valid.header) + valid.n_data;
    for (size_t n_cut = 1; n_cut <= n_bytes; n_cut++)
        assert_false(opens(&valid, n_cut, &err));
}

static void mutants_are_refused_or_hold_finite_rows(void **state)
{
    (void)state;
    struct rng rng = {7};
    size_t n_opened = 0;
    for (size_t k = 0; k < N_MUTANTS; k++) {
        struct elmo_error err;
        struct st_draft d = st_draft_copy(&valid);
        st_draft_mutate(&d, &rng);
        n_opened += opens(&d, 0, &err);
        st_draft_done(&d);
    }
    assert_true(n_opened > N_MUTANTS / 100); /* not all of them fall at the first check ... */
    assert_true(n_opened < N_MUTANTS / 2);   /* ... and most are noticed */
}

static const struct {
    const char *what;
    const char *from, *to; /* the first `from` of the header becomes `to` */
    const char *words[2];
} wrong_headers[] = {
    {"a model file", "elmo_softmax_format", "elmo_format", {"not a softmax file"}},
    {"a newer one", "_format\":\"1\"", "_format\":\"2\"", {"expected 1, found 2", "newer"}},
    {"no digest", "bilm_sha256", "sha256", {"bilm_sha256", "64 hex digits"}},
    {"digest too short", "0011223344", "001122334", {"bilm_sha256", "64 hex digits"}},
    {"digest of other digits", "0011223344", "001122334g", {"bilm_sha256", "64 hex digits"}},
    {"no vocabulary", "\"vocabulary\"", "\"words\"", {"'vocabulary'", "JSON array"}},
    {"vocabulary not JSON", "[\\\"<S>", "\\\"<S>", {"'vocabulary'", "JSON array"}},
    {"no array", "\"vocabulary\":\"[", "\"vocabulary\":\"{", {"'vocabulary'", "JSON array"}},
    {"marks alone", ",\\\"film\\\",\\\"caf\xc3\xa9\\\"", "", {"softmax/W", "for 3 words"}},
    {"marks turned", "<S>\\\",\\\"</S>", "</S>\\\",\\\"<S>", {"entry 0 must be <S>"}},
    {"word not a string", "\\\"film\\\"", "12", {"entry 3 is no string"}},
    {"word twice", "caf\xc3\xa9", "film", {"entries 3 and 4 are the same word"}},
    {"a word more", "\\\"film\\\"", "\\\"film\\\",\\\"x\\\"", {"softmax/W", "for 6 words"}},
    {"tensor missing", "softmax/W", "softmax/w", {"unexpected tensor 'softmax/w'"}},
    {"bias missing", "softmax/b", "softmax/B", {"unexpected tensor 'softmax/B'"}},
    {"turned shape", "[5,2]", "[2,5]", {"softmax/W", "found [2, 5]"}},
    {"flat shape", "[5,2]", "[10]", {"softmax/W", "found [10]"}},
    {"deep bias", "\"shape\":[5]", "\"shape\":[5,1]", {"softmax/b", "found [5, 1]"}},
    {"integers", "\"F32\"", "\"I32\"", {"expected F32, BF16 or F16", "found I32"}},
    {"beyond the end", "[20,60]", "[20,64]", {"softmax/W"}},
};

static void each_wrong_header_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(wrong_headers); k++) {
        struct elmo_error err;
        struct st_draft d = st_draft_copy(&valid);
        if (!st_draft_replace(&d, wrong_headers[k].from, wrong_headers[k].to))
            fail_msg("%s: no \"%s\" in %s", wrong_headers[k].what, wrong_headers[k].from, d.header);
        if (opens(&d, 0, &err))
            fail_msg("%s: opened", wrong_headers[k].what);
        for (size_t i = 0; i < 2 && wrong_headers[k].words[i]; i++)
            if (!strstr(err.message, wrong_headers[k].words[i]))
                fail_msg("%s: no \"%s\" in \"%s\"", wrong_headers[k].what,
                         wrong_headers[k].words[i], err.message);
        st_draft_done(&d);
    }
}

static void a_value_that_is_not_finite_is_named(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 24}; /* in b, then in W */
    for (size_t k = 0; k < ARRAY_LEN(values); k++)
        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
            struct elmo_error err;
            struct st_draft d = st_draft_copy(&valid);
            memcpy(d.data + places[i], &values[k], sizeof values[k]);
            assert_false(opens(&d, 0, &err));
            assert_non_null(strstr(err.message, i ? "softmax/W" : "softmax/b"));
            assert_non_null(strstr(err.message, "not finite"));
            st_draft_done(&d);
        }
}

static void memory_that_runs_out_is_reported(void **state)
{
    (void)state;
    size_t n_bytes, n_failed = 1;
    AUTO(mem_free) unsigned char *bytes = st_draft_bytes(&valid, &n_bytes);
    for (size_t n_good = 0; n_failed; n_good++) {
        struct lm_softmax s;
        fail_alloc_after(n_good);
        int r = lm_softmax_open_memory(&s, bytes, n_bytes, NULL);
        n_failed = fail_alloc_stop();
        assert_true(n_failed ? r != 0 : r == 0);
        if (!r)
            lm_softmax_done(&s);
        assert_true(n_good < 1000);
    }
}

/* ---- The digest ---- */

static void digest_of(char ret_hex[static 65], const struct st_draft *d)
{
    size_t n_bytes;
    AUTO(safetensors_free) struct safetensors *file = NULL;
    AUTO(mem_free) unsigned char *bytes = st_draft_bytes(d, &n_bytes);
    assert_int_equal(safetensors_parse(&file, bytes, n_bytes, NULL), 0);
    assert_int_equal(bilm_digest(ret_hex, file, NULL), 0);
}

static void the_digest_is_of_the_bilm_alone(void **state)
{
    (void)state;
    char plain[65], other[65];
    struct st_draft d = st_draft_copy(&valid);
    digest_of(plain, &d);
    assert_true(st_draft_replace(&d, "\"tiny\"", "\"huge\"")); /* another name: the same biLM */
    digest_of(other, &d);
    assert_string_equal(plain, other);
    assert_true(st_draft_replace(&d, "softmax/b", "sentiment/b")); /* a head is no part of it */
    digest_of(other, &d);
    assert_string_not_equal(plain, other);
    memcpy(plain, other, sizeof plain);
    d.data[0] ^= 1;
    digest_of(other, &d);
    assert_string_equal(plain, other);
    d.data[d.n_data - 1] ^= 1; /* but another weight is */
    digest_of(other, &d);
    assert_string_not_equal(plain, other);
    st_draft_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(no_prefix_of_a_valid_file_opens),
        cmocka_unit_test(mutants_are_refused_or_hold_finite_rows),
        cmocka_unit_test(each_wrong_header_is_named),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
        cmocka_unit_test(memory_that_runs_out_is_reported),
        cmocka_unit_test(the_digest_is_of_the_bilm_alone),
    };
    return cmocka_run_group_tests_name("lm_softmax", tests, set_up, tear_down);
}
