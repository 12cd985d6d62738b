#pragma once
/* What the commands that only read a biLM and its softmax want of them: net, vocabulary, weights;
 * from a checkpoint or from the two shipped files. */
#include "checkpoint.h"
#include "text/tokenize.h"
#include "train/data/vocab.h"

struct open_checkpoint { /* owned: open_checkpoint_done */
    char *options_json;
    char *corpus_weights, *provenance; /* see checkpoint.h; NULL: there is none */
    enum tokenizer tokenizer;
    struct vocab vocab;
    struct net net;
    real *values;             /* [net_size()] */
    struct train_state state; /* zeros for shipped files */
    bool softmax_is_foreign;  /* the shipped softmax was trained with another biLM */
};

ELMO_MUST_USE int open_checkpoint_init(struct open_checkpoint *ret_checkpoint, const char *path,
                                       struct elmo_error *err);
ELMO_MUST_USE int open_checkpoint_shipped(struct open_checkpoint *ret_checkpoint, const char *model,
                                          const char *softmax, struct elmo_error *err);
void open_checkpoint_done(struct open_checkpoint *checkpoint); /* {0} is fine */
