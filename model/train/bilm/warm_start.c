#include "warm_start.h"

#include <string.h>

#include "error.h"
#include "file/model_file.h"

#ifdef TRAIN_DOUBLE
#error "files hold float32 at best: this file is not part of the double build"
#endif

static int read_files(struct warm_files *f, const char *model, const char *softmax,
                      struct elmo_error *err)
{
    char digest[65];
    int r = mapped_file_open(&f->mapping, model, err);
    if (!r)
        r = safetensors_parse(&f->model, f->mapping.bytes, f->mapping.n_bytes, err);
    if (r || !softmax)
        return r;
    r = lm_softmax_open(&f->softmax, softmax, err);
    if (!r)
        r = bilm_digest(digest, f->model, err);
    if (r)
        return r;
    f->has_softmax = true;
    f->softmax_is_foreign = strcmp(digest, f->softmax.bilm_sha256) != 0;
    return 0;
}

int warm_files_open(struct warm_files *ret_files, const char *model, const char *softmax,
                    struct elmo_error *err)
{
    struct warm_files f = {0};
    int r = read_files(&f, model, softmax, err);
    if (!r && safetensors_find(f.model, LEXICON_VECTORS))
        r = elmo_fail(err, ELMO_E_INVALID,
                      "'%.200s' was fine-tuned, with vectors for words: a language model goes on "
                      "from, or is measured on, the model that it was tuned from",
                      model);
    if (r)
        warm_files_done(&f);
    else
        *ret_files = f;
    return r;
}

void warm_files_done(struct warm_files *f)
{
    lm_softmax_done(&f->softmax);
    safetensors_free(f->model);
    mapped_file_close(&f->mapping);
    *f = (struct warm_files){0};
}

int warm_options(char **ret_json, const struct warm_files *files, struct elmo_error *err)
{
    const char *text = safetensors_metadata(files->model, META_OPTIONS);
    if (!text)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ has no '" META_OPTIONS "': not an elmod model file");
    *ret_json = strdup(text);
    return *ret_json ? 0 : elmo_fail_nomem(err);
}

static int copy_words(struct word_table *ret_words, const struct word_table *words,
                      struct elmo_error *err)
{
    for (size_t k = 0; k < words->n_items; k++)
        if (word_table_add(ret_words, words->items[k].bytes, words->items[k].n_bytes) == WORD_NONE)
            return elmo_fail_nomem(err);
    return 0;
}

int warm_vocab(struct vocab *ret_vocab, const struct warm_files *files, struct elmo_error *err)
{
    struct vocab vocab = {0};
    int r = files->has_softmax
                ? copy_words(&vocab.words, &files->softmax.vocabulary, err)
                : vocabulary_parse(&vocab.words,
                                   safetensors_metadata(files->model, META_VOCABULARY), err);
    if (r)
        vocab_done(&vocab);
    else
        *ret_vocab = vocab;
    return r;
}

/* ---- The biLM ---- */

/* Files may leave out a projection between equal widths; TensorFlow then does not clip, so that the
 * identity is the same function while clips leave -1..1 (what sigmoid * tanh can give) alone. */
static int fill_identity(real *values, const struct tensor_spec *spec, const struct options *o,
                         struct elmo_error *err)
{
    if (!strncmp(spec->name, "RNN_", 4) && o->proj_clip > 0 && o->proj_clip < 1)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "the model has no projection in its LSTMs: to train it proj_clip must be "
                         "at least 1");
    size_t n_rows = spec->dims[0], n_columns = spec->n_dims > 1 ? spec->dims[1] : 1;
    memset(values, 0, n_rows * n_columns * sizeof *values);
    for (size_t k = 0; spec->n_dims > 1 && k < n_rows; k++)
        values[k * n_columns + k] = 1;
    return 0;
}

static int copy_tensor(real *values, size_t n, const struct tensor_spec *spec,
                       const struct net *net, const struct safetensors *file,
                       struct elmo_error *err)
{
    const struct st_tensor *t = safetensors_find(file, spec->name);
    if (!t && spec->optional)
        return fill_identity(values, spec, &net->options, err);
    if (!t || t->dtype == ST_OTHER || t->n_bytes != n * st_dtype_bytes(t->dtype) ||
        t->n_dims != spec->n_dims || memcmp(t->dims, spec->dims, t->n_dims * sizeof *t->dims)) {
        char expected[96];
        st_shape_text(spec->dims, spec->n_dims, expected, sizeof expected);
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '%s' of the model to start from is missing or not %s: it must "
                         "have the architecture of the options",
                         spec->name, expected);
    }
    st_to_f32(values, t->data, t->dtype, n);
    return 0;
}

int warm_copy_bilm(real *values, const struct net *net, const struct warm_files *files,
                   struct elmo_error *err)
{
    int r = 0;
    for (size_t k = 0; !r && k < net->n_bilm_tensors; k++)
        r = copy_tensor(values + net->offsets[k], net->offsets[k + 1] - net->offsets[k],
                        &net->specs.items[k], net, files->model, err);
    return r;
}

int warm_start(real *values, const struct net *net, const char *model_path, struct elmo_error *err)
{
    struct warm_files files = {0};
    int r = read_files(&files, model_path, NULL, err);
    if (!r)
        r = warm_copy_bilm(values, net, &files, err);
    warm_files_done(&files);
    return r;
}

/* ---- The softmax ---- */

int warm_copy_softmax(real *values, const struct net *net, const struct vocab *vocab,
                      const struct warm_files *files, size_t *ret_n_found, struct elmo_error *err)
{
    const struct lm_softmax *s = &files->softmax;
    size_t P = net->options.proj_dim, n_found = 0;
    struct net_tensors w;
    if (s->dim != P)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "tensor '" SOFTMAX_W "': expected %zu columns, as the biLM has outputs a "
                         "direction, found %zu",
                         P, s->dim);
    net_tensors(&w, net, values);
    for (size_t k = 0; k < vocab->words.n_items; k++) {
        const struct elmo_token *word = &vocab->words.items[k];
        uint32_t row = word_table_find(&s->vocabulary, word->bytes, word->n_bytes);
        if (row == WORD_NONE)
            continue;
        memcpy(w.softmax_w + k * P, s->w + row * P, P * sizeof *s->w);
        w.softmax_b[k] = s->b[row];
        n_found++;
    }
    *ret_n_found = n_found;
    return 0;
}
