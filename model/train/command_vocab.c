/* elmo-train vocab: the most frequent words of a corpus. */
#include <stdio.h>

#include "commands.h"
#include "error.h"
#include "train/data/corpus.h"
#include "util/atomic_file.h"

int command_vocab(const struct arguments *a, struct elmo_error *err)
{
    const struct corpus_settings how = {.tokenizer = a->pretrain.tokenizer, .words_only = true};
    struct corpus corpus = {0};
    struct vocab vocab = {0};
    if (!a->n_corpus || !a->out)
        return elmo_fail(err, ELMO_E_INVALID, "--corpus and --out are needed");
    int r = atomic_file_check(a->out, err);
    if (!r)
        r = corpus_load(&corpus, a->corpus, a->n_corpus, &how, err);
    if (!r)
        r = vocab_build(&vocab, corpus.words, corpus.counts, corpus.n_words, a->vocab_size, err);
    if (!r)
        r = vocab_write(&vocab, a->out, err);
    if (!r && !a->pretrain.quiet)
        fprintf(stderr, "%llu tokens, %zu distinct words; %zu words in '%s'\n",
                (unsigned long long)corpus.stats.n_tokens, corpus.n_words, vocab.words.n_items,
                a->out);
    vocab_done(&vocab);
    corpus_done(&corpus);
    return r;
}
