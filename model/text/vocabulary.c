#include "vocabulary.h"

#include <jansson.h>
#include <string.h>

#include "error.h"
#include "file/model_file.h"

#define THIS "__metadata__ '" META_VOCABULARY "'"

const struct elmo_token vocabulary_marks[VOCAB_N_MARKS] = {{"<S>", 3}, {"</S>", 4}, {"<UNK>", 5}};

static int add_word(struct word_table *words, const json_t *word, struct elmo_error *err)
{
    size_t id = words->n_items;
    if (!json_is_string(word))
        return elmo_fail(err, ELMO_E_FORMAT, THIS ": entry %zu is no string", id);
    const char *bytes = json_string_value(word);
    size_t n_bytes = json_string_length(word);
    if (id < VOCAB_N_MARKS && strcmp(bytes, vocabulary_marks[id].bytes))
        return elmo_fail(err, ELMO_E_FORMAT, THIS ": entry %zu must be %s", id,
                         vocabulary_marks[id].bytes);
    uint32_t found = word_table_add(words, bytes, n_bytes);
    if (found == WORD_NONE)
        return elmo_fail_nomem(err);
    if (found != id)
        return elmo_fail(err, ELMO_E_FORMAT, THIS ": entries %zu and %zu are the same word",
                         (size_t)found, id);
    return 0;
}

int vocabulary_parse(struct word_table *words, const char *json, struct elmo_error *err)
{
    json_auto_t *array = json ? json_loads(json, 0, NULL) : NULL;
    if (json_array_size(array) < VOCAB_N_MARKS)
        return elmo_fail(err, ELMO_E_FORMAT,
                         THIS ": expected a JSON array of %u marks and the words", VOCAB_N_MARKS);
    for (size_t k = 0; k < json_array_size(array); k++) {
        int r = add_word(words, json_array_get(array, k), err);
        if (r)
            return r;
    }
    return 0;
}

int vocabulary_text(char **ret_json, const struct word_table *words, struct elmo_error *err)
{
    json_auto_t *array = json_array();
    for (size_t k = 0; array && k < words->n_items; k++) {
        const struct elmo_token *word = &words->items[k];
        if (json_array_append_new(array, json_stringn(word->bytes, word->n_bytes)))
            return elmo_fail(err, ELMO_E_INVALID,
                             "word %zu of the vocabulary is not UTF-8, or out of memory", k);
    }
    char *text = array ? json_dumps(array, JSON_COMPACT) : NULL;
    if (!text)
        return elmo_fail_nomem(err);
    *ret_json = text;
    return 0;
}
