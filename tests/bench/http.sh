#!/usr/bin/env bash
# Measures the cost of the server: elmod with a model that does nothing, compared with libmicrohttpd without
# elmod that answers as many bytes, either at once or after another thread has seen the request. The load
# comes from wrk (Debian package wrk), in turn for each server. Prints medians of the rounds. One elmod logs
# to /dev/null, one to a file. /tokenize is answered without a worker.
#
# usage: tests/bench/http.sh BUILD [ROUNDS [SECONDS]]
set -euo pipefail
build=$1 rounds=${2:-5} seconds=${3:-2}
for tool in wrk curl; do
    command -v "$tool" >/dev/null || { echo "http.sh: $tool is not installed (apt-get install $tool)" >&2 && exit 1; }
done
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$work"' EXIT

body='{"inputs":"A gripping, funny and moving film."}'
cat >"$work/post.lua" <<LUA
wrk.method = "POST"
wrk.body = '$body'
wrk.headers["Content-Type"] = "application/json"
LUA

# start NAME COMMAND...: starts a server, waits for its port file, and sets port[NAME].
declare -A port
start() {
    local name=$1
    shift
    "$@" &
    until [[ -s $work/$name.port ]]; do sleep 0.05; done
    port[$name]=$(sed 's/.*://' "$work/$name.port")
}

elmod=$build/tests/bench/elmod-identity
start null "$elmod" --listen 127.0.0.1:0 --port-file "$work/null.port" 2>/dev/null
start file "$elmod" --listen 127.0.0.1:0 --port-file "$work/file.port" 2>"$work/log"
url=http://127.0.0.1:${port[null]}/sentiment
bytes=$(curl -s --retry 9 --retry-connrefused --json "$body" "$url" | wc -c)
start bare "$build/tests/bench/bare_http" "$work/bare.port" 2 "$bytes"
start handoff "$build/tests/bench/bare_http" "$work/handoff.port" 2 "$bytes" handoff
port[tokenize]=${port[null]}
declare -A label=([bare]='libmicrohttpd' [handoff]='libmicrohttpd, thread' [null]='elmod, log to null'
    [file]='elmod, log to file' [tokenize]='elmod, /tokenize')
names=(bare handoff null file tokenize)

# run NAME CONNECTIONS: appends "requests/s p50_us p99_us" to a file.
run() {
    local path=/sentiment
    if [[ $1 == tokenize ]]; then path=/tokenize; fi
    wrk -t1 -c"$2" -d"${seconds}s" --latency -s "$work/post.lua" "http://127.0.0.1:${port[$1]}$path" |
        awk 'function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
            $1 == "50%" { p50 = us($2) } $1 == "99%" { p99 = us($2) }
            /Non-2xx/ { bad = $0 } $1 == "Requests/sec:" { rate = $2 }
            END { print rate, p50, p99, bad }' >>"$work/$1.$2"
}

# median FILE COLUMN
median() {
    awk -v column="$2" '{ print $column }' "$1" | sort -g |
        awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

printf 'answers of %d bytes; medians of %d rounds of %s s\n' "$bytes" "$rounds" "$seconds"
printf '%-12s %-22s %11s %8s %8s %6s\n' connections server requests/s 'p50 us' 'p99 us' ratio
for connections in 1 16 64; do
    for ((round = 0; round < rounds; round++)); do
        for name in "${names[@]}"; do run "$name" "$connections"; done
    done
    bare=$(median "$work/bare.$connections" 1)
    for name in "${names[@]}"; do
        rate=$(median "$work/$name.$connections" 1)
        printf '%-12s %-22s %11.0f %8.0f %8.0f %6.2f\n' "$connections" "${label[$name]}" "$rate" \
            "$(median "$work/$name.$connections" 2)" "$(median "$work/$name.$connections" 3)" \
            "$(awk -v a="$rate" -v b="$bare" 'BEGIN { print a / b }')"
        grep -h Non-2xx "$work/$name.$connections" || true
    done
done
