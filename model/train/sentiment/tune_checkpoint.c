#include "tune_checkpoint.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "file/safetensors.h"
#include "util/mapped_file.h"

#define META_STATE "tune_state"
#define NOT_YET    -1.0 /* JSON has no infinity, and no loss is negative */

/* ---- Writing ---- */

static char *state_text(const struct tune_state *s)
{
    json_auto_t *json =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:f, s:s}", "epoch",
                  (json_int_t)s->epoch, "next_batch", (json_int_t)s->next_batch, "n_steps",
                  (json_int_t)s->n_steps, "n_tokens", (json_int_t)s->n_tokens, "bilm_steps",
                  (json_int_t)s->bilm_steps, "head_steps", (json_int_t)s->head_steps, "word_steps",
                  (json_int_t)s->word_steps, "loss", s->sum.loss, "accuracy", s->sum.accuracy,
                  "n_texts", (json_int_t)s->n_texts, "best_loss",
                  isfinite(s->best_loss) ? s->best_loss : NOT_YET, "job_sha256", s->job_sha256);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

int tune_checkpoint_write(const char *path, const struct tune_array *arrays, size_t n_arrays,
                          const struct tune_state *state, struct elmo_error *err)
{
    AUTO(mem_free) struct st_tensor *tensors = calloc(n_arrays, sizeof *tensors);
    AUTO(mem_free) char *text = state_text(state);
    if (!tensors || !text)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_arrays; k++)
        tensors[k] = (struct st_tensor){
            .name = arrays[k].name,
            .dtype = ST_F32,
            .n_dims = 1,
            .dims = {arrays[k].n},
            .data = (const unsigned char *)arrays[k].values,
            .n_bytes = arrays[k].n * sizeof(float),
        };
    const struct st_metadata metadata = {META_STATE, text};
    return safetensors_write(path, tensors, n_arrays, &metadata, 1, err);
}

/* ---- Reading ---- */

static int read_state(struct tune_state *s, const char *text, struct elmo_error *err)
{
    json_int_t epoch, next_batch, n_steps, n_tokens, bilm_steps, head_steps, word_steps, n_texts;
    double loss, accuracy, best_loss;
    const char *sha256;
    json_auto_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json ||
        json_unpack(json, "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:F, s:F, s:I, s:F, s:s}", "epoch",
                    &epoch, "next_batch", &next_batch, "n_steps", &n_steps, "n_tokens", &n_tokens,
                    "bilm_steps", &bilm_steps, "head_steps", &head_steps, "word_steps", &word_steps,
                    "loss", &loss, "accuracy", &accuracy, "n_texts", &n_texts, "best_loss",
                    &best_loss, "job_sha256", &sha256) ||
        epoch < 0 || next_batch < 0 || n_steps < 0 || n_tokens < 0 || bilm_steps < 0 ||
        head_steps < 0 || word_steps < 0 || n_texts < 0)
        return elmo_fail(err, ELMO_E_FORMAT,
                         "__metadata__ '" META_STATE "' is missing or wrong: not a checkpoint of "
                         "fine-tuning");
    if (strcmp(sha256, s->job_sha256))
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot resume: the model, the texts or the settings (--threads and "
                         "--precision, too) are not those that the checkpoint was trained with");
    s->epoch = (uint64_t)epoch;
    s->next_batch = (uint64_t)next_batch;
    s->n_steps = (uint64_t)n_steps;
    s->n_tokens = (uint64_t)n_tokens;
    s->bilm_steps = (uint64_t)bilm_steps;
    s->head_steps = (uint64_t)head_steps;
    s->word_steps = (uint64_t)word_steps;
    s->sum = (struct head_fit_score){loss, accuracy};
    s->n_texts = (uint64_t)n_texts;
    s->best_loss = best_loss < 0 ? (double)INFINITY : best_loss;
    return 0;
}

static int read_array(const struct safetensors *file, const struct tune_array *array,
                      struct elmo_error *err)
{
    const struct st_tensor *t = safetensors_find(file, array->name);
    if (!t || t->dtype != ST_F32 || t->n_bytes != array->n * sizeof(float))
        return elmo_fail(err, ELMO_E_FORMAT,
                         "checkpoint: tensor '%s' is missing or not of %zu float32 values",
                         array->name, array->n);
    st_to_f32(array->values, t->data, ST_F32, array->n);
    return 0;
}

int tune_checkpoint_read(const char *path, const struct tune_array *arrays, size_t n_arrays,
                         struct tune_state *state, struct elmo_error *err)
{
    struct mapped_file mapping = {0};
    struct safetensors *file = NULL;
    int r = mapped_file_open(&mapping, path, err);
    if (!r)
        r = safetensors_parse(&file, mapping.bytes, mapping.n_bytes, err);
    if (!r)
        r = read_state(state, safetensors_metadata(file, META_STATE), err);
    for (size_t k = 0; k < n_arrays && !r; k++)
        r = read_array(file, &arrays[k], err);
    safetensors_free(file);
    mapped_file_close(&mapping);
    return r;
}
