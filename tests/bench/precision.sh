#!/usr/bin/env bash
# Is held-out perplexity worse if the products of training are in bfloat16? Trains the default architecture
# twice from the same random weights on the same batches, in f32 and in bf16. Prints both curves: the
# held-out perplexity, which is measured in f32, and the time.
#
#     precision.sh BUILD CORPUS HELDOUT VOCAB TOKENS [POINTS]     (8 points)
set -euo pipefail
if (($# < 5)); then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1 corpus=$2 heldout=$3 vocab=$4 tokens=$5 points=${6:-8}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for precision in f32 bf16; do
    "$build/model/train/elmo-train" pretrain --corpus "$corpus" --heldout "$heldout" \
        --vocab "$vocab" --options "$here/../../model/weights/elmo-small.options.json" \
        --out "$work/$precision" --precision "$precision" --dropout 0 --batch-tokens 1024 \
        --tokens "$tokens" --eval-tokens $((tokens / points)) --quiet
done

echo "| tokens | f32: seconds | perplexity | bf16: seconds | perplexity | bf16 / f32 |"
echo "|--:|--:|--:|--:|--:|--:|"
paste -d, "$work/f32/curve.csv" "$work/bf16/curve.csv" | awk -F, 'NR > 1 {
    printf "| %d | %.0f | %.1f | %.0f | %.1f | %.3f |\n", $2, $4, $9, $13, $18, $18 / $9 }'
