/* The cache of word vectors: sets of N_WAYS entries, in shards that each have a lock. First making
 * and freeing it; then one word: its key, its set, word_cache_get and word_cache_put, which evicts
 * the entry that has not been used for longest; then word_cache_add, which never evicts. */
#define _DEFAULT_SOURCE /* getrandom */
#include "word_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "defs.h"
#include "error.h"
#include "text/token_set.h"

#define MIN_BYTES \
    4u /* of a key: "</S>" and "<S>" are words of their own only if all of them match */
#define N_WAYS   8u  /* words of a set */
#define N_SHARDS 64u /* locks; a set belongs to one */

/* A word's place: [entry][key, max_bytes filled up to whole floats][vector]. */
struct entry {
    uint32_t hash;
    uint32_t n_bytes;  /* max_bytes + 1: more, and cut */
    uint32_t last_use; /* of the set's clock; 0: free */
};

struct shard {
    _Alignas(64) pthread_mutex_t mu;
    uint64_t n_hits, n_misses, n_words; /* guarded by mu, as the shard's sets are */
};

struct word_cache {
    size_t n_sets, dim, max_bytes, place_bytes;
    uint64_t seed; /* secret: a client cannot choose words that share a set */
    struct shard shards[N_SHARDS];
    uint32_t *clocks;      /* [n_sets] */
    unsigned char *places; /* [n_sets][N_WAYS][place_bytes] */
};

static size_t aligned(size_t n)
{
    return (n + sizeof(float) - 1) / sizeof(float) * sizeof(float);
}

static bool locks_init(struct word_cache *c)
{
    for (size_t k = 0; k < N_SHARDS; k++)
        if (pthread_mutex_init(&c->shards[k].mu, NULL)) {
            while (k-- > 0)
                pthread_mutex_destroy(&c->shards[k].mu);
            return false;
        }
    return true;
}

int word_cache_new(struct word_cache **ret_cache, size_t n_bytes, size_t dim, size_t max_bytes,
                   struct elmo_error *err)
{
    struct word_cache *c = NULL;
    size_t place = sizeof(struct entry) + aligned(max_bytes) + dim * sizeof(float);
    size_t n_sets = n_bytes / (N_WAYS * place + sizeof *c->clocks);
    *ret_cache = NULL;
    if (!n_sets || max_bytes < MIN_BYTES)
        return 0;
    c = aligned_alloc(64, sizeof *c);
    if (!c)
        return elmo_fail_nomem(err);
    *c = (struct word_cache){
        .n_sets = n_sets, .dim = dim, .max_bytes = max_bytes, .place_bytes = place};
    c->clocks = calloc(n_sets, sizeof *c->clocks);
    c->places = calloc(n_sets, N_WAYS * place); /* untouched pages cost nothing */
    bool seeded = getrandom(&c->seed, sizeof c->seed, 0) == (ssize_t)sizeof c->seed;
    if (!c->clocks || !c->places || !seeded || !locks_init(c)) {
        free(c->clocks);
        free(c->places);
        free(c);
        return elmo_fail_nomem(err);
    }
    *ret_cache = c;
    return 0;
}

void word_cache_free(struct word_cache *c)
{
    if (!c)
        return;
    for (size_t k = 0; k < N_SHARDS; k++)
        pthread_mutex_destroy(&c->shards[k].mu);
    free(c->clocks);
    free(c->places);
    free(c);
}

/* ---- One word ---- */

struct key {
    const char *bytes;
    size_t n_bytes, n_seen; /* as struct entry has it; that the model sees */
    uint64_t hash;
};

static struct key key_of(const struct word_cache *c, const struct elmo_token *token)
{
    bool is_cut = token->n_bytes > c->max_bytes;
    const struct elmo_token seen = {token->bytes, is_cut ? c->max_bytes : token->n_bytes};
    return (struct key){seen.bytes, seen.n_bytes + is_cut, seen.n_bytes,
                        token_hash(&seen, c->seed)};
}

static size_t set_of(const struct word_cache *c, const struct key *key)
{
    return (size_t)(key->hash >> 32) % c->n_sets;
}

static struct shard *lock_set(struct word_cache *c, size_t set)
{
    struct shard *shard = &c->shards[set % N_SHARDS];
    pthread_mutex_lock(&shard->mu);
    return shard;
}

static struct entry *entry_at(const struct word_cache *c, size_t set, size_t way)
{
    return (struct entry *)(void *)(c->places + (set * N_WAYS + way) * c->place_bytes);
}

static char *key_bytes(struct entry *entry)
{
    return (char *)(entry + 1);
}

static float *vector_of(const struct word_cache *c, struct entry *entry)
{
    return (float *)(void *)(key_bytes(entry) + aligned(c->max_bytes));
}

/* When the clock is full, all words of the set are as old. Ticks begin after N_WAYS: below are the
 * words that have not been asked for, see word_cache_add. */
