#pragma once
/* Writes JSON text directly to a buffer, without objects in memory. The writer places the commas;
 * the caller must match begin and end and give every member of an object a key. Failure:
 * buffer->failed.
 *
 *     struct json_writer w = {.out = &buffer};
 *     json_write_object_begin(&w);
 *     json_write_key(&w, "default");
 *     json_write_array_begin(&w);
 *     json_write_floats(&w, pooled, n_floats);
 *     json_write_array_end(&w);
 *     json_write_object_end(&w);              // {"default":[0.1,...]}
 *
 * Not thread-safe: one owner at a time. */
#include <stdint.h>

#include "util/buffer.h"

struct json_writer {
    struct buffer *out; /* borrowed */
    bool comma;         /* a comma is due before the next value or key */
};

void json_write_object_begin(struct json_writer *w);
void json_write_object_end(struct json_writer *w);
void json_write_array_begin(struct json_writer *w);
void json_write_array_end(struct json_writer *w);

/* Writes a key, any UTF-8, escaped like a string. */
void json_write_key(struct json_writer *w, const char *key);
/* Escapes ", \ and control characters. Every byte that is not part of valid UTF-8 becomes U+FFFD,
 * so the output is always valid JSON. NUL bytes are written as \u0000. */
void json_write_string(struct json_writer *w, const char *bytes, size_t n_bytes);
/* Writes a string in any number of parts between begin and end. A part must not end within a
 * character. */
void json_write_string_begin(struct json_writer *w);
void json_write_string_part(struct json_writer *w, const char *bytes, size_t n_bytes);
void json_write_string_end(struct json_writer *w);
void json_write_text(struct json_writer *w, const char *text); /* NUL-terminated; NULL: null */
void json_write_uint(struct json_writer *w, uint64_t value);
void json_write_bool(struct json_writer *w, bool value);
void json_write_null(struct json_writer *w);
void json_write_float(struct json_writer *w, float value); /* see float_text.h */
void json_write_text_member(struct json_writer *w, const char *key, const char *text);
void json_write_uint_member(struct json_writer *w, const char *key, uint64_t value);
void json_write_bool_member(struct json_writer *w, const char *key, bool value);
void json_write_float_member(struct json_writer *w, const char *key, float value);
/* A complete JSON value that is already text, such as elmo_model_info's options. */
void json_write_raw(struct json_writer *w, const char *json);

/* Writes finite values as elements of the open array (see float_text.h). */
void json_write_floats(struct json_writer *w, const float *values, size_t n_values);
/* Writes a part of a string: base64 of the values as little-endian float32. Every part except the
 * last must have a multiple of 3 values; 3 values take 16 characters. */
void json_write_base64_part(struct json_writer *w, const float *values, size_t n_values);
