/* The weights of a resumed run, and what becomes of its decay. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "pretrain_run.h"

/* ---- Decays ---- */

/* A rate that has fallen may not rise again: weights that were trained to an end would leave it. */
static int fail_decayed(const struct run *r, struct elmo_error *err)
{
    const struct train_decay *d = &r->state.decay;
    char finish[128] = "--decay-tokens N finishes it in N tokens; ";
    if (d->line.n_tokens)
        snprintf(finish, sizeof finish, "--decay-tokens %" PRIu64 " goes on with it; ",
                 d->line.n_tokens);
    return elmo_fail(err, ELMO_E_INVALID,
                     "cannot resume: a decay has brought the rate down to %.3g of what it was. "
                     "%sto train on at the full rate, copy " RUN_BEFORE_DECAY
                     " into another folder as " RUN_CHECKPOINT " and resume there",
                     d->left, d->left > 0 ? finish : "");
}

/* --decay-tokens as in the checkpoint goes on with that decay, else one begins here. */
static int take_decay(struct run *r, struct elmo_error *err)
{
    struct train_decay *d = &r->state.decay;
    uint64_t n_tokens = r->settings->decay_tokens;
    if (n_tokens && d->left < 1 && d->line.n_tokens == n_tokens)
        return 0;
    if (n_tokens ? d->left <= 0 : run_decay_at_start(r) > d->left * (1 + 1e-9))
        return fail_decayed(r, err);
    d->line = (struct rate_line){r->state.n_tokens, n_tokens, d->left};
    return 0;
}

/* ---- Weights ---- */

int run_resume(struct run *r, struct elmo_error *err)
{
    char path[RUN_MAX_PATH], heldout_sha256[SHA256_HEX_BYTES];
    struct checkpoint c;
    const struct train_state now = r->state;
    int e = run_checkpoint_of(r, &c, err);
    run_path(r, RUN_CHECKPOINT, path);
    if (!e)
        e = checkpoint_read(path, &c, err);
    r->state.settings = now.settings;
    memcpy(r->state.word_vectors_sha256, now.word_vectors_sha256, sizeof now.word_vectors_sha256);
    if (e)
        return e;
    run_heldout_sha256(r, heldout_sha256);
    if (strcmp(r->state.corpus_sha256, r->corpus.sha256) ||
        strcmp(r->state.heldout_sha256, heldout_sha256))
        return elmo_fail(err, ELMO_E_INVALID,
                         "cannot resume: the corpus or the held-out text is not the one that '%s' "
                         "was trained on",
                         path);
    r->seconds_before = r->state.seconds;
    r->written_steps = r->state.n_steps;
    return take_decay(r, err);
}
