#!/usr/bin/env bash
# How many LSTM cells are best for a given amount of arithmetic? Trains a biLM of each size from
# random weights on the same text. All sizes do the same number of necessary operations, so they see
# different numbers of tokens (bench_train prints the operations per token). Prints a table of held-out
# perplexities.
#
#     cells.sh BUILD CORPUS HELDOUT VOCAB TFLOP [CELLS...]
set -euo pipefail
if (($# < 5)); then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
build=$1 corpus=$2 heldout=$3 vocab=$4 tflop=$5
cells=("${@:6}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "| cells | parameters without softmax | MFLOP per token | tokens | seconds | held-out perplexity |"
echo "|--:|--:|--:|--:|--:|--:|"
for c in "${cells[@]:-128 256 512 1024}"; do
    for n in $c; do
        bench=$("$build/tests/bench/bench_train" --cells "$n" --blocks 1 --batch-tokens 1024)
        mflop=$(sed -n 's/^necessary: \([0-9.]*\) MFLOP.*/\1/p' <<<"$bench")
        parameters=$(sed -n 's/^cells [0-9]*, \([0-9.]* M\) parameters.*/\1/p' <<<"$bench")
        tokens=$(awk "BEGIN { printf \"%d\", $tflop * 1e6 / $mflop }")
        cat >"$work/options.json" <<EOF
{"lstm": {"cell_clip": 3, "proj_clip": 3, "use_skip_connections": true, "n_layers": 2,
  "projection_dim": 512, "dim": $n},
 "char_cnn": {"embedding": {"dim": 16}, "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256],
  [6, 512]], "n_highway": 1, "n_characters": 262, "max_characters_per_token": 50,
  "activation": "relu"}}
EOF
        "$build/model/train/elmo-train" pretrain --corpus "$corpus" --heldout "$heldout" \
            --vocab "$vocab" --options "$work/options.json" --out "$work/run-$n" --dropout 0 \
            --batch-tokens 1024 --tokens "$tokens" --eval-tokens 1000000000 --quiet
        tail -n 1 "$work/run-$n/curve.csv" | awk -F, -v n="$n" -v p="$parameters" -v m="$mflop" \
            '{ printf "| %d | %s | %s | %d | %.0f | %.1f |\n", n, p, m, $2, $4, $9 }'
    done
done
