#!/usr/bin/env bash
# Measures elmod under load, for POST /embed (the pooled vector of one sentence) and POST /sentiment. Starts
# elmod on a free port and measures the highest rate, with clients that send their next request as soon as
# they have an answer. Then prints throughput and latency (p50, p99) at parts of that rate and above it, and
# the rate of the library without HTTP. bench_load.c says how latency is counted.
#
#     load.sh BUILD [OPTION...]     options of elmod, such as --threads 2 --dtype bf16
#
# ELMOD names another program than BUILD/server/elmod. SECONDS_EACH is the duration of a measurement, PARTS
# are the rates in percent of the highest rate.
set -euo pipefail
if (($# < 1)); then
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
build=$1 flags=("${@:2}")
elmod=${ELMOD:-$build/server/elmod} seconds=${SECONDS_EACH:-5} parts=${PARTS:-20 50 80 95 120}
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" || true; rm -rf "$work"' EXIT

"$elmod" --listen 127.0.0.1:0 --port-file "$work/port" --log-level error "${flags[@]}" \
    >"$work/log" 2>&1 &
server=$!
until [[ -s $work/port ]] && "$elmod" --health-check --listen "$(<"$work/port")" 2>/dev/null; do
    kill -0 "$server" || {
        cat "$work/log" >&2
        exit 1
    }
    sleep 0.1
done

load() {
    "$build/tests/bench/bench_load" --address "$(<"$work/port")" --seconds "$seconds" "$@"
}

for path in /embed /sentiment; do
    printf '\nPOST %s\n\n' "$path"
    echo "| offered | answered/s | tokens/s | p50 ms | p99 ms | refused | unanswered | broken |"
    echo "|--:|--:|--:|--:|--:|--:|--:|--:|"
    load --path "$path" --clients 1,2,8,64 | tee "$work/closed"
    most=$(awk -F'|' '$3 > most { most = $3 } END { print most }' "$work/closed")
    rates=$(for part in $parts; do echo $((most * part / 100)); done | paste -sd,)
    load --path "$path" --rates "$rates"
done

printf '\nPOST /embed, one sentence, while another client posts 500 at a time\n\n'
echo "| offered | answered/s | tokens/s | p50 ms | p99 ms | refused | unanswered | broken |"
echo "|--:|--:|--:|--:|--:|--:|--:|--:|"
load --texts 500 --format base64 --clients 1 >"$work/bulk" &
bulk=$!
load --path /embed --rates $((most * 20 / 100))
wait "$bulk"
cat "$work/bulk"
kill "$server"
wait "$server" || true

printf '\nThe library without HTTP\n\n'
threads=2 library=()
for ((i = 0; i < ${#flags[@]}; i++)); do
    case ${flags[i]} in
    --threads) threads=${flags[i + 1]} ;;
    --dtype | --model | --kernel) library+=("${flags[i]}" "${flags[i + 1]}") ;;
    esac
done
"$build/tests/bench/bench_model" --threads "$threads" --word-cache-bytes 67108864 "${library[@]}"
