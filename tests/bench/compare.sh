#!/usr/bin/env bash
# Compares the model library with other engines that run ELMo on a CPU, in one run. All engines that are
# installed compute the same weights and the same batches of the same sentences, in turn.
#
#     compare.sh BUILD [PEERS_FOLDER] [OPTION...]
#
# PEERS_FOLDER has the scripts that run the other engines (peers), and the sentences (sents.txt). It is only
# read. By default it is ../shared/peers beside the repository. Without it only elmod runs, on sentences.txt.
#     --models "original small"   93.6 M weights, random; and elmo-small
#     --dtypes "f32 bf16 int8"    --batches "1 8 32"    --threads 2
#     --peers "oneDNN ort torch allennlp"
#     --passes N                  how often each engine runs (2)
#     --out FOLDER                models and results; default BUILD/compare
#     --lock FILE                 lock this file (flock) during each measurement
#
# Prints tables of medians and ratios. FOLDER/throughput.csv has all measurements, throughput.svg the plot. On
# two idle cores a pass takes ten minutes, a fifth of it for the small model. FOLDER takes 2 GB. The peers
# need:
#     apt-get install g++ libdnnl-dev libopenblas0-openmp nodejs npm
#     apt-get install python3-torch python3-h5py python3-onnx
#     ONNXRUNTIME_NODE_INSTALL=skip npm install --ignore-scripts --prefix FOLDER/npm \
#         onnxruntime-node@1.24.3
# AllenNLP is not a Debian package. It runs if Python finds it, also in $ALLENNLP_PATH.
set -euo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
small=$here/../../model/weights/elmo-small.safetensors
python=/usr/bin/python3 # Debian's, which has Debian's modules

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# ---- What to run ----

if ! (($#)) || [[ $1 == -* ]]; then
    usage
fi
build=$1
shift
peers=$here/../../../shared/peers
if (($#)) && [[ $1 != -* ]]; then
    peers=$1
    shift
fi
models="original small" dtypes="f32 bf16 int8" batches="1 8 32" threads=2
wanted_peers="oneDNN ort torch allennlp" passes=2 out=$build/compare lock=
while (($#)); do
    (($# > 1)) || usage
    case $1 in
        --models) models=$2 ;;
        --dtypes) dtypes=$2 ;;
        --batches) batches=$2 ;;
        --threads) threads=$2 ;;
        --peers) wanted_peers=$2 ;;
        --passes) passes=$2 ;;
        --out) out=$2 ;;
        --lock) lock=$2 ;;
        *) usage ;;
    esac
    shift 2
done
bench=$build/tests/bench/bench_model
convert=$build/model/convert/elmo-convert
for program in "$bench" "$convert" "$build/tests/bench/make_original_size"; do
    [[ -x $program ]] || { echo "compare.sh: $program does not exist: build it with ninja" >&2; exit 1; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
csv=$out/throughput.csv
exec 9>"${lock:-$work/lock}"
bench_usage=$("$bench" --help 2>&1 || true)

# ---- Models: the same weights for all engines ----

# MODEL: makes weights.hdf5, options.json and model.safetensors in a folder. Texts are split at white space,
# as the peers do.
make_model() {
    local folder=$out/$1
    if [[ -e $folder/model.safetensors ]] &&
        [[ $1 == original || $folder/model.safetensors -nt $small ]]; then
        return
    fi
    echo "making the $1 model" >&2
    mkdir -p "$folder"
    if [[ $1 == original ]]; then
        "$build/tests/bench/make_original_size" "$folder"
    else
        "$convert" --to-hdf5 --model "$small" --out "$folder/weights.hdf5" \
            --options-out "$folder/options.json"
    fi
    "$convert" --options "$folder/options.json" --weights "$folder/weights.hdf5" \
        --tokenizer whitespace --name "$1" --dtype f32 --out "$folder/model.safetensors"
}

make_onnx() { # MODEL TYPE
    local file=$out/$1/$2.onnx
    [[ ! $file -nt $out/$1/weights.hdf5 ]] || return 0
    "$python" "$peers/gen_onnx.py" "$2" "$out/$1/options.json" "$out/$1/weights.hdf5" \
        "$file.new" >&2
    mv "$file.new" "$file"
}

# ---- Sentences: whole batches of similar length, evenly from the longest to the shortest ----

# BATCH HOW_MANY: makes $work/text.BATCH, and distributes its batches to $work/text.BATCH.0, .1, one for each
# thread.
make_text() {
    local sorted=$work/sorted
    awk 'NF { print NF "\t" $0 }' "$sentences" | sort -s -k1,1nr | cut -f2- >"$sorted"
    rm -f "$work/text.$1" "$work/text.$1".*
    awk -v size="$1" -v wanted="$2" -v parts="$threads" -v n="$(wc -l <"$sorted")" \
        -v file="$work/text.$1" '
        BEGIN {
            batches = int(n / size) > 0 ? int(n / size) : 1
            if (wanted > batches)
                wanted = batches
            for (i = 0; i < wanted; i++)
                part[int((i + 0.5) * batches / wanted)] = i % parts
        }
        { k = int((NR - 1) / size) }
        k in part { print > file; print > (file "." part[k]) }' "$sorted"
}

# ---- The engines, for $model, $dtype, $batch, $rounds: each prints a line with "N tokens/s" ----

run_elmod() { # TEXT THREADS, as for the peers, then options of bench_model
    local text=$1 n=$2
    shift 2
    [[ $bench_usage != *--batch* ]] || set -- --batch "$batch" "$@"
    "$bench" --model "$out/$model/model.safetensors" --sentences "$text" --limit 4096 \
        --threads "$n" --dtype "$dtype" --rounds "$rounds" "$@" | grep -E "^batch +$batch:"
}

run_oneDNN() {
    local cells
    cells=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["lstm"]["dim"])' \
        "$out/$model/options.json")
    OMP_NUM_THREADS=$2 "$out/onednn_lstm" "$dtype" "$cells" 512 "$1" "$batch" intra "$rounds"
}

