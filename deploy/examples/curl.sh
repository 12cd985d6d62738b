#!/usr/bin/env bash
# The service by curl alone.
#
# usage: curl.sh [URL]    of elmod; http://127.0.0.1:8080 unless it is given
set -euo pipefail
url=${1:-http://127.0.0.1:8080}

# Is it there, and ready?
curl -sS --fail "$url/health/ready"
echo

# A text's sentiment.
curl -sS --fail "$url/sentiment" --json '{"inputs": "A gripping, funny and moving film."}'
echo

# A sentence vector for numpy.load, two texts at once: 2 x 1024 float32.
vectors=$(mktemp)
trap 'rm -f "$vectors"' EXIT
curl -sS --fail -H 'Accept: application/x-npy' -o "$vectors" "$url/embed" \
    --json '{"inputs": ["A gripping, funny and moving film.", "Dull, slow and far too long."], "outputs": ["default"]}'
head -c 6 "$vectors" | tail -c 5
echo ": $(wc -c <"$vectors") bytes"

# A large request and its answer, both compressed.
printf '{"inputs": ["%s"], "outputs": ["elmo"]}' "$(printf 'a word and %.0s' {1..100})" | gzip |
    curl -sS --fail --compressed -H 'Content-Encoding: gzip' -H 'Content-Type: application/json' \
        --data-binary @- "$url/embed" | wc -c

# A mistake is answered with the place that is to blame.
curl -sS "$url/embed" --json '{"inputs": ["fine", 7]}'
echo
