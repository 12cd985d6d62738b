#!/bin/bash
# Measures the speed of pretraining with bench_train and with PyTorch on the same batches, in turn, and
# prints the ratio.
#
#     tests/bench/bench_train.sh BUILD_DIR [ROUNDS [CELLS [BATCH_TOKENS [PRECISION]]]]     (3, 256, 1024, f32)
#
# Needs python3-torch. If libopenblas0-openmp is installed, PyTorch uses it: on two threads it is then several
# times faster than with the variant for POSIX threads.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${1:?usage: bench_train.sh BUILD_DIR [ROUNDS [CELLS [BATCH_TOKENS [PRECISION]]]]}
rounds=${2:-3} cells=${3:-256} batch_tokens=${4:-1024} precision=${5:-f32}
bench=$build/tests/bench/bench_train
openmp=$(echo /usr/lib/*/openblas-openmp)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bench" --batch-tokens "$batch_tokens" --print-batches yes >"$work/batches.json"

median() { sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }
for ((round = 1; round <= rounds; round++)); do
    echo "== round $round"
    "$bench" --cells "$cells" --batch-tokens "$batch_tokens" --precision "$precision" \
        --blocks 3 | tee "$work/ours"
    LD_LIBRARY_PATH=$openmp /usr/bin/python3 "$here/bench_train_torch.py" "$work/batches.json" \
        --cells "$cells" --blocks 1 | tee "$work/torch"
    ours=$(sed -nE 's/^([0-9]+) tokens\/s.*/\1/p' "$work/ours")
    torch=$(sed -nE 's/.* ([0-9]+) tokens\/s.*/\1/p' "$work/torch")
    awk -v a="$ours" -v b="$torch" 'BEGIN { print a / b }' >>"$work/ratios"
done
printf 'elmo-train (%s) / PyTorch (f32), median of %d rounds: %.1f\n' "$precision" "$rounds" "$(median <"$work/ratios")"
