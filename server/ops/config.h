#pragma once
/* Configuration: one table gives the struct, the flags, the environment names, the keys of the
 * file, the defaults, the ranges and --help. A value comes from (first found wins)
 *
 *     --max-inputs 8 or --max-inputs=8      flag
 *     ELMOD_MAX_INPUTS=8                    environment
 *     {"max_inputs": 8}                     JSON file named by --config or ELMOD_CONFIG
 *     the table                             default
 *
 * and an unknown flag, ELMOD_ variable or key is an error. Passed over are the variables that
 * Kubernetes sets in a pod for a Service called elmod (ELMOD_SERVICE_HOST, ELMOD_PORT_80_TCP, ...).
 */
#include <stdint.h>
#include <stdio.h>

#include "defs.h"
#include "log.h"

/* The ranges keep every sum and product of limits far from overflow. Secrets are not printed.
 * TEXT(field, default, secret, check, placeholder, help)
 * PICK(field, type, default index, choices, help)   the index into choices is the enum's value
 * UINT(field, default, min, max, help) */
#define CONFIG_OPTIONS(TEXT, PICK, UINT)                                                           \
    TEXT(model, "", false, NULL, "FILE", "model file; the built-in model when empty")              \
    TEXT(softmax, "", false, NULL, "FILE",                                                         \
         "the model's LM softmax, as elmo-train export wrote it: /score needs it")                 \
    TEXT(listen, "127.0.0.1:8080", false, is_address, "HOST:PORT",                                 \
         "[::1]:8080 for IPv6, port 0: any free")                                                  \
    TEXT(port_file, "", false, NULL, "FILE", "write the address listened on to this file")         \
    TEXT(                                                                                          \
        admin_socket, "", false, NULL, "FILE",                                                     \
        "Unix socket for its owner: POST /reload loads as SIGHUP does, and tells what came of it") \
    TEXT(api_keys, "", false, NULL, "FILE", "clients must send one of its keys: one a line")       \
    TEXT(tls_cert, "", false, NULL, "FILE", "serve HTTPS with this certificate chain in PEM")      \
    TEXT(tls_key, "", false, NULL, "FILE", "and its key")                                          \
    PICK(tls_min_version, enum config_tls_version, 0, "1.2|1.3", "oldest version of TLS taken")    \
    TEXT(cors_origins, "", false, origins_is_list, "SCHEME://HOST[:PORT],... or *",                \
         "pages of these may use this server in browsers; none when empty")                        \
    UINT(threads, 0, 0, 1024, "that compute; 0: as many as CPUs may be used")                      \
    UINT(batch_threads, 0, 0, 64, "that compute a batch together; 0: by the model and the cache")  \
    UINT(http_threads, 2, 1, 64, "threads that read requests and send answers")                    \
    PICK(dtype, enum config_dtype, 0, "f32|bf16|int8", "type that the LSTMs compute in")           \
    UINT(word_cache_bytes, 67108864, 0, 1099511627776,                                             \
         "memory for vectors of words that come again; 0: none")                                   \
    TEXT(word_cache_vocab, "", false, NULL, "FILE",                                                \
         "fill it at start with these words: one a line, the most frequent first")                 \
    TEXT(word_vectors, "", false, NULL, "FILE",                                                    \
         "GloVe, word2vec or fastText text: adds the outputs word_vec and word_vec_elmo")          \
    TEXT(word_vectors_cache, "", false, NULL, "FILE",                                              \
         "where what it says is kept; beside it, with .cache behind its name, when empty")         \
    PICK(word_vectors_case, enum config_word_case, 0, "exact|lower",                               \
         "lower: a word that is not there as it is written is looked up in lower case")            \
    TEXT(kernel, "", false, NULL, "NAME",                                                          \
         "instructions to compute with, as /info calls them; the best ones when empty")            \
    PICK(log_format, enum log_format, 0, "json|text", "form of a log line")                        \
    PICK(log_level, enum log_level, 2, "error|warn|info|debug", "least important level logged")    \
    UINT(max_body_bytes, 4194304, 1, 1073741824, "bytes of a request body")                        \
    UINT(max_inputs, 4096, 1, 1048576, "inputs of a request")                                      \
    UINT(max_tokens, 2048, 1, 1048576, "tokens of one input")                                      \
    UINT(max_request_tokens, 16384, 1, 16777216, "tokens of a request")                            \
    UINT(queue_tokens, 65536, 1, 268435456, "tokens that may wait; above it, 429")                 \
    UINT(answer_bytes, 2147483648, 1, 1099511627776,                                               \
         "memory of answers until they are sent; above it, 429")                                   \
    UINT(compress_min_bytes, 65536, 0, 1099511627776,                                              \
         "of an answer that is sent in gzip or zstd to who accepts it; 0: none")                   \
    UINT(batch_tokens, 1024, 1, 16777216, "tokens that one worker takes at once")                  \
    UINT(max_connections, 1024, 1, 1048576, "open connections")                                    \
    UINT(max_connections_per_ip, 0, 0, 1048576, "open connections of one address; 0: no limit")    \
    UINT(header_timeout_ms, 10000, 1, 3600000, "for the request line and headers to arrive")       \
    UINT(body_timeout_ms, 30000, 1, 3600000, "for the whole body to arrive")                       \
    UINT(idle_timeout_ms, 60000, 1, 3600000, "between requests, and for an answer to be read")     \
    UINT(request_timeout_ms, 30000, 1, 3600000, "in the queue; clients may ask for less")          \
    UINT(drain_grace_ms, 0, 0, 3600000, "from \"not ready\" to closing the listener")              \
    UINT(drain_timeout_ms, 30000, 1, 3600000, "to answer what was accepted, then exit 1")          \
    UINT(retry_after_ms, 1000, 1, 3600000, "what Retry-After says, in whole seconds, rounded up")

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

enum config_dtype { CONFIG_DTYPE_F32, CONFIG_DTYPE_BF16, CONFIG_DTYPE_INT8 };

enum config_word_case { CONFIG_CASE_EXACT, CONFIG_CASE_LOWER };

struct config { /* made by config_load alone; texts are owned and never NULL */
#define TEXT(field, ...)       char *field;
#define PICK(field, type, ...) type field;
#define UINT(field, ...)       uint64_t field;
    CONFIG_OPTIONS(TEXT, PICK, UINT)
#undef TEXT
#undef PICK
#undef UINT
};

struct config_address {
    char host[254]; /* name or address, without brackets */
    uint16_t port;  /* 0: any free one */
};

enum config_outcome {
    CONFIG_RUN,   /* *ret_config is filled: config_done it */
    CONFIG_CHECK, /* --health-check; the same */
    CONFIG_EXIT,  /* --help, --version or --print-config was answered on `out`: exit 0 */
    CONFIG_ERROR, /* one line on `err` says what is wrong: exit 2 */
};

/* argv[0] is skipped; envp is NULL-terminated like environ. Nothing but the outcome is returned
 * unless it is CONFIG_RUN or CONFIG_CHECK. */
enum config_outcome config_load(struct config *ret_config, int argc, char *const argv[],
                                char *const envp[], FILE *out, FILE *err);
void config_done(struct config *config);

/* "HOST:PORT" or "[IPV6]:PORT", as `listen` has it; false when it is neither. Names aren't looked
 * up. */
bool config_parse_address(const char *text, struct config_address *ret_address);
