#pragma once
/* The vocabulary of an LM softmax or of a lexicon as files hold it: a JSON array of V distinct
 * words in
 * __metadata__, the position being the id. The first three are the marks that the ids below name.
 */
#include "elmo.h"
#include "word_table.h"

#define VOCAB_BOS     0u
#define VOCAB_EOS     1u
#define VOCAB_UNKNOWN 2u
#define VOCAB_N_MARKS 3u

extern const struct elmo_token vocabulary_marks[VOCAB_N_MARKS]; /* <S>, </S>, <UNK> */

/* Fills an empty table from the JSON text (NULL: there is none). ELMO_E_FORMAT says which entry is
 * wrong; the table needs word_table_done either way. */
ELMO_MUST_USE int vocabulary_parse(struct word_table *words, const char *json,
                                   struct elmo_error *err);
/* The words as that JSON text; free() it. ELMO_E_INVALID: a word is not UTF-8. */
ELMO_MUST_USE int vocabulary_text(char **ret_json, const struct word_table *words,
                                  struct elmo_error *err);
