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
#include "dtype.h"
#include "log.h"

/* The ranges keep every sum and product of limits far from overflow.
 * TEXT(field, default, check, placeholder, help)
 * PICK(field, type, default index, choices, help)   the index into choices is the enum's value
 * UINT(field, default, min, max, help) */
#define CONFIG_OPTIONS(TEXT, PICK, UINT)                                                           \
    TEXT(model, "", NULL, "FILE", "model file (default: the built-in model)")                      \
    TEXT(softmax, "", NULL, "FILE",                                                                \
         "softmax file of the model, written by elmo-train export; /score needs it")               \
    TEXT(listen, "127.0.0.1:8080", is_address, "HOST:PORT",                                        \
         "address to listen on; [::1]:8080 for IPv6, port 0 for any free port")                    \
    TEXT(port_file, "", NULL, "FILE", "write the address in use to this file")                     \
    TEXT(admin_socket, "", NULL, "FILE",                                                           \
         "Unix socket for the owner: POST /reload reloads as SIGHUP does and returns the result")  \
    TEXT(api_keys, "", NULL, "FILE",                                                               \
         "require one of the API keys in this file (one key per line)")                            \
    TEXT(tls_cert, "", NULL, "FILE", "serve HTTPS with this certificate chain (PEM)")              \
    TEXT(tls_key, "", NULL, "FILE", "private key for --tls-cert (PEM)")                            \
    PICK(tls_min_version, enum config_tls_version, 0, "1.2|1.3", "lowest TLS version accepted")    \
    TEXT(cors_origins, "", origins_is_list, "SCHEME://HOST[:PORT],... or *",                       \
         "origins whose pages may use this server from a browser (default: none)")                 \
    UINT(threads, 0, 0, 1024, "compute threads; 0 = one per available CPU")                        \
    UINT(batch_threads, 0, 0, 64, "threads per batch; 0 = chosen from model size and L3 cache")    \
    UINT(http_threads, 2, 1, 64, "threads that read requests and send responses")                  \
    PICK(dtype, enum elmo_dtype, ELMO_DTYPE_F32, ELMO_DTYPE_CHOICES,                               \
         "number type of the matrix products")                                                     \
    UINT(word_cache_bytes, 67108864, 0, 1099511627776,                                             \
         "size of the word-vector cache in bytes; 0 disables it")                                  \
    TEXT(word_cache_vocab, "", NULL, "FILE",                                                       \
         "pre-fill the word cache from this file (one word per line, most frequent first)")        \
    TEXT(word_vectors, "", NULL, "FILE",                                                           \
         "GloVe, word2vec or fastText text file; adds the outputs word_vec and word_vec_elmo")     \
    TEXT(word_vectors_cache, "", NULL, "FILE",                                                     \
         "cache file for --word-vectors (default: FILE.cache beside it)")                          \
    PICK(word_vectors_case, enum config_word_case, 0, "exact|lower",                               \
         "lower: look up a word in lower case if it is not found as written")                      \
    TEXT(kernel, "", NULL, "NAME", "CPU kernel to use, a name from /info (default: the best one)") \
    PICK(log_format, enum log_format, 0, "json|text", "format of log lines")                       \
    PICK(log_level, enum log_level, 2, "error|warn|info|debug", "lowest level that is logged")     \
    UINT(max_body_bytes, 4194304, 1, 1073741824, "largest request body in bytes")                  \
    UINT(max_inputs, 4096, 1, 1048576, "most inputs per request")                                  \
    UINT(max_tokens, 2048, 1, 1048576, "most tokens per input")                                    \
    UINT(max_request_tokens, 16384, 1, 16777216, "most tokens per request")                        \
    UINT(queue_tokens, 65536, 1, 268435456,                                                        \
         "most tokens waiting in the queue; requests beyond that get 429")                         \
    UINT(answer_bytes, 2147483648, 1, 1099511627776,                                               \
         "memory for responses until they are sent, in bytes; requests beyond that get 429")       \
    UINT(compress_min_bytes, 65536, 0, 1099511627776,                                              \
         "compress responses of at least N bytes; 0 disables compression")                         \
    UINT(batch_tokens, 1024, 1, 16777216, "most tokens that a worker computes at once")            \
    UINT(max_connections, 1024, 1, 1048576, "most open connections")                               \
    UINT(max_connections_per_ip, 0, 0, 1048576, "most open connections per address; 0 = no limit") \
    UINT(header_timeout_ms, 10000, 1, 3600000,                                                     \
         "time limit for receiving the request line and headers")                                  \
    UINT(body_timeout_ms, 30000, 1, 3600000, "time limit for receiving the body")                  \
    UINT(idle_timeout_ms, 60000, 1, 3600000,                                                       \
         "close a connection after this time without a request, or without reading its response")  \
    UINT(request_timeout_ms, 30000, 1, 3600000,                                                    \
         "longest time in the queue; a request may ask for less")                                  \
    UINT(drain_grace_ms, 0, 0, 3600000,                                                            \
         "delay between failing readiness and closing the listener")                               \
    UINT(drain_timeout_ms, 30000, 1, 3600000,                                                      \
         "time limit for answering accepted requests at shutdown; exit status 1 beyond it")        \
    UINT(retry_after_ms, 1000, 1, 3600000, "Retry-After value, rounded up to whole seconds")

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

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
