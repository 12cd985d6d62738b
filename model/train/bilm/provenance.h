#pragma once
/* What a model file says of how it came about: the JSON object of its META_PROVENANCE
 * (model_file.h), which /info shows. No state, any thread. */
#include <jansson.h>

#include "checkpoint_open.h"

/* The object as text; free() it. "pretraining" holds what the checkpoint at `path` knows: commit,
 * steps, tokens, seconds, seed, settings, hashes of the texts and of the biLM it began with, and,
 * if curve.csv lies beside it, the last held-out perplexities up to its step; "others" are the
 * joint ones of the held-out texts after the first, by name. Around it are the keys of `extra`, the
 * text of a JSON object, or NULL, and those of the checkpoint's own provenance that extra has not.
 * ELMO_E_FORMAT: extra is no JSON object. */
ELMO_MUST_USE int provenance_of_checkpoint(char **ret_json, const char *path,
                                           const struct open_checkpoint *checkpoint,
                                           const char *extra, struct elmo_error *err);

/* The object `json` with `value` as its member `key`, as text; free() it. Takes the reference of
 * value; NULL is ELMO_E_NOMEM, so that json_pack() can be handed in. */
ELMO_MUST_USE int provenance_add(char **ret_json, const char *json, const char *key, json_t *value,
                                 struct elmo_error *err);
