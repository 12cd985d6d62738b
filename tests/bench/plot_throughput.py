#!/usr/bin/python3
"""Makes tables and a plot of the measurements of compare.sh: plot_throughput.py CSV SVG

The tables go to standard output: medians over the passes, and the ratio of elmod to the best peer.
The plot has a panel for each model and dtype: tokens per second by sentences per batch. Threads work
all on one batch or each on its own; the plot shows the faster way. It fits light and dark pages.
"""
import collections
import csv
import html
import math
import statistics
import sys
import textwrap

ELMOD, CACHED = "elmod", "elmod (words cached)"
MODELS = {"original": "original size: 4096 cells, 93.6 M weights",
          "small": "elmo-small: 256 cells, 7.4 M weights of the biLM"}
ARRANGEMENTS = {"together": "all threads on one batch", "apart": "a batch for each thread"}
NOTES = textwrap.wrap(width=118, text="""\
A token is a word of the text; sentence marks are computed but not counted. All engines have the same
weights and the same batches of similar length. elmod, ONNX Runtime, PyTorch and AllenNLP compute the
vectors from the bytes of the words. oneDNN computes only the LSTM stacks, on padded batches (75.5 M of the
original's 102 M multiply-adds per token, 4.7 M of elmo-small's 11.1 M). elmod, ONNX Runtime and AllenNLP
clip cells and projections as ELMo does; oneDNN and PyTorch cannot. Words cached: all words are in elmod's
cache. With a batch for each thread elmod is one process; a peer has one for each thread, and their rates
are added.""")


