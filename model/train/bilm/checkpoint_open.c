#include "checkpoint_open.h"

#include <string.h>

#include "error.h"
#include "file/model_file.h"
#include "file/safetensors.h"
#include "util/mapped_file.h"
#include "warm_start.h"

/* Options and tokeniser, which checkpoints and model files keep alike. */
static int read_header(struct open_checkpoint *c, struct options *options,
                       const struct safetensors *file, struct elmo_error *err)
{
    const char *text = safetensors_metadata(file, META_OPTIONS);
    const char *tokenizer = safetensors_metadata(file, META_TOKENIZER);
    if (!text || !tokenizer || !tokenizer_from_name(&c->tokenizer, tokenizer))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "no options or tokenizer in it: neither a checkpoint nor a model file");
    c->options_json = strdup(text);
    return c->options_json ? options_parse(options, text, err) : elmo_fail_nomem(err);
}

/* The net for options and c->vocab, its values zero. */
static int make_net(struct open_checkpoint *c, const struct options *options,
                    struct elmo_error *err)
{
    int r = net_init(&c->net, options, c->vocab.words.n_items, err);
    if (!r && !(c->values = calloc(net_size(&c->net), sizeof(real))))
        r = elmo_fail_nomem(err);
    return r;
}

/* NULL where the file has none. */
static int copy_metadata(char **ret, const struct safetensors *file, const char *key,
                         struct elmo_error *err)
{
    const char *text = safetensors_metadata(file, key);
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? elmo_fail_nomem(err) : 0;
}

static int read_all(struct open_checkpoint *c, const char *path, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    struct options options;
    AUTO(safetensors_free) struct safetensors *file = NULL;
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = safetensors_parse(&file, mapping.bytes, mapping.n_bytes, err);
    if (!r)
        r = read_header(c, &options, file, err);
    if (!r)
        r = vocabulary_parse(&c->vocab.words, safetensors_metadata(file, META_VOCABULARY), err);
    if (!r)
        r = copy_metadata(&c->corpus_weights, file, META_CORPUS_WEIGHTS, err);
    if (!r)
        r = copy_metadata(&c->provenance, file, META_PROVENANCE, err);
    mapped_file_close(&mapping);
    if (!r)
        r = make_net(c, &options, err);
    if (r)
        return r;
    const struct checkpoint into = {.net = &c->net, .values = c->values, .state = &c->state};
    return checkpoint_read(path, &into, err);
}

static int hand_over(struct open_checkpoint *ret, struct open_checkpoint *c, int r)
{
    if (r)
        open_checkpoint_done(c);
    else
        *ret = *c;
    return r;
}

int open_checkpoint_init(struct open_checkpoint *ret, const char *path, struct elmo_error *err)
{
    struct open_checkpoint c = {0};
    return hand_over(ret, &c, read_all(&c, path, err));
}

static int read_shipped(struct open_checkpoint *c, const struct warm_files *files,
                        struct elmo_error *err)
{
    struct options options;
    size_t n_found;
    int r = read_header(c, &options, files->model, err);
    if (!r)
        r = warm_vocab(&c->vocab, files, err);
    if (!r)
        r = make_net(c, &options, err);
    if (!r)
        r = warm_copy_bilm(c->values, &c->net, files, err);
    if (!r)
        r = warm_copy_softmax(c->values, &c->net, &c->vocab, files, &n_found, err);
    c->softmax_is_foreign = files->softmax_is_foreign;
    return r;
}

int open_checkpoint_shipped(struct open_checkpoint *ret, const char *model, const char *softmax,
                            struct elmo_error *err)
{
    struct open_checkpoint c = {0};
    struct warm_files files;
    int r = warm_files_open(&files, model, softmax, err);
    if (r)
        return r;
    r = read_shipped(&c, &files, err);
    warm_files_done(&files);
    return hand_over(ret, &c, r);
}

void open_checkpoint_done(struct open_checkpoint *c)
{
    free(c->options_json);
    free(c->corpus_weights);
    free(c->provenance);
    free(c->values);
    vocab_done(&c->vocab);
    net_done(&c->net);
    *c = (struct open_checkpoint){0};
}
