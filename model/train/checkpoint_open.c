#include "checkpoint_open.h"

#include <jansson.h>
#include <string.h>

#include "error.h"
#include "mapped_file.h"
#include "model_file.h"
#include "safetensors.h"

/* The words as the checkpoint's JSON array has them, as a vocabulary. */
static int read_vocabulary(struct vocab *ret_vocab, const char *text, struct elmo_error *err)
{
    json_auto_t *words = text ? json_loads(text, 0, NULL) : NULL;
    if (!json_array_size(words))
        return elmo_fail(err, ELMO_E_FORMAT, "__metadata__ '" META_VOCABULARY "' is no JSON array");
    for (size_t k = 0; k < json_array_size(words); k++) {
        const json_t *word = json_array_get(words, k);
        if (!json_is_string(word))
            return elmo_fail(err, ELMO_E_FORMAT,
                             "__metadata__ '" META_VOCABULARY "': a word is no "
                             "string");
        uint32_t id =
            word_table_add(&ret_vocab->words, json_string_value(word), json_string_length(word));
        if (id == WORD_NONE)
            return elmo_fail_nomem(err);
        if (id != k)
            return elmo_fail(err, ELMO_E_FORMAT,
                             "__metadata__ '" META_VOCABULARY "': a word is "
                             "there twice");
    }
    return 0;
}

static int read_header(struct open_checkpoint *c, const struct safetensors *file,
                       struct elmo_error *err)
{
    struct options options;
    const char *text = safetensors_metadata(file, META_OPTIONS);
    const char *tokenizer = safetensors_metadata(file, META_TOKENIZER);
    if (!text || !tokenizer || !tokenizer_from_name(&c->tokenizer, tokenizer))
        return elmo_fail(err, ELMO_E_FORMAT, "no options or tokenizer in it: not a checkpoint");
    c->options_json = strdup(text);
    if (!c->options_json)
        return elmo_fail_nomem(err);
    int r = options_parse(&options, text, err);
    if (!r)
        r = read_vocabulary(&c->vocab, safetensors_metadata(file, META_VOCABULARY), err);
    return r ? r : net_init(&c->net, &options, c->vocab.words.n_items, err);
}

static int read_all(struct open_checkpoint *c, const char *path, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = safetensors_parse(&file, mapping.bytes, mapping.n_bytes, err);
    if (!r)
        r = read_header(c, file, err);
    mapped_file_close(&mapping);
    if (r)
        return r;
    c->values = calloc(net_size(&c->net), sizeof(real));
    if (!c->values)
        return elmo_fail_nomem(err);
    const struct checkpoint into = {.net = &c->net, .values = c->values, .state = &c->state};
    return checkpoint_read(path, &into, err);
}

int open_checkpoint_init(struct open_checkpoint *ret, const char *path, struct elmo_error *err)
{
    struct open_checkpoint c = {0};
    int r = read_all(&c, path, err);
    if (r)
        open_checkpoint_done(&c);
    else
        *ret = c;
    return r;
}

void open_checkpoint_done(struct open_checkpoint *c)
{
    free(c->options_json);
    free(c->values);
    vocab_done(&c->vocab);
    net_done(&c->net);
    *c = (struct open_checkpoint){0};
}
