#pragma once
/* A checkpoint as the commands that only read it want it: its net, vocabulary and weights. */
#include "checkpoint.h"
#include "tokenize.h"
#include "vocab.h"

struct open_checkpoint { /* owned: open_checkpoint_done */
    char *options_json;
    enum tokenizer tokenizer;
    struct vocab vocab;
    struct net net;
    real *values; /* [net_size()] */
    struct train_state state;
};

ELMO_MUST_USE int open_checkpoint_init(struct open_checkpoint *ret_checkpoint, const char *path,
                                       struct elmo_error *err);
void open_checkpoint_done(struct open_checkpoint *checkpoint); /* {0} is fine */