run_ort() {
    NODE_PATH=$out/npm/node_modules:$peers/npm/node_modules node "$peers/bench_ort.js" \
        "$out/$model/$dtype.onnx" "$1" "$batch" "$2" intra 0 "$rounds"
}

# nn.LSTM refuses elmo-small's projection because it is not smaller than the cells. Its kernels accept it.
torch_main='
import runpy, sys, torch
class LSTM(torch.nn.LSTM):
    def __init__(self, inputs, cells, proj_size):
        super().__init__(inputs, max(cells, proj_size + 1), proj_size=proj_size)
        self.hidden_size = cells
        self.bias_hh_l0.data = torch.zeros(4 * cells)
if "allennlp" not in sys.argv:
    torch.nn.LSTM = LSTM
sys.argv = sys.argv[1:]
sys.path[0] = sys.argv[0].rpartition("/")[0]
runpy.run_path(sys.argv[0], run_name="__main__")'

# With OpenBLAS for POSIX threads PyTorch is several times slower.
run_python() { # MODE TEXT THREADS
    LD_LIBRARY_PATH=$(echo /usr/lib/*/openblas-openmp) OMP_NUM_THREADS=$3 OPENBLAS_NUM_THREADS=$3 \
        PYTHONPATH=${ALLENNLP_PATH:-} "$python" -W ignore -c "$torch_main" \
        "$peers/bench_torch.py" "$1" "$out/$model/options.json" "$out/$model/weights.hdf5" \
        "$2" "$batch" "$3" 0 1
}
run_torch() {
    local -A mode=([f32]=fast [int8]=int8)
    run_python "${mode[$dtype]}" "$@"
}
run_allennlp() { run_python allennlp "$@"; }

# ---- The installed engines ----

declare -A title=([oneDNN]=oneDNN [ort]="ONNX Runtime" [torch]=PyTorch [allennlp]=AllenNLP)
declare -A covers=([oneDNN]=LSTMs [ort]=all [torch]=all [allennlp]=all)
declare -A can=([oneDNN]="f32 bf16 int8" [ort]="f32 int8" [torch]="f32 int8" [allennlp]="f32")

has_oneDNN() {
    [[ $out/onednn_lstm -nt $peers/onednn_lstm.cpp ]] ||
        g++ -O3 -march=native -std=c++17 "$peers/onednn_lstm.cpp" -o "$out/onednn_lstm" \
            -ldnnl -fopenmp -lpthread
}
has_ort() {
    NODE_PATH=$out/npm/node_modules:$peers/npm/node_modules node -e 'require("onnxruntime-node")' &&
        "$python" -c 'import h5py, onnx'
}
has_torch() { "$python" -c 'import h5py, torch'; }
has_allennlp() {
    has_torch && PYTHONPATH=${ALLENNLP_PATH:-} "$python" -c 'import allennlp.modules.elmo'
}

sentences=$peers/sents.txt
present=()
if [[ -e $sentences ]]; then
    for peer in $wanted_peers; do
        [[ -n ${title[$peer]:-} ]] || usage
        if "has_$peer" >"$work/why" 2>&1; then
            present+=("$peer")
        else
            echo "not installed, left out: ${title[$peer]} ($(grep -m 1 -i error "$work/why"))" >&2
        fi
    done
else
    echo "no $sentences: only elmod runs, on its own sentences" >&2
    sentences=$here/sentences.txt
fi

# ---- The race ----

# Rounds over the text in one measurement, so that it takes a few seconds.
declare -A rounds_of=([original/f32]=1 [original/bf16]=3 [original/int8]=3)

record() { # CONTENDER COVERS THREADS ARRANGEMENT RATE
    echo "$model,$dtype,$batch,$1,$2,$3,$4,$pass,$5" >>"$csv"
    printf '%5d s: %-8s %-4s batch %2d, pass %d: %8.0f tokens/s  %s, %d thread(s) %s\n' \
        "$SECONDS" "$model" "$dtype" "$batch" "$pass" "$5" "$1" "$3" "$4" >&2
}
rate_in() { sed -nE 's/^.*: *([0-9.]+) tokens\/s.*/\1/p' "$1" | tail -n 1 | grep .; }

# CONTENDER COVERS THREADS ARRANGEMENT COMMAND...: one measurement
measure() {
    local who=$1 part=$2 n=$3 how=$4 rate
    shift 4
    if "$@" >"$work/said" 2>&1 && rate=$(rate_in "$work/said"); then
        record "$who" "$part" "$n" "$how" "$rate"
    else
        echo "$model $dtype batch $batch: $who failed: $(tail -n 1 "$work/said")" >&2
    fi
}

# A process for each thread, each with its part of the batches, all at the same time. Their rates are added.
one_each() {
    local k pids=() sum=0
    for ((k = 0; k < threads; k++)); do
        "$1" "$work/text.$batch.$k" 1 >"$work/one.$k" 2>&1 &
        pids+=($!)
    done
    for k in "${!pids[@]}"; do
        wait "${pids[k]}" || { cat "$work/one.$k"; return 1; }
        sum=$(awk -v a="$sum" -v b="$(rate_in "$work/one.$k")" 'BEGIN { print a + b }')
    done
    echo "all: $sum tokens/s"
}

race_elmod() {
    local text=$work/text.$batch bytes
    for bytes in 0 67108864; do
        local who=elmod
        ((bytes == 0)) || who="elmod (words cached)"
        local run=(run_elmod "$text" "$threads" --word-cache-bytes "$bytes")
        if ((threads > 1)); then
            measure "$who" all "$threads" apart "${run[@]}"
            [[ $bench_usage != *--together* ]] ||
                measure "$who" all "$threads" together "${run[@]}" --together "$threads"
        fi
        ((pass > 1)) ||
            measure "$who" all 1 together run_elmod "$text" 1 --word-cache-bytes "$bytes"
    done
}
race_peer() {
    [[ " ${can[$1]} " == *" $dtype "* ]] || return 0
    local text=$work/text.$batch
    measure "${title[$1]}" "${covers[$1]}" "$threads" together "run_$1" "$text" "$threads"
    if ((threads > 1)) && [[ -e $text.$((threads - 1)) ]]; then
        measure "${title[$1]}" "${covers[$1]}" "$threads" apart one_each "run_$1"
    fi
}

race() { # all engines once; every second pass in reverse order
    local order=(elmod "${present[@]}") k
    for ((k = 0; k < ${#order[@]}; k++)); do
        local who=${order[pass % 2 ? k : ${#order[@]} - 1 - k]}
        if [[ $who == elmod ]]; then
            race_elmod
        else
            race_peer "$who"
        fi
    done
}

echo "model,dtype,batch,contender,covers,threads,arrangement,pass,tokens_per_second" >"$csv"
for model in $models; do
    [[ $model == original || $model == small ]] || usage
    flock -s 9
    make_model "$model"
    if [[ " ${present[*]} " == *" ort "* ]]; then
        for dtype in f32 int8; do
            [[ " $dtypes " != *" $dtype "* ]] || make_onnx "$model" "$dtype"
        done
    fi
    flock -u 9
    for batch in $batches; do
        # enough batches so that each thread gets the same number and the slowest takes seconds
        if [[ $model == original ]]; then
            n_batches=$((batch == 1 ? 20 : batch < 32 ? 6 : 4))
        else
            n_batches=$((batch == 1 ? 40 : batch < 32 ? 12 : 6))
        fi
        make_text "$batch" "$n_batches"
        for dtype in $dtypes; do
            rounds=${rounds_of[$model/$dtype]:-9}
            for ((pass = 1; pass <= passes; pass++)); do
                flock -x 9
                race
                flock -u 9
            done
        done
    done
done
"$python" "$here/plot_throughput.py" "$csv" "$out/throughput.svg"
echo "all measurements: $csv; the plot: $out/throughput.svg; $SECONDS s"
