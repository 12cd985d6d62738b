#!/usr/bin/env bash
# Pretrains a biLM on many machines of a Slurm cluster, with two cores for each rank. A job that is requeued
# or submitted again continues from the last checkpoint in OUT.
#
# usage: sbatch [--nodes=N --ntasks-per-node=N] deploy/pretrain/slurm.sh OUT [ELMO_TRAIN_PRETRAIN_OPTION...]
#
# To stop it after a checkpoint: scancel --signal=TERM JOB.
#SBATCH --job-name=elmo-pretrain
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=1G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
#SBATCH --output=elmo-pretrain-%j.log
set -euo pipefail
if (($# < 1)) || [[ $1 == -* ]]; then
    echo "usage: sbatch slurm.sh OUT [ELMO_TRAIN_PRETRAIN_OPTION...]" >&2
    exit 2
fi
out=$1 resume=() status=0
shift
[[ ! -e $out/checkpoint.safetensors ]] || resume=(--resume)

# Slurm sends the signal before the end of the time to the ranks, which stop after a checkpoint. If a rank
# is lost, srun ends the others, which would wait for it.
srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    elmo-train pretrain --threads "$SLURM_CPUS_PER_TASK" --out "$out" "${resume[@]}" "$@" || status=$?
if ((status != 0 && status != 2)); then
    echo "slurm.sh: the run ended with status $status. If it is submitted again, it continues from the last" \
        "checkpoint in $out, if there is one." >&2
fi
exit "$status"
