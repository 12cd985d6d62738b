#!/usr/bin/python3
"""Speed of pretraining with PyTorch, for comparison with bench_train: the same biLM, the same batches (from
`bench_train --print-batches yes`), the same number of samples, Adam and clipping of the norm.

    bench_train_torch.py BATCHES.json [--cells C] [--threads N] [--samples S] [--vocab V] [--blocks N]

Needs python3-torch. A block is every batch once. Prints the median over the blocks of the tokens per second.

This is the fastest way within PyTorch on a CPU:
  - It calls the projected LSTM loop of ATen directly. (torch.nn.LSTM(proj_size=...) calls it too, but
    requires fewer projected than hidden units.) The loop cannot clip cells and outputs, which favours PyTorch
    a little. Its backward pass computes the gradient of the recurrent weights step by step, which takes
    most of the time.
  - All sentences of a batch have the same length, so nothing is padded or packed.
  - The token encoder runs once for each distinct word, on as many characters as the longest word has.
  - A batch has one shared set of samples, drawn before the clock starts. Only the softmax rows that a batch
    uses have gradients, with SparseAdam. The other weights use Adam with foreach=True.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

FILTERS = [(1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512)]
CHAR_DIM, PROJ = 16, 512
N_CHARS, BOW, EOW, PAD = 261, 258, 259, 260


class TokenEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        features = sum(n for _, n in FILTERS)
        self.chars = nn.Embedding(N_CHARS, CHAR_DIM)
        self.convs = nn.ModuleList(nn.Conv1d(CHAR_DIM, n, width) for width, n in FILTERS)
        self.highway = nn.Linear(features, 2 * features)
        self.proj = nn.Linear(features, PROJ)

    def forward(self, chars):
        x = self.chars(chars).transpose(1, 2)
        y = torch.cat([conv(x).amax(2) for conv in self.convs], 1).relu()
        carry, transform = self.highway(y).chunk(2, 1)
        gate = carry.sigmoid()
        return self.proj(gate * transform.relu() + (1 - gate) * y)


class ProjectedLstm(nn.Module):
    """One layer, like nn.LSTM(PROJ, cells, proj_size=PROJ)."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells
        shapes = [(4 * cells, PROJ), (4 * cells, PROJ), (4 * cells,), (4 * cells,), (PROJ, cells)]
        self.weights = nn.ParameterList(nn.Parameter(0.02 * torch.randn(s)) for s in shapes)

    def forward(self, x):  # [T, B, PROJ]
        state = (x.new_zeros(1, x.shape[1], PROJ), x.new_zeros(1, x.shape[1], self.cells))
        return torch._VF.lstm(x, state, list(self.weights), True, 1, 0.0, True, False, False)[0]


class BiLm(nn.Module):
    def __init__(self, cells, n_vocab):
        super().__init__()
        self.encoder = TokenEncoder()
        self.lstms = nn.ModuleList(nn.ModuleList(ProjectedLstm(cells) for _ in range(2)) for _ in range(2))
        self.softmax_w = nn.Embedding(n_vocab, PROJ, sparse=True)
        self.softmax_b = nn.Embedding(n_vocab, 1, sparse=True)

    def forward(self, batch, samples):
        vectors = self.encoder(batch["chars"])
        rows, b = self.softmax_w(samples["ids"]), self.softmax_b(samples["ids"])[:, 0]
        return sum(self.direction_loss(d, vectors, batch, samples, rows, b) for d in range(2)) / 2

    def direction_loss(self, direction, vectors, batch, samples, rows, b):
        positions = batch["positions"][direction]  # [T + 1, B]
        x = functional.embedding(positions[:-1], vectors)
        below, top = self.lstms[direction]
        y = below(x)
        y = (top(y) + y).flatten(0, 1)
        n = samples["n"]
        targets = samples["row_of_word"][positions[1:].flatten()]
        logits = y @ rows[:n].t() + (b[:n] - samples["log_count"][:n])
        hits = targets < n
        logits[hits.nonzero()[:, 0], targets[hits]] = -1e30  # samples that are the target
        target_logits = (y * rows[targets]).sum(1) + b[targets] - samples["log_count"][targets]
        return (torch.cat([logits, target_logits[:, None]], 1).logsumexp(1) - target_logits).mean()


def read_batches(path):
    batches = json.load(open(path))
    for b in batches:
        words = [[BOW, *w.encode(), EOW] for w in b["words"]]
        longest = max(max(map(len, words)) + 1, FILTERS[-1][0])
        b["chars"] = torch.tensor([w + [PAD] * (longest - len(w)) for w in words])
        forward = torch.tensor(b["positions"]).view(b["sentences"], b["steps"] + 1).t().contiguous()
        b["positions"] = [forward, forward.flip(0).contiguous()]
        b["vocab_ids"] = torch.tensor(b["vocab_ids"])
    return batches


def draw_samples(batch, n, n_vocab):
    """n different ids of the log-uniform distribution, followed by the other words of the batch."""
    log_v = torch.log(torch.tensor(n_vocab + 1.0))
    ids, n_draws = torch.empty(0, dtype=torch.long), 0
    while len(ids) < n:
        drawn = (torch.rand(n) * log_v).exp().long().clamp(1, n_vocab) - 1
        n_draws += n
        ids = torch.unique(torch.cat([ids, drawn]))
    ids = ids[torch.randperm(len(ids))[:n]]
    row_of = torch.full((n_vocab,), -1)
    row_of[ids] = torch.arange(n)
    new = batch["vocab_ids"][row_of[batch["vocab_ids"]] < 0]
    row_of[new] = n + torch.arange(len(new))
    ids = torch.cat([ids, new])
    p = (torch.log(ids + 2.0) - torch.log(ids + 1.0)) / log_v
    log_count = torch.log(-torch.expm1(n_draws * torch.log1p(-p)))
    return {"n": n, "ids": ids, "log_count": log_count, "row_of_word": row_of[batch["vocab_ids"]]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("batches")
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--vocab", type=int, default=30000)
    parser.add_argument("--blocks", type=int, default=5)
    a = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    batches = read_batches(a.batches)
    samples = [draw_samples(b, a.samples, a.vocab) for b in batches]
    model = BiLm(a.cells, a.vocab)
    sparse = [*model.softmax_w.parameters(), *model.softmax_b.parameters()]
    dense = [*model.encoder.parameters(), *model.lstms.parameters()]
    optimizers = [torch.optim.Adam(dense, 1e-3, foreach=True), torch.optim.SparseAdam(sparse, 1e-3)]

    def step(batch, samples):
        loss = model(batch, samples)
        for o in optimizers:
            o.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(dense, 1.0)
        for o in optimizers:
            o.step()
        return loss.item()

    def block():
        begin = time.perf_counter()
        for batch, drawn in zip(batches, samples):
            step(batch, drawn)
        return time.perf_counter() - begin

    tokens = sum(b["steps"] * b["sentences"] for b in batches)
    block()  # warm-up
    rates = [tokens / block() for _ in range(a.blocks)]
    loss = step(batches[0], samples[0])
    print(f"PyTorch {torch.__version__}, {a.cells} cells, {torch.get_num_threads()} thread(s): "
          f"{statistics.median(rates):.0f} tokens/s ({min(rates):.0f} .. {max(rates):.0f}), loss {loss:.2f}")


if __name__ == "__main__":
    main()
