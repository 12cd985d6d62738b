#pragma once
/* The commands of elmo-train, one file each, and what the command line may say to them. */
#include "train/pretrain/pretrain.h"

struct import_arguments { /* see convert/import.h */
    const char *weights, *sentiment, *labels, *pooling, *head_input, *ngram_order, *tokenizer;
};

struct sentiment_arguments { /* see sentiment.h; 0, NULL or NAN: as the head has it */
    const char *head, *test, *unlabelled;
    bool finetune, no_ngrams;
    size_t epochs, ngram_order, n_seeds;
    double learning_rate, dev_share, adversary;
};

struct arguments { /* borrowed from argv */
    const char **corpus, **heldout;
    size_t n_corpus, n_heldout;
    const char *out, *checkpoint, *to_resume, *model, *softmax, *senses, *name, *dtype, *kernel,
        *provenance;
    struct import_arguments import;
    struct sentiment_arguments sentiment;
    const char *data;        /* labelled texts: see labelled.h */
    size_t max_words, limit; /* of each text, of the texts; 0: all */
    size_t vocab_size;
    size_t n_cells;                    /* see grow_file.h */
    const char *softmax_out;           /* likewise */
    struct pretrain_settings pretrain; /* its files are set by command_pretrain */
    bool help;
};

/* ELMO_E_INVALID where an option is missing or wrong. */
int command_vocab(const struct arguments *arguments, struct elmo_error *err);
int command_pretrain(const struct arguments *arguments, struct elmo_error *err);
int command_eval(const struct arguments *arguments, struct elmo_error *err);
int command_eval_senses(const struct arguments *arguments, struct elmo_error *err);
int command_eval_data(const struct arguments *arguments, struct elmo_error *err);

/* How the model of an eval is run; ELMO_E_INVALID names --dtype. */
ELMO_MUST_USE int command_eval_settings(struct elmo_model_settings *ret_settings,
                                        const struct arguments *arguments, struct elmo_error *err);
void command_eval_print_model(const struct elmo_model *model); /* how it was run: two lines */

int command_export(const struct arguments *arguments, struct elmo_error *err);
int command_sentiment(const struct arguments *arguments, struct elmo_error *err);
int command_import(const struct arguments *arguments, struct elmo_error *err);
int command_grow(const struct arguments *arguments, struct elmo_error *err);
