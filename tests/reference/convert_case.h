#pragma once
/* One conversion to try: a random model as bilm-tf's files in a temporary folder, and the job that
 * converts them. A test changes the files or the job and looks at what comes out. A tool of the
 * tests: what it cannot do ends the program. */
#include "bilm_files.h"
#include "convert/import.h"
#include "test_files.h"

struct convert_case { /* owned: convert_case_done */
    struct temp_dir dir;
    struct random_model model;
    char *options, *weights, *sentiment, *out; /* paths */
    char *provenance;                          /* path of a file that is not there yet */
    struct import_job job; /* points at all but the last; f32, with the head if any */
};

void convert_case_init(struct convert_case *ret_case, struct rng *rng);
/* The same for a given model, which the case takes. */
void convert_case_init_with(struct convert_case *ret_case, struct random_model *model);
void convert_case_done(struct convert_case *c);

/* Number of files in the folder. */
size_t convert_case_files(const struct convert_case *c);
