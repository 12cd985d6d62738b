/* The order and the division of labelled texts. */
#include <math.h>
#include <string.h>

#include "error.h"
#include "labelled.h"
#include "util/rng.h"

void labelled_shuffle(struct labelled_text *items, size_t n_items, uint64_t seed)
{
    struct rng rng = {seed};
    rng_shuffle(&rng, items, n_items, sizeof *items);
}

struct splitter {
    const struct labelled_set *set;
    size_t *begins;    /* [n_groups + 1] into members */
    uint32_t *members; /* [n_items] indices of items, group by group */
    uint32_t *order;   /* [n_groups] the groups, shuffled */
    bool *is_dev;      /* [n_groups] */
    double *missing;   /* [n_labels] items that the dev side still wants */
};

static void splitter_done(struct splitter *s)
{
    free(s->begins);
    free(s->members);
    free(s->order);
    free(s->is_dev);
    free(s->missing);
}

static bool splitter_init(struct splitter *ret, const struct labelled_set *set)
{
    struct splitter s = {.set = set};
    s.begins = calloc(set->n_groups + 2, sizeof *s.begins);
    s.members = calloc(set->n_items, sizeof *s.members);
    s.order = calloc(set->n_groups, sizeof *s.order);
    s.is_dev = calloc(set->n_groups, sizeof *s.is_dev);
    s.missing = calloc(set->n_labels, sizeof *s.missing);
    *ret = s;
    return s.begins && s.members && s.order && s.is_dev && s.missing;
}

/* begins[g + 2] counts group g first, so that filling leaves begins[g] where group g begins. */
static void collect_members(struct splitter *s)
{
    const struct labelled_set *set = s->set;
    for (size_t k = 0; k < set->n_items; k++)
        s->begins[set->items[k].group + 2]++;
    for (size_t g = 2; g < set->n_groups + 2; g++)
        s->begins[g] += s->begins[g - 1];
    for (size_t k = 0; k < set->n_items; k++)
        s->members[s->begins[set->items[k].group + 1]++] = (uint32_t)k;
}

static void shuffle_groups(struct splitter *s, uint64_t seed)
{
    struct rng rng = {seed};
    for (size_t g = 0; g < s->set->n_groups; g++)
        s->order[g] = (uint32_t)g;
    rng_shuffle(&rng, s->order, s->set->n_groups, sizeof *s->order);
}

/* Takes the group if that lessens the sum of missing^2 over the labels: one item more of a label
 * changes its square by 1 - 2 * missing. */
static void offer_group(struct splitter *s, uint32_t group)
{
    double change = 0;
    for (size_t k = s->begins[group]; k < s->begins[group + 1]; k++)
        change += 1 - 2 * s->missing[s->set->items[s->members[k]].label]--;
    s->is_dev[group] = change < 0;
    for (size_t k = s->begins[group]; !s->is_dev[group] && k < s->begins[group + 1]; k++)
        s->missing[s->set->items[s->members[k]].label]++;
}

static void choose_groups(struct splitter *s, uint64_t seed, double share)
{
    for (size_t k = 0; k < s->set->n_items; k++)
        s->missing[s->set->items[k].label] += share;
    shuffle_groups(s, seed);
    for (size_t g = 0; g < s->set->n_groups; g++)
        offer_group(s, s->order[g]);
}

/* Stable; *ret_n_train tells how many are not dev. */
static int divide(const struct splitter *s, struct labelled_text *items, size_t *ret_n_train,
                  struct elmo_error *err)
{
    size_t n_items = s->set->n_items, n_train = 0, n_dev = 0;
    AUTO(mem_free) struct labelled_text *dev = calloc(n_items, sizeof *dev);
    if (!dev)
        return elmo_fail_nomem(err);
    for (size_t k = 0; k < n_items; k++)
        n_train += !s->is_dev[items[k].group];
    if (!n_train || n_train == n_items)
        return elmo_fail(err, ELMO_E_INVALID,
                         "%zu texts in %zu groups cannot be divided for a dev set: more texts are "
                         "needed, or another --dev-share (0: none)",
                         n_items, s->set->n_groups);
    for (size_t k = 0; k < n_items; k++) {
        if (s->is_dev[items[k].group])
            dev[n_dev++] = items[k];
        else
            items[k - n_dev] = items[k];
    }
    memcpy(items + n_train, dev, n_dev * sizeof *dev);
    *ret_n_train = n_train;
    return 0;
}

int labelled_split_by_group(struct labelled_set *set, uint64_t seed, double share,
                            size_t *ret_n_train, struct elmo_error *err)
{
    struct splitter s;
    int r = 0;
    if (splitter_init(&s, set)) {
        collect_members(&s);
        choose_groups(&s, seed, share);
        r = divide(&s, set->items, ret_n_train, err);
    } else {
        r = elmo_fail_nomem(err);
    }
    splitter_done(&s);
    return r;
}
