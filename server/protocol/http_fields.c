#include "http_fields.h"

#include <string.h>
#include <strings.h>

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* RFC 9110: a name is a token, a value has no control characters but tab. */
static bool is_name(const char *name)
{
    return name[0] && name[strspn(name, DIGITS LETTERS "!#$%&'*+-.^_`|~")] == '\0';
}

static bool is_value(const char *value)
{
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static struct head_field *find_field(struct head *head, const char *name)
{
#define X(member, text)                \
    if (strcasecmp(name, (text)) == 0) \
        return &head->member;
    HEAD_FIELDS(X)
#undef X
    return NULL;
}

void head_add(struct head *head, const char *name, const char *value)
{
    if (!is_name(name) || !is_value(value))
        head->malformed = true;
    struct head_field *field = find_field(head, name);
    if (field) {
        field->value = value;
        field->count++;
    } else if (strcasecmp(name, "Accept") == 0) {
        if (head->n_accept < HEAD_ACCEPT_MAX)
            head->accept[head->n_accept] = value;
        head->n_accept++;
    }
}

static bool is_number(const char *text)
{
    return text[0] && text[strspn(text, DIGITS)] == '\0';
}

/* Digits to a number, UINT64_MAX when it is larger. */
static uint64_t saturated(const char *digits)
{
    uint64_t n = 0;
    for (; *digits; digits++) {
        unsigned digit = (unsigned)(*digits - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return UINT64_MAX;
        n = n * 10 + digit;
    }
    return n;
}

bool head_check_framing(const struct head *head, const struct head_request *request,
                        struct problem *problem)
{
    const struct head_field *length = &head->content_length, *coding = &head->transfer_encoding;
    const char *fault = NULL;
    if (head->malformed)
        fault = "A header field has a form that is not allowed.";
    else if (coding->count > 0 && length->count > 0)
        fault = "Transfer-Encoding and Content-Length came together.";
    else if (length->count > 1)
        fault = "Content-Length came more than once.";
    else if (coding->count > 1)
        fault = "Transfer-Encoding came more than once.";
    else if (coding->count > 0 && strcasecmp(coding->value, "chunked") != 0)
        fault = "The only Transfer-Encoding taken is chunked.";
    else if (coding->count > 0 && request->is_http_1_0)
        fault = "HTTP/1.0 has no Transfer-Encoding.";
    else if (length->count > 0 && !is_number(length->value))
        fault = "Content-Length is not a number.";
    else if (!request->may_have_body && head_body_bytes(head) > 0)
        fault = "This method takes no body.";
    if (fault)
        problem_set(problem, PROBLEM_BAD_FRAMING, "%s", fault);
    else if (head->host.count > 1)
        problem_set(problem, PROBLEM_BAD_HEADER, "Host came more than once.");
    else if (head->host.count == 0 && !request->is_http_1_0)
        problem_set(problem, PROBLEM_BAD_HEADER, "Host is missing.");
    else if (head->n_accept > HEAD_ACCEPT_MAX)
        problem_set(problem, PROBLEM_BAD_HEADER, "Accept came more than %d times.",
                    HEAD_ACCEPT_MAX);
    return problem->code == PROBLEM_NONE;
}

uint64_t head_body_bytes(const struct head *head)
{
    if (head->transfer_encoding.count > 0)
        return UINT64_MAX;
    return head->content_length.count > 0 ? saturated(head->content_length.value) : 0;
}

bool head_timeout_ms(const struct head *head, uint64_t max_ms, uint64_t *ret_ms,
                     struct problem *problem)
{
    const struct head_field *field = &head->request_timeout;
    uint64_t ms = max_ms;
    if (field->count > 0) {
        ms = is_number(field->value) ? saturated(field->value) : 0;
        if (ms == 0 || field->count > 1) {
            problem_set(problem, PROBLEM_BAD_HEADER,
                        "X-Request-Timeout-Ms must be one whole number from 1 up.");
            return false;
        }
    }
    *ret_ms = ms < max_ms ? ms : max_ms;
    return true;
}

const char *head_request_id(const struct head *head)
{
    const char *id = head->request_id.value;
    if (head->request_id.count != 1)
        return NULL;
    size_t n = strspn(id, DIGITS LETTERS "._:/+=@~-");
    return n > 0 && n <= HEAD_REQUEST_ID_MAX && id[n] == '\0' ? id : NULL;
}

/* n lower-case hexadecimal digits. */
static bool is_hex(const char *text, size_t n)
{
    return strspn(text, DIGITS "abcdef") >= n;
}

static bool is_zero(const char *text, size_t n)
{
    return strspn(text, "0") >= n;
}

/* https://www.w3.org/TR/trace-context/: version-traceid-parentid-flags. Later versions may append
 * more. */
static bool is_traceparent(const char *t)
{
    if (strlen(t) < HEAD_TRACEPARENT_SIZE - 1 || t[2] != '-' || t[35] != '-' || t[52] != '-')
        return false;
    if (!is_hex(t, 2) || !is_hex(t + 3, 32) || !is_hex(t + 36, 16) || !is_hex(t + 53, 2))
        return false;
    if (is_zero(t + 3, 32) || is_zero(t + 36, 16) || strncmp(t, "ff", 2) == 0)
        return false;
    return t[55] == '\0' || (t[55] == '-' && strncmp(t, "00", 2) != 0);
}

void head_traceparent(const struct head *head, char ret_text[static HEAD_TRACEPARENT_SIZE])
{
    ret_text[0] = '\0';
    if (head->traceparent.count != 1 || !is_traceparent(head->traceparent.value))
        return;
    memcpy(ret_text, head->traceparent.value, HEAD_TRACEPARENT_SIZE - 1);
    ret_text[HEAD_TRACEPARENT_SIZE - 1] = '\0';
}
