#!/usr/bin/env bash
# Vectors of a large text on many machines of a Slurm cluster: task I of the array embeds lines I,
# I + N, I + 2N, ... into OUT-I.hdf5, where each line keeps its number. A task that is requeued or
# submitted again continues from the last checkpoint beside its output. A task that is complete does
# nothing.
#
# usage: sbatch [--array=0-N] deploy/bulk/slurm.sh IN OUT [ELMO_EMBED_OPTION...]
#
# To run only tasks 1 and 3 of 4: SHARDS=4 sbatch --array=1,3 deploy/bulk/slurm.sh ...
#SBATCH --job-name=elmo-embed
#SBATCH --array=0-3
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
#SBATCH --output=elmo-embed-%A_%a.log
set -euo pipefail
if (($# < 2)); then
    echo "usage: sbatch slurm.sh IN OUT [ELMO_EMBED_OPTION...]" >&2
    exit 2
fi
in=$1 out=$2 shard=$SLURM_ARRAY_TASK_ID
shift 2

# If only a part of the array runs, Slurm does not say how many shards there are.
if [[ -z ${SHARDS:-} ]]; then
    if ((SLURM_ARRAY_TASK_MIN != 0 || SLURM_ARRAY_TASK_MAX != SLURM_ARRAY_TASK_COUNT - 1)); then
        echo "slurm.sh: this array is not 0 to N - 1; set SHARDS=N, the number of shards" >&2
        exit 2
    fi
    SHARDS=$SLURM_ARRAY_TASK_COUNT
fi

# A step of the job gets SIGTERM a minute before its time is over, and when it is preempted.
exec srun elmo-embed --resume --shard "$shard/$SHARDS" "$@" "$in" "$out-$shard.hdf5"