static uint32_t tick(struct word_cache *c, size_t set)
{
    if (c->clocks[set] == UINT32_MAX) {
        for (size_t way = 0; way < N_WAYS; way++)
            entry_at(c, set, way)->last_use = entry_at(c, set, way)->last_use > 0;
        c->clocks[set] = 1;
    }
    if (c->clocks[set] < N_WAYS)
        c->clocks[set] = N_WAYS;
    return ++c->clocks[set];
}

/* The word's entry, or NULL and, in *ret_oldest, the one to give up. */
static struct entry *find(struct word_cache *c, size_t set, const struct key *key,
                          struct entry **ret_oldest)
{
    *ret_oldest = entry_at(c, set, 0);
    for (size_t way = 0; way < N_WAYS; way++) {
        struct entry *e = entry_at(c, set, way);
        if (e->last_use && e->hash == (uint32_t)key->hash && e->n_bytes == key->n_bytes &&
            !(key->n_seen && memcmp(key_bytes(e), key->bytes, key->n_seen)))
            return e;
        if (e->last_use < (*ret_oldest)->last_use)
            *ret_oldest = e;
    }
    return NULL;
}

bool word_cache_get(struct word_cache *c, const struct elmo_token *token, float *ret_vector)
{
    if (!c)
        return false;
    const struct key key = key_of(c, token);
    size_t set = set_of(c, &key);
    struct shard *shard = lock_set(c, set);
    struct entry *oldest, *e = find(c, set, &key, &oldest);
    if (e) {
        e->last_use = tick(c, set);
        memcpy(ret_vector, vector_of(c, e), c->dim * sizeof *ret_vector);
    }
    shard->n_hits += e != NULL;
    shard->n_misses += e == NULL;
    pthread_mutex_unlock(&shard->mu);
    return e;
}

/* Makes the entry, which is free or given up, the word's. */
static void fill(const struct word_cache *c, struct shard *shard, struct entry *e,
                 const struct key *key, const float *vector)
{
    shard->n_words += !e->last_use;
    e->hash = (uint32_t)key->hash;
    e->n_bytes = (uint32_t)key->n_bytes;
    if (key->n_seen)
        memcpy(key_bytes(e), key->bytes, key->n_seen);
    memcpy(vector_of(c, e), vector, c->dim * sizeof *vector);
}

void word_cache_put(struct word_cache *c, const struct elmo_token *token, const float *vector)
{
    if (!c)
        return;
    const struct key key = key_of(c, token);
    size_t set = set_of(c, &key);
    struct shard *shard = lock_set(c, set);
    struct entry *oldest, *e = find(c, set, &key, &oldest);
    if (!e) { /* another thread may have been quicker: then it has the same bits */
        fill(c, shard, oldest, &key, vector);
        oldest->last_use = tick(c, set);
    }
    pthread_mutex_unlock(&shard->mu);
}

/* ---- Words that have not been asked for yet ---- */

bool word_cache_has_room(struct word_cache *c, const struct elmo_token *token)
{
    if (!c)
        return false;
    const struct key key = key_of(c, token);
    size_t set = set_of(c, &key);
    struct shard *shard = lock_set(c, set);
    struct entry *oldest, *e = find(c, set, &key, &oldest);
    bool has_room = !e && !oldest->last_use;
    pthread_mutex_unlock(&shard->mu);
    return has_room;
}

static uint32_t n_free(const struct word_cache *c, size_t set)
{
    uint32_t n = 0;
    for (size_t way = 0; way < N_WAYS; way++)
        n += !entry_at(c, set, way)->last_use;
    return n;
}

bool word_cache_add(struct word_cache *c, const struct elmo_token *token, const float *vector)
{
    if (!c)
        return false;
    const struct key key = key_of(c, token);
    size_t set = set_of(c, &key);
    struct shard *shard = lock_set(c, set);
    struct entry *oldest, *e = find(c, set, &key, &oldest);
    bool added = !e && !oldest->last_use;
    if (added) {
        uint32_t last_use = n_free(c, set);
        fill(c, shard, oldest, &key, vector);
        oldest->last_use = last_use;
    }
    pthread_mutex_unlock(&shard->mu);
    return added;
}

struct elmo_cache_stats word_cache_stats(const struct word_cache *cache)
{
    struct elmo_cache_stats sum = {.n_places = cache ? cache->n_sets * N_WAYS : 0};
    for (size_t k = 0; cache && k < N_SHARDS; k++) {
        struct shard *shard = (struct shard *)&cache->shards[k];
        pthread_mutex_lock(&shard->mu);
        sum.n_hits += shard->n_hits;
        sum.n_misses += shard->n_misses;
        sum.n_words += shard->n_words;
        pthread_mutex_unlock(&shard->mu);
    }
    return sum;
}
