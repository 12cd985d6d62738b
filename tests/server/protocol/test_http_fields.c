#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/http_fields.h"

#define MAX_FIELDS 4

struct field {
    const char *name, *value;
};

static struct head head_of(const struct field *fields, size_t n)
{
    struct head head = {0};
    for (size_t i = 0; i < n && fields[i].name; i++)
        head_add(&head, fields[i].name, fields[i].value);
    return head;
}

static struct head head_with(const char *name, const char *value)
{
    return head_of(&(struct field){name, value}, 1);
}

static void framing_that_can_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct field fields[MAX_FIELDS];
        struct head_request request;
        enum problem_code code;
    } cases[] = {
        {{{"Host", "a"}, {"Content-Length", "5"}}, {false, true}, PROBLEM_NONE},
        {{{"Host", "a"}, {"Transfer-Encoding", "chunked"}}, {false, true}, PROBLEM_NONE},
        {{{"Host", "a"}, {"transfer-encoding", "Chunked"}}, {false, true}, PROBLEM_NONE},
        {{{"Host", "a"}}, {false, true}, PROBLEM_NONE},
        {{{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
         {false, true},
         PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "5"}, {"content-length", "5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "5"}, {"Content-Length", "6"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "5,5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "+5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "-5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "5 "}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "0x5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", ""}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "gzip, chunked"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "identity"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "chunked "}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "\tchunked"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", ""}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
         {false, true},
         PROBLEM_BAD_FRAMING},
        {{{"Transfer-Encoding", "chunked"}}, {true, true}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length", "5"}}, {false, false}, PROBLEM_BAD_FRAMING},
        {{{"Host", "a"}, {"Content-Length", "0"}}, {false, false}, PROBLEM_NONE},
        {{{"Transfer-Encoding", "chunked"}}, {false, false}, PROBLEM_BAD_FRAMING},
        {{{"Content-Length ", "5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Content Length", "5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"", "5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"X\x7f", "5"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"X", "a\rTransfer-Encoding: chunked"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"X", "a\x01"}}, {false, true}, PROBLEM_BAD_FRAMING},
        {{{"Host", "a"}, {"X", "a\tb \xc3\xa9"}}, {false, true}, PROBLEM_NONE},
        {{{"Host", "a"}, {"Host", "a"}}, {false, true}, PROBLEM_BAD_HEADER},
        {{{"X", "a"}}, {false, true}, PROBLEM_BAD_HEADER},
        {{{"X", "a"}}, {true, true}, PROBLEM_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem problem = {0};
        struct head head = head_of(cases[i].fields, MAX_FIELDS);
        bool ok = head_check_framing(&head, &cases[i].request, &problem);
        if (problem.code != cases[i].code || ok != (cases[i].code == PROBLEM_NONE))
            fail_msg("case %zu: %s", i, problem.detail);
    }
}

static void too_many_accept_fields_are_refused(void **state)
{
    (void)state;
    struct head head = {0};
    const struct head_request request = {true, true};
    struct problem problem = {0};
    for (size_t i = 0; i < HEAD_ACCEPT_MAX; i++)
        head_add(&head, "Accept", "a/b");
    assert_true(head_check_framing(&head, &request, &problem));
    head_add(&head, "accept", "a/b");
    assert_false(head_check_framing(&head, &request, &problem));
    assert_int_equal(problem.code, PROBLEM_BAD_HEADER);
}

static void the_length_of_the_body_is_known(void **state)
{
    (void)state;
    struct head none = {0};
    assert_int_equal(head_body_bytes(&none), 0);
    struct head some = head_with("Content-Length", "0123");
    assert_int_equal(head_body_bytes(&some), 123);
    struct head huge = head_with("Content-Length", "99999999999999999999999");
    assert_true(head_body_bytes(&huge) == UINT64_MAX);
    struct head chunked = head_with("Transfer-Encoding", "chunked");
    assert_true(head_body_bytes(&chunked) == UINT64_MAX);
}

static void a_deadline_can_be_lowered_but_not_raised(void **state)
{
    (void)state;
    static const struct {
        const char *value; /* NULL: no field */
        uint64_t ms;       /* 0: refused */
    } cases[] = {
        {NULL, 1000},
        {"1", 1},
        {"999", 999},
        {"1000", 1000},
        {"1001", 1000},
        {"007", 7},
        {"99999999999999999999", 1000},
        {"0", 0},
        {"", 0},
        {"-1", 0},
        {"1.5", 0},
        {"1s", 0},
        {" 1", 0},
        {"1e3", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct head head = {0};
        struct problem problem = {0};
        uint64_t ms = 0;
        if (cases[i].value)
            head_add(&head, "X-Request-Timeout-Ms", cases[i].value);
        assert_int_equal(head_timeout_ms(&head, 1000, &ms, &problem), cases[i].ms != 0);
        assert_int_equal(ms, cases[i].ms);
        assert_int_equal(problem.code, cases[i].ms ? PROBLEM_NONE : PROBLEM_BAD_HEADER);
    }
}

static void two_deadlines_are_refused(void **state)
{
    (void)state;
    struct head head = {0};
    struct problem problem = {0};
    uint64_t ms;
    head_add(&head, "X-Request-Timeout-Ms", "5");
    head_add(&head, "X-Request-Timeout-Ms", "5");
    assert_false(head_timeout_ms(&head, 1000, &ms, &problem));
}

static void a_sane_request_id_is_taken(void **state)
{
    (void)state;
    char longest[HEAD_REQUEST_ID_MAX + 1], longer[HEAD_REQUEST_ID_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    const char *const good[] = {"a", "A-z.0_9:/+=@~", longest};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct head head = head_with("x-request-id", good[i]);
        assert_ptr_equal(head_request_id(&head), good[i]);
    }
    const char *const bad[] = {"", longer, "a b", "a\"b", "a\xc3\xa9", "a,b", "<a>"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct head head = head_with("X-Request-Id", bad[i]);
        assert_null(head_request_id(&head));
    }
    struct head head = {0};
    assert_null(head_request_id(&head));
    head_add(&head, "X-Request-Id", "a");
    head_add(&head, "X-Request-Id", "a");
    assert_null(head_request_id(&head));
}

static void only_a_valid_traceparent_is_passed_on(void **state)
{
    (void)state;
#define TRACE "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    static const struct {
        const char *value, *passed;
    } cases[] = {
        {"00-" TRACE, "00-" TRACE},
        {"cc-" TRACE, "cc-" TRACE},
        {"cc-" TRACE "-what-the-future-brings", "cc-" TRACE},
        {"00-" TRACE "-more", ""},
        {"cc-" TRACE "more", ""},
        {"ff-" TRACE, ""},
        {"0-" TRACE, ""},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", ""},
        {"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[HEAD_TRACEPARENT_SIZE];
        struct head head = head_with("Traceparent", cases[i].value);
        head_traceparent(&head, text);
        assert_string_equal(text, cases[i].passed);
    }
    char text[HEAD_TRACEPARENT_SIZE];
    struct head twice = head_with("traceparent", "00-" TRACE);
    head_add(&twice, "traceparent", "00-" TRACE);
    head_traceparent(&twice, text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_that_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(too_many_accept_fields_are_refused),
        cmocka_unit_test(the_length_of_the_body_is_known),
        cmocka_unit_test(a_deadline_can_be_lowered_but_not_raised),
        cmocka_unit_test(two_deadlines_are_refused),
        cmocka_unit_test(a_sane_request_id_is_taken),
        cmocka_unit_test(only_a_valid_traceparent_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
