#!/usr/bin/env bash
# Requests to elmod with curl.
#
# usage: curl.sh [URL]    of elmod; default http://127.0.0.1:8080
set -euo pipefail
url=${1:-http://127.0.0.1:8080}

# Is it ready?
curl -sS --fail "$url/health/ready"
echo

# The sentiment of a text.
curl -sS --fail "$url/sentiment" --json '{"inputs": "A gripping, funny and moving film."}'
echo

# Sentence vectors of two texts for numpy.load: 2 x 1024 float32.
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

# An error names the place in the body that is wrong.
curl -sS "$url/embed" --json '{"inputs": ["fine", 7]}'
echo
