#pragma once
/* Where computed blocks go: HDF5, npy or safetensors, behind one set of calls. A sink writes into a
 * work folder; what it has on the disk at a checkpoint is told by a JSON object, from which it goes
 * on in another process. One thread at a time. */
#include "block.h"
#include "work_folder.h"

struct sink_setup { /* borrowed while the sink lives */
    const struct layout *layout;
    const struct elmo_model_info *info;
    struct work_folder *folder;
    bool sentence_keys;      /* HDF5: a sentence's key is its text, not its number */
    bool forget_sentences;   /* HDF5: no sentence_to_index */
    uint64_t max_part_bytes; /* safetensors: of the tensors of a file; 0: the usual */
};

struct sink; /* each kind's own */

struct sink_kind {
    const char *name;
    /* From the beginning where `state` is NULL, else from where sink_checkpoint was. */
    int (*open)(struct sink **ret_sink, const struct sink_setup *setup, const json_t *state,
                struct elmo_error *err);
    /* Whether a checkpoint must come before this block. NULL: whenever there is time for one. */
    bool (*is_full)(const struct sink *sink, const struct block *block);
    int (*add)(struct sink *sink, const struct block *block, struct elmo_error *err);
    /* Brings to the disk what was added. `closing`: nothing is added after. */
    int (*checkpoint)(struct sink *sink, bool closing, json_t **ret_state, struct elmo_error *err);
    /* Called once the checkpoint is saved: what only the one before needed can go. May be NULL. */
    void (*saved)(struct sink *sink);
    /* All lines are there: the whole result takes its name. */
    int (*finish)(struct sink *sink, struct elmo_error *err);
    uint64_t (*n_skipped)(const struct sink *sink); /* lines whose key was there; NULL: none */
    void (*free)(struct sink *sink);
};

extern const struct sink_kind sink_hdf5;        /* in every word as AllenNLP's: sink_hdf5.c */
extern const struct sink_kind sink_npy;         /* a folder of arrays: sink_npy.c */
extern const struct sink_kind sink_safetensors; /* a folder of files: sink_safetensors.c */
