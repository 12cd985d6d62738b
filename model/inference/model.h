#pragma once
/* What an elmo_model is made of; the modules of the forward pass read it, none writes it. */
#include "elmo.h"
#include "file/options.h"
#include "file/safetensors.h"
#include "language_model.h"
#include "text/tokenize.h"
#include "text/word_table.h"
#include "util/mapped_file.h"
#include "weights.h"
#include "word_cache.h"

struct elmo_model {
    struct elmo_model_info info;
    struct options options;
    struct weights weights;
    struct word_table lexicon; /* owned; item k has the vector weights.lexicon[k] */
    struct word_cache *words;  /* owned; NULL: none */
    struct language_model *lm; /* owned; NULL: none */
    enum tokenizer tokenizer;
    enum elmo_pooling head_pooling;
    struct safetensors *file; /* owned; info's strings live in it */
    char sha256[65];
    const char **labels;        /* owned array; strings live in labels_json */
    void *labels_json;          /* json_t, owned */
    struct mapped_file mapping; /* owned; none where the bytes are borrowed */
};
