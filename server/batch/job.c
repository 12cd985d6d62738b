#include "job.h"

#define MARKS 2 /* <S> and </S> */

size_t sentence_cost(const struct job *job, size_t index)
{
    return (job->sentences[index].n_tokens + MARKS) * (1 + job->extra_cost);
}

size_t job_cost(const struct job *job)
{
    return (job->n_tokens + MARKS * job->n_sentences) * (1 + job->extra_cost);
}

static size_t layer_width(const struct elmo_model_info *info, size_t layer)
{
    return layer == 0 ? info->token_dim : info->layer_dim;
}

/* Floats of the wanted outputs of one token. */
static size_t token_floats(const struct job_wants *wants, const struct elmo_model_info *info)
{
    size_t n = wants->elmo ? info->layer_dim : 0;
    n += (wants->attributions ? 1u : 0) + (wants->log_probs ? 2u : 0);
    for (size_t k = 0; wants->layers && k <= info->n_layers; k++)
        n += wants->layers[k] ? layer_width(info, k) : 0;
    return n;
}

size_t job_output_floats(const struct job *job, const struct elmo_model *model)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    size_t n = 0;
    bool ok = mul_ok(job->n_tokens, token_floats(&job->wants, info), &n);
    for (size_t i = 0; ok && i < job->n_sentences; i++) {
        if (job->wants.pooled)
            ok = add_ok(n, elmo_pooled_dim(model, job->sentences[i].pooling), &n);
        if (ok && job->wants.probabilities)
            ok = add_ok(n, info->n_labels, &n);
        if (ok) /* bias and logit; </S> or <S> of each direction */
            ok =
                add_ok(n, (job->wants.attributions ? 2u : 0) + (job->wants.log_probs ? 2u : 0), &n);
    }
    return ok ? n : SIZE_MAX;
}

/* Points one sentence's wanted outputs at `floats`; returns the first float after them. */
static float *place_sentence(struct elmo_sentence *s, const struct job_wants *wants,
                             const struct elmo_model *model, float *floats, float **layers)
{
    const struct elmo_model_info *info = elmo_model_info(model);
    for (size_t k = 0; layers && k <= info->n_layers; k++) {
        layers[k] = wants->layers[k] ? floats : NULL;
        floats += wants->layers[k] ? s->n_tokens * layer_width(info, k) : 0;
    }
    s->layers = layers;
    s->elmo = wants->elmo ? floats : NULL;
    floats += wants->elmo ? s->n_tokens * info->layer_dim : 0;
    s->pooled = wants->pooled ? floats : NULL;
    floats += wants->pooled ? elmo_pooled_dim(model, s->pooling) : 0;
    s->probabilities = wants->probabilities ? floats : NULL;
    floats += wants->probabilities ? info->n_labels : 0;
    s->attributions = wants->attributions ? floats : NULL;
    floats += wants->attributions ? s->n_tokens + 2 : 0;
    for (unsigned direction = 0; direction < 2; direction++) {
        s->log_probs[direction] = wants->log_probs ? floats : NULL;
        floats += wants->log_probs ? s->n_tokens + 1 : 0;
    }
    return floats;
}

bool job_place_outputs(struct job *job, const struct elmo_model *model)
{
    size_t n_layers = elmo_model_info(model)->n_layers + 1;
    size_t n_bytes, n_places = 0;
    if (!mul_ok(job_output_floats(job, model), sizeof(float), &n_bytes) ||
        (job->wants.layers && !mul_ok(job->n_sentences, n_layers, &n_places)))
        return false;
    AUTO(mem_free) float *floats = malloc(n_bytes ? n_bytes : 1);
    AUTO(mem_free) float **places = job->wants.layers ? calloc(n_places, sizeof *places) : NULL;
    if (!floats || (job->wants.layers && !places))
        return false;
    float *next = floats;
    for (size_t i = 0; i < job->n_sentences; i++)
        next = place_sentence(&job->sentences[i], &job->wants, model, next,
                              places ? places + i * n_layers : NULL);
    job->outputs = STEAL(floats);
    job->layer_places = STEAL(places);
    return true;
}

void job_release_outputs(struct job *job)
{
    for (size_t i = 0; i < job->n_sentences; i++) {
        struct elmo_sentence *s = &job->sentences[i];
        s->layers = NULL;
        s->elmo = s->pooled = s->probabilities = s->attributions = NULL;
        s->log_probs[0] = s->log_probs[1] = NULL;
    }
    free(STEAL(job->outputs));
    free(STEAL(job->layer_places));
}

void job_list_push(struct job_list *list, struct job *job)
{
    job->next = NULL;
    job->prev = list->tail;
    if (list->tail)
        list->tail->next = job;
    else
        list->head = job;
    list->tail = job;
    list->n_jobs++;
}

struct job *job_list_pop(struct job_list *list)
{
    struct job *job = list->head;
    if (job)
        job_list_remove(list, job);
    return job;
}

void job_list_remove(struct job_list *list, struct job *job)
{
    if (job->prev)
        job->prev->next = job->next;
    else
        list->head = job->next;
    if (job->next)
        job->next->prev = job->prev;
    else
        list->tail = job->prev;
    list->n_jobs--;
    job->next = job->prev = NULL;
}
