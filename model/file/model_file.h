#pragma once
/* What the one model file holds beside the tensors of tensor_specs.h: the keys of its safetensors
 * __metadata__ (all values are strings, as the format demands). elmo-convert and elmo-train write
 * them, the loader reads them, and nobody else spells them. */

#define META_FORMAT_VERSION "elmo_format" /* "1" */
#define META_NAME           "name"        /* for people and for /info; no control characters */
#define META_OPTIONS        "options"     /* JSON: bilm-tf's options.json, whole */
#define META_TOKENIZER      "tokenizer"   /* "whitespace" or "unicode" */
#define META_PROVENANCE     "provenance"  /* JSON object, free; optional */
/* With a sentiment head: */
#define META_LABELS  "labels"  /* JSON array of strings, the order of the probabilities */
#define META_POOLING "pooling" /* "mean", "max" or "mean_max"; optional, default "mean" */
/* What is pooled: "mix", the scalar mix [2P] (default), or "layers", all representations side by
 * side [x P, layer 1 2P, .., layer L 2P]. Optional. */
#define META_HEAD_INPUT "head_input"
#define META_NGRAM_ORDER \
    "ngram_order" /* "1".."4": of the longest n-gram; where there are n-grams */

#define MODEL_FORMAT_VERSION "1"

/* Words with vectors of their own (lexicon.h), where fine-tuning gave them some; optional. Row k is
 * word k of META_VOCABULARY. */
#define LEXICON_VECTORS "lexicon/vectors" /* [V, P]; bf16 or float32 */

/* Of a model file with a lexicon, and of the LM softmax: */
#define META_VOCABULARY "vocabulary" /* JSON array of V strings (vocabulary.h) */

/* The LM softmax is a file of its own beside the model file (lm_softmax.h). Its keys, beside
 * META_NAME and META_VOCABULARY: */
#define META_SOFTMAX_VERSION "elmo_softmax_format" /* "1" */
#define META_BILM_SHA256     "bilm_sha256" /* of the biLM it was trained with: bilm_digest() */

#define SOFTMAX_FORMAT_VERSION "1"

#define SOFTMAX_W "softmax/W" /* [V, P]; bf16 or float32 */
#define SOFTMAX_B "softmax/b" /* [V]; float32 */

#define HEAD_PREFIX         "sentiment/" /* of the head's tensors, and of no others */
#define HEAD_MAX_DIM        (1u << 20) /* of its hidden and outputs, as options.c has it for the biLM */
#define HEAD_MAX_NGRAM_ROWS (1u << 28)
/* Sentiment head. dense_2 with one output is a sigmoid: P(labels[1]); with n > 1 a softmax. */
/* The mix is there where the head's input is "mix", and only there. */
#define HEAD_MIX_WEIGHTS    "sentiment/mix/weights"    /* [1 + L] logits */
#define HEAD_MIX_GAMMA      "sentiment/mix/gamma"      /* [1] */
#define HEAD_DENSE_1_KERNEL "sentiment/dense_1/kernel" /* [input, hidden], x @ kernel */
#define HEAD_DENSE_1_BIAS   "sentiment/dense_1/bias"   /* [hidden] */
#define HEAD_DENSE_2_KERNEL "sentiment/dense_2/kernel" /* [hidden, output] */
#define HEAD_DENSE_2_BIAS   "sentiment/dense_2/bias"   /* [output] */
#define HEAD_NGRAMS         "sentiment/ngrams/weights" /* [rows, output], see ngrams.h; optional */
