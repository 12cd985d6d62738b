#!/usr/bin/env bash
# Which settings learn the most from the same tokens? Each line of standard input is a list of options of
# `elmo-train pretrain`. Trains a biLM from the same random weights once for each line, and prints a table of
# held-out perplexities (full softmax) and times. Run it on an idle machine.
#
#     sweep.sh BUILD CORPUS HELDOUT VOCAB TOKENS <<'END'
#     --learning-rate 0.001 --batch-tokens 1024
#     --learning-rate 0.002 --batch-tokens 1024
#     END
set -euo pipefail
if (($# != 5)); then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1 corpus=$2 heldout=$3 vocab=$4 tokens=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "| settings | tokens | seconds | held-out perplexity |"
echo "|---|--:|--:|--:|"
while read -r line; do
    read -ra settings <<<"$line"
    "$build/model/train/elmo-train" pretrain --corpus "$corpus" --heldout "$heldout" \
        --vocab "$vocab" --options "$here/../../model/weights/elmo-small.options.json" \
        --out "$work/run" --dropout 0 --tokens "$tokens" --eval-tokens 1000000000 --quiet \
        "${settings[@]}" </dev/null
    tail -n 1 "$work/run/curve.csv" | awk -F, -v settings="$line" \
        '{ printf "| `%s` | %d | %.0f | %.1f |\n", settings, $2, $4, $9 }'
    rm -rf "$work/run"
done