class Results:
    """Medians by (model, dtype, contender, threads, arrangement, batch)."""

    def __init__(self, path):
        rates = collections.defaultdict(list)
        self.covers = {}
        with open(path, encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                key = (row["model"], row["dtype"], row["contender"], int(row["threads"]),
                       row["arrangement"], int(row["batch"]))
                rates[key].append(float(row["tokens_per_second"]))
                self.covers[row["contender"]] = row["covers"]
        if not rates:
            sys.exit(f"plot_throughput.py: nothing was measured in {path}")
        self.medians = {key: statistics.median(values) for key, values in rates.items()}
        self.threads = max(key[3] for key in rates)
        self.batches = sorted({key[5] for key in rates})

    def column(self, k):
        """The values of part k of the keys, each once, in order of appearance."""
        return list(dict.fromkeys(key[k] for key in self.medians))

    def panels(self):
        return list(dict.fromkeys(key[:2] for key in self.medians))

    def contenders(self, panel):
        """elmod first, then the peers by name."""
        names = dict.fromkeys(key[2] for key in self.medians if key[:2] == panel)
        return sorted(names, key=lambda name: (not name.startswith(ELMOD), name))

    def best(self, panel, contender, batch):
        """The best rate with all threads, over the arrangements; None if it did not run."""
        return max((self.medians[key] for key in self.medians
                    if key[:4] == (*panel, contender, self.threads) and key[5] == batch),
                   default=None)

    def best_of(self, panel, contenders, batch):
        return max((rate for rate in (self.best(panel, name, batch) for name in contenders)
                    if rate is not None), default=None)


# ---- Tables ----

def title(results, contender):
    return contender + (" (LSTMs only)" if results.covers[contender] == "LSTMs" else "")


def table_row(name, cells):
    print(f"| {name} | " + " | ".join(cells) + " |")


def print_table(results, panel):
    model, dtype = panel
    print(f"\n{MODELS.get(model, model)}; {dtype}; tokens/s\n")
    table_row("engine, threads", [f"batch {batch}" for batch in results.batches])
    print("|---" + "|--:" * len(results.batches) + "|")
    for name in results.contenders(panel):
        ways = {key[3:5] for key in results.medians if key[:3] == (*panel, name)}
        for threads, arrangement in sorted(ways, key=lambda way: (-way[0], way[1] == "apart")):
            rates = [results.medians.get((*panel, name, threads, arrangement, batch))
                     for batch in results.batches]
            how = f"{threads}, {ARRANGEMENTS[arrangement]}" if threads > 1 else "1"
            table_row(f"{title(results, name)}: {how}",
                      ["-" if rate is None else f"{rate:.0f}" for rate in rates])
    peers = [name for name in results.contenders(panel) if not name.startswith(ELMOD)]
    whole = [name for name in peers if results.covers[name] == "all"]
    parts = [name for name in peers if name not in whole]
    for ours, what, theirs in ((ELMOD, "best peer that computes everything", whole),
                               (ELMOD, "LSTMs only", parts), (CACHED, "LSTMs only", parts)):
        ratios = []
        for batch in results.batches:
            a, b = results.best(panel, ours, batch), results.best_of(panel, theirs, batch)
            ratios.append(f"**{a / b:.2f}**" if a and b else "-")
        if set(ratios) != {"-"}:
            table_row(f"**{ours} / {what}**", ratios)


# ---- Plot ----

WIDTH, HEIGHT = 268, 196     # of a panel's axes
LEFT, RIGHT, TOP, BOTTOM = 50, 186, 30, 34
LINE = 15                    # between lines of text
COLOURS = {                  # on light, on dark
    ELMOD: ("#c2410c", "#fb923c"),
    CACHED: ("#c2410c", "#fb923c"),
    "oneDNN": ("#1d4ed8", "#7aa7ff"),
    "ONNX Runtime": ("#15803d", "#4ade80"),
    "PyTorch": ("#7e22ce", "#d08bff"),
    "AllenNLP": ("#57534e", "#b8b0aa"),
}
LINES = {ELMOD: (3, ""), CACHED: (1.6, "7 3"), "oneDNN": (1.6, "2 3")}  # width, dashes


def css_class(contender):
    return "c%d" % list(COLOURS).index(contender)


def style():
    light = [".page{fill:#fff}", "text{fill:#1f2328}",
             ".grid{stroke:#d8dee4}", ".axis{stroke:#8c959f}"]
    dark = [".page{fill:#0d1117}", "text{fill:#e6edf3}",
            ".grid{stroke:#2b3138}", ".axis{stroke:#6e7681}"]
    for name, colours in COLOURS.items():
        k = css_class(name)
        for rules, colour in zip((light, dark), colours):
            rules.append(f".l.{k}{{stroke:{colour}}} .m.{k},text.{k}{{fill:{colour}}}")
    return ("<style>.l{fill:none;stroke-linejoin:round} .grid,.axis{fill:none}"
            " text.small{font-size:11px} " + " ".join(light)
            + " @media (prefers-color-scheme:dark){" + " ".join(dark) + "}</style>")


def nice_ticks(low, high):
    return [m * 10 ** e for e in range(0, 7) for m in (1, 2, 5) if low <= m * 10 ** e <= high]


def short_number(x):
    return f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"


def spread(wanted, gap, low, high):
    """Places near the wanted ones, in the same order, at least `gap` apart, between low and high."""
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    places = [0.0] * len(wanted)
    below = low
    for k in order:
        places[k] = max(wanted[k], below)
        below = places[k] + gap
    above = high
    for k in reversed(order):
        places[k] = min(places[k], above)
        above = places[k] - gap
    return places


def text(x, y, words, anchor="start", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>'
            f'{html.escape(words)}</text>')


class Axes:
    """The axes of a panel: evenly spaced batches, and the logarithm of tokens per second."""

    def __init__(self, left, top, batches, low, high):
        self.left, self.top, self.batches, self.low, self.high = left, top, batches, low, high

    def x(self, batch):
        share = (self.batches.index(batch) + 0.5) / len(self.batches)
        return self.left + WIDTH * share

    def y(self, rate):
        share = math.log(rate / self.low) / math.log(self.high / self.low)
        return self.top + HEIGHT * (1 - share)

    def draw(self, heading):
        yield text(self.left, self.top - 10, heading, extra=' font-weight="bold"')
        for tick in nice_ticks(self.low, self.high):
            y = self.y(tick)
            yield f'<path class="grid" d="M{self.left} {y:.1f}h{WIDTH}"/>'
            yield text(self.left - 6, y + 4, short_number(tick), "end", ' class="small"')
        yield f'<path class="axis" d="M{self.left} {self.top}v{HEIGHT}h{WIDTH}"/>'
        for batch in self.batches:
            yield text(self.x(batch), self.top + HEIGHT + 16, str(batch), "middle",
                       ' class="small"')


def draw_panel(results, panel, axes):
    yield from axes.draw(panel[1])
    ends = []
    for name in reversed(results.contenders(panel)):  # elmod above the others
        points = [(axes.x(batch), axes.y(rate), rate) for batch in results.batches
                  if (rate := results.best(panel, name, batch)) is not None]
        if not points or name not in COLOURS:
            continue
        width, dashes = LINES.get(name, (1.6, ""))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        yield (f'<polyline class="l {css_class(name)}" stroke-width="{width}"'
               f' stroke-dasharray="{dashes or "none"}" points="{path}"/>')
        yield from (f'<circle class="m {css_class(name)}" cx="{x:.1f}" cy="{y:.1f}"'
                    f' r="{width + 1}"/>' for x, y, _ in points)
        ends.append((name, points[-1]))
    places = spread([y for _, (_, y, _) in ends], LINE, axes.top + 4, axes.top + HEIGHT)
    for (name, (x, y, rate)), place in zip(ends, places):
        label = name + (", LSTMs only" if results.covers[name] == "LSTMs" else "")
        edge = axes.left + WIDTH
        yield (f'<path class="l {css_class(name)}" stroke-width="0.7"'
               f' d="M{x + 6:.1f} {y:.1f}L{edge - 4} {place:.1f}"/>')
        yield text(edge, place + 4, f"{label} {rate:,.0f}", extra=f' class="{css_class(name)}"')


def limits(results, model):
    """The same limits for all panels of a model, so that dtypes can be compared."""
    rates = [rate for key, rate in results.medians.items()
             if key[0] == model and key[3] == results.threads]
    return min(rates) / 1.3, max(rates) * 1.3


def draw(results):
    models, dtypes = results.column(0), results.column(1)
    across, down = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    head, foot = 84, LINE * len(NOTES) + 34
    width, height = max(across * len(models), 760), head + down * len(dtypes) + foot
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
           f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
    yield style()
    yield '<rect class="page" width="100%" height="100%"/>'
    yield text(LEFT, 26, f"Tokens per second on {results.threads} threads, by sentences in a batch",
               extra=' font-size="16" font-weight="bold"')
    yield text(LEFT, 44, "the faster of two ways to use the threads: all on one batch, or a batch"
               " for each", extra=' class="small"')
    for column, model in enumerate(models):
        yield text(LEFT + across * column, 72, MODELS.get(model, model),
                   extra=' font-size="13"')
        low, high = limits(results, model)
        for row, dtype in enumerate(dtypes):
            axes = Axes(LEFT + across * column, head + TOP + down * row, results.batches, low, high)
            if (model, dtype) in results.panels():
                yield from draw_panel(results, (model, dtype), axes)
    for k, note in enumerate(NOTES):
        yield text(LEFT, height - foot + 24 + LINE * k, note, extra=' class="small"')
    yield "</svg>"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    results = Results(sys.argv[1])
    for panel in results.panels():
        print_table(results, panel)
    print("\n" + "\n".join(NOTES) + "\n")
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write("\n".join(draw(results)) + "\n")


if __name__ == "__main__":
    main()
