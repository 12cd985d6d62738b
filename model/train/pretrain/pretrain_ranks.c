/* What the ranks of a run tell each other beside gradients: the time, whether to stop, what they
 * scored, and that they do the same. A single rank asks its own clock and signals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/stop_signal.h"
#include "error.h"
#include "kernels/bf16_gemm.h"
#include "machine/cpu_features.h"
#include "pretrain_run.h"
#include "util/sha256.h"

static bool is_single(const struct run *r)
{
    return r->ranks.size == 1;
}

bool run_writes(const struct run *r)
{
    return r->ranks.index == 0;
}

double run_now(const struct run *r)
{
    return is_single(r) ? r->settings->now_s() : r->tick.now_s;
}

bool run_stops(const struct run *r)
{
    return is_single(r) ? stop_signal_came() : r->tick.stops;
}

int run_share_tick(struct run *r, struct elmo_error *err)
{
    if (is_single(r))
        return 0;
    const struct run_tick mine = {r->settings->now_s(), r->longest_evaluation_s,
                                  r->longest_checkpoint_s, stop_signal_came()};
    AUTO(mem_free) struct run_tick *all = calloc(r->ranks.size, sizeof *all);
    if (!all)
        return elmo_fail_nomem(err);
    int e = ranks_gather(&r->ranks, all, &mine, sizeof mine, err);
    if (e)
        return e;
    r->tick = all[0];
    for (size_t k = 1; k < r->ranks.size; k++)
        r->tick.stops |= all[k].stops;
    r->longest_evaluation_s = r->tick.longest_evaluation_s;
    r->longest_checkpoint_s = r->tick.longest_checkpoint_s;
    return 0;
}

static void add_text(struct sha256 *sha256, const char *text)
{
    sha256_add(sha256, text, strlen(text) + 1);
}

/* What the state lacks of how this session trains, and which instructions the processor has. */
static void add_session(struct sha256 *sha256, const struct run *r)
{
    const uint64_t numbers[] = {r->settings->no_decay, r->settings->eval_tokens, cpu_has(CPU_AVX2),
                                cpu_has(CPU_AVX512), bf16_gemm_is_fast()};
    sha256_add(sha256, numbers, sizeof numbers);
    add_text(sha256, tokenizer_name(r->tokenizer));
    add_text(sha256, r->corpus_weights_json ? r->corpus_weights_json : "");
    add_text(sha256, r->options_json);
    add_text(sha256, r->vocabulary_json);
}

/* What decides on the bits of a step, and on when the ranks talk to each other. */
static int digest_of(struct run *r, char ret_digest[static SHA256_HEX_BYTES],
                     struct elmo_error *err)
{
    struct sha256 sha256;
    struct engine_state weights;
    struct train_state state = r->state;
    state.seconds = 0;
    AUTO(mem_free) char *text = train_state_text(&state);
    if (!text)
        return elmo_fail_nomem(err);
    int e = engine_download(r->engine, &weights, err);
    if (e)
        return e;
    sha256_begin(&sha256);
    add_text(&sha256, text);
    add_session(&sha256, r);
    sha256_add(&sha256, weights.values, net_size(&r->net) * sizeof *weights.values);
    sha256_end(&sha256, ret_digest);
    return 0;
}

int run_agree(struct run *r, struct elmo_error *err)
{
    char digest[SHA256_HEX_BYTES];
    if (is_single(r))
        return 0;
    int e = digest_of(r, digest, err);
    return e ? e : ranks_agree(&r->ranks, "state", digest, sizeof digest, err);
}

bool run_take_share(struct run *r, struct bilm_batch *ret_batch)
{
    batches_skip(&r->batches, r->ranks.index);
    bool has_one = batches_take(&r->batches, ret_batch);
    batches_skip(&r->batches, r->ranks.size - 1 - r->ranks.index);
    return has_one;
}

int run_sum_scores(struct run *r, struct bilm_score *score, struct elmo_error *err)
{
    double sums[] = {score->nats[0], score->nats[1], (double)score->n_predictions};
    if (is_single(r))
        return 0;
    int e = ranks_sum_doubles(&r->ranks, sums, ARRAY_LEN(sums), err);
    *score = (struct bilm_score){{sums[0], sums[1]}, (size_t)sums[2]};
    return e;
}
