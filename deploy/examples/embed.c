/* How similar are the vectors of one word in three sentences? Uses libcurl and asks for .npy, which
 * is simple to read: ten bytes, a header whose length they give, and the floats.
 *
 *     cc -O2 embed.c -lcurl -lm -o embed
 *     ./embed [URL]    of elmod; default http://127.0.0.1:8080
 */
#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NPY_START 10 /* "\x93NUMPY", version, length of the header */

struct answer {
    char *bytes;
    size_t n_bytes;
};

static size_t take(char *bytes, size_t one, size_t n_bytes, void *to)
{
    struct answer *answer = to;
    (void)one; /* always 1 */
    char *grown = realloc(answer->bytes, answer->n_bytes + n_bytes + 1);
    if (!grown)
        return 0; /* an error for libcurl */
    memcpy(grown + answer->n_bytes, bytes, n_bytes);
    answer->bytes = grown;
    answer->n_bytes += n_bytes;
    answer->bytes[answer->n_bytes] = '\0';
    return n_bytes;
}

/* Posts the body and returns the answer, or ends the program. */
static struct answer post(CURL *curl, const char *url, const char *body)
{
    struct answer answer = {0};
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Accept: application/x-npy");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode r = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (r || status != 200) {
        fprintf(stderr, "%s\n", r ? curl_easy_strerror(r) : answer.bytes ? answer.bytes : "");
        exit(EXIT_FAILURE);
    }
    curl_slist_free_all(headers);
    return answer;
}

/* Row `row` of the n_rows rows of an answer in NumPy's format: *ret_n_cols floats. free() them. */
static float *copy_row(const struct answer *answer, size_t row, size_t n_rows, size_t *ret_n_cols)
{
    const unsigned char *b = (const unsigned char *)answer->bytes;
    if (answer->n_bytes < NPY_START || memcmp(b, "\x93NUMPY", 6) != 0) {
        fprintf(stderr, "the answer is not a .npy file\n");
        exit(EXIT_FAILURE);
    }
    size_t start = NPY_START + (size_t)(b[8] | b[9] << 8);
    size_t n_row_bytes = (answer->n_bytes - start) / n_rows;
    float *copy = malloc(n_row_bytes);
    if (!copy)
        exit(EXIT_FAILURE);
    memcpy(copy, answer->bytes + start + row * n_row_bytes, n_row_bytes);
    *ret_n_cols = n_row_bytes / sizeof *copy;
    return copy;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t k = 0; k < n; k++) {
        ab += (double)a[k] * b[k];
        aa += (double)a[k] * a[k];
        bb += (double)b[k] * b[k];
    }
    return ab / sqrt(aa * bb);
}

int main(int argc, char *argv[])
{
    /* Lists of tokens, which the server does not split: so the place of "play" is known. */
    static const struct {
        const char *tokens;
        size_t play, n_tokens;
    } sentences[] = {
        {"\"The\",\"children\",\"play\",\"in\",\"the\",\"garden\",\"all\",\"day\",\".\"", 2, 9},
        {"\"They\",\"play\",\"cards\",\"every\",\"evening\",\".\"", 1, 6},
        {"\"The\",\"play\",\"was\",\"performed\",\"in\",\"a\",\"small\",\"theatre\",\".\"", 1, 9},
    };
    char url[1024], body[1024];
    float *play[3];
    size_t n_cols = 0;
    snprintf(url, sizeof url, "%s/embed", argc > 1 ? argv[1] : "http://127.0.0.1:8080");
    CURL *curl = curl_easy_init(); /* keeps its connection between requests */
    if (!curl)
        return EXIT_FAILURE;
    for (size_t i = 0; i < 3; i++) {
        snprintf(body, sizeof body, "{\"inputs\":[[%s]],\"outputs\":[\"lstm_outputs2\"]}",
                 sentences[i].tokens);
        struct answer answer = post(curl, url, body);
        play[i] = copy_row(&answer, sentences[i].play, sentences[i].n_tokens, &n_cols);
        free(answer.bytes);
    }
    printf("verb, verb: %.3f\n", cosine(play[0], play[1], n_cols));
    printf("verb, noun: %.3f\n", cosine(play[0], play[2], n_cols));
    for (size_t i = 0; i < 3; i++)
        free(play[i]);
    curl_easy_cleanup(curl);
    return EXIT_SUCCESS;
}
