#include "http_fields.h"

#include <string.h>
#include <strings.h>

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* RFC 9110: a name is a token; a value has no control characters except tab. */
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

/* Converts digits to a number, at most UINT64_MAX. */
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
        fault = "A header field is malformed.";
    else if (coding->count > 0 && length->count > 0)
        fault = "The request has both Transfer-Encoding and Content-Length.";
    else if (length->count > 1)
        fault = "The request has more than one Content-Length.";
    else if (coding->count > 1)
        fault = "The request has more than one Transfer-Encoding.";
    else if (coding->count > 0 && strcasecmp(coding->value, "chunked") != 0)
        fault = "The only supported Transfer-Encoding is chunked.";
    else if (coding->count > 0 && request->is_http_1_0)
        fault = "HTTP/1.0 does not support Transfer-Encoding.";
    else if (length->count > 0 && !is_number(length->value))
        fault = "Content-Length is not a number.";
    else if (!request->may_have_body && head_body_bytes(head) > 0)
        fault = "A request with this method must not have a body.";
    if (fault)
        problem_set(problem, PROBLEM_BAD_FRAMING, "%s", fault);
    else if (head->host.count > 1)
        problem_set(problem, PROBLEM_BAD_HEADER, "The request has more than one Host.");
    else if (head->host.count == 0 && !request->is_http_1_0)
        problem_set(problem, PROBLEM_BAD_HEADER, "The request has no Host.");
    else if (head->n_accept > HEAD_ACCEPT_MAX)
        problem_set(problem, PROBLEM_BAD_HEADER, "The request has more than %d Accept fields.",
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
                        "X-Request-Timeout-Ms must be a single integer of at least 1.");
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
