#pragma once
/* A model to grow: a random one whose LSTMs have a projection and its softmax, in a temporary
 * folder, and the job. A test changes the files or the job and looks at what comes out. A step that
 * fails fails the test. */
#include "file/safetensors.h"
#include "reference/random_model.h"
#include "reference/random_softmax.h"
#include "reference/test_files.h"
#include "train/bilm/grow_file.h"

#define GROW_N_WORDS 40 /* of the softmax */

struct grow_case { /* owned: grow_case_done */
    struct temp_dir dir;
    struct random_model random;
    struct random_softmax random_softmax;
    char *model, *softmax, *out, *softmax_out; /* paths; nothing is at the last two yet */
    struct grow_job job;                       /* points at all of them */
};

/* What is done to a file of float32 tensors; {0} is nothing. */
struct grow_change {
    enum st_dtype dtype;              /* of the tensors with more than one dimension */
    const char *left_out, *flattened; /* names of tensors, or NULL */
    const char *provenance;           /* or NULL */
};
void grow_change_file(const char *path, const struct grow_change *change);

/* The softmax is that of the changed model. */
void grow_case_init(struct grow_case *ret_case, uint64_t seed, const struct grow_change *change);
void grow_case_done(struct grow_case *c);
void grow_must_work(const struct grow_job *job);

struct grow_parsed { /* owned: grow_parsed_done */
    unsigned char *bytes;
    size_t n_bytes;
    struct safetensors *file;
};
void grow_parse(struct grow_parsed *ret_parsed, const char *path);
void grow_parsed_done(struct grow_parsed *parsed);
