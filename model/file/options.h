#pragma once
/* The architecture: the fields of bilm-tf's options.json that inference needs
 * (model/inference/README.md, section 1). */
#include "defs.h"
#include "elmo.h"

enum activation { ACT_RELU, ACT_TANH };

/* Row ids of char_embed, before any shift: 0..255 are bytes. */
enum {
    CHAR_BOS = 256,
    CHAR_EOS,
    CHAR_BOW,
    CHAR_EOW,
    CHAR_PAD,
    CHAR_COUNT /* rows of char_embed */
};

#define OPTIONS_MAX_FILTERS 64
#define OPTIONS_MAX_LAYERS  64

struct char_filter {
    size_t width; /* characters */
    size_t n_filters;
};

struct options {
    /* char-CNN */
    size_t char_dim;  /* D */
    size_t max_chars; /* characters per token, begin and end of word included */
    size_t n_char_filters;
    struct char_filter char_filters[OPTIONS_MAX_FILTERS];
    size_t filter_dim; /* F: sum of n_filters */
    size_t n_highway;
    enum activation activation;
    /* biLSTM */
    size_t n_layers; /* L */
    size_t cell_dim; /* C */
    size_t proj_dim; /* P */
    float cell_clip; /* 0: none */
    float proj_clip; /* 0: none */
    bool skip_connections;
};

/* Parses options.json (NUL-terminated). Keys for training only are ignored; a missing, mistyped or
 * absurd value is ELMO_E_FORMAT and named. */
ELMO_MUST_USE int options_parse(struct options *ret_options, const char *json,
                                struct elmo_error *err);
