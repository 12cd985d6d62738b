#pragma once
/* Shared by tests of replies: a request, its job with outputs, and its answer in any form, written
 * at once or piece by piece. The model is fake_elmo. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/job.h"
#include "body/reply.h"
#include "support/fake_elmo.h"

struct reply_fixture {
    struct elmo_model *model;
    struct request *request;
    struct elmo_sentence sentences[4];
    struct job job;
    struct buffer out; /* the whole answer */
    json_t *json;      /* the same, parsed */
};

/* Vectors of the words a (1, 2, 3), bc (4, 5, 6) and d (7, 8, 9), which a request may ask for. */
const struct word_vectors *reply_fixture_vectors(void);
/* The body must be a valid request of at most 4 inputs; otherwise the test fails. */
void reply_fixture_set_up(struct reply_fixture *f, enum request_kind kind, const char *body);
/* The body follows a letter for the kind of the request: e, s, c (/score), t, o (OpenAI) or i (Open
 * Inference). In the body, "@" is replaced by a long token with all escaped characters. The outputs
 * of e, o and i are random, the others are computed. */
void reply_fixture_set_up_long(struct reply_fixture *f, const char *body);
void reply_fixture_tear_down(struct reply_fixture *f);
/* Computes the outputs, as fake_elmo.h says. */
void reply_fixture_run(const struct reply_fixture *f);
/* What reply_begin takes. */
const struct elmo_sentence *reply_fixture_outputs(const struct reply_fixture *f);
/* The whole answer to f->out, and that as JSON to f->json. */
void reply_fixture_write(struct reply_fixture *f, enum reply_form form);
void reply_fixture_parse(struct reply_fixture *f);

void fill_with_any_finite_bits(float *floats, size_t n, uint64_t *random);
/* Reads the rest in pieces of `size`, 0: of random sizes, and compares it. */
void assert_reads(struct reply *reply, size_t size, const struct buffer *expected, size_t n_done);
